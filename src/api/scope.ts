/**
 * PinScope: one logical task, recognised across awaits. Pins taken with `{ scope }` are re-entrant within it, and a wait that
 * would close a circle between scopes throws EDEADLK instead.
 */
import { PinfoldError } from "../base/errors.js";
import type { Scope } from "../frames/scopes.js";
import type { Core } from "../mapping/core.js";

export class PinScope implements Disposable {
  readonly #core: Core;
  readonly #scope: Scope;
  #open = true;

  /** Made by cache.scope(). */
  constructor(core: Core) {
    this.#core = core;
    this.#scope = core.scopes.open();
  }

  get id(): number {
    return this.#scope.id;
  }

  /** For the calls of a cache that take a scope. @throws PinfoldError EINVAL after the end, and for a scope of another cache */
  static unwrap(scope: PinScope | undefined, core: Core): Scope | undefined {
    if (scope === undefined) return undefined;
    if (!(scope instanceof PinScope)) throw new PinfoldError("EINVAL", "scope must come from cache.scope()");
    if (scope.#core !== core) throw new PinfoldError("EINVAL", "the scope belongs to another cache");
    if (!scope.#open) throw new PinfoldError("EINVAL", "the scope has ended");
    return scope.#scope;
  }

  /** Ends the scope. @throws PinfoldError EBUSY while it has pins or waits for some */
  end(): void {
    if (!this.#open) return;
    const { held, waiting } = this.#scope;
    if (held.size > 0) throw new PinfoldError("EBUSY", `the scope still has ${held.size} pages pinned`);
    if (waiting.size > 0) throw new PinfoldError("EBUSY", "a call of the scope is still waiting for a page");
    this.#open = false;
    this.#core.scopes.close(this.#scope);
  }

  [Symbol.dispose](): void {
    this.end();
  }
}
