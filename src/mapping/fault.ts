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
 *
 * See also: load.ts (the read), locked-run.ts (how pages are let go).
 */
import { PinfoldError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { AddressSpace } from "../cache/space.js";
import type { WaitOwner } from "../frames/wait-queues.js";
import * as layout from "../sync/layout.js";
import { unlessAborted } from "./abort.js";
import type { Core } from "./core.js";
import { takeFrame, tryTakeFrame } from "./frame-supply.js";
import { load } from "./load.js";
import { type FreshPage, type LockedRun, type RunRequest, unlock } from "./locked-run.js";

/**
 * Locks pages from `first` on: at least that one, and those after it, up to `last`, that can be had without waiting. The run itself, and
 * no promise of it, where nothing has to be waited for; what is wrong may be thrown at once too.
 * @throws PinfoldError ERR_PINFOLD_OUT_OF_RANGE, ERR_PINFOLD_NO_FRAMES, EDEADLK, EIO and what the store says; the signal's reason
 */
export function lockRun(
  core: Core,
  space: AddressSpace,
  request: RunRequest,
  owner: WaitOwner,
): LockedRun | Promise<LockedRun> {
  owner.signal?.throwIfAborted();
  // Who waits for a frame already goes first; and of a file that closes, the long way says what has become of it.
  const isFree = core.frameTurns.isFree && !space.closing;
  const first = isFree ? tryLockNext(core, space, request, request.first) : undefined;
  return first ? goOn(core, space, request, first) : lockRunLater(core, space, request, owner);
}

async function lockRunLater(
  core: Core,
  space: AddressSpace,
  request: RunRequest,
  owner: WaitOwner,
): Promise<LockedRun> {
  return goOn(core, space, request, await lockFirst(core, space, request, owner));
}

/** A run from its first page on. */
function goOn(
  core: Core,
  space: AddressSpace,
  request: RunRequest,
  first: { frame: number; fresh: boolean },
): LockedRun | Promise<LockedRun> {
  const run: LockedRun = { first: request.first, frames: [first.frame] };
  const fresh = lockNeighbours(core, space, request, run, first.fresh);
  return fresh ? load(core, space, request, run, fresh) : run;
}

/** Goes on with a run from its first page, as far as that needs no waiting. Those of its pages that are fresh, or `undefined`. */
export function lockNeighbours(
  core: Core,
  space: AddressSpace,
  request: RunRequest,
  run: LockedRun,
  isFirstFresh: boolean,
): FreshPage[] | undefined {
  let fresh: FreshPage[] | undefined;
  if (isFirstFresh) fresh = [{ at: 0, frame: run.frames[0] as number }];
  const most = Math.min(request.last - request.first + 1, limits.copyPagesMax);
  for (let at = 1; at < most; at++) {
    const next = tryLockNext(core, space, request, request.first + at);
    if (!next) break;
    run.frames.push(next.frame);
    if (next.fresh) (fresh ??= []).push({ at, frame: next.frame });
  }
  space.counters.misses += fresh?.length ?? 0;
  space.counters.hits += run.frames.length - (fresh?.length ?? 0);
  return fresh;
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

/** Locks one page, if that needs no waiting; else `undefined`. */
function tryLockNext(
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
