/**
 * The fault path: pages found or loaded, and locked.
 *
 * A fault: a frame is taken and mapped (loading: exclusive, not uptodate), the invalidate lock is taken shared, the store
 * reads, the page is uptodate. Whoever comes meanwhile finds the page and waits for its lock. Punch and truncate take the
 * invalidate lock exclusively, so a load never brings back what they remove (R9).
 *
 * Another thread may close the file at any moment: whoever has put a page in looks again whether it is open, and whoever has
 * locked one whether the slot is still the file's. The close, for its part, says that it closes before it looks for pages.
 *
 * Order of waiting: only the first page of a run is waited for; those after it are tried. Pages are locked ascending.
 */
import { assert } from "../base/assert.js";
import { PinfoldError, toPinfoldError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { AddressSpace } from "../cache/space.js";
import type { WaitOwner } from "../frames/wait-queues.js";
import { readIn } from "../io/transfer.js";
import * as layout from "../sync/layout.js";
import { unlessAborted } from "./abort.js";
import type { Core } from "./core.js";
import { takeFrame, tryTakeFrame } from "./frame-supply.js";

export type PageMode = typeof layout.MODE_SHARED | typeof layout.MODE_EXCLUSIVE;

export interface RunRequest {
  readonly first: number;
  /** The last page that the run may reach. */
  readonly last: number;
  readonly mode: PageMode;
  /** Pages that will be overwritten whole are not loaded; they come back exclusive and not uptodate. */
  readonly needsBytes: (index: number) => boolean;
  /** Pages past the end of the file may be mapped (by who extends it). */
  readonly pastEnd: boolean;
  /** Take frames that are free, and reclaim none; where there is none, ERR_PINFOLD_NO_FRAMES at once. */
  readonly freeFramesOnly?: boolean;
}

/** Consecutive pages, all locked in the mode asked for. */
export interface LockedRun {
  readonly first: number;
  readonly frames: number[];
}

export interface Loading {
  readonly at: number;
  readonly frame: number;
}

/**
 * Locks pages from `first` on: at least that one, and those after it, up to `last`, that can be had without waiting.
 * @throws PinfoldError ERR_PINFOLD_OUT_OF_RANGE, ERR_PINFOLD_NO_FRAMES, EDEADLK, EIO and what the store says; the signal's reason
 */
export async function lockRun(
  core: Core,
  space: AddressSpace,
  request: RunRequest,
  owner: WaitOwner,
): Promise<LockedRun> {
  const run: LockedRun = { first: request.first, frames: [] };
  const loading: Loading[] = [];
  const { frame, fresh } = await lockFirst(core, space, request, owner);
  run.frames.push(frame);
  if (fresh) loading.push({ at: 0, frame });
  const most = Math.min(request.last - request.first + 1, limits.copyPagesMax);
  for (let at = 1; at < most; at++) {
    const next = tryLockNext(core, space, request, request.first + at);
    if (!next) break;
    run.frames.push(next.frame);
    if (next.fresh) loading.push({ at, frame: next.frame });
  }
  await load(core, space, request, run, loading);
  return run;
}

/** Locks one page, waiting as long as it takes. `fresh`: it was just mapped and is ours, exclusive, to be loaded. */
async function lockFirst(
  core: Core,
  space: AddressSpace,
  request: RunRequest,
  owner: WaitOwner,
): Promise<{ frame: number; fresh: boolean }> {
  const index = request.first;
  for (let i = 0; i < limits.lookupRetriesMax; i++) {
    owner.signal?.throwIfAborted();
    checkOpen(space);
    if (!request.pastEnd && index * space.pageSize >= space.size) throw outOfRange(space, index * space.pageSize);
    const found = core.table.find(space.id, index);
    if (found >= 0) {
      const answer = await core.locks.acquire(found, space.id, index, request.mode, owner);
      if (answer !== layout.OK) continue;
      if (!space.isStale) return { frame: found, fresh: false };
      unlock(core, space, found, request.mode, false);
      continue;
    }
    const gateMs = gateLeftMs(core, space, index);
    if (gateMs > 0) {
      await unlessAborted(pause(core, Math.min(gateMs, limits.gateDelayMs)), owner.signal);
      continue;
    }
    if (space.isRemote) {
      const last = Math.min(request.last, index + limits.copyPagesMax - 1);
      await core.calls.ask(space, { op: "load", first: index, last }, owner.signal);
      continue;
    }
    const frame = request.freeFramesOnly ? takeFree(core) : await takeFrame(core, owner.signal);
    // The file may have been closed while a frame was waited for, and its slot be another's by now.
    const isIn = gateLeftMs(core, space, index) === 0 && core.table.insert(frame, space.id, index);
    if (isIn && !space.closing) return { frame, fresh: true };
    if (isIn) core.table.remove(frame);
    core.table.release(frame);
  }
  throw new Error("a page kept coming and going");
}

function takeFree(core: Core): number {
  const frame = core.table.reserve();
  if (frame < 0) throw new PinfoldError("ERR_PINFOLD_NO_FRAMES", "no frame is free");
  return frame;
}

/** Guard of R9's last resort: a punch that was overtaken too often keeps new pages of its range out. */
export function gateLeftMs(core: Core, space: AddressSpace, index: number): number {
  return space.gateLeftMs(index, () => core.clock.nowMs());
}

/** Resolves after `forMs`. Keeps the process alive meanwhile. */
export function pause(core: Core, forMs: number): Promise<void> {
  return new Promise((resolve) => {
    core.clock.after(forMs, resolve, true);
  });
}

export function tryLockNext(
  core: Core,
  space: AddressSpace,
  request: RunRequest,
  index: number,
): { frame: number; fresh: boolean } | undefined {
  if (!request.pastEnd && index * space.pageSize >= space.size) return undefined;
  const found = core.table.find(space.id, index);
  if (found >= 0) {
    const answer =
      request.mode === layout.MODE_SHARED
        ? core.locks.tryShared(found, space.id, index)
        : core.locks.tryExclusive(found, space.id, index);
    if (answer !== layout.OK) return undefined;
    if (!space.isStale) return { frame: found, fresh: false };
    unlock(core, space, found, request.mode, false);
    return undefined;
  }
  if (space.isRemote) return undefined;
  const frame =
    gateLeftMs(core, space, index) > 0 ? -1 : request.freeFramesOnly ? core.table.reserve() : tryTakeFrame(core);
  if (frame < 0) return undefined;
  const isIn = core.table.insert(frame, space.id, index);
  if (isIn && !space.closing) return { frame, fresh: true };
  if (isIn) core.table.remove(frame);
  core.table.release(frame);
  return undefined;
}

/** Loads the fresh pages of a run and brings them into the mode asked for. On failure nothing of the run stays locked. */
async function load(
  core: Core,
  space: AddressSpace,
  request: RunRequest,
  run: LockedRun,
  loading: readonly Loading[],
): Promise<void> {
  const toRead = loading.filter(({ at }) => request.needsBytes(run.first + at));
  space.counters.misses += loading.length;
  space.counters.hits += run.frames.length - loading.length;
  const failed = new Map<number, PinfoldError>();
  if (toRead.length > 0) await readPages(core, space, run.first, toRead, failed);
  endLoad(core, space, request, run, loading, failed);
}

/** What was read is uptodate; what was not, by its place in the run, leaves the cache. @throws PinfoldError of the run's first page */
export function endLoad(
  core: Core,
  space: AddressSpace,
  request: RunRequest,
  run: LockedRun,
  loading: readonly Loading[],
  failed: ReadonlyMap<number, PinfoldError>,
): void {
  const firstFailure = Math.min(...failed.keys());
  for (const { at, frame } of loading) {
    const error = failed.get(at);
    if (error) {
      core.table.remove(frame, error);
      core.table.release(frame);
    } else if (request.needsBytes(run.first + at)) {
      core.frames.words.setUptodate(frame);
      if (request.mode === layout.MODE_SHARED) core.locks.downgrade(frame);
    }
  }
  if (failed.size === 0) return;
  // The run ends before the first page that could not be loaded; what comes after it is let go.
  const kept = run.frames.splice(firstFailure);
  const isLoading = new Set(loading.map(({ at }) => at));
  kept.forEach((frame, i) => {
    const at = firstFailure + i;
    if (!failed.has(at))
      unlock(core, space, frame, request.mode, isLoading.has(at) && !request.needsBytes(run.first + at));
  });
  if (firstFailure === 0) throw failed.get(0) as PinfoldError;
}

/** Lets one page go; one that was mapped to be overwritten and has no bytes leaves the cache. */
export function unlock(core: Core, space: AddressSpace, frame: number, mode: PageMode, empty: boolean): void {
  if (empty) dropEmpty(core, space, frame);
  else if (mode === layout.MODE_SHARED) core.locks.unlockShared(frame);
  else core.locks.unlockExclusive(frame);
}

/** Takes a page that never got its bytes out of the cache again, its grant with it. The caller owns its exclusive lock. */
export function dropEmpty(core: Core, space: AddressSpace, frame: number): void {
  const blocks = core.frames.words.blockWord(frame);
  const position = (core.frames.words.indexOf(frame) >>> 0) * space.pageSize;
  if (blocks !== 0) space.store.cancelMkwrite(position, space.pageSize, blocks);
  core.table.remove(frame);
  core.table.release(frame);
}

/** Reads groups of consecutive pages; where a group fails, its pages one by one (F2). */
async function readPages(
  core: Core,
  space: AddressSpace,
  first: number,
  pages: readonly Loading[],
  failed: Map<number, PinfoldError>,
): Promise<void> {
  await Promise.all(
    neighbours(pages).map(async (group) => {
      const error = await tryRead(core, space, first, group);
      if (!error) return;
      if (group.length === 1) {
        failed.set((group[0] as Loading).at, error);
        return;
      }
      for (const page of group) {
        const own = await tryRead(core, space, first, [page]);
        if (own) failed.set(page.at, own);
      }
    }),
  );
}

/** Groups of consecutive pages. */
export function neighbours(pages: readonly Loading[]): Loading[][] {
  const groups: Loading[][] = [];
  for (const page of pages) {
    const group = groups.at(-1);
    const last = group?.at(-1);
    if (group && last && last.at + 1 === page.at) group.push(page);
    else groups.push([page]);
  }
  return groups;
}

async function tryRead(
  core: Core,
  space: AddressSpace,
  first: number,
  group: readonly Loading[],
): Promise<PinfoldError | undefined> {
  const lock = space.invalidateLock;
  const position = (first + (group[0] as Loading).at) * space.pageSize;
  core.noteStoreCall(1);
  try {
    const taken = await core.locks.acquire(lock, space.id, layout.LOCK_INVALIDATE, layout.MODE_SHARED, {});
    assert(taken === layout.OK, "a file's lock record is always there");
    try {
      await readIn(
        space.store,
        position,
        group.map(({ frame }) => core.frames.bytes(frame)),
      );
    } finally {
      core.locks.unlockShared(lock);
    }
    space.counters.reads += 1;
    space.counters.readBytes += group.length * space.pageSize;
    return undefined;
  } catch (error) {
    return toPinfoldError(error, `read of ${space.store.name}`);
  } finally {
    core.noteStoreCall(-1);
  }
}

export function outOfRange(space: AddressSpace, position: number): PinfoldError {
  return new PinfoldError(
    "ERR_PINFOLD_OUT_OF_RANGE",
    `position ${position} lies past the end of ${space.store.name} (${space.size} bytes)`,
  );
}

/** A resident page, locked shared, or -1: the words' short look-up, then the whole one. */
export function pinResident(core: Core, space: AddressSpace, index: number): number {
  const frame = lockResident(core, space.id, index);
  if (frame < 0 || !space.isStale) return frame;
  core.locks.unlockShared(frame);
  return -1;
}

/** As pinResident, for who looks himself whether the file is still that one. */
export function lockResident(core: Core, mapping: number, index: number): number {
  const frame = core.locks.tryResident(mapping, index);
  if (frame >= 0) return frame;
  if (frame !== layout.GONE) return -1;
  const found = core.table.find(mapping, index);
  if (found < 0) return -1;
  return core.locks.tryShared(found, mapping, index) === layout.OK ? found : -1;
}

/** @throws PinfoldError EBADF */
export function checkOpen(space: AddressSpace): void {
  if (!space.closing) return;
  if (space.state === layout.MAPPING_ORPHANED)
    throw new PinfoldError("EIO", `${space.store.name}: the thread that had its store has ended`);
  throw new PinfoldError("EBADF", `${space.store.name} was closed`);
}
