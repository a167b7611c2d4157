/**
 * The sync calls of one opener of a file: arguments, and that lost data is told once to each opener (errseq).
 *
 * See also: mapping/sync.ts, mapping/sync-blocking.ts.
 */
import { checkRange } from "../base/ranges.js";
import type { AddressSpace } from "../cache/space.js";
import type { Core } from "../mapping/core.js";
import { dataLost } from "../mapping/lifetime.js";
import { sync } from "../mapping/sync.js";
import { syncBlocking } from "../mapping/sync-blocking.js";
import { checkObject, checkPinned, checkSignal } from "./arguments.js";
import { PinScope } from "./scope.js";

export interface SyncCallOptions {
  position?: number;
  length?: number;
  /** Wait for locked write pins on dirty pages (default), or fail and name them. */
  pinned?: "wait" | "fail";
  signal?: AbortSignal;
  /** The caller's scope: a write pin of its own in the range is EDEADLK instead of a hang. */
  scope?: PinScope;
}

export type SyncRange = Pick<SyncCallOptions, "position" | "length">;

export class FileSync {
  readonly #core: Core;
  readonly #space: AddressSpace;
  /** Losses of data (under "kernel" durability) that this opener's sync has reported. */
  #toldLosses = 0;

  constructor(core: Core, space: AddressSpace) {
    this.#core = core;
    this.#space = space;
  }

  #checkRange(options: SyncRange): void {
    checkObject(options, "options");
    checkRange(options.position ?? 0, options.length ?? 0, this.#space.pageSize);
  }

  /** @throws PinfoldError as CachedFile.sync */
  async sync(options: SyncCallOptions, data: boolean): Promise<void> {
    this.#checkRange(options);
    checkPinned(options.pinned);
    checkSignal(options.signal);
    const request = { ...options, scope: PinScope.unwrap(options.scope, this.#core), data };
    if (this.#space.readOnly) return;
    const failure: unknown = await sync(this.#core, this.#space, request).then(
      () => undefined,
      (error: unknown) => error,
    );
    this.#tellLoss();
    if (failure !== undefined) throw failure as Error;
  }

  /** @throws PinfoldError as CachedFile.syncSync */
  syncBlocking(options: SyncRange, data: boolean): void {
    this.#checkRange(options);
    if (this.#space.readOnly) return;
    let failure: unknown;
    try {
      const { position, length } = options;
      syncBlocking(this.#core, this.#space, { position, length, data });
    } catch (error) {
      failure = error;
    }
    this.#tellLoss();
    if (failure !== undefined) throw failure as Error;
  }

  /** @throws PinfoldError ERR_PINFOLD_DATA_LOST */
  #tellLoss(): void {
    if (this.#space.losses === this.#toldLosses) return;
    this.#toldLosses = this.#space.losses;
    if (this.#space.losses > 0) throw this.#space.dataLost ?? dataLost(this.#space);
  }
}
