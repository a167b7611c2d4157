/**
 * Makes written pages durable: the store's sync, one at a time for a file whatever the thread, shared by all who wait for it.
 *
 * Rule 7: a page that was written is *unstable* until a store sync that began after the write has succeeded. The epoch bit
 * flips before the sync, so that completions in the meantime belong to the next one. If the sync fails, all
 * pages that were written since the last good one are dirty again, with their grants; under "kernel" durability they are gone from our hands, and that is told.
 *
 * Invariants: a store sync runs under the file's sync lock, and MAPPING_SYNCING says so until its outcome is entered, so that
 * one whose thread died can be taken for failed. When none runs, the unstable list of the epoch that is not current is empty.
 */
import { PinfoldError } from "../base/errors.js";
import type { AddressSpace } from "../cache/space.js";
import type { Frames } from "../frames/frames.js";
import type { PageLocks } from "../frames/locks.js";
import { askStore, askStoreSync } from "../io/transfer.js";
import * as layout from "../sync/layout.js";

export class StoreSync {
  readonly #frames: Frames;
  readonly #locks: PageLocks;

  constructor(frames: Frames, locks: PageLocks) {
    this.#frames = frames;
    this.#locks = locks;
  }

  /**
   * Resolves after a store sync that began at or after this call has succeeded; at once where nothing has changed since the
   * last good one.
   * @throws PinfoldError what the store's sync failed with; under "kernel" durability ERR_PINFOLD_DATA_LOST
   */
  async request(space: AddressSpace, data: boolean): Promise<void> {
    const need = space.changes;
    const wasDurable = space.isDurable(need, data);
    if (wasDurable && space.unstablePages === 0) return;
    const lock = space.syncLock;
    await this.#locks.acquire(lock, space.id, layout.LOCK_SYNC, layout.MODE_EXCLUSIVE, {});
    try {
      if (!this.#isServed(space, need, data, wasDurable)) await this.#sync(space, data);
    } finally {
      this.#locks.unlockExclusive(lock);
    }
  }

  /** As request, blocking, for stores with sync calls. @throws PinfoldError as request; EDEADLK */
  requestBlocking(space: AddressSpace, data: boolean): void {
    const need = space.changes;
    const wasDurable = space.isDurable(need, data);
    if (wasDurable && space.unstablePages === 0) return;
    const lock = space.syncLock;
    this.#locks.acquireBlocking(lock, space.id, layout.LOCK_SYNC, layout.MODE_EXCLUSIVE);
    try {
      if (!this.#isServed(space, need, data, wasDurable)) this.#syncBlocking(space, data);
    } finally {
      this.#locks.unlockExclusive(lock);
    }
  }

  /** One store sync now, blocking, unless one is on its way. Never throws: if it fails, the pages are dirty again. */
  trySync(space: AddressSpace): void {
    if (space.isDurable(space.changes, true) && space.unstablePages === 0) return;
    const lock = space.syncLock;
    if (this.#locks.tryExclusive(lock, space.id, layout.LOCK_SYNC) !== layout.OK) return;
    try {
      this.#syncBlocking(space, false);
    } catch {
      // Who syncs is told.
    } finally {
      this.#locks.unlockExclusive(lock);
    }
  }

  /** Somebody's store sync, which began after `need` changes were counted, has served this caller while it waited. */
  #isServed(space: AddressSpace, need: number, data: boolean, wasDurable: boolean): boolean {
    // Closed by another thread, which has synced it, while this one waited.
    if (space.isStale) return true;
    return space.isDurable(need, data) && (!wasDurable || space.unstablePages === 0);
  }

  #begin(space: AddressSpace): { covered: number; epoch: number } {
    const covered = space.changes;
    // Before the flip: a thread that dies after it leaves pages of both epochs, and both become dirty again.
    space.syncing = 0;
    let epoch: number;
    do epoch = this.#frames.words.flipEpoch(space.id);
    while (epoch === layout.LOST);
    space.counters.syncs += 1;
    return { covered, epoch };
  }

  #succeeded(space: AddressSpace, covered: number, epoch: number, data: boolean): void {
    space.noteDurable(covered, data);
    this.#drain(() => this.#frames.words.stabilizeNext(space.id, epoch));
    space.syncing = -1;
    this.#locks.notifyPool();
  }

  async #sync(space: AddressSpace, data: boolean): Promise<void> {
    const { covered, epoch } = this.#begin(space);
    try {
      await askStore(space.store, "sync", () => space.store.sync({ data }));
    } catch (error) {
      throw this.#failed(space, error as PinfoldError);
    }
    this.#succeeded(space, covered, epoch, data);
  }

  #syncBlocking(space: AddressSpace, data: boolean): void {
    const { covered, epoch } = this.#begin(space);
    try {
      askStoreSync(space.store, "sync", () => space.store.syncSync?.({ data }));
    } catch (error) {
      throw this.#failed(space, error as PinfoldError);
    }
    this.#succeeded(space, covered, epoch, data);
  }

  /** What the sync's callers are told. */
  #failed(space: AddressSpace, error: PinfoldError): PinfoldError {
    space.counters.syncErrors += 1;
    space.lastError = error;
    this.revert(space);
    if (space.durability === "device") return error;
    space.dataLost = new PinfoldError(
      "ERR_PINFOLD_DATA_LOST",
      `${space.store.name}: written data may be lost: ${error.message}`,
      { cause: error, operation: "sync" },
    );
    return space.dataLost;
  }

  /**
   * A store sync came to nothing, or nobody knows what came of it, since its thread died: all that was written since the last
   * good one is dirty again. The caller has the sync lock, or cleans up after who had it.
   */
  revert(space: AddressSpace): void {
    space.noteSyncError();
    space.noteChange();
    // Both epochs: what the store took while the sync was failing may be lost with the rest.
    for (const epoch of [0, 1]) this.#drain(() => this.#frames.words.redirtyNext(space.id, epoch));
    if (space.durability === "kernel") space.noteLoss();
    space.syncing = -1;
    this.#locks.notifyPool();
  }

  /** Calls a step until it says that there is no more; bounded by the frames there are. */
  #drain(step: () => number): void {
    for (let left = this.#frames.count; left >= 0; ) {
      const answer = step();
      if (answer === layout.NONE) return;
      if (answer >= 0) left -= 1;
    }
  }
}
