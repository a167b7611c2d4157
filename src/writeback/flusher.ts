/**
 * Background write-back. `step` does one round and is called by a driver: a timer, somebody who needs frames, a test.
 *
 * A round writes pages that have been dirty for too long; all dirty pages while there are more than the background limit (or
 * somebody needs frames); and asks for a store sync where unstable pages hold half of the dirty limit, have waited too long,
 * or somebody needs frames. It only ever tries page locks, uses up nobody's error (F9), and one round of a thread runs at a time.
 *
 * A round chooses some pages at a time, while the writes of those before are on their way. Where several threads need frames or
 * clean pages at once, each takes others of them: the walks take turns, and go on where the last one stopped.
 */
import type { Clock } from "../base/clock.js";
import { coarseSeconds } from "../base/clock.js";
import { PinfoldError, toPinfoldError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { AddressSpace } from "../cache/space.js";
import type { Frames } from "../frames/frames.js";
import type { PageLocks } from "../frames/locks.js";
import { countedWrites } from "../frames/page-word.js";
import * as layout from "../sync/layout.js";
import { type DirtyPage, collectDirty, isExpired, walking } from "./dirty-set.js";
import type { StoreSync } from "./store-sync.js";
import type { Writer } from "./writer.js";

export interface FlusherLimits {
  readonly dirtyPagesMax: number;
  readonly dirtyBackgroundPages: number;
  readonly dirtyExpireMs: number;
}

export class Flusher {
  readonly #frames: Frames;
  readonly #locks: PageLocks;
  readonly #writer: Writer;
  readonly #storeSync: StoreSync;
  readonly #spaces: () => Iterable<AddressSpace>;
  readonly #limits: FlusherLimits;
  readonly #clock: Clock;
  readonly #onProgress: () => void;
  readonly #onRemote: (space: AddressSpace, urgent: boolean) => void;
  readonly #syncedMs = new Map<number, number>();
  #running: Promise<void> | undefined;
  #again = false;

  constructor(parts: {
    frames: Frames;
    locks: PageLocks;
    writer: Writer;
    storeSync: StoreSync;
    spaces: () => Iterable<AddressSpace>;
    limits: FlusherLimits;
    clock: Clock;
    /** A round has written or synced something: whoever waits for that can ask for another. */
    onProgress: () => void;
    /** A file whose store is in another thread wants a round. */
    onRemote: (space: AddressSpace, urgent: boolean) => void;
  }) {
    this.#frames = parts.frames;
    this.#locks = parts.locks;
    this.#writer = parts.writer;
    this.#storeSync = parts.storeSync;
    this.#spaces = parts.spaces;
    this.#limits = parts.limits;
    this.#clock = parts.clock;
    this.#onProgress = parts.onProgress;
    this.#onRemote = parts.onRemote;
  }

  /** Dirty and unstable pages of all files: what the dirty limit bounds. */
  get heldPages(): number {
    const { frames } = { frames: this.#frames };
    return (
      frames.counter(layout.HEADER_DIRTY) +
      frames.counter(layout.HEADER_WRITEBACK) +
      frames.counter(layout.HEADER_UNSTABLE)
    );
  }

  get isRunning(): boolean {
    return this.#running !== undefined;
  }

  /**
   * One round, `most` pages at a time; `urgent`: somebody waits for frames. A call during a round makes another follow it. Never
   * rejects.
   */
  step(urgent: boolean, most: number = this.#share()): Promise<void> {
    if (this.#running) {
      this.#again ||= urgent;
      return this.#running;
    }
    this.#running = this.#round(urgent, most).then((progress) => {
      this.#running = undefined;
      if (this.#again) {
        this.#again = false;
        void this.step(true);
      } else if (progress) {
        this.#onProgress();
      }
    });
    return this.#running;
  }

  /** How many pages at a time, for who waits: a thread that is alone sorts many, so that neighbours are written together. */
  #share(): number {
    const threads = [...this.#frames.threads.claimed()];
    return threads.length > 1 ? limits.sharedRoundPagesMax : limits.roundPagesMax;
  }

  /** True if anything was written or synced. */
  async #round(urgent: boolean, most: number): Promise<boolean> {
    const flushed = await Promise.all([...this.#spaces()].map((space) => this.#flush(space, urgent, most)));
    return flushed.includes(true);
  }

  /** The part of a round that belongs to one file. Never rejects. */
  async flushOne(space: AddressSpace, urgent: boolean): Promise<void> {
    if (await this.#flush(space, urgent, this.#share())) this.#onProgress();
  }

  async #flush(space: AddressSpace, urgent: boolean, most: number): Promise<boolean> {
    const nowMs = this.#clock.nowMs();
    if (space.readOnly || space.state === layout.MAPPING_ORPHANED || nowMs < retryTime(space, urgent)) return false;
    if (space.isRemote) {
      if (space.dirtyPages + space.unstablePages > 0) this.#onRemote(space, urgent);
      return false;
    }
    const all = urgent || this.#frames.counter(layout.HEADER_DIRTY) > this.#limits.dirtyBackgroundPages;
    const seconds = coarseSeconds(nowMs);
    const expireSeconds = Math.ceil(this.#limits.dirtyExpireMs / 1000);
    // A page under counted write pins stays dirty however often it is written: that frees nothing, so only its age counts.
    const choose = (frame: number) =>
      all ? countedWrites(this.#frames.words, frame) === 0 : isExpired(this.#frames, frame, seconds, expireSeconds);
    let left = space.dirtyPages;
    let chosen = 0;
    const more = async (): Promise<DirtyPage[]> => {
      while (left > 0 && space.dirtyPages > 0 && !space.isStale) {
        const pages = await this.#choose(space, choose, Math.min(left, most));
        left -= most;
        chosen += pages.length;
        if (pages.length > 0) return pages;
      }
      return [];
    };
    const { failures, blocked } = await this.#writer.writeNow(space, [], more);
    if (space.isStale) return false;
    let failed = failures[0]?.error;
    const syncs = this.#needsStoreSync(space, urgent);
    if (syncs) {
      this.#syncedMs.set(space.id, nowMs);
      await this.#storeSync.request(space, true).catch((error: unknown) => {
        failed = toPinfoldError(error, `sync of ${space.store.name}`);
      });
    }
    const isTaken = syncs || chosen > blocked.length;
    if (failed) this.#backOff(space, failed);
    else if (isTaken) space.noteTaken();
    return !failed && isTaken;
  }

  /** Some dirty pages; none where too many tasks wait for the walk. */
  async #choose(space: AddressSpace, choose: (frame: number) => boolean, most: number): Promise<DirtyPage[]> {
    try {
      return await walking(this.#locks, space, () => collectDirty(this.#frames, space, choose, most));
    } catch (error) {
      if (error instanceof PinfoldError) return [];
      throw error;
    }
  }

  #needsStoreSync(space: AddressSpace, urgent: boolean): boolean {
    if (space.unstablePages === 0) {
      this.#syncedMs.delete(space.id);
      return false;
    }
    const nowMs = this.#clock.nowMs();
    const sinceMs = this.#syncedMs.get(space.id);
    if (sinceMs === undefined) this.#syncedMs.set(space.id, nowMs);
    const waitedTooLong = nowMs - (sinceMs ?? nowMs) >= this.#limits.dirtyExpireMs;
    return urgent || waitedTooLong || this.#frames.counter(layout.HEADER_UNSTABLE) >= this.#limits.dirtyPagesMax / 2;
  }

  /** After an error the file's background write-back waits, twice as long each time. */
  #backOff(space: AddressSpace, error: PinfoldError): void {
    space.noteFailing(error);
    space.retryDelayMs = Math.min(limits.retryDelayMaxMs, space.retryDelayMs * 2 || limits.retryDelayMs);
    space.retryAtMs = this.#clock.nowMs() + space.retryDelayMs;
  }
}

/** When a file that had an error is tried again. Somebody who waits for frames does not wait longer than the shortest delay. */
function retryTime(space: AddressSpace, urgent: boolean): number {
  const failedMs = space.retryAtMs - space.retryDelayMs;
  return urgent ? Math.min(space.retryAtMs, failedMs + limits.retryDelayMs) : space.retryAtMs;
}
