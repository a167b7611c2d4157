/**
 * Scopes: one logical task recognised across awaits. A scope knows which records it holds and waits for, so that a wait
 * that would close a circle between scopes is refused (EDEADLK) instead of entered.
 *
 * Invariants: `held` has an entry for each record whose lock this scope holds; a scope that waits is listed under the record it waits for.
 * Only scoped holds are known here: unscoped tasks of a thread are different owners that nobody can tell apart.
 *
 * The circle is searched from the holders of the wanted record along what they wait for: the newest waiter finds it, since
 * the wait that closes a circle is always the last one to be entered.
 */
import { limits } from "../base/limits.js";

/** One page that a scope holds: one hold of the page lock, shared by the scope's own pins of it. */
export interface ScopeHold {
  pins: number;
  exclusive: boolean;
  modified: boolean;
}

export class Scope {
  readonly id: number;
  readonly held = new Map<number, ScopeHold>();
  /** Records that tasks of this scope wait for at present, with how many. */
  readonly waiting = new Map<number, number>();

  constructor(id: number) {
    this.id = id;
  }

  startWait(record: number): void {
    this.waiting.set(record, (this.waiting.get(record) ?? 0) + 1);
  }

  endWait(record: number): void {
    const left = (this.waiting.get(record) ?? 1) - 1;
    if (left === 0) this.waiting.delete(record);
    else this.waiting.set(record, left);
  }
}

export class Scopes {
  readonly #scopes = new Map<number, Scope>();
  #last = 0;

  open(): Scope {
    this.#last = (this.#last % 0x7fffffff) + 1;
    const scope = new Scope(this.#last);
    this.#scopes.set(scope.id, scope);
    return scope;
  }

  close(scope: Scope): void {
    this.#scopes.delete(scope.id);
  }

  /**
   * True if a wait of `scope` for `record` closes a circle: somebody who holds it waits, through others, for `scope`.
   * `upgrading`: the scope's own hold of the record is what it upgrades, and keeps it from nothing.
   */
  closesCircle(scope: Scope, record: number, upgrading = false): boolean {
    const seen = new Set<number>();
    const records = [record];
    for (let i = 0; i < records.length && i < limits.waitersMax; i++) {
      for (const holder of this.#scopes.values()) {
        if (!holder.held.has(records[i] as number)) continue;
        if (holder === scope && i === 0 && upgrading) continue;
        if (holder === scope) return true;
        if (seen.has(holder.id)) continue;
        seen.add(holder.id);
        records.push(...holder.waiting.keys());
      }
    }
    return false;
  }
}
