/**
 * Makes written pages durable: the store's sync, one at a time for a file, shared by all who wait for it.
 *
 * Rule 7: a page that was written is *unstable* until a store sync that began after the write has succeeded. The epoch bit
 * flips before the sync, so that completions in the meantime belong to the next one. If the sync fails, all
 * pages that were written since the last good one are dirty again, with their grants; under "kernel" durability they are gone from our hands, and that is told.
 *
 * Invariant: when no sync of a file runs, the unstable list of the epoch that is not current is empty.
 */
import { PinfoldError } from "../base/errors.js";
import type { AddressSpace } from "../cache/space.js";
import type { Frames } from "../frames/frames.js";
import type { PageLocks } from "../frames/locks.js";
import { askStore, askStoreSync } from "../io/transfer.js";
import * as layout from "../sync/layout.js";

interface Turn {
  data: boolean;
  readonly done: Promise<void>;
}

export class StoreSync {
  readonly #frames: Frames;
  readonly #locks: PageLocks;
  readonly #running = new Map<number, Promise<void>>();
  readonly #next = new Map<number, Turn>();

  constructor(frames: Frames, locks: PageLocks) {
    this.#frames = frames;
    this.#locks = locks;
  }

  /**
   * Resolves after a store sync that began at or after this call has succeeded; at once where nothing has changed since the
   * last good one.
   * @throws PinfoldError what the store's sync failed with; under "kernel" durability ERR_PINFOLD_DATA_LOST
   */
  request(space: AddressSpace, data: boolean): Promise<void> {
    const synced = data ? space.durable : space.durableWhole;
    if (space.changes === synced && space.unstablePages === 0) return Promise.resolve();
    const waiting = this.#next.get(space.id);
    if (waiting) {
      waiting.data &&= data;
      return waiting.done;
    }
    const running = this.#running.get(space.id);
    if (!running) return this.#start(space, data);
    const turn: Turn = {
      data,
      done: running
        .catch(() => {})
        .then(() => {
          this.#next.delete(space.id);
          return this.#start(space, turn.data);
        }),
    };
    this.#next.set(space.id, turn);
    return turn.done;
  }

  /** Resolves when no store sync of the file runs or is to run. Nobody may ask for one meanwhile. */
  async idle(space: AddressSpace): Promise<void> {
    for (let work = this.#workOf(space); work; work = this.#workOf(space)) await work.catch(() => {});
  }

  #workOf(space: AddressSpace): Promise<void> | undefined {
    return this.#next.get(space.id)?.done ?? this.#running.get(space.id);
  }

  /** One store sync now, blocking, unless one is on its way. Never throws: if it fails, the pages are dirty again. */
  syncBlocking(space: AddressSpace): void {
    if (this.#running.has(space.id) || (space.changes === space.durable && space.unstablePages === 0)) return;
    const { covered, epoch } = this.#begin(space);
    try {
      askStoreSync(space.store, "sync", () => space.store.syncSync?.({ data: false }));
    } catch (error) {
      this.#failed(space, epoch, error as PinfoldError);
      return;
    }
    this.#succeeded(space, covered, epoch, false);
  }

  #begin(space: AddressSpace): { covered: number; epoch: number } {
    const covered = space.changes;
    let epoch: number;
    do epoch = this.#frames.words.flipEpoch(space.id);
    while (epoch === layout.LOST);
    space.counters.syncs += 1;
    return { covered, epoch };
  }

  #succeeded(space: AddressSpace, covered: number, epoch: number, data: boolean): void {
    space.durable = covered;
    if (!data) space.durableWhole = covered;
    this.#drain(() => this.#frames.words.stabilizeNext(space.id, epoch));
    this.#locks.notifyPool();
  }

  #start(space: AddressSpace, data: boolean): Promise<void> {
    const run = this.#sync(space, data).finally(() => {
      if (this.#running.get(space.id) === run) this.#running.delete(space.id);
    });
    this.#running.set(space.id, run);
    return run;
  }

  async #sync(space: AddressSpace, data: boolean): Promise<void> {
    const { covered, epoch } = this.#begin(space);
    try {
      await askStore(space.store, "sync", () => space.store.sync({ data }));
    } catch (error) {
      throw this.#failed(space, epoch, error as PinfoldError);
    }
    this.#succeeded(space, covered, epoch, data);
  }

  /** What the sync's callers are told. */
  #failed(space: AddressSpace, epoch: number, error: PinfoldError): PinfoldError {
    space.counters.syncErrors += 1;
    space.lastError = error;
    space.changes += 1;
    // Both epochs: what the store took while the sync was failing may be lost with the rest.
    for (const which of [epoch, epoch ^ 1]) this.#drain(() => this.#frames.words.redirtyNext(space.id, which));
    if (space.durability === "device") return error;
    space.dataLost = new PinfoldError(
      "ERR_PINFOLD_DATA_LOST",
      `${space.store.name}: written data may be lost: ${error.message}`,
      {
        cause: error,
        operation: "sync",
      },
    );
    space.losses += 1;
    return space.dataLost;
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
