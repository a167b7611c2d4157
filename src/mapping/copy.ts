/**
 * read and write with a caller's buffer: the pages are locked for the copy alone.
 *
 * A read of resident pages and a write to pages that are dirty already never leave the call: `tryRead`, `tryWrite`. The others
 * load and ask the store in runs of up to limits.copyPagesMax pages. Atomic a page, as the lock is; not across pages.
 */
import { assert } from "../base/assert.js";
import { limits } from "../base/limits.js";
import { checkEnd } from "../base/ranges.js";
import { PinfoldError } from "../base/errors.js";
import type { AddressSpace } from "../cache/space.js";
import { flagsOf, wordBits } from "../frames/page-word.js";
import * as layout from "../sync/layout.js";
import type { Core } from "./core.js";
import { checkOpen, lockRun, pinResident } from "./fault.js";
import { grantRun, tryGrantRun } from "./grant.js";
import { extendStore, finishTruncate, prepareExtension } from "./extend.js";
import { type LockedRun, allBytes, dropEmpty } from "./locked-run.js";
import { noteRead } from "./readahead.js";
import { withResizeLock } from "./resize-lock.js";
import { mayWriteNow, throttle } from "./throttle.js";

/** Copies out what is resident, from `position` on, until a page would have to be waited for. Bytes copied. */
export function copyResident(core: Core, space: AddressSpace, target: Uint8Array, position: number): number {
  const { pageSize } = core.frames;
  let done = 0;
  while (done < target.length) {
    const index = Math.floor((position + done) / pageSize);
    const frame = pinResident(core, space, index);
    if (frame < 0) break;
    const from = position + done - index * pageSize;
    const bytes = Math.min(pageSize - from, target.length - done);
    const at = core.frames.offset(frame) + from;
    target.set(core.frames.segment(frame).subarray(at, at + bytes), done);
    core.locks.unlockShared(frame);
    done += bytes;
  }
  return done;
}

/**
 * Reads into `target` now, all of it or nothing. False if a page is not resident or locked for writing, or the range
 * reaches past the end.
 */
export function tryRead(core: Core, space: AddressSpace, target: Uint8Array, position: number): boolean {
  checkOpen(space);
  if (position + target.length > space.size) return false;
  const done = copyResident(core, space, target, position);
  space.counters.hits += Math.ceil(done / space.pageSize);
  return done === target.length && position + target.length <= space.size;
}

/**
 * Reads into `target` up to the end of the file. Bytes read.
 * @throws PinfoldError EBADF, EIO, ERR_PINFOLD_NO_FRAMES; the signal's reason
 */
export async function read(
  core: Core,
  space: AddressSpace,
  target: Uint8Array,
  position: number,
  signal?: AbortSignal,
): Promise<number> {
  checkOpen(space);
  let done = 0;
  while (done < target.length) {
    const length = Math.min(target.length, space.size - position) - done;
    if (length <= 0) break;
    const copied = copyResident(core, space, target.subarray(done, done + length), position + done);
    space.counters.hits += Math.ceil(copied / space.pageSize);
    done += copied;
    if (copied === length) continue;
    try {
      done += await readRun(core, space, target.subarray(done, done + length - copied), position + done, signal);
    } catch (error) {
      // The file was cut meanwhile: what there is has been read.
      if ((error as { code?: unknown }).code !== "ERR_PINFOLD_OUT_OF_RANGE") throw error;
    }
  }
  noteRead(core, space, position, done);
  return Math.max(0, Math.min(done, space.size - position));
}

async function readRun(
  core: Core,
  space: AddressSpace,
  target: Uint8Array,
  position: number,
  signal: AbortSignal | undefined,
): Promise<number> {
  const first = space.pageOf(position);
  const last = space.pageOf(position + target.length - 1);
  const request = { first, last, mode: layout.MODE_SHARED, needsBytes: allBytes, pastEnd: false } as const;
  const run = await lockRun(core, space, request, { signal });
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

export function checkWrite(space: AddressSpace, length: number, position: number): void {
  checkOpen(space);
  if (space.readOnly) throw new PinfoldError("EROFS", `${space.store.name} was opened read-only`);
  checkEnd(position + length, space.pageSize);
}

/**
 * Writes `source` now, all of it or nothing: within the file, into resident pages that nobody holds, with what leave the
 * store can give at once, and below the dirty limit. False otherwise.
 * @throws PinfoldError EBADF, EROFS, EFBIG; ENOSPC, EIO from the store
 */
export function tryWrite(core: Core, space: AddressSpace, source: Uint8Array, position: number): boolean {
  checkWrite(space, source.length, position);
  if (source.length === 0 || position + source.length > space.size || !mayWriteNow(core, space)) return false;
  const first = space.pageOf(position);
  const last = space.pageOf(position + source.length - 1);
  const run: LockedRun = { first, frames: [] };
  for (let index = first; index <= last; index++) {
    const frame = core.table.find(space.id, index);
    if (frame < 0 || core.locks.tryExclusive(frame, space.id, index) !== layout.OK) break;
    run.frames.push(frame);
  }
  let modified = false;
  try {
    if (run.frames.length <= last - first || space.isStale) return false;
    modified = tryGrantRun(core, space, run, { from: position, to: position + source.length, extending: false });
    if (modified) copyIn(core, space, run, source, position);
  } finally {
    releaseRun(core, space, run, modified);
  }
  return modified;
}

/**
 * Writes `source`, extending the file where it reaches past the end. Bytes written: fewer than asked for where an error
 * came after some were (as write(2)); the next write meets the error.
 * @throws PinfoldError EBADF, EROFS, EFBIG, ENOSPC, EIO, ERR_PINFOLD_NO_FRAMES; the signal's reason
 */
export async function write(
  core: Core,
  space: AddressSpace,
  source: Uint8Array,
  position: number,
  signal?: AbortSignal,
): Promise<number> {
  checkWrite(space, source.length, position);
  let done = 0;
  while (done < source.length) {
    try {
      await throttle(core, space, signal);
      done += await writeSome(core, space, source.subarray(done), position + done, signal);
    } catch (error) {
      if ((error as { code?: unknown }).code === "ERR_PINFOLD_OUT_OF_RANGE") continue;
      if (done > 0 && error instanceof PinfoldError) return done;
      throw error;
    }
  }
  return done;
}

/** One run inside the file, or one that extends it. The file may be cut at any moment before its pages are locked. */
async function writeSome(
  core: Core,
  space: AddressSpace,
  source: Uint8Array,
  position: number,
  signal: AbortSignal | undefined,
): Promise<number> {
  checkOpen(space);
  const inside = Math.min(source.length, space.size - position);
  if (inside > 0) return writeRun(core, space, source.subarray(0, inside), position, false, signal);
  if (space.isRemote) {
    // Past the end: the store's thread writes, from a copy.
    const piece = source.slice(0, limits.runBytesMax);
    await core.calls.ask(space, { op: "write", position, bytes: piece }, signal);
    return piece.length;
  }
  return withResizeLock(core, space, { signal }, async () => {
    if (position < space.size) return 0;
    await prepareExtension(core, space, { signal });
    return writeRun(core, space, source, position, true, signal);
  });
}

async function writeRun(
  core: Core,
  space: AddressSpace,
  source: Uint8Array,
  position: number,
  extending: boolean,
  signal: AbortSignal | undefined,
): Promise<number> {
  const end = position + source.length;
  const first = space.pageOf(position);
  const last = space.pageOf(end - 1);
  const isWhole = (index: number) => index * space.pageSize >= position && (index + 1) * space.pageSize <= end;
  const needsBytes = (index: number) => !isWhole(index);
  const request = { first, last, mode: layout.MODE_EXCLUSIVE, needsBytes, pastEnd: extending } as const;
  const run = await lockRun(core, space, request, { signal });
  const to = Math.min(end, (first + run.frames.length) * space.pageSize);
  let modified = false;
  try {
    // The store's size first: a page past the store's end is never granted or written.
    if (extending && to > space.size) await extendStore(space, to);
    await grantRun(core, space, run, { from: position, to, extending });
    modified = true;
    copyIn(core, space, run, source.subarray(0, to - position), position);
  } catch (error) {
    if (extending) await shrinkStore(core, space);
    throw error;
  } finally {
    releaseRun(core, space, run, modified);
  }
  return to - position;
}

/** An extension that came to nothing: the store gets its old size back, now or before anything depends on it. */
async function shrinkStore(core: Core, space: AddressSpace): Promise<void> {
  if (space.cutDue === layout.CUT_DUE_NO) return;
  space.cutDue = layout.CUT_DUE;
  await finishTruncate(core, space).catch(() => {});
}

export function copyIn(core: Core, space: AddressSpace, run: LockedRun, source: Uint8Array, position: number): void {
  let done = 0;
  for (const [at, frame] of run.frames.entries()) {
    const from = position + done - (run.first + at) * space.pageSize;
    const bytes = Math.min(space.pageSize - from, source.length - done);
    const target = core.frames.offset(frame) + from;
    core.frames.segment(frame).set(source.subarray(done, done + bytes), target);
    core.frames.words.setUptodate(frame);
    done += bytes;
  }
  assert(done === source.length, "a run takes what was cut for it");
}

/** Lets a run's exclusive locks go, last first; pages that never got their bytes leave the cache. */
export function releaseRun(core: Core, space: AddressSpace, run: LockedRun, modified: boolean): void {
  for (let at = run.frames.length - 1; at >= 0; at--) {
    const frame = run.frames[at] as number;
    if ((flagsOf(core.frames.words, frame) & wordBits.uptodate) === 0) dropEmpty(core, space, frame);
    else core.locks.unlockExclusive(frame, modified);
  }
}
