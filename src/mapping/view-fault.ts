/**
 * Faults of mapped views: what a load or store does that its view's table has no answer for. They block the thread where
 * they have to wait (fault-blocking.ts), and throw out of that very access.
 *
 * A *look* finds a resident page without its lock. The stamp (view word) is read first and seen to be the same after all that
 * it vouches for: then the frame held the page all the while. The size is read after the stamp: a cut publishes the size
 * before it ages the page, so that whoever read the old size has an old stamp. A look counts as a use of the page
 * (reclaim) where its lock is free.
 *
 * A write fault is the third way to make a page dirty: exclusive lock, grant of the whole page up to the file's end, dirty, view
 * opened; then, until somebody takes the access away again, stores of all threads go without a fault.
 *
 * See also: view-tlb.ts (the only user), sync/view-window.ts, frames/views.ts.
 */
import { assert } from "../base/assert.js";
import { PinfoldError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { AddressSpace } from "../cache/space.js";
import { flagsOf, isMapped, wordBits } from "../frames/page-word.js";
import * as layout from "../sync/layout.js";
import type { Core } from "./core.js";
import { checkOpen, outOfRange } from "./fault.js";
import { grantRunBlocking, lockPageBlocking, residentBlocking } from "./fault-blocking.js";
import { grantedMask, tryGrantRun } from "./grant.js";
import { throttleBlocking } from "./throttle.js";

/** Where a page is, and what a view may do with it as long as the stamp holds. */
export interface Sight {
  frame: number;
  /** The view word at the look, with bit 0 set, whatever that was. */
  stamp: number;
  /** Bit 0 was set: stores are allowed. */
  isWritable: boolean;
  /** Bytes of the page, from its beginning, that are the file's: they may be loaded. */
  inFile: number;
  /** Those of them that may be stored to, too, once the view word allows stores. */
  granted: number;
}

/**
 * Looks a page up that is resident. False: it is not, or not loaded yet.
 * @throws PinfoldError EBADF
 */
export function lookUp(core: Core, space: AddressSpace, index: number, sight: Sight): boolean {
  const locked = core.locks.tryResident(space.id, index);
  if (locked >= 0) {
    const seen = see(core, space, index, locked, sight);
    core.locks.unlockShared(locked);
    return seen;
  }
  const frame = core.table.find(space.id, index);
  return frame >= 0 && see(core, space, index, frame, sight);
}

/** @throws PinfoldError EBADF */
function see(core: Core, space: AddressSpace, index: number, frame: number, sight: Sight): boolean {
  const { words } = core.frames;
  const seen = words.viewOf(frame);
  // After the stamp: until now the slot has been this file's, and its pages with it.
  checkOpen(space);
  const isThere =
    isMapped(words, frame) &&
    words.mappingIdOf(frame) === space.id &&
    words.indexOf(frame) >>> 0 === index &&
    (flagsOf(words, frame) & wordBits.uptodate) !== 0;
  const inFile = Math.max(0, Math.min(space.pageSize, space.size - index * space.pageSize));
  sight.frame = frame;
  sight.stamp = seen | layout.VIEW_WRITABLE;
  sight.isWritable = seen === sight.stamp;
  sight.inFile = inFile;
  // Whoever allows stores later has the whole page granted, up to the end at that time, which is not before this one.
  sight.granted = sight.isWritable ? Math.min(inFile, grantedBytes(words.blockWord(frame))) : inFile;
  return isThere && (words.viewOf(frame) | layout.VIEW_WRITABLE) === sight.stamp;
}

/**
 * How many bytes of a page, from its beginning, its grant covers. Guard of R10: the file may have grown within the page since
 * the view was opened.
 */
function grantedBytes(blocks: number): number {
  let bytes = 0;
  while (bytes < limits.pageSizeMax && (blocks & grantedMask(bytes, bytes + limits.blockSize)) !== 0)
    bytes += limits.blockSize;
  return bytes;
}

/**
 * Makes a page resident.
 * @throws PinfoldError EBADF, ERR_PINFOLD_OUT_OF_RANGE, EIO, EDEADLK, ERR_PINFOLD_NO_FRAMES
 */
export function faultForLoad(core: Core, space: AddressSpace, index: number): void {
  checkOpen(space);
  checkInside(space, index);
  residentBlocking(core, space, index);
}

/** A page locked exclusively: mostly one that is there, and free. */
function own(core: Core, space: AddressSpace, index: number): number {
  const frame = core.table.find(space.id, index);
  if (frame >= 0 && core.locks.tryExclusive(frame, space.id, index) === layout.OK) return frame;
  return lockPageBlocking(core, space, index, layout.MODE_EXCLUSIVE);
}

/**
 * The write fault: makes a page resident, granted and dirty, and opens it to stores. `makesRoom`: above the dirty limit others are
 * written out first.
 * @throws PinfoldError EBADF, EROFS, ERR_PINFOLD_OUT_OF_RANGE, ENOSPC, EIO, EDEADLK, ERR_PINFOLD_NO_FRAMES. Nothing has changed then.
 */
export function faultForStore(core: Core, space: AddressSpace, index: number, sight: Sight, makesRoom = true): void {
  const { words, thread } = core.frames;
  checkOpen(space);
  checkInside(space, index);
  if (space.readOnly) throw new PinfoldError("EROFS", `${space.store.name} was opened read-only`);
  // Before the page lock (R28).
  if (makesRoom) throttleBlocking(core, space);
  const frame = own(core, space, index);
  let opened = false;
  try {
    checkOpen(space);
    checkInside(space, index);
    const from = index * space.pageSize;
    const range = { from, to: Math.min(from + space.pageSize, space.size), extending: false };
    const run = { first: index, frames: [frame] };
    if (!tryGrantRun(core, space, run, range)) grantRunBlocking(core, space, run, range);
    let answer: number;
    do answer = words.openView(frame, thread);
    while (answer === layout.LOST);
    assert(answer === layout.OK, "a page that was just granted is dirty, and ours");
    opened = true;
    sight.frame = frame;
    sight.stamp = words.viewOf(frame);
    sight.isWritable = true;
    sight.inFile = range.to - from;
    sight.granted = sight.inFile;
  } finally {
    core.locks.unlockExclusive(frame, opened);
  }
}

function checkInside(space: AddressSpace, index: number): void {
  const start = index * space.pageSize;
  if (start >= space.size) throw outOfRange(space, start);
}
