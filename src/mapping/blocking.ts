/**
 * The calls that block the thread: for stores with sync calls.
 *
 * Rule 15: they never hang where the wait depends on the caller's own event loop. A page that a task of this thread holds or
 * loads, a frame that only this thread's loop can free: EDEADLK, with the holder. What blocks only for want of write-back
 * does not have to wait: room is made here, with the store's sync calls (room.ts).
 *
 * Locks, for one call: the resize mutex (by try) where a write extends the file, page locks ascending (by try), the
 * invalidate lock (by try) around store calls.
 */
import { PinfoldError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { AddressSpace } from "../cache/space.js";
import { readInSync } from "../io/transfer.js";
import * as layout from "../sync/layout.js";
import { checkWrite, copyIn, releaseRun, tryRead } from "./copy.js";
import type { Core } from "./core.js";
import { checkOpen, dropEmpty, type LockedRun } from "./fault.js";
import { tryTakeFrameThoroughly } from "./frame-supply.js";
import { tryGrantRun } from "./grant.js";
import { type PinRequest, checkPin } from "./pin.js";
import { type PinRecord, describePins } from "./pin-registry.js";
import { makeRoom } from "./room.js";
import { mayWriteNow } from "./throttle.js";
import { tryPinRange } from "./try-pin.js";

/**
 * Pins a range, reading what is missing with the store's sync calls.
 * @throws PinfoldError as pinRange; EDEADLK instead of a wait for this thread's own event loop; ENOTSUP
 */
export function pinRangeSync(core: Core, space: AddressSpace, request: PinRequest): PinRecord {
  const { first, pages } = checkPin(core, space, request);
  checkSyncCalls(space);
  if (request.write && !mayWriteNow(core)) makeRoom(core);
  // Pages that are loaded later may push out those that were loaded first, where there is no room for all: then once more.
  for (let tries = 0; tries < 3; tries++) {
    for (let index = first; index < first + pages; index++) load(core, space, index);
    const pin = tryPinRange(core, space, request);
    if (pin) return pin;
  }
  throw wouldWait(core, space, first, first + pages - 1);
}

/**
 * Reads into `target` up to the end of the file, as copy.ts's read. Bytes read.
 * @throws PinfoldError EBADF, EIO, EDEADLK, ENOTSUP
 */
export function readBlocking(core: Core, space: AddressSpace, target: Uint8Array, position: number): number {
  checkOpen(space);
  checkSyncCalls(space);
  const length = Math.max(0, Math.min(target.length, space.size - position));
  for (let done = 0; done < length; ) {
    const index = space.pageOf(position + done);
    const end = Math.min(length, (index + 1) * space.pageSize - position);
    const piece = target.subarray(done, end);
    if (!tryRead(core, space, piece, position + done)) {
      load(core, space, index);
      if (!tryRead(core, space, piece, position + done)) throw wouldWait(core, space, index, index);
    }
    done = end;
  }
  return length;
}

/**
 * Writes `source`, extending the file where it reaches past the end, as copy.ts's write. Bytes written: fewer than asked for
 * where an error came after some were.
 * @throws PinfoldError EBADF, EROFS, EFBIG, ENOSPC, EIO, EDEADLK, ENOTSUP
 */
export function writeBlocking(core: Core, space: AddressSpace, source: Uint8Array, position: number): number {
  checkWrite(space, source.length, position);
  checkSyncCalls(space);
  let done = 0;
  try {
    while (done < source.length) {
      if (!mayWriteNow(core)) makeRoom(core);
      done += writeSome(core, space, source.subarray(done), position + done);
    }
  } catch (error) {
    if (done === 0 || !(error instanceof PinfoldError)) throw error;
  }
  if (done > 0 && core.options.writeThrough) makeRoom(core, space);
  return done;
}

function writeSome(core: Core, space: AddressSpace, source: Uint8Array, position: number): number {
  const most = limits.copyPagesMax * space.pageSize - (position % space.pageSize);
  const inside = Math.min(source.length, space.size - position, most);
  if (inside > 0) return writeRun(core, space, source.subarray(0, inside), position, false);
  const lock = space.resizeLock;
  if (
    space.pendingTruncate !== undefined ||
    core.locks.tryExclusive(lock, space.id, layout.LOCK_RESIZE) !== layout.OK
  ) {
    throw wouldWait(core, space, space.pageOf(position), space.pageOf(position));
  }
  try {
    return extendAndWrite(core, space, source.subarray(0, most), position);
  } finally {
    core.locks.unlockExclusive(lock);
  }
}

/** As extend.ts and copy.ts do it, without waiting. The caller holds the resize mutex. */
function extendAndWrite(core: Core, space: AddressSpace, source: Uint8Array, position: number): number {
  const old = space.size;
  zeroTail(core, space, old);
  const answer = space.store.setSize(position + source.length);
  space.changes += 1;
  try {
    if (answer instanceof Promise) {
      answer.catch(() => {});
      throw new PinfoldError("ENOTSUP", `${space.store.name} cannot extend without a wait`);
    }
    return writeRun(core, space, source, position, true);
  } catch (error) {
    // The store is longer than the file: it gets its old size back before anything depends on it.
    if (space.size === old) space.pendingTruncate = old;
    throw error;
  }
}

/** Guard of R10, as in extend.ts. */
function zeroTail(core: Core, space: AddressSpace, end: number): void {
  const index = space.pageOf(end);
  const frame = end % space.pageSize === 0 ? -1 : core.table.find(space.id, index);
  if (frame < 0) return;
  if (core.locks.tryExclusive(frame, space.id, index) !== layout.OK) throw wouldWait(core, space, index, index);
  core.frames.slice(frame, end - index * space.pageSize, space.pageSize).fill(0);
  core.locks.unlockExclusive(frame);
}

function writeRun(core: Core, space: AddressSpace, source: Uint8Array, position: number, extending: boolean): number {
  const end = position + source.length;
  const run: LockedRun = { first: space.pageOf(position), frames: [] };
  const last = space.pageOf(end - 1);
  let modified = false;
  try {
    for (let index = run.first; index <= last; index++) {
      const isWhole = index * space.pageSize >= position && (index + 1) * space.pageSize <= end;
      run.frames.push(ownPage(core, space, index, !isWhole));
    }
    if (!tryGrantRun(core, space, run, { from: position, to: end, extending }))
      throw wouldWait(core, space, run.first, last);
    if (extending) space.publishSize(Math.max(end, space.size));
    modified = true;
    copyIn(core, space, run, source, position);
  } finally {
    releaseRun(core, space, run, modified);
  }
  return source.length;
}

function checkSyncCalls(space: AddressSpace): void {
  if (!space.store.capabilities.syncCalls || !space.store.readPagesSync) {
    throw new PinfoldError("ENOTSUP", `${space.store.name} has no sync calls`);
  }
}

/** Makes a page resident. */
function load(core: Core, space: AddressSpace, index: number): void {
  if (core.table.find(space.id, index) >= 0) return;
  const frame = insert(core, space, index);
  if (frame >= 0) {
    fill(core, space, index, frame);
    core.locks.unlockExclusive(frame);
  }
}

/** A page locked exclusively; one that was not there is loaded, or left empty where it will be overwritten whole. */
function ownPage(core: Core, space: AddressSpace, index: number, needsBytes: boolean): number {
  const found = core.table.find(space.id, index);
  const frame = found >= 0 ? found : insert(core, space, index);
  if (frame < 0 || (found >= 0 && core.locks.tryExclusive(found, space.id, index) !== layout.OK)) {
    throw wouldWait(core, space, index, index);
  }
  if (found < 0 && needsBytes) fill(core, space, index, frame);
  return frame;
}

/** Maps a frame to a page: exclusive, without bytes. -1: the page has come meanwhile. */
function insert(core: Core, space: AddressSpace, index: number): number {
  if (space.gate && index >= space.gate.first && index <= space.gate.last) throw wouldWait(core, space, index, index);
  let frame = tryTakeFrameThoroughly(core);
  if (frame < 0) {
    makeRoom(core);
    frame = tryTakeFrameThoroughly(core);
  }
  if (frame < 0) throw wouldWait(core, space, index, index);
  if (core.table.insert(frame, space.id, index, 0)) return frame;
  core.table.release(frame);
  return -1;
}

/** Reads the bytes of a page that was just mapped; if that fails, it leaves again. */
function fill(core: Core, space: AddressSpace, index: number, frame: number): void {
  const lock = space.invalidateLock;
  try {
    if (core.locks.tryShared(lock, space.id, layout.LOCK_INVALIDATE) !== layout.OK)
      throw wouldWait(core, space, index, index);
    try {
      readInSync(space.store, index * space.pageSize, [core.frames.bytes(frame)]);
    } finally {
      core.locks.unlockShared(lock);
    }
  } catch (error) {
    dropEmpty(core, space, frame);
    throw error;
  }
  space.counters.misses += 1;
  space.counters.reads += 1;
  space.counters.readBytes += space.pageSize;
  core.frames.words.setUptodate(frame);
}

function wouldWait(core: Core, space: AddressSpace, first: number, last: number): PinfoldError {
  const own = core.pins.holders(space, first, last);
  // Where nobody has the pages themselves, it is a frame that is missing, and any pin may have it.
  const holders = describePins(own.length > 0 ? own : [...core.pins], core.clock.nowMs());
  return new PinfoldError(
    "EDEADLK",
    `a blocking call on ${space.store.name} would wait for this thread's own event loop: ${holders}`,
  );
}
