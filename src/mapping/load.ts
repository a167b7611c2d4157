/**
 * The bytes of fresh pages: groups of neighbours are read at once, under the file's invalidate lock (R9).
 *
 * A miss is garbage for the caller's thread, and V8 lets each thread keep much of it: so the way of a run whose fresh pages are
 * neighbours, and whose file nobody cuts, makes no object that it can do without.
 *
 * See also: fault.ts; fault-blocking.ts (the same for calls that block their thread).
 */
import { assert } from "../base/assert.js";
import { type PinfoldError, toPinfoldError } from "../base/errors.js";
import type { AddressSpace } from "../cache/space.js";
import { readIn } from "../io/transfer.js";
import * as layout from "../sync/layout.js";
import type { Core } from "./core.js";
import { type FreshPage, type LockedRun, type RunRequest, unlock } from "./locked-run.js";

/** A page that could not be read, by its place in the run. */
export interface Failure {
  readonly at: number;
  readonly error: PinfoldError;
}

/**
 * Loads the fresh pages of a run and brings them into the mode asked for: the run. On failure nothing of it stays locked.
 * @throws PinfoldError EIO and what the store says
 */
export async function load(
  core: Core,
  space: AddressSpace,
  request: RunRequest,
  run: LockedRun,
  fresh: readonly FreshPage[],
): Promise<LockedRun> {
  const failures: Failure[] = [];
  const groups = neighboursToRead(request, run, fresh);
  const [only] = groups;
  if (groups.length === 1 && only) {
    const error = await tryRead(core, space, run.first, only);
    if (error) await readSingly(core, space, run.first, only, error, failures);
  } else {
    const read = async (group: FreshPage[]) => {
      const error = await tryRead(core, space, run.first, group);
      if (error) await readSingly(core, space, run.first, group, error, failures);
    };
    await Promise.all(groups.map(read));
  }
  endLoad(core, space, request, run, fresh, failures);
  return run;
}

/** The fresh pages that need their bytes, in groups of consecutive ones. */
export function neighboursToRead(request: RunRequest, run: LockedRun, fresh: readonly FreshPage[]): FreshPage[][] {
  const groups: FreshPage[][] = [];
  let group: FreshPage[] = [];
  let next = -1;
  for (const page of fresh) {
    if (!request.needsBytes(run.first + page.at)) continue;
    if (page.at === next) group.push(page);
    else groups.push((group = [page]));
    next = page.at + 1;
  }
  return groups;
}

/** Reads one by one the pages that could not be read together (F2). */
async function readSingly(
  core: Core,
  space: AddressSpace,
  first: number,
  group: readonly FreshPage[],
  error: PinfoldError,
  failures: Failure[],
): Promise<void> {
  for (const page of group) {
    const own = group.length === 1 ? error : await tryRead(core, space, first, [page]);
    if (own) failures.push({ at: page.at, error: own });
  }
}

/** What the read of consecutive pages failed with. */
async function tryRead(
  core: Core,
  space: AddressSpace,
  first: number,
  group: readonly FreshPage[],
): Promise<PinfoldError | undefined> {
  const lock = space.invalidateLock;
  core.noteStoreCall(1);
  try {
    const asked = core.locks.acquire(lock, space.id, layout.LOCK_INVALIDATE, layout.MODE_SHARED, {});
    const taken = typeof asked === "number" ? asked : await asked;
    assert(taken === layout.OK, "a file's lock record is always there");
    try {
      const buffers = buffersOf(core, group);
      await readIn(space.store, positionOf(space, first, group), buffers);
      hideCut(space, positionOf(space, first, group), buffers);
    } finally {
      core.locks.unlockShared(lock);
    }
    noteRead(space, group);
    return undefined;
  } catch (error) {
    return toPinfoldError(error, `read of ${space.store.name}`);
  } finally {
    core.noteStoreCall(-1);
  }
}

/**
 * A cut that the store has still to do (extend.ts): what it has there is gone all the same, and would come back with the next extension.
 * The caller holds the invalidate lock, so that the cut is neither done nor another one meanwhile.
 */
export function hideCut(space: AddressSpace, position: number, buffers: readonly Uint8Array[]): void {
  if (space.cutDue !== layout.CUT_DUE) return;
  let at = position;
  for (const buffer of buffers) {
    buffer.fill(0, Math.min(buffer.length, Math.max(0, space.size - at)));
    at += buffer.length;
  }
}

export function positionOf(space: AddressSpace, first: number, group: readonly FreshPage[]): number {
  return (first + (group[0] as FreshPage).at) * space.pageSize;
}

export function buffersOf(core: Core, group: readonly FreshPage[]): Uint8Array[] {
  const buffers: Uint8Array[] = [];
  for (const { frame } of group) buffers.push(core.frames.bytes(frame));
  return buffers;
}

export function noteRead(space: AddressSpace, group: readonly FreshPage[]): void {
  space.counters.reads += 1;
  space.counters.readBytes += group.length * space.pageSize;
}

/**
 * What was read is uptodate; what was not leaves the cache, and the run ends before it.
 * @throws PinfoldError of the run's first page
 */
export function endLoad(
  core: Core,
  space: AddressSpace,
  request: RunRequest,
  run: LockedRun,
  fresh: readonly FreshPage[],
  failures: readonly Failure[],
): void {
  const failed = failures.length > 0 ? dropFailed(core, run, failures) : undefined;
  for (const { at, frame } of fresh) {
    if (failed?.has(at) || !request.needsBytes(run.first + at)) continue;
    core.frames.words.setUptodate(frame);
    if (request.mode === layout.MODE_SHARED) core.locks.downgrade(frame);
  }
  if (failed) cutRun(core, space, request, run, fresh, failed);
}

function dropFailed(core: Core, run: LockedRun, failures: readonly Failure[]): Map<number, PinfoldError> {
  for (const { at, error } of failures) {
    const frame = run.frames[at] as number;
    core.table.remove(frame, error);
    core.table.release(frame);
  }
  return new Map(failures.map(({ at, error }) => [at, error]));
}

/** The run ends before the first page that could not be loaded; what comes after it is let go. */
function cutRun(
  core: Core,
  space: AddressSpace,
  request: RunRequest,
  run: LockedRun,
  fresh: readonly FreshPage[],
  failed: ReadonlyMap<number, PinfoldError>,
): void {
  const end = Math.min(...failed.keys());
  const isFresh = new Set(fresh.map(({ at }) => at));
  for (const [i, frame] of run.frames.splice(end).entries()) {
    const at = end + i;
    if (!failed.has(at))
      unlock(core, space, frame, request.mode, isFresh.has(at) && !request.needsBytes(run.first + at));
  }
  if (end === 0) throw failed.get(0) as PinfoldError;
}
