/**
 * The permission step: pages of a locked run become writable, then dirty.
 *
 * Rule 2: the store is asked first, under the page locks, and may refuse; size is checked again after it answered; then the
 * page is dirty, blocks before page (R19), all under the same lock (R2, R3). A grant covers exactly the bytes asked for.
 */
import { coarseSeconds } from "../base/clock.js";
import { limits } from "../base/limits.js";
import type { Resident } from "../cache/page-table.js";
import type { AddressSpace } from "../cache/space.js";
import { flagsOf, wordBits } from "../frames/page-word.js";
import { askMkwrite, askMkwriteSync } from "../io/transfer.js";
import { type MkwriteRequest, blockBits } from "../store/contract.js";
import * as layout from "../sync/layout.js";
import type { Core } from "./core.js";
import { outOfRange } from "./fault.js";
import type { LockedRun } from "./locked-run.js";

/** The bytes that are to change: [from, to), within the run. */
export interface ChangeRange {
  readonly from: number;
  readonly to: number;
  /** The caller extends the file and holds its resize mutex. */
  readonly extending: boolean;
}

/** Block words that a grant needs for bytes [from, to) of a page: the granted bit of each block. */
export function grantedMask(from: number, to: number): number {
  let mask = 0;
  const last = Math.ceil(to / limits.blockSize);
  for (let block = Math.floor(from / limits.blockSize); block < last; block++) {
    mask |= blockBits.granted << (block * blockBits.width);
  }
  return mask >>> 0;
}

function maskOf(space: AddressSpace, index: number, range: ChangeRange): number {
  const start = index * space.pageSize;
  return grantedMask(Math.max(0, range.from - start), Math.min(space.pageSize, range.to - start));
}

/** True where the page is dirty and each block of the range has its grant: nothing has to be asked. */
export function isGranted(core: Core, space: AddressSpace, frame: number, index: number, range: ChangeRange): boolean {
  if ((flagsOf(core.frames.words, frame) & wordBits.dirty) === 0) return false;
  const mask = maskOf(space, index, range);
  return (core.frames.words.blockWord(frame) & mask) >>> 0 === mask;
}

/** What the store is asked, with the block words as they were before. */
interface GrantRequest extends MkwriteRequest {
  readonly before: readonly number[];
}

function requestFor(core: Core, space: AddressSpace, run: LockedRun, range: ChangeRange): GrantRequest | undefined {
  if (run.frames.every((frame, at) => isGranted(core, space, frame, run.first + at, range))) return undefined;
  const blocks = new Uint32Array(run.frames.length);
  for (let at = 0; at < blocks.length; at++) blocks[at] = core.frames.words.blockWord(run.frames[at] as number);
  return {
    position: range.from,
    length: range.to - range.from,
    pageSize: space.pageSize,
    blocks,
    before: [...blocks],
  };
}

/**
 * Asks the store and makes the run's pages dirty. The caller owns their exclusive locks.
 * @throws PinfoldError ENOSPC, EROFS, EFBIG, EIO; ERR_PINFOLD_OUT_OF_RANGE if the file was cut meanwhile. Nothing is dirty then.
 */
export function grantRun(core: Core, space: AddressSpace, run: LockedRun, range: ChangeRange): Promise<void> {
  return space.isRemote
    ? grantElsewhere(core, space, run, range)
    : grantFor(core, space, run, range, core.frames.thread);
}

async function grantElsewhere(core: Core, space: AddressSpace, run: LockedRun, range: ChangeRange): Promise<void> {
  const isDirty = run.frames.every((frame, at) => isGranted(core, space, frame, run.first + at, range));
  if (isDirty) conclude(core, space, run, range, undefined, core.frames.thread);
  else await core.calls.ask(space, { op: "grant", first: run.first, frames: run.frames, range });
}

/** As grantRun, in the thread that has the store, for the thread that has the pages locked. */
export async function grantFor(
  core: Core,
  space: AddressSpace,
  run: LockedRun,
  range: ChangeRange,
  owner: number,
): Promise<void> {
  const request = requestFor(core, space, run, range);
  if (request) {
    const lock = space.invalidateLock;
    core.noteStoreCall(1);
    try {
      const taken = core.locks.acquire(lock, space.id, layout.LOCK_INVALIDATE, layout.MODE_SHARED, {});
      if (typeof taken !== "number") await taken;
      try {
        checkInside(space, range);
        const asked = askMkwrite(space.store, request);
        if (asked) await asked;
      } finally {
        core.locks.unlockShared(lock);
      }
    } finally {
      core.noteStoreCall(-1);
    }
  }
  conclude(core, space, run, range, request, owner);
}

/** As grantRun, without waiting. False: it would have to wait. The store has sync calls, or the pages have their grants. */
export function tryGrantRun(core: Core, space: AddressSpace, run: LockedRun, range: ChangeRange): boolean {
  const request = requestFor(core, space, run, range);
  if (request) {
    const lock = space.invalidateLock;
    if (space.isRemote || !space.store.pageMkwriteSync) return false;
    if (core.locks.tryShared(lock, space.id, layout.LOCK_INVALIDATE) !== layout.OK) return false;
    try {
      checkInside(space, range);
      askMkwriteSync(space.store, request);
    } finally {
      core.locks.unlockShared(lock);
    }
  }
  conclude(core, space, run, range, request, core.frames.thread);
  return true;
}

/**
 * Guard of C30: under the invalidate lock, before the store is asked. What lies past the end by now may be cut off in the store at any moment, where
 * that has still to be done (extend.ts), and what was granted there with it.
 * @throws PinfoldError ERR_PINFOLD_OUT_OF_RANGE
 */
export function checkInside(space: AddressSpace, range: ChangeRange): void {
  if (!range.extending && range.to > space.size) throw outOfRange(space, range.to);
}

/**
 * Guard of C29: before the pages are dirty. Else a thread that dies in between leaves dirty pages beyond the end, and the cut that undoes
 * its extension takes away in the store what they were granted.
 */
function publishExtension(space: AddressSpace, range: ChangeRange): void {
  space.publishSize(Math.max(range.to, space.size));
  space.cutDue = layout.CUT_DUE_NO;
}

/** Guard of R7: the size is looked at again under the lock, after the store has granted. */
function conclude(
  core: Core,
  space: AddressSpace,
  run: LockedRun,
  range: ChangeRange,
  request: GrantRequest | undefined,
  owner: number,
): void {
  const { words } = core.frames;
  if (!range.extending && range.to > space.size) {
    if (request) cancelNew(space, run, request);
    throw outOfRange(space, range.to);
  }
  if (range.extending) publishExtension(space, range);
  const seconds = coarseSeconds(core.clock.nowMs());
  run.frames.forEach((frame, at) => {
    const blocks = request ? mergedBlocks(words.blockWord(frame), request, at) : words.blockWord(frame);
    const isThere = words.mappingIdOf(frame) === space.id && words.indexOf(frame) >>> 0 === run.first + at;
    let answer: number = layout.BUSY;
    do answer = isThere ? words.markDirty(frame, owner, blocks, seconds) : layout.BUSY;
    while (answer === layout.LOST);
    // Whoever asked from another thread has died, and his lock was taken from him: nobody will write here.
    if (answer === layout.BUSY) giveBack(space, run, request, at);
    else space.store.setPageDirty((run.first + at) * space.pageSize, space.pageSize);
  });
}

/**
 * The page's block word after a grant. A snapshot that was on its way meanwhile may have been written: then its blocks are no
 * reservations any more, and only what this grant added counts as one.
 */
function mergedBlocks(now: number, request: GrantRequest, at: number): number {
  return (now | ((request.blocks[at] as number) & layout.BLOCKS_GRANTED) | addedBlocks(request, at)) >>> 0;
}

/** What this request, and none before it, was granted. */
function addedBlocks(request: GrantRequest, at: number): number {
  return ((request.blocks[at] as number) & ~(request.before[at] as number)) >>> 0;
}

function cancelNew(space: AddressSpace, run: LockedRun, request: GrantRequest): void {
  run.frames.forEach((_frame, at) => giveBack(space, run, request, at));
}

function giveBack(space: AddressSpace, run: LockedRun, request: GrantRequest | undefined, at: number): void {
  const fresh = request ? addedBlocks(request, at) : 0;
  if (fresh !== 0) space.store.cancelMkwrite((run.first + at) * space.pageSize, space.pageSize, fresh);
}

/**
 * Asks for the part of an owned page that lies in the range as if nothing of it had been granted. The page is dirty then, if it was not. The
 * caller has the invalidate lock exclusively.
 * @throws PinfoldError what the store says; nothing has changed then
 */
export async function grantAnew(core: Core, space: AddressSpace, page: Resident, range: ChangeRange): Promise<void> {
  const { words, thread } = core.frames;
  const { frame, index } = page;
  const start = index * space.pageSize;
  const position = Math.max(range.from, start);
  const length = Math.min(range.to, start + space.pageSize) - position;
  const others = ~(maskOf(space, index, range) * 3);
  const blocks = Uint32Array.of(words.blockWord(frame) & others);
  const asked = askMkwrite(space.store, { position, length, pageSize: space.pageSize, blocks });
  if (asked) await asked;
  const granted = ((words.blockWord(frame) & others) | (blocks[0] as number)) >>> 0;
  const seconds = coarseSeconds(core.clock.nowMs());
  while (words.markDirty(frame, thread, granted, seconds) === layout.LOST);
  space.store.setPageDirty(start, space.pageSize);
}

/**
 * A page whose write pin changed nothing goes back to clean where rule 4 allows that: it was clean when the first of the
 * overlapping pins came, and nobody modified it. The caller owns its exclusive lock.
 */
export function cleanIfUnmodified(core: Core, space: AddressSpace, frame: number, index: number): boolean {
  const { words, thread } = core.frames;
  // Its grant could only be given back by a message, which might come after another page's grant of the same blocks.
  if (space.isRemote) return false;
  const flags = flagsOf(words, frame);
  const wanted = wordBits.dirty | wordBits.fresh;
  if ((flags & (wanted | wordBits.modified | wordBits.writeback | layout.WRITES_MASK)) !== wanted) return false;
  const blocks = words.blockWord(frame);
  let answer: number;
  do answer = words.cleanUnmodified(frame, thread);
  while (answer === layout.LOST);
  if (answer !== layout.OK) return false;
  // After the page: a thread that dies in between leaves space reserved for nothing, and not a dirty page without its space.
  space.store.cancelMkwrite(index * space.pageSize, space.pageSize, blocks);
  return true;
}
