/**
 * sync for calls that block their thread: what completed puts and writes left is durable when it returns, or it says what is not.
 *
 * Rule 8, as sync.ts keeps it: pages are tagged, then written with the store's sync calls, at once where their lock is free, else
 * waiting for other threads; then the store's sync. What this thread's own event loop has on its way (its write-back, its store
 * sync), and what its own write pins keep from being written, cannot be waited for: EDEADLK.
 */
import { limits } from "../base/limits.js";
import type { AddressSpace } from "../cache/space.js";
import type { BlockingOwner } from "../frames/blocked-waits.js";
import { flagsOf, isExclusive, wordBits } from "../frames/page-word.js";
import * as layout from "../sync/layout.js";
import { type DirtyPage, type IndexRange, collectDeparted, tagForSync } from "../writeback/dirty-set.js";
import type { WriteFailure } from "../writeback/writer.js";
import { blockingOwner, wouldWait } from "./blockage.js";
import type { Core } from "./core.js";
import { checkOpen } from "./fault.js";
import { checkSyncCalls } from "./fault-blocking.js";
import { errorOf, keepsFailing, rangeOf, toldOf, union } from "./sync.js";

export interface BlockingSyncOptions {
  readonly position?: number | undefined;
  readonly length?: number | undefined;
  /** Data and what is needed to read it back, no more (fdatasync). */
  readonly data?: boolean | undefined;
}

/** @throws PinfoldError EIO, ENOSPC and what the store says; ERR_PINFOLD_DATA_LOST; EDEADLK; ENOTSUP */
export function syncBlocking(core: Core, space: AddressSpace, options: BlockingSyncOptions): void {
  checkOpen(space);
  checkSyncCalls(space);
  const { position, length, data = false } = options;
  const range = rangeOf(space, options);
  if (space.isRemote) {
    refuseOwnPins(core, space, range);
    try {
      core.calls.askBlocking(space, { op: "sync", position, length, data }, ownerOf(core, space, range));
    } catch (error) {
      throw toldOf(core, space, range, error);
    }
    return;
  }
  for (let tries = 1; ; tries++) {
    const failedBefore = space.syncErrors;
    const failures = writeBack(core, space, range);
    const storeError = storeSync(core, space, data);
    const error = errorOf(space, failures, storeError);
    if (error) throw error;
    // Guard of F14: a store sync of somebody else that failed meanwhile has made dirty again what this one covers.
    if (space.syncErrors === failedBefore) {
      space.noteTaken();
      return;
    }
    if (tries >= limits.transientRetriesMax) throw keepsFailing(space);
  }
}

/** As writeThrough, blocking. @throws PinfoldError as syncBlocking */
export function writeThroughBlocking(core: Core, space: AddressSpace, position: number, length: number): void {
  const range = rangeOf(space, { position, length });
  if (space.isRemote) {
    core.calls.askBlocking(space, { op: "writeThrough", position, length }, ownerOf(core, space, range));
    return;
  }
  const failures = writeBack(core, space, range);
  const error = errorOf(space, failures, undefined);
  if (error) throw error;
}

function ownerOf(core: Core, space: AddressSpace, { first, last }: IndexRange): BlockingOwner {
  return blockingOwner(core, space, first, last);
}

/** The store's thread would wait for this one's write pins, except where no completed put is on their pages. */
function refuseOwnPins(core: Core, space: AddressSpace, { first, last }: IndexRange): void {
  const { words } = core.frames;
  for (const pin of core.pins.holders(space, first, last)) {
    if (!pin.write || pin.counted) continue;
    const isCovered = pin.frames.some((frame) => {
      const index = words.indexOf(frame) >>> 0;
      const isFresh = (flagsOf(words, frame) & (wordBits.fresh | wordBits.modified)) === wordBits.fresh;
      return index >= first && index <= last && !isFresh;
    });
    if (isCovered) throw wouldWait(core, space, first, last);
  }
}

/** All that the sync covers is written. What failed. */
function writeBack(core: Core, space: AddressSpace, range: IndexRange): WriteFailure[] {
  const pages = coveredPages(core, space, range);
  const failures = core.writer.writeBlocking(space, pages);
  const failed = new Set(failures.map(({ index }) => index));
  for (const page of pages) {
    if (!failed.has(page.index) && isDue(core, page)) failures.push(...writeWaiting(core, space, page));
  }
  return failures;
}

/** As sync.ts's coveredPages. */
function coveredPages(core: Core, space: AddressSpace, range: IndexRange): readonly DirtyPage[] {
  for (let tries = 1; ; tries++) {
    const failedBefore = space.writeErrors;
    const dirty = walking(core, space, () => tagForSync(core.frames, space, range));
    const departed = walking(core, space, () => collectDeparted(core.frames, space, range));
    const pages = union(dirty, departed);
    if (space.writeErrors === failedBefore) return pages;
    if (tries >= limits.transientRetriesMax) throw keepsFailing(space);
  }
}

function walking<T>(core: Core, space: AddressSpace, walk: () => T): T {
  const lock = space.walkLock;
  core.locks.acquireBlocking(lock, space.id, layout.LOCK_WALK, layout.MODE_EXCLUSIVE, blockingOwner(core, space, 1, 0));
  try {
    return walk();
  } finally {
    core.locks.unlockExclusive(lock);
  }
}

/** On its way, or dirty since before the sync: not where somebody has written an image of it that began after the tag. */
function isDue(core: Core, page: DirtyPage): boolean {
  const { dirty, towrite, failed, writeback } = wordBits;
  const flags = flagsOf(core.frames.words, page.frame);
  return (flags & writeback) !== 0 || ((flags & dirty) !== 0 && (flags & (towrite | failed)) !== 0);
}

/** Writes one page, waiting for its lock, and for another write of it. */
function writeWaiting(core: Core, space: AddressSpace, page: DirtyPage): WriteFailure[] {
  const { frame, index } = page;
  const owner = blockingOwner(core, space, index, index);
  for (let tries = 0; tries < limits.lookupRetriesMax; tries++) {
    if (core.locks.acquireBlocking(frame, space.id, index, layout.MODE_SHARED, owner) !== layout.OK) return [];
    const wasDue = isDue(core, page);
    core.locks.unlockShared(frame);
    if (!wasDue) return [];
    const failures = core.writer.writeBlocking(space, [page]);
    if (failures.length > 0 || !isDue(core, page)) return failures;
    if ((flagsOf(core.frames.words, frame) & wordBits.writeback) !== 0) {
      core.locks.acquireBlocking(frame, space.id, index, layout.MODE_WRITEBACK, owner);
    } else {
      waitForMeans(core, space, page, owner);
    }
  }
  throw new Error("a page could not be written");
}

/** A page could be locked and is still not on its way: a cut, a snapshot frame or a view's store is in the way. */
function waitForMeans(core: Core, space: AddressSpace, { index }: DirtyPage, owner: BlockingOwner): void {
  const lock = space.invalidateLock;
  core.locks.acquireBlocking(lock, space.id, layout.LOCK_INVALIDATE, layout.MODE_SHARED, owner);
  core.locks.unlockShared(lock);
  if (core.frames.listLength(layout.LIST_SNAPSHOT) === 0 && ownsSnapshots(core))
    throw wouldWait(core, space, index, index);
  // Some of it gives no sign: it is looked for again soon.
  core.locks.waitForPoolBlocking(1, () => false);
}

/** All snapshot frames are on their way in this thread's event loop. */
function ownsSnapshots({ frames }: Core): boolean {
  const { words, thread, count, plan } = frames;
  for (let frame = count; frame < count + plan.snapshots; frame++) {
    const owner = (words.lowWord(frame) >>> layout.HOLDERS_SHIFT) & layout.HOLDERS_MASK;
    if (!isExclusive(words, frame) || owner !== thread) return false;
  }
  return true;
}

/** The second half. What it failed with. */
function storeSync(core: Core, space: AddressSpace, data: boolean): unknown {
  try {
    // To finish a cut takes a store call that cannot block.
    if (space.cutDue === layout.CUT_DUE) throw wouldWait(core, space, 1, 0);
    core.storeSync.requestBlocking(space, data);
    return undefined;
  } catch (error) {
    return error;
  }
}
