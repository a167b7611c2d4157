/**
 * The fault path for calls that block their thread: as fault.ts, with the store's sync calls, waiting for other threads.
 *
 * Where a wait depends on the caller's own event loop, or would close a circle of threads, it is EDEADLK (blockage.ts). A file
 * whose store is in another thread is loaded and granted by that thread, for which this one blocks (calls.ts).
 *
 * Order of waiting as in fault.ts: only the first page of a run is waited for; those after it are tried.
 */
import { PinfoldError, toPinfoldError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { AddressSpace } from "../cache/space.js";
import { flagsOf, wordBits } from "../frames/page-word.js";
import type { Scope } from "../frames/scopes.js";
import { readInSync } from "../io/transfer.js";
import * as layout from "../sync/layout.js";
import { blockingOwner, wouldWait } from "./blockage.js";
import type { Core } from "./core.js";
import { checkOpen, gateLeftMs, lockNeighbours, outOfRange } from "./fault.js";
import { type ChangeRange, tryGrantRun } from "./grant.js";
import { type Failure, buffersOf, endLoad, hideCut, neighboursToRead, noteRead, positionOf } from "./load.js";
import { type FreshPage, type LockedRun, type PageMode, type RunRequest, unlock } from "./locked-run.js";
import { takeFrameBlocking } from "./room.js";

/** @throws PinfoldError ENOTSUP for a store of this thread without sync calls */
export function checkSyncCalls(space: AddressSpace): void {
  if (space.isRemote) return;
  if (!space.store.capabilities.syncCalls || !space.store.readPagesSync)
    throw new PinfoldError("ENOTSUP", `${space.store.name} has no sync calls`);
}

/**
 * Locks pages from `first` on, as lockRun, blocking: at least that one, and those after it that can be had without waiting.
 * @throws PinfoldError as lockRun; EDEADLK
 */
export function lockRunBlocking(core: Core, space: AddressSpace, request: RunRequest, scope?: Scope): LockedRun {
  const first = lockFirst(core, space, request, scope);
  const run: LockedRun = { first: request.first, frames: [first.frame] };
  const fresh = lockNeighbours(core, space, request, run, first.fresh);
  if (fresh) load(core, space, request, run, fresh);
  return run;
}

function lockFirst(
  core: Core,
  space: AddressSpace,
  request: RunRequest,
  scope: Scope | undefined,
): { frame: number; fresh: boolean } {
  const index = request.first;
  const owner = blockingOwner(core, space, index, index, scope);
  for (let i = 0; i < limits.lookupRetriesMax; i++) {
    checkOpen(space);
    if (!request.pastEnd && index * space.pageSize >= space.size) throw outOfRange(space, index * space.pageSize);
    const found = core.table.find(space.id, index);
    if (found >= 0) {
      if (core.locks.acquireBlocking(found, space.id, index, request.mode, owner) !== layout.OK) continue;
      if (!space.isStale) return { frame: found, fresh: false };
      unlock(core, space, found, request.mode, false);
      continue;
    }
    const gateMs = gateLeftMs(core, space, index);
    if (gateMs > 0) {
      // It opens by itself.
      core.locks.waitForPoolBlocking(Math.min(gateMs, limits.gateDelayMs), () => gateLeftMs(core, space, index) <= 0);
      continue;
    }
    if (space.isRemote) {
      const last = Math.min(request.last, index + limits.copyPagesMax - 1);
      core.calls.askBlocking(space, { op: "load", first: index, last }, owner);
      continue;
    }
    const frame = takeFrameBlocking(core, () => wouldWait(core, space, index, index));
    const isIn = gateLeftMs(core, space, index) === 0 && core.table.insert(frame, space.id, index);
    if (isIn && !space.closing) return { frame, fresh: true };
    if (isIn) core.table.remove(frame);
    core.table.release(frame);
  }
  throw new Error("a page kept coming and going");
}

function load(core: Core, space: AddressSpace, request: RunRequest, run: LockedRun, fresh: readonly FreshPage[]): void {
  const groups = neighboursToRead(request, run, fresh);
  const failures: Failure[] = [];
  if (groups.length > 0) {
    const lock = space.invalidateLock;
    const owner = blockingOwner(core, space, run.first, run.first + run.frames.length - 1);
    try {
      core.locks.acquireBlocking(lock, space.id, layout.LOCK_INVALIDATE, layout.MODE_SHARED, owner);
    } catch (error) {
      // That is no error of the pages: whoever waits for them looks them up again.
      const isFresh = new Set(fresh.map(({ frame }) => frame));
      for (const frame of run.frames) unlock(core, space, frame, request.mode, isFresh.has(frame));
      throw error;
    }
    core.noteStoreCall(1);
    for (const group of groups) readGroup(core, space, run.first, group, failures);
    core.noteStoreCall(-1);
    core.locks.unlockShared(lock);
  }
  endLoad(core, space, request, run, fresh, failures);
}

/** Reads consecutive pages; where that fails, one by one (F2). */
function readGroup(
  core: Core,
  space: AddressSpace,
  first: number,
  group: readonly FreshPage[],
  failures: Failure[],
): void {
  const error = tryRead(core, space, first, group);
  if (!error) return;
  for (const page of group) {
    const own = group.length === 1 ? error : tryRead(core, space, first, [page]);
    if (own) failures.push({ at: page.at, error: own });
  }
}

function tryRead(
  core: Core,
  space: AddressSpace,
  first: number,
  group: readonly FreshPage[],
): PinfoldError | undefined {
  try {
    const buffers = buffersOf(core, group);
    readInSync(space.store, positionOf(space, first, group), buffers);
    hideCut(space, positionOf(space, first, group), buffers);
  } catch (error) {
    return toPinfoldError(error, `read of ${space.store.name}`);
  }
  noteRead(space, group);
  return undefined;
}

/**
 * One page, locked. `load` false: it will be overwritten whole; it comes back exclusive, and not uptodate where it was not there.
 * @throws PinfoldError as lockRunBlocking
 */
export function lockPageBlocking(
  core: Core,
  space: AddressSpace,
  index: number,
  mode: PageMode,
  options: { load: boolean; scope?: Scope | undefined } = { load: true },
): number {
  const needsBytes = () => options.load;
  const run = lockRunBlocking(
    core,
    space,
    { first: index, last: index, mode, needsBytes, pastEnd: false },
    options.scope,
  );
  return run.frames[0] as number;
}

/** Makes a page resident; it may leave again at the next moment. @throws PinfoldError as lockRunBlocking; ENOTSUP */
export function residentBlocking(core: Core, space: AddressSpace, index: number): void {
  checkSyncCalls(space);
  const found = core.table.find(space.id, index);
  if (found >= 0 && (flagsOf(core.frames.words, found) & wordBits.uptodate) !== 0) return;
  core.locks.unlockShared(lockPageBlocking(core, space, index, layout.MODE_SHARED));
}

/** As grantRun, blocking. @throws PinfoldError as grantRun; EDEADLK */
export function grantRunBlocking(core: Core, space: AddressSpace, run: LockedRun, range: ChangeRange): void {
  const last = run.first + run.frames.length - 1;
  const owner = blockingOwner(core, space, run.first, last);
  for (let i = 0; i < limits.lookupRetriesMax; i++) {
    if (tryGrantRun(core, space, run, range)) return;
    if (space.isRemote) {
      core.calls.askBlocking(space, { op: "grant", first: run.first, frames: run.frames, range }, owner);
      return;
    }
    if (!space.store.pageMkwriteSync) throw new PinfoldError("ENOTSUP", `${space.store.name} has no sync calls`);
    const lock = space.invalidateLock;
    core.locks.acquireBlocking(lock, space.id, layout.LOCK_INVALIDATE, layout.MODE_SHARED, owner);
    core.locks.unlockShared(lock);
  }
  throw new Error("a file kept being cut");
}
