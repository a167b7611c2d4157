/**
 * Who keeps whom waiting, thread by thread: whether a call that blocks its thread could ever go on.
 *
 * A blocked thread (THREAD_BLOCKED) does nothing until its one wait ends. So a circle of blocked threads never ends: that is
 * certain. A thread that is not blocked may have tasks that wait for something which only the asking thread can let go; whether
 * that is the task that matters cannot be told: a circle through such a thread is only possible.
 *
 * Invariants: everything here reads, nothing is changed; what one look says may be old at the next moment. A circle that is
 * there stays, so callers look again before they believe in one. Sets of threads are bit masks of slots.
 *
 * See also: wait-queues.ts (waitBlocking), scopes.ts (circles of tasks that have names).
 */
import * as layout from "../sync/layout.js";
import type { SharedIntegers } from "../sync/shared.js";
import type { Words } from "../sync/words.js";
import type { Frames } from "./frames.js";

/** Why a wait would never end: it depends on the waiter's own event loop, or on threads that block for it, or seems to. */
export interface Blockage {
  readonly kind: "own" | "circle" | "stuck";
  /** Slots of the threads that it goes through, the waiter's own apart. */
  readonly threads: readonly number[];
}

interface Wait {
  readonly record: number;
  readonly mode: number;
}

export class ThreadCircles {
  readonly #words: Words;
  readonly #shared: SharedIntegers;
  readonly #thread: number;
  readonly #callsFrom: number;
  readonly #callsTo: number;

  constructor(frames: Frames) {
    this.#words = frames.words;
    this.#shared = frames.shared;
    this.#thread = frames.thread;
    this.#callsFrom = frames.plan.locksFrom;
    this.#callsTo = frames.lockRecord(layout.MAPPINGS_MAX, 0);
  }

  /** The threads that keep a waiter of `thread` from what it waits for. A wait for the pool has none: anybody may end it. */
  holdersOf(record: number, mode: number, thread: number): number {
    const low = this.#words.lowWord(record);
    if (mode === layout.MODE_NOTIFY) return this.#storeThreadOf(record);
    if (mode === layout.MODE_WRITEBACK) {
      const high = this.#words.highWord(record);
      if ((high & (1 << (layout.WRITEBACK_BIT - 32))) === 0) return 0;
      return 1 << ((high >>> (layout.WRITER_SHIFT - 32)) & layout.WRITER_MASK);
    }
    const holders = (low >>> layout.HOLDERS_SHIFT) & layout.HOLDERS_MASK;
    if ((low & (1 << layout.EXCLUSIVE_BIT)) !== 0) return 1 << holders;
    // A sharer waits for the gate alone, which opens by itself.
    if (mode === layout.MODE_SHARED && holders < layout.HOLDERS_MAX) return 0;
    return this.#sharersOf(record, holders, mode === layout.MODE_UPGRADE ? thread : -1);
  }

  /** A call to the thread that has a file's store waits for that thread. */
  #storeThreadOf(record: number): number {
    if (record < this.#callsFrom || record >= this.#callsTo) return 0;
    const mapping = this.#words.mappingIdOf(record);
    const store = this.#shared.load(layout.MAPPINGS + mapping * layout.MAPPING_BYTES + layout.MAPPING_STORE_THREAD);
    return store === 0 ? 0 : 1 << (store - 1);
  }

  /** `upgrader`: a thread of which one hold does not count. */
  #sharersOf(record: number, holders: number, upgrader: number): number {
    let mask = 0;
    let known = 0;
    for (let thread = 0; thread < layout.THREADS_MAX; thread++) {
      const shares = this.#words.ledgerEntry(record, thread) & layout.HOLDERS_MASK;
      known += shares;
      if (shares > (thread === upgrader ? 1 : 0)) mask |= 1 << thread;
    }
    return known >= holders ? mask : mask | this.#grantedOn(record);
  }

  /** Threads that were granted a shared hold which they have not seen yet. */
  #grantedOn(record: number): number {
    let mask = 0;
    for (let node = 0; node < layout.NODES_MAX; node++) {
      const at = layout.NODES + node * layout.NODE_BYTES;
      if (this.#shared.load(at + layout.NODE_STATE) !== layout.NODE_GRANTED) continue;
      if (this.#shared.load(at + layout.NODE_FRAME) !== record) continue;
      if (this.#shared.load(at + layout.NODE_MODE) === layout.MODE_SHARED)
        mask |= 1 << this.#shared.load(at + layout.NODE_THREAD);
    }
    return mask;
  }

  /** Blocked threads through which a wait for `holders` comes back to this thread, in order; undefined: there is no circle. */
  certain(holders: number): number[] | undefined {
    return this.#path(holders, { seen: 0 }, (thread) => this.#blockedOn(thread));
  }

  /** As certain, through threads some of whose tasks wait, too. */
  possible(holders: number): number[] | undefined {
    const waits = this.#allWaits();
    return this.#path(holders, { seen: 0 }, (thread) => waits.get(thread) ?? []);
  }

  #path(mask: number, found: { seen: number }, waitsOf: (thread: number) => readonly Wait[]): number[] | undefined {
    if ((mask & (1 << this.#thread)) !== 0) return [];
    for (let thread = 0; thread < layout.THREADS_MAX; thread++) {
      if ((mask & ~found.seen & (1 << thread)) === 0) continue;
      found.seen |= 1 << thread;
      for (const { record, mode } of waitsOf(thread)) {
        const rest = this.#path(this.holdersOf(record, mode, thread), found, waitsOf);
        if (rest) return [thread, ...rest];
      }
    }
    return undefined;
  }

  /** What a thread blocks for, if it does. */
  #blockedOn(thread: number): Wait[] {
    const node = this.#shared.load(layout.THREADS + thread * layout.THREAD_BYTES + layout.THREAD_BLOCKED) - 1;
    const wait = node < 0 ? undefined : this.#waitOf(node);
    return wait?.thread === thread ? [wait] : [];
  }

  #waitOf(node: number): (Wait & { readonly thread: number }) | undefined {
    const at = layout.NODES + node * layout.NODE_BYTES;
    if (this.#shared.load(at + layout.NODE_STATE) !== layout.NODE_WAITING) return undefined;
    return {
      record: this.#shared.load(at + layout.NODE_FRAME),
      mode: this.#shared.load(at + layout.NODE_MODE),
      thread: this.#shared.load(at + layout.NODE_THREAD),
    };
  }

  #allWaits(): Map<number, Wait[]> {
    const waits = new Map<number, Wait[]>();
    for (let node = 0; node < layout.NODES_MAX; node++) {
      const wait = this.#waitOf(node);
      if (!wait) continue;
      const known = waits.get(wait.thread);
      if (known) known.push(wait);
      else waits.set(wait.thread, [wait]);
    }
    return waits;
  }
}

/** The slots in a mask. */
export function slotsIn(mask: number): number[] {
  const slots: number[] = [];
  for (let slot = 0; slot < layout.THREADS_MAX; slot++) if ((mask & (1 << slot)) !== 0) slots.push(slot);
  return slots;
}
