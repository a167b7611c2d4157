/**
 * The calls that block the thread: for stores with sync calls, and for those that another thread has and is asked for.
 *
 * They wait for locks, loads, size changes and frames of other threads. Rule 15: they never hang where the wait depends on the
 * caller's own event loop (a page that a task of this thread holds or loads, a frame that only this thread's loop can free): that is
 * EDEADLK, with the holder, as is a circle of threads that block for each other.
 *
 * Locks, for one call, as the waiting kind takes them: the resize mutex where a write extends the file, page locks ascending, the
 * invalidate lock around store calls.
 *
 * See also: fault-blocking.ts, room.ts (frames), sync-blocking.ts, view-fault.ts (which blocks too).
 */
import { assert } from "../base/assert.js";
import { PinfoldError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { AddressSpace } from "../cache/space.js";
import type { Scope } from "../frames/scopes.js";
import { askStoreSync } from "../io/transfer.js";
import * as layout from "../sync/layout.js";
import { blockingOwner, wouldWait } from "./blockage.js";
import { checkWrite, copyIn, copyResident, releaseRun } from "./copy.js";
import type { Core } from "./core.js";
import { checkOpen, outOfRange } from "./fault.js";
import { checkSyncCalls, grantRunBlocking, lockPageBlocking, lockRunBlocking } from "./fault-blocking.js";
import { giveCredits } from "./frame-supply.js";
import { type LockedRun, allBytes } from "./locked-run.js";
import { type PinRequest, checkPin, holdScoped, makeCounted, newPin, unlockPages } from "./pin.js";
import type { NewPin, PinRecord } from "./pin-registry.js";
import { takeCreditsBlocking } from "./room.js";
import { writeThroughBlocking } from "./sync-blocking.js";
import { throttleBlocking } from "./throttle.js";
import { tryPinRange } from "./try-pin.js";
import { closeViewsBlocking } from "./view-revoke.js";

/**
 * Pins a range, reading what is missing.
 * @throws PinfoldError as pinRange; EDEADLK instead of a wait for this thread's own event loop; ENOTSUP
 */
export function pinRangeSync(core: Core, space: AddressSpace, request: PinRequest): PinRecord {
  const { first, pages } = checkPin(core, space, request);
  checkSyncCalls(space);
  const now = tryPinRange(core, space, request);
  if (now) return now;
  if (request.write) throttleBlocking(core, space);
  const credits = pages > 1 ? pages : 0;
  if (credits > 0) takeCreditsBlocking(core, credits, () => wouldWait(core, space, first, first + pages - 1));
  const pin = newPin(space, request, first, credits);
  try {
    lockPages(core, pin, pages);
    makeReady(core, pin, request.longterm === true);
  } catch (error) {
    unlockPages(core, pin, false);
    giveCredits(core, credits);
    throw error;
  }
  return core.pins.add(pin);
}

function lockPages(core: Core, pin: NewPin, pages: number): void {
  const mode = pin.write ? layout.MODE_EXCLUSIVE : layout.MODE_SHARED;
  const last = pin.firstIndex + pages - 1;
  while (pin.frames.length < pages) {
    const index = pin.firstIndex + pin.frames.length;
    if (pin.scope) {
      pin.frames.push(lockScoped(core, pin.space, index, pin.write, pin.scope));
      continue;
    }
    const request = { first: index, last, mode, needsBytes: allBytes, pastEnd: false } as const;
    pin.frames.push(...lockRunBlocking(core, pin.space, request).frames);
  }
}

/** As pin.ts's lockScoped. Nothing else of the scope goes on meanwhile: it is this thread's. */
function lockScoped(core: Core, space: AddressSpace, index: number, write: boolean, scope: Scope): number {
  const found = core.table.find(space.id, index);
  const held = found >= 0 ? scope.held.get(found) : undefined;
  if (held) {
    if (write && !held.exclusive) {
      const owner = blockingOwner(core, space, index, index, scope);
      core.locks.acquireBlocking(found, space.id, index, layout.MODE_UPGRADE, owner);
      held.exclusive = true;
    }
    held.pins += 1;
    return found;
  }
  const mode = write ? layout.MODE_EXCLUSIVE : layout.MODE_SHARED;
  const frame = lockPageBlocking(core, space, index, mode, { load: true, scope });
  assert(!scope.held.has(frame), "a page that the scope holds stays in its frame");
  holdScoped(core, scope, frame, write);
  return frame;
}

function makeReady(core: Core, pin: NewPin, longterm: boolean): void {
  const end = pin.position + pin.length;
  if (end > pin.space.size) throw outOfRange(pin.space, end);
  const run = { first: pin.firstIndex, frames: pin.frames };
  if (pin.write) grantRunBlocking(core, pin.space, run, { from: pin.position, to: end, extending: false });
  if (longterm) makeCounted(core, pin);
}

function isOutOfRange(error: unknown): boolean {
  return (error as { code?: unknown } | null)?.code === "ERR_PINFOLD_OUT_OF_RANGE";
}

/**
 * Reads into `target` up to the end of the file, as copy.ts's read. Bytes read.
 * @throws PinfoldError EBADF, EIO, EDEADLK, ERR_PINFOLD_NO_FRAMES, ENOTSUP
 */
export function readBlocking(core: Core, space: AddressSpace, target: Uint8Array, position: number): number {
  checkOpen(space);
  checkSyncCalls(space);
  let done = 0;
  while (done < target.length) {
    const length = Math.min(target.length, space.size - position) - done;
    if (length <= 0) break;
    const copied = copyResident(core, space, target.subarray(done, done + length), position + done);
    space.counters.hits += Math.ceil(copied / space.pageSize);
    done += copied;
    if (copied === length) continue;
    try {
      done += readRun(core, space, target.subarray(done, done + length - copied), position + done);
    } catch (error) {
      // The file was cut meanwhile: what there is has been read.
      if (!isOutOfRange(error)) throw error;
    }
  }
  return Math.max(0, Math.min(done, space.size - position));
}

function readRun(core: Core, space: AddressSpace, target: Uint8Array, position: number): number {
  const first = space.pageOf(position);
  const last = space.pageOf(position + target.length - 1);
  const request = { first, last, mode: layout.MODE_SHARED, needsBytes: allBytes, pastEnd: false } as const;
  const run = lockRunBlocking(core, space, request);
  let done = 0;
  for (const [at, frame] of run.frames.entries()) {
    const from = position + done - (first + at) * space.pageSize;
    const bytes = Math.min(space.pageSize - from, target.length - done);
    target.set(core.frames.slice(frame, from, from + bytes), done);
    done += bytes;
    core.locks.unlockShared(frame);
  }
  return done;
}

/**
 * Writes `source`, extending the file where it reaches past the end, as copy.ts's write. Bytes written: fewer than asked for
 * where an error came after some were.
 * @throws PinfoldError EBADF, EROFS, EFBIG, ENOSPC, EIO, EDEADLK, ERR_PINFOLD_NO_FRAMES, ENOTSUP
 */
export function writeBlocking(core: Core, space: AddressSpace, source: Uint8Array, position: number): number {
  checkWrite(space, source.length, position);
  checkSyncCalls(space);
  let done = 0;
  while (done < source.length) {
    try {
      throttleBlocking(core, space);
      done += writeSome(core, space, source.subarray(done), position + done);
    } catch (error) {
      if (isOutOfRange(error)) continue;
      if (done > 0 && error instanceof PinfoldError) break;
      throw error;
    }
  }
  if (done > 0 && core.options.writeThrough) writeThroughBlocking(core, space, position, done);
  return done;
}

/** One run inside the file, or one that extends it. The file may be cut at any moment before its pages are locked. */
function writeSome(core: Core, space: AddressSpace, source: Uint8Array, position: number): number {
  checkOpen(space);
  const inside = Math.min(source.length, space.size - position);
  if (inside > 0) return writeRun(core, space, source.subarray(0, inside), position, false);
  const index = space.pageOf(position);
  if (space.isRemote) {
    const bytes = source.slice(0, limits.runBytesMax);
    core.calls.askBlocking(space, { op: "write", position, bytes }, blockingOwner(core, space, index, index));
    return bytes.length;
  }
  const lock = space.resizeLock;
  // Rule 13: who holds pages of the file only tries the mutex. Which call holds them cannot be told here; but whoever has the
  // mutex and waits for one of them would wait for ever.
  const suspicious = core.pins.holders(space, 0, limits.filePagesMax - 1).length > 0;
  const owner = { ...blockingOwner(core, space, index, index), suspicious };
  core.locks.acquireBlocking(lock, space.id, layout.LOCK_RESIZE, layout.MODE_EXCLUSIVE, owner);
  try {
    if (position < space.size) return 0;
    // To finish a cut takes a store call that cannot block.
    if (space.cutDue === layout.CUT_DUE) throw wouldWait(core, space, index, index);
    zeroTail(core, space, space.size);
    return writeRun(core, space, source, position, true);
  } finally {
    core.locks.unlockExclusive(lock);
  }
}

/** Guard of R10, as in extend.ts. The caller holds the resize mutex. */
function zeroTail(core: Core, space: AddressSpace, end: number): void {
  if (end % space.pageSize === 0) return;
  const index = space.pageOf(end);
  const owner = { ...blockingOwner(core, space, index, index), ignoresLoadErrors: true };
  for (let i = 0; i < limits.lookupRetriesMax; i++) {
    const frame = core.table.find(space.id, index);
    if (frame < 0) return;
    if (core.locks.acquireBlocking(frame, space.id, index, layout.MODE_EXCLUSIVE, owner) !== layout.OK) continue;
    try {
      closeViewsBlocking(core, space, [{ frame, index }]);
      core.frames.slice(frame, end - index * space.pageSize, space.pageSize).fill(0);
    } finally {
      core.locks.unlockExclusive(frame);
    }
    return;
  }
}

function writeRun(core: Core, space: AddressSpace, source: Uint8Array, position: number, extending: boolean): number {
  const end = position + source.length;
  const first = space.pageOf(position);
  const last = space.pageOf(end - 1);
  const isWhole = (index: number) => index * space.pageSize >= position && (index + 1) * space.pageSize <= end;
  const needsBytes = (index: number) => !isWhole(index);
  const request = { first, last, mode: layout.MODE_EXCLUSIVE, needsBytes, pastEnd: extending } as const;
  const run: LockedRun = lockRunBlocking(core, space, request);
  const to = Math.min(end, (first + run.frames.length) * space.pageSize);
  let modified = false;
  try {
    // The store's size first: a page past the store's end is never granted or written.
    if (extending && to > space.size) extendStore(space, to);
    grantRunBlocking(core, space, run, { from: position, to, extending });
    modified = true;
    copyIn(core, space, run, source.subarray(0, to - position), position);
  } catch (error) {
    // The store gets its old size back before anything depends on it: by the next call that does not block.
    if (extending && space.cutDue !== layout.CUT_DUE_NO) space.cutDue = layout.CUT_DUE;
    throw error;
  } finally {
    releaseRun(core, space, run, modified);
  }
  return to - position;
}

/** As extend.ts's extendStore, for a store that can do it at once. */
function extendStore(space: AddressSpace, size: number): void {
  space.cutDue = layout.CUT_DUE_EXTENDING;
  try {
    askStoreSync(space.store, "extension", () => {
      const answer = space.store.setSize(size);
      if (!(answer instanceof Promise)) return;
      answer.catch(() => {});
      throw new PinfoldError("ENOTSUP", `${space.store.name} cannot extend without a wait`);
    });
  } finally {
    space.noteChange();
  }
}
