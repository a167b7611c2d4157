/**
 * Writes dirty pages of a file to its store.
 *
 * Locks: the page lock is held shared from before dirty is cleared until the store is done (stable pages: writers wait),
 * then the invalidate lock shared around the store calls. A page lock is waited for only while none is held; the rest of a
 * run is only tried. A page with counted write pins is written from a snapshot and stays dirty. A page that mapped views store
 * to is, where there is a frame for that, written from a copy: it is clean at once, and its lock is not held meanwhile.
 *
 * Invariants: at most one write of a page is in flight (R25). Whatever happens, each page that began write-back ends it:
 * unstable (or clean under "kernel" durability), or dirty again with its grant (R20). The page word says which thread writes it,
 * so that whoever cleans up after a dead one can end that.
 *
 * See also: words/dirty.ts (the arrows), store-sync.ts (from unstable to clean).
 */
import { PinfoldError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { AddressSpace } from "../cache/space.js";
import { countedWrites, flagsOf, wordBits } from "../frames/page-word.js";
import type { Frames } from "../frames/frames.js";
import type { PageLocks } from "../frames/locks.js";
import type { Views } from "../frames/views.js";
import type { WaitOwner } from "../frames/wait-queues.js";
import { writeOut, writeOutSync } from "../io/transfer.js";
import * as layout from "../sync/layout.js";
import type { DirtyPage } from "./dirty-set.js";
import { cutRuns } from "./runs.js";

export interface WriteFailure {
  readonly index: number;
  readonly error: PinfoldError;
}

/** A dirty page, locked shared. */
interface LockedPage extends DirtyPage {
  readonly wasFailed: boolean;
  /** Mapped views may be storing to it; write-back takes that away. */
  readonly isViewed: boolean;
}

/** A page on its way: `snapshot` is the frame with its copied bytes, or -1: then its lock is held shared. */
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
  readonly #views: Views;
  /** Runs of this thread on their way to their stores. */
  runs = 0;
  onHealed: (space: AddressSpace, index: number) => void = () => {};
  onFailed: (space: AddressSpace, failure: WriteFailure) => void = () => {};

  constructor(frames: Frames, locks: PageLocks, views: Views) {
    this.#frames = frames;
    this.#locks = locks;
    this.#views = views;
  }

  /**
   * Writes what can be locked without waiting. Resolves when all of it is done, with what failed and what was passed over.
   * Never rejects. `more` is asked for further pages while the writes of those before are on their way, until it has none.
   */
  async writeNow(
    space: AddressSpace,
    pages: readonly DirtyPage[],
    more?: () => Promise<readonly DirtyPage[]>,
  ): Promise<{ failures: WriteFailure[]; blocked: DirtyPage[] }> {
    const failures: WriteFailure[] = [];
    const blocked: DirtyPage[] = [];
    let piece = pages;
    let at = 0;
    let asked: Promise<boolean> | undefined;
    const ask = async (): Promise<boolean> => {
      piece = (await more?.()) ?? [];
      at = 0;
      if (piece.length > 0) asked = undefined;
      return piece.length > 0;
    };
    const lane = async () => {
      for (;;) {
        // All lanes that have nothing to do wait for the same pages, and the first of them may take all.
        while (at >= piece.length) if (!(await (asked ??= ask()))) return;
        const { taken, run, blocked: isBlocked } = this.#gather(space, piece, at, true);
        if (isBlocked) blocked.push(piece[at] as DirtyPage);
        at += taken;
        if (run.length > 0) await this.#write(space, run, failures);
      }
    };
    const { writesInFlight = limits.writesInFlight } = space.store.capabilities;
    const lanes = Math.min(writesInFlight, limits.writesInFlightMax);
    const most = more ? lanes : Math.min(pages.length, lanes);
    await Promise.all(Array.from({ length: most }, lane));
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
      const { run, taken } = this.#gather(space, pages, at, false);
      at += taken;
      if (run.length === 0) continue;
      const errorsBefore = space.syncErrors;
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
      space.noteChange();
      for (const page of run) this.#end(space, page, { failed, syncErrors: errorsBefore }, failures);
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
      if (this.#isServed(page)) {
        this.#locks.unlockShared(page.frame);
        return failures;
      }
      // It departs with this very lock: who gave it back first would take turns with a truncate that drains, for ever.
      const locked = this.#look(space, page);
      if (locked === "done") return failures;
      const run = locked === "blocked" ? [] : this.#depart([locked], true).run;
      if (run.length > 0) {
        await this.#write(space, run, failures);
        return failures;
      }
      if ((flagsOf(this.#frames.words, page.frame) & wordBits.writeback) !== 0) {
        await this.#locks.acquire(page.frame, space.id, page.index, layout.MODE_WRITEBACK, owner);
      } else if (this.#frames.listLength(layout.LIST_SNAPSHOT) === 0) {
        await this.#locks.waitForPool(() => this.#frames.listLength(layout.LIST_SNAPSHOT) > 0, owner.signal);
      } else if (this.#views.isOpen(page.frame)) {
        // Somebody is in the midst of a store: a few instructions, or longer where his thread does not run.
        await this.#views.pause();
      }
    }
    const message = `page ${page.index} of ${space.store.name} could not be written: a store to it does not end`;
    return [...failures, { index: page.index, error: new PinfoldError("EBUSY", message) }];
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
  #gather(space: AddressSpace, pages: readonly DirtyPage[], at: number, mayCopy: boolean): Departure {
    const first = this.#lock(space, pages[at] as DirtyPage);
    if (typeof first === "string") return { taken: 1, run: [], blocked: first === "blocked" };
    const locked = [first];
    const most = Math.max(1, Math.min(limits.runPagesMax, limits.runBytesMax / space.pageSize));
    for (let next = at + 1; next < pages.length && locked.length < most; next++) {
      const page = pages[next] as DirtyPage;
      if (page.index !== first.index + locked.length) break;
      const more = this.#lock(space, page);
      if (typeof more === "string") break;
      locked.push(more);
    }
    return this.#depart(locked, mayCopy);
  }

  /** Locks a page shared, if there is something to write. */
  #lock(space: AddressSpace, page: DirtyPage): LockedPage | "blocked" | "done" {
    const locked = this.#locks.tryShared(page.frame, space.id, page.index);
    if (locked === layout.GONE) return "done";
    return locked === layout.OK ? this.#look(space, page) : "blocked";
  }

  /** What there is to do about a page that is locked shared; the lock is given back where that is nothing, or not now. */
  #look(space: AddressSpace, page: DirtyPage): LockedPage | "blocked" | "done" {
    const { words } = this.#frames;
    // Closed meanwhile, and the page is another file's: this one's store must not get it.
    if (space.isStale) {
      this.#locks.unlockShared(page.frame);
      return "done";
    }
    const flags = flagsOf(words, page.frame);
    if ((flags & wordBits.dirty) !== 0 && (flags & wordBits.writeback) === 0) {
      const isViewed = this.#views.isOpen(page.frame) && countedWrites(words, page.frame) === 0;
      return { frame: page.frame, index: page.index, wasFailed: (flags & wordBits.failed) !== 0, isViewed };
    }
    this.#locks.unlockShared(page.frame);
    // Somebody else's write of it is on its way: not done before that has ended well.
    return (flags & wordBits.writeback) === 0 ? "done" : "blocked";
  }

  /**
   * Guard of R1 and R24: store access is taken away from mapped views, of all pages at once, before dirty is cleared. A run has
   * no gap: it ends before the first page that cannot go now.
   */
  #depart(locked: readonly LockedPage[], mayCopy: boolean): Departure {
    const viewed = locked.filter(({ isViewed }) => isViewed).map(({ frame }) => frame);
    const busy = new Set(viewed.length === 0 ? viewed : this.#views.tryClose(viewed));
    const run: Departing[] = [];
    for (const page of locked) {
      const departing = busy.has(page.frame) ? undefined : this.#begin(page, mayCopy);
      if (!departing) break;
      run.push(departing);
    }
    for (const { frame } of locked.slice(run.length)) this.#locks.unlockShared(frame);
    return { taken: Math.max(1, run.length), run, blocked: run.length === 0 };
  }

  /**
   * Guard of R1 and R13: clears dirty, under the shared lock; the bytes that are written stay as they are until the write is done.
   * A page that views store to is likely to be stored to again while it is written, by a caller who cannot wait where the
   * write ends on his own event loop: it is written from a copy, and its lock let go. Undefined, still locked: not now.
   */
  #begin(page: LockedPage, mayCopy: boolean): Departing | undefined {
    const { words, thread } = this.#frames;
    const { frame, index, wasFailed } = page;
    let snapshot: number;
    if (countedWrites(words, frame) > 0) {
      snapshot = this.#snapshot(frame);
      if (snapshot < 0) return undefined;
    } else {
      snapshot = mayCopy && page.isViewed ? this.#takeSpare() : -1;
      let answer: number;
      do answer = words.beginWriteback(frame, thread);
      while (answer === layout.LOST);
      if (answer !== layout.OK) {
        if (snapshot >= 0) while (words.giveSnapshot(snapshot) === layout.LOST);
        return undefined;
      }
      if (snapshot >= 0) this.#frames.bytes(snapshot).set(this.#frames.bytes(frame));
    }
    if (snapshot >= 0) this.#locks.unlockShared(frame);
    return { frame, index, snapshot, wasFailed };
  }

  /** A snapshot frame, while there are enough for those who cannot do without one; or -1. */
  #takeSpare(): number {
    if (this.#frames.listLength(layout.LIST_SNAPSHOT) <= this.#frames.plan.snapshots / 2) return -1;
    return this.#takeSnapshot();
  }

  #takeSnapshot(): number {
    let snapshot: number;
    do snapshot = this.#frames.words.takeSnapshot(this.#frames.thread);
    while (snapshot === layout.LOST);
    return snapshot;
  }

  /** Copies a page that somebody may be changing right now into a frame set aside for that. -1: none is free. */
  #snapshot(frame: number): number {
    const { words, thread } = this.#frames;
    const snapshot = this.#takeSnapshot();
    if (snapshot < 0) return -1;
    let answer: number;
    do answer = words.beginSnapshot(frame, thread);
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
    return this.#write(space, [{ ...page, snapshot, wasFailed: false }], failures).then(() => failures);
  }

  /** Whether flushOwned would not be BUSY now. */
  mayFlush(frame: number): boolean {
    const isOnItsWay = (flagsOf(this.#frames.words, frame) & wordBits.writeback) !== 0;
    return !isOnItsWay && this.#frames.listLength(layout.LIST_SNAPSHOT) > 0;
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
    const errorsBefore = space.syncErrors;
    let failed: PinfoldError | undefined;
    this.runs += 1;
    try {
      const taken = this.#locks.acquire(lock, space.id, layout.LOCK_INVALIDATE, layout.MODE_SHARED, {});
      if (typeof taken !== "number") await taken;
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
    space.noteChange();
    for (const page of run) this.#end(space, page, { failed, syncErrors: errorsBefore }, failures);
    this.runs -= 1;
    this.#locks.notifyPool();
  }

  /**
   * Guard of R14 and R20: completion never clears dirty; it ends write-back one way or the other. `syncErrors`: from before the write, so
   * that a page whose bytes a store sync may have lost meanwhile is not taken for written.
   */
  #end(
    space: AddressSpace,
    page: Departing,
    { failed, syncErrors }: { readonly failed: PinfoldError | undefined; readonly syncErrors: number },
    failures: WriteFailure[],
  ): void {
    const { words } = this.#frames;
    const success = space.durability === "device" ? layout.OUTCOME_UNSTABLE : layout.OUTCOME_STABLE;
    let bits: number;
    do bits = words.endWriteback(page.frame, failed ? layout.OUTCOME_FAILED : success, syncErrors);
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
