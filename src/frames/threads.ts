/**
 * The table of threads that use a cache: slots in shared memory, who has them, and which of them are gone.
 *
 * Invariants: a slot is claimed by one swap of its THREAD_ID, so that it names its thread from the first instant. A slot whose
 * thread is gone is given back by whoever has cleaned up after it (mapping/recovery.ts), never before.
 */
import { PinfoldError } from "../base/errors.js";
import { type ThreadIdentity, isThreadAlive, thisThread } from "../base/thread-identity.js";
import * as layout from "../sync/layout.js";
import type { SharedIntegers } from "../sync/shared.js";

/** Stands in for the number of a thread where the system gives none. */
const unknownId = -1;

export class ThreadTable {
  readonly #shared: SharedIntegers;

  constructor(shared: SharedIntegers) {
    this.#shared = shared;
  }

  at(slot: number, field: number): number {
    return layout.THREADS + slot * layout.THREAD_BYTES + field;
  }

  /** Claims a slot for this thread. @throws PinfoldError ERR_PINFOLD_TOO_MANY */
  claim(): number {
    const { id, start } = thisThread();
    for (let slot = 0; slot < layout.THREADS_MAX; slot++) {
      if (!this.#shared.swap(this.at(slot, layout.THREAD_ID), 0, id || unknownId)) continue;
      this.#shared.store(this.at(slot, layout.THREAD_START), start);
      this.#shared.add(this.at(slot, layout.THREAD_GENERATION), 1);
      this.#shared.store(this.at(slot, layout.THREAD_STATE), layout.THREAD_ATTACHED);
      return slot;
    }
    throw new PinfoldError("ERR_PINFOLD_TOO_MANY", `${layout.THREADS_MAX} threads use the cache already`);
  }

  /** Gives a slot back. Its thread holds nothing any more. Who cleans up after a dead one stays named until after this. */
  release(slot: number): void {
    for (const field of [layout.THREAD_HAZARD_0, layout.THREAD_HAZARD_1, layout.THREAD_STORE_CALLS])
      this.#shared.store(this.at(slot, field), 0);
    for (const field of [layout.THREAD_WRITE_PAGES, layout.THREAD_PINNED_CREDITS])
      this.#shared.store(this.at(slot, field), 0);
    for (const field of [layout.THREAD_BLOCKED, layout.THREAD_CLOSING, layout.THREAD_STATE, layout.THREAD_START])
      this.#shared.store(this.at(slot, field), 0);
    this.#shared.store(this.at(slot, layout.THREAD_ID), 0);
  }

  isClaimed(slot: number): boolean {
    return this.#shared.load(this.at(slot, layout.THREAD_ID)) !== 0;
  }

  identity(slot: number): ThreadIdentity {
    const id = this.#shared.load(this.at(slot, layout.THREAD_ID));
    return { id: id === unknownId ? 0 : id, start: this.#shared.load(this.at(slot, layout.THREAD_START)) >>> 0 };
  }

  /** How often the slot was claimed: tells one user of it from the next. */
  generation(slot: number): number {
    return this.#shared.load(this.at(slot, layout.THREAD_GENERATION));
  }

  /** True where the slot is claimed by a thread that has certainly ended. */
  isDead(slot: number): boolean {
    const identity = this.identity(slot);
    if (identity.id === 0 || isThreadAlive(identity)) return false;
    // Looked at again: the slot may have been given back and claimed anew meanwhile.
    const again = this.identity(slot);
    return again.id === identity.id && again.start === identity.start;
  }

  *claimed(): IterableIterator<number> {
    for (let slot = 0; slot < layout.THREADS_MAX; slot++) if (this.isClaimed(slot)) yield slot;
  }
}
