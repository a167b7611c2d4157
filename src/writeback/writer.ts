/**
 * Writes dirty pages of a file to its store.
 *
 * Locks: the page lock is held shared from before dirty is cleared until the store is done (stable pages: writers wait),
 * then the invalidate lock shared around the store calls. A page lock is waited for only while none is held; the rest of a
 * run is only tried. A page with counted write pins is written from a snapshot and stays dirty.
 *
 * Invariants: at most one write of a page is in flight (R25). Whatever happens, each page that began write-back ends it:
 * unstable (or clean under "kernel" durability), or dirty again with its grant (R20). The set `inFlight` of the space holds
 * a promise for each run until then.
 *
 * See also: words/dirty.ts (the arrows), store-sync.ts (from unstable to clean).
 */
import type { PinfoldError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { AddressSpace } from "../cache/space.js";
import { countedWrites, flagsOf, wordBits } from "../frames/page-word.js";
import type { Frames } from "../frames/frames.js";
import type { PageLocks } from "../frames/locks.js";
import type { WaitOwner } from "../frames/wait-queues.js";
import { writeOut, writeOutSync } from "../io/transfer.js";
import * as layout from "../sync/layout.js";
import type { DirtyPage } from "./dirty-set.js";
import { cutRuns } from "./runs.js";

export interface WriteFailure {
  readonly index: number;
  readonly error: PinfoldError;
}

/** A page on its way: `snapshot` is the frame with its copied bytes, or -1. */
interface Departing extends DirtyPage {
  readonly snapshot: number;
  readonly wasFailed: boolean;
}

interface Departure {
  /** How many pages of the list are dealt with: written or not to be. */
  taken: number;
  run: Departing[];
  /** The first page could not be locked without waiting. */
  blocked: boolean;
}

export class Writer {
  readonly #frames: Frames;
  readonly #locks: PageLocks;
  onHealed: (space: AddressSpace, index: number) => void = () => {};
  onFailed: (space: AddressSpace, failure: WriteFailure) => void = () => {};

  constructor(frames: Frames, locks: PageLocks) {
    this.#frames = frames;
    this.#locks = locks;
  }

  /**
   * Writes what can be locked without waiting. Resolves when all of it is done, with what failed and what was passed over.
   * Never rejects.
   */
  async writeNow(
    space: AddressSpace,
    pages: readonly DirtyPage[],
  ): Promise<{ failures: WriteFailure[]; blocked: DirtyPage[] }> {
    const failures: WriteFailure[] = [];
    const blocked: DirtyPage[] = [];
    const busy = new Set<Promise<void>>();
    for (let at = 0; at < pages.length; ) {
      if (busy.size >= limits.writesInFlightMax) await Promise.race(busy);
      const departure = this.#gather(space, pages, at);
      if (departure.blocked) blocked.push(pages[at] as DirtyPage);
      if (departure.run.length > 0) {
        const sent: Promise<void> = this.#send(space, departure.run, failures).finally(() => busy.delete(sent));
        busy.add(sent);
      }
      at += departure.taken;
    }
    await Promise.all(busy);
    return { failures, blocked };
  }

  /**
   * As writeNow, blocking the thread: for stores with sync calls. What is held by others, or on its way, is passed over.
   * Never throws: a page that failed is dirty again.
   */
  writeBlocking(space: AddressSpace, pages: readonly DirtyPage[]): WriteFailure[] {
    const failures: WriteFailure[] = [];
    const lock = space.invalidateLock;
    if (this.#locks.tryShared(lock, space.id, layout.LOCK_INVALIDATE) !== layout.OK) return failures;
    for (let at = 0; at < pages.length; ) {
      const { run, taken } = this.#gather(space, pages, at);
      at += taken;
      if (run.length === 0) continue;
      let failed: PinfoldError | undefined;
      try {
        for (const { position, buffers, bytes } of cutRuns(this.#frames, this.#sourcesOf(run), space.writableEnd)) {
          writeOutSync(space.store, position, buffers);
          space.counters.writes += 1;
          space.counters.writtenBytes += bytes;
        }
      } catch (error) {
        failed = error as PinfoldError;
      }
      space.changes += 1;
      for (const page of run) this.#end(space, page, failed, failures);
    }
    this.#locks.unlockShared(lock);
    this.#locks.notifyPool();
    return failures;
  }

  /**
   * Writes one page, waiting for its lock (and for another write of it) as long as it takes.
   * @throws the signal's reason; EDEADLK
   */
  async writeWaiting(space: AddressSpace, page: DirtyPage, owner: WaitOwner): Promise<WriteFailure[]> {
    const failures: WriteFailure[] = [];
    for (let tries = 0; tries < limits.lookupRetriesMax; tries++) {
      const answer = await this.#locks.acquire(page.frame, space.id, page.index, layout.MODE_SHARED, owner);
      if (answer !== layout.OK) return failures;
      const isServed = this.#isServed(page);
      this.#locks.unlockShared(page.frame);
      if (isServed) return failures;
      const { failures: failed, blocked } = await this.writeNow(space, [page]);
      failures.push(...failed);
      if (blocked.length === 0) return failures;
      if ((flagsOf(this.#frames.words, page.frame) & wordBits.writeback) !== 0) {
        await this.#locks.acquire(page.frame, space.id, page.index, layout.MODE_WRITEBACK, owner);
      } else if (this.#frames.listLength(layout.LIST_SNAPSHOT) === 0) {
        await this.#locks.waitForPool(owner.signal);
      }
    }
    return failures;
  }

  /**
   * A dirty page that a sync has tagged and that has lost its tag since: somebody else has written an image of it that began
   * after the tag, and all that the sync covers is in that. Else every sync would write a pinned page again.
   */
  #isServed(page: DirtyPage): boolean {
    const { dirty, towrite, failed, writeback } = wordBits;
    return (flagsOf(this.#frames.words, page.frame) & (dirty | towrite | failed | writeback)) === dirty;
  }

  /** Begins the write of pages[at] and of those after it that lie next to each other, without waiting. */
  #gather(space: AddressSpace, pages: readonly DirtyPage[], at: number): Departure {
    const departure: Departure = { taken: 1, run: [], blocked: false };
    const first = pages[at] as DirtyPage;
    const departing = this.#begin(space, first);
    departure.blocked = departing === "blocked";
    if (typeof departing === "string") return departure;
    departure.run.push(departing);
    const most = Math.max(1, Math.min(limits.runPagesMax, limits.runBytesMax / space.pageSize));
    for (let next = at + 1; next < pages.length && departure.run.length < most; next++) {
      const page = pages[next] as DirtyPage;
      if (page.index !== first.index + departure.run.length) break;
      const more = this.#begin(space, page);
      if (typeof more === "string") break;
      departure.run.push(more);
      departure.taken += 1;
    }
    return departure;
  }

  /** Guard of R1 and R13: locks a page shared, then clears dirty; the bytes stay as they are until the write is done. */
  #begin(space: AddressSpace, page: DirtyPage): Departing | "blocked" | "done" {
    const { words } = this.#frames;
    const locked = this.#locks.tryShared(page.frame, space.id, page.index);
    if (locked === layout.GONE) return "done";
    if (locked !== layout.OK) return "blocked";
    const flags = flagsOf(words, page.frame);
    const wasFailed = (flags & wordBits.failed) !== 0;
    if ((flags & wordBits.dirty) === 0) {
      this.#locks.unlockShared(page.frame);
      // Somebody else's write of it is on its way: not done before that has ended well.
      return (flags & wordBits.writeback) === 0 ? "done" : "blocked";
    }
    if ((flags & wordBits.writeback) === 0) {
      if (countedWrites(words, page.frame) > 0) {
        const snapshot = this.#snapshot(page.frame);
        this.#locks.unlockShared(page.frame);
        return snapshot < 0 ? "blocked" : { ...page, snapshot, wasFailed };
      }
      let answer: number;
      do answer = words.beginWriteback(page.frame);
      while (answer === layout.LOST);
      if (answer === layout.OK) return { ...page, snapshot: -1, wasFailed };
    }
    this.#locks.unlockShared(page.frame);
    return "blocked";
  }

  /** Copies a page that somebody may be changing right now into a frame set aside for that. -1: none is free. */
  #snapshot(frame: number): number {
    const { words, thread } = this.#frames;
    let snapshot: number;
    do snapshot = words.takeSnapshot(thread);
    while (snapshot === layout.LOST);
    if (snapshot < 0) return -1;
    let answer: number;
    do answer = words.beginSnapshot(frame);
    while (answer === layout.LOST);
    if (answer !== layout.OK) {
      while (words.giveSnapshot(snapshot) === layout.LOST);
      return -1;
    }
    this.#frames.bytes(snapshot).set(this.#frames.bytes(frame));
    return snapshot;
  }

  /**
   * Writes a snapshot of a page that the caller has locked exclusively: flush(). Resolves with what failed.
   * BUSY where no snapshot frame is free or the page is in flight: answers undefined.
   */
  flushOwned(space: AddressSpace, page: DirtyPage): Promise<WriteFailure[]> | undefined {
    const snapshot = this.#snapshot(page.frame);
    if (snapshot < 0) return undefined;
    const failures: WriteFailure[] = [];
    return this.#send(space, [{ ...page, snapshot, wasFailed: false }], failures).then(() => failures);
  }

  #send(space: AddressSpace, run: Departing[], failures: WriteFailure[]): Promise<void> {
    const sent = this.#write(space, run, failures).finally(() => space.inFlight.delete(sent));
    space.inFlight.add(sent);
    for (const page of run) space.departed.add(page);
    return sent;
  }

  #sourcesOf(run: readonly Departing[]) {
    return run.map((page) => ({
      index: page.index,
      bytesFrame: page.snapshot >= 0 ? page.snapshot : page.frame,
      blocks: this.#frames.words.blockWord(page.frame),
    }));
  }

  async #write(space: AddressSpace, run: Departing[], failures: WriteFailure[]): Promise<void> {
    const sources = this.#sourcesOf(run);
    const lock = space.invalidateLock;
    let failed: PinfoldError | undefined;
    try {
      await this.#locks.acquire(lock, space.id, layout.LOCK_INVALIDATE, layout.MODE_SHARED, {});
      try {
        for (const { position, buffers, bytes } of cutRuns(this.#frames, sources, space.writableEnd)) {
          await writeOut(space.store, position, buffers);
          space.counters.writes += 1;
          space.counters.writtenBytes += bytes;
        }
      } finally {
        this.#locks.unlockShared(lock);
      }
    } catch (error) {
      failed = error as PinfoldError;
    }
    space.changes += 1;
    for (const page of run) this.#end(space, page, failed, failures);
    this.#locks.notifyPool();
  }

  /** Guard of R14 and R20: completion never clears dirty; it ends write-back one way or the other. */
  #end(space: AddressSpace, page: Departing, failed: PinfoldError | undefined, failures: WriteFailure[]): void {
    const { words } = this.#frames;
    space.departed.delete(page);
    const success = space.durability === "device" ? layout.OUTCOME_UNSTABLE : layout.OUTCOME_STABLE;
    let bits: number;
    do bits = words.endWriteback(page.frame, failed ? layout.OUTCOME_FAILED : success);
    while (bits === layout.LOST);
    if (failed) {
      failures.push({ index: page.index, error: failed });
      space.counters.writeErrors += 1;
      this.onFailed(space, { index: page.index, error: failed });
    } else if (page.wasFailed) {
      space.counters.healedErrors += 1;
      this.onHealed(space, page.index);
    }
    if (page.snapshot >= 0) while (words.giveSnapshot(page.snapshot) === layout.LOST);
    else this.#locks.unlockShared(page.frame);
    if (bits > 0) this.#locks.queues.wake(page.frame);
  }
}
