/**
 * Scopes: one logical task recognised across awaits. A wait that would close a circle between scopes is refused (EDEADLK)
 * instead of entered, whichever threads the circle runs through.
 *
 * Invariants: `held` has an entry for each record whose lock this scope holds, and so has the shared table of holds; what a
 * scope waits for stands in the waiters' nodes. A scope's number is its thread's slot in the low 4 bits and a count above
 * them, so that two threads never give one number. Only scoped holds are known here: unscoped tasks of a thread are
 * different owners that nobody can tell apart.
 *
 * The circle is searched from the holders of the wanted record along what they wait for: the newest waiter finds it, since
 * the wait that closes a circle is always the last one to be entered. It looks before it enters, so that its wait is in
 * nobody's way, and again after it, since two threads may close a circle at the same moment.
 *
 * See also: circles.ts (threads that block); sync/layout.ts (SCOPE_HOLDS_MAX).
 */
import { PinfoldError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import * as layout from "../sync/layout.js";
import type { SharedIntegers } from "../sync/shared.js";
import type { Frames } from "./frames.js";

const slotMask = layout.THREADS_MAX - 1;
const countMax = 2 ** 27 - 1;
/** Within an entry: the scope, and the record + 1. */
const scopeAt = 0;
const recordAt = 4;

/** One page that a scope holds: one hold of the page lock, shared by the scope's own pins of it. */
export interface ScopeHold {
  pins: number;
  exclusive: boolean;
  modified: boolean;
  /** Where the shared table has it. */
  readonly entry: number;
}

export class Scope {
  readonly id: number;
  readonly held = new Map<number, ScopeHold>();
  /** Records that tasks of this scope wait for at present, with how many. */
  readonly waiting = new Map<number, number>();
  /** Pages that a task of this scope is taking at present, or making exclusive: the others wait until it has. */
  readonly taking = new Map<number, Promise<void>>();
  readonly #table: HoldTable;

  constructor(id: number, table: HoldTable) {
    this.id = id;
    this.#table = table;
  }

  /** Notes a hold of the record's lock that the scope has just got. @throws PinfoldError ERR_PINFOLD_TOO_MANY; let the lock go then */
  hold(record: number, exclusive: boolean): void {
    const entry = this.#table.claim(this.id, record);
    this.held.set(record, { pins: 1, exclusive, modified: false, entry });
  }

  /** The hold ends; the caller lets go of the lock next. */
  drop(record: number): void {
    const hold = this.held.get(record);
    if (!hold) return;
    this.held.delete(record);
    this.#table.free(hold.entry);
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
  readonly #table: HoldTable;
  readonly #shared: SharedIntegers;
  readonly #thread: number;
  readonly #open = new Set<number>();
  #last = 0;

  constructor(frames: Frames) {
    this.#table = new HoldTable(frames);
    this.#shared = frames.shared;
    this.#thread = frames.thread;
  }

  open(): Scope {
    do this.#last = (this.#last % countMax) + 1;
    while (this.#open.has(this.#idOf(this.#last)));
    const id = this.#idOf(this.#last);
    this.#open.add(id);
    return new Scope(id, this.#table);
  }

  #idOf(count: number): number {
    return count * layout.THREADS_MAX + this.#thread;
  }

  close(scope: Scope): void {
    this.#open.delete(scope.id);
  }

  /**
   * True if a wait of `scope` for `record` closes a circle: somebody who holds it waits, through others, for `scope`.
   * `upgrading`: the scope's own hold of the record is what it upgrades, and keeps it from nothing.
   */
  closesCircle(scope: Scope, record: number, upgrading = false): boolean {
    // Others move while this one looks, and a circle that is one stays: a second look tells.
    return this.#findsCircle(scope.id, record, upgrading) && this.#findsCircle(scope.id, record, upgrading);
  }

  #findsCircle(scope: number, record: number, upgrading: boolean): boolean {
    const seen = new Set<number>();
    const records = [record];
    for (let i = 0; i < records.length && i < limits.waitersMax; i++) {
      for (const holder of this.#table.holdersOf(records[i] as number)) {
        if (holder === scope && i === 0 && upgrading) continue;
        if (holder === scope) return true;
        if (seen.has(holder)) continue;
        seen.add(holder);
        records.push(...this.#awaitedBy(holder));
      }
    }
    return false;
  }

  /** What tasks of a scope, of any thread, wait for. */
  #awaitedBy(scope: number): number[] {
    const records: number[] = [];
    if (this.#shared.load(layout.HEADER_NODES_USED) === 0) return records;
    for (let node = 0; node < layout.NODES_MAX; node++) {
      const at = layout.NODES + node * layout.NODE_BYTES;
      if (this.#shared.load(at + layout.NODE_SCOPE) !== scope) continue;
      if (this.#shared.load(at + layout.NODE_STATE) === layout.NODE_WAITING)
        records.push(this.#shared.load(at + layout.NODE_FRAME));
    }
    return records;
  }
}

/**
 * Which scope holds which record, in shared memory. An entry is claimed by the swap of its scope and is whole once it has its
 * record too, which goes first when it is freed: a reader who finds the same scope before and after the record has read one entry.
 */
class HoldTable {
  readonly #shared: SharedIntegers;
  readonly #from: number;
  #next: number;

  constructor(frames: Frames) {
    this.#shared = frames.shared;
    this.#from = frames.plan.scopeHolds;
    // Threads begin apart, so that they seldom want the same entry.
    this.#next = frames.thread * (layout.SCOPE_HOLDS_MAX / layout.THREADS_MAX);
  }

  #at(entry: number): number {
    return this.#from + entry * layout.SCOPE_HOLD_BYTES;
  }

  /** @throws PinfoldError ERR_PINFOLD_TOO_MANY */
  claim(scope: number, record: number): number {
    for (let tried = 0; tried < layout.SCOPE_HOLDS_MAX; tried++) {
      const entry = this.#next;
      this.#next = (entry + 1) % layout.SCOPE_HOLDS_MAX;
      const at = this.#at(entry);
      if (this.#shared.load(at + scopeAt) !== 0 || !this.#shared.swap(at + scopeAt, 0, scope)) continue;
      this.#shared.store(at + recordAt, record + 1);
      return entry;
    }
    throw new PinfoldError("ERR_PINFOLD_TOO_MANY", `scopes hold ${layout.SCOPE_HOLDS_MAX} pages already`);
  }

  free(entry: number): void {
    freeEntry(this.#shared, this.#at(entry));
  }

  /** Scopes of all threads that hold `record`. */
  holdersOf(record: number): number[] {
    const holders: number[] = [];
    for (let entry = 0; entry < layout.SCOPE_HOLDS_MAX; entry++) {
      const at = this.#at(entry);
      const scope = this.#shared.load(at + scopeAt);
      if (scope === 0 || this.#shared.load(at + recordAt) !== record + 1) continue;
      if (this.#shared.load(at + scopeAt) === scope) holders.push(scope);
    }
    return holders;
  }
}

function freeEntry(shared: SharedIntegers, at: number): void {
  shared.store(at + recordAt, 0);
  shared.store(at + scopeAt, 0);
}

/** Recovery: the holds of a dead thread's scopes are none any more. Nobody uses the slot meanwhile. */
export function clearScopesOf(frames: Frames, slot: number): void {
  const { shared, plan } = frames;
  for (let entry = 0; entry < layout.SCOPE_HOLDS_MAX; entry++) {
    const at = plan.scopeHolds + entry * layout.SCOPE_HOLD_BYTES;
    const scope = shared.load(at + scopeAt);
    if (scope !== 0 && (scope & slotMask) === slot) freeEntry(shared, at);
  }
}
