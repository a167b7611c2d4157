/**
 * Punching holes, and reserving space (rule 10, second half).
 *
 * Punch runs under the resize mutex. It takes the exclusive locks of the range's resident pages, ascending, like a write pin
 * (so it ends under constant readers: the gate), then the invalidate lock; pages that appeared meanwhile make it give
 * everything back and try again, after limits.punchRetriesMax times behind a gate that keeps new pages of the range out for a while.
 */
import { PinfoldError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { Resident } from "../cache/page-table.js";
import type { AddressSpace } from "../cache/space.js";
import { isUnclean } from "../frames/page-word.js";
import type { WaitOwner } from "../frames/wait-queues.js";
import { askStore } from "../io/transfer.js";
import * as layout from "../sync/layout.js";
import type { Core } from "./core.js";
import { finishTruncate } from "./extend.js";
import { checkOpen } from "./fault.js";
import { grantAnew } from "./grant.js";
import { describeHolds, foreignHolds } from "./holders.js";
import { withInvalidateLock, withResizeLock } from "./resize-lock.js";
import { clearWithin, isUnderCounted, own, removeOwned } from "./truncate.js";
import { closeViews } from "./view-revoke.js";

/** Bytes [from, to) of a file, and the pages that they touch. */
export interface Hole {
  readonly from: number;
  readonly to: number;
  readonly first: number;
  readonly last: number;
}

export function holeOf(space: AddressSpace, { from, to }: { readonly from: number; readonly to: number }): Hole {
  return { from, to, first: space.pageOf(from), last: space.pageOf(to - 1) };
}

/**
 * Bytes of the range read as zeros from now on; whole blocks are given back to the store. The size stays.
 * @throws PinfoldError EROFS, EBUSY for counted pins in the range, EDEADLK, EIO; the signal's reason
 */
export async function punchHole(
  core: Core,
  space: AddressSpace,
  position: number,
  length: number,
  owner: WaitOwner,
): Promise<void> {
  refuseOwnPins(core, space, position, position + length, owner);
  if (space.isRemote) {
    await core.calls.ask(space, { op: "punch", position, length }, owner.signal);
    return;
  }
  await withResizeLock(core, space, owner, async () => {
    await finishTruncate(core, space);
    const to = Math.min(position + length, space.size);
    if (to <= position) return;
    await punchUnderLock(core, space, position, to, owner);
  });
}

/** Punches [from, to), within the file. The caller holds the resize mutex. */
export async function punchUnderLock(
  core: Core,
  space: AddressSpace,
  from: number,
  to: number,
  owner: WaitOwner,
): Promise<void> {
  const hole = holeOf(space, { from, to });
  refuseCounted(core, space, hole);
  try {
    for (let tries = 1; tries <= limits.lookupRetriesMax; tries++) {
      // Whoever waits at the gate may hold pages that the punch waits for: it opens by itself.
      if (tries > limits.punchRetriesMax)
        space.closeGate(hole.first, hole.last, core.clock.nowMs() + limits.gateClosedMs);
      if (await tryPunch(core, space, hole, owner)) return;
    }
  } finally {
    space.openGate();
  }
}

function refuseOwnPins(core: Core, space: AddressSpace, from: number, to: number, { scope }: WaitOwner): void {
  const { words } = core.frames;
  for (const frame of scope?.held.keys() ?? []) {
    const start = (words.indexOf(frame) >>> 0) * space.pageSize;
    if (words.mappingIdOf(frame) === space.id && start < to && start + space.pageSize > from) {
      throw new PinfoldError("EDEADLK", `punching ${space.store.name} would wait for the caller's own pin`);
    }
  }
}

function refuseCounted(core: Core, space: AddressSpace, hole: Hole): void {
  const residents = core.table.residents(space, hole.first, hole.last);
  if (!residents.some((page) => isUnderCounted(core, space, page))) return;
  const pins = core.pins.holders(space, hole.first, hole.last).filter((pin) => pin.counted);
  const foreign = foreignHolds(core, space, hole.first, hole.last).filter((hold) => hold.counted);
  throw new PinfoldError(
    "EBUSY",
    `pages of ${space.store.name} in the range are pinned: ${describeHolds(core, pins, foreign)}`,
  );
}

async function tryPunch(core: Core, space: AddressSpace, hole: Hole, owner: WaitOwner): Promise<boolean> {
  const owned: Resident[] = [];
  try {
    for (const page of core.table.residents(space, hole.first, hole.last)) {
      if (await own(core, space, page, owner)) owned.push(page);
    }
    await closeViews(core, owned);
    return await withInvalidateLock(core, space, { signal: owner.signal }, async () => {
      const mine = new Set(owned.map(({ frame }) => frame));
      if (core.table.residents(space, hole.first, hole.last).some(({ frame }) => !mine.has(frame))) return false;
      refuseCounted(core, space, hole);
      await punchOwned(core, space, hole, owned);
      return true;
    });
  } finally {
    for (const { frame } of owned.reverse()) core.locks.unlockExclusive(frame, true);
  }
}

/**
 * The punch itself. The caller has the resize mutex, the invalidate lock exclusively, and owns all resident pages of the hole, those of
 * `owned`, where only those stay that stay in the cache. The phase in shared memory says so from the first change to the last:
 * whoever finds the thread dead takes these locks over and does it again.
 * @throws what the store failed with: the pages that were changed stay as they are
 */
export async function punchOwned(core: Core, space: AddressSpace, hole: Hole, owned: Resident[]): Promise<void> {
  space.beginPunch(hole.from, hole.to);
  try {
    await askForHole(space, hole);
    empty(core, space, hole, owned);
  } catch (error) {
    // Where it does not give leave either, what is dirty is written without: that can fail late, and is told then.
    await keep(core, space, hole, owned).catch(() => {});
    throw error;
  } finally {
    space.setCutPhase(layout.CUT_NONE);
  }
}

/**
 * As punchOwned, for a hole that a dead thread had begun, which the store may have made: guard of C31.
 * @throws what the store failed with, where it gives no leave for what stays: then all of it is still to be done
 */
export async function punchAgain(core: Core, space: AddressSpace, hole: Hole, owned: Resident[]): Promise<void> {
  try {
    await askForHole(space, hole);
    empty(core, space, hole, owned);
  } catch {
    // Whoever wanted the hole is gone.
    await keep(core, space, hole, owned);
  }
  space.setCutPhase(layout.CUT_NONE);
}

async function askForHole(space: AddressSpace, hole: Hole): Promise<void> {
  try {
    await askStore(space.store, "hole", () => space.store.punch(hole.from, hole.to - hole.from));
  } finally {
    // Counted when it is done, or may be done in part: a store sync that began before that does not cover it.
    space.noteChange();
  }
}

/**
 * The store has failed, and may have punched all the same, or a part. Of pages that have no change, what it has is the truth: they leave.
 * For the others it is asked for leave once more, as if they had none: their space may be gone.
 */
async function keep(core: Core, space: AddressSpace, hole: Hole, owned: Resident[]): Promise<void> {
  const staying: Resident[] = [];
  // Looked at once: a sync of another thread may make a page clean meanwhile.
  for (const page of owned) {
    if (isUnclean(core.frames.words, page.frame)) staying.push(page);
    else removeOwned(core, page);
  }
  owned.splice(0, owned.length, ...staying);
  for (const page of owned) await grantAnew(core, space, page, { from: hole.from, to: hole.to, extending: false });
}

/** The store has punched: whole pages leave the cache, of others the part in the hole becomes zeros. Emptied of what left. */
function empty(core: Core, space: AddressSpace, hole: Hole, owned: Resident[]): void {
  const staying: Resident[] = [];
  for (const page of owned) {
    const start = page.index * space.pageSize;
    const end = Math.min(start + space.pageSize, space.size);
    if (hole.from <= start && hole.to >= end) {
      removeOwned(core, page);
    } else {
      clearWithin(core, page, Math.max(0, hole.from - start), Math.min(space.pageSize, hole.to - start));
      staying.push(page);
    }
  }
  // A last page that left takes the grant of its last block along, of which the file has only a part.
  const isLastGone = hole.to === space.size && hole.from <= hole.last * space.pageSize;
  space.store.invalidatePages(hole.from, isLastGone ? (hole.last + 1) * space.pageSize : hole.to);
  owned.splice(0, owned.length, ...staying);
}

/**
 * Reserves space for a range for good.
 * @throws PinfoldError EROFS, ENOSPC, ENOTSUP, EIO
 */
export async function allocate(core: Core, space: AddressSpace, position: number, length: number): Promise<void> {
  if (space.isRemote) {
    await core.calls.ask(space, { op: "allocate", position, length });
    return;
  }
  const lock = space.invalidateLock;
  await keepReservations(core, space, space.pageOf(position), space.pageOf(position + length - 1));
  await core.locks.acquire(lock, space.id, layout.LOCK_INVALIDATE, layout.MODE_SHARED, {});
  try {
    checkOpen(space);
    await askStore(space.store, "allocation", () => space.store.allocate(position, length));
    space.noteChange();
  } finally {
    core.locks.unlockShared(lock);
  }
}

/** What is to stay reserved for good must not be given back with a grant: its *reserved* bits go. */
async function keepReservations(core: Core, space: AddressSpace, first: number, last: number): Promise<void> {
  const { words, thread } = core.frames;
  for (const { frame, index } of core.table.residents(space, first, last)) {
    const owner = { ignoresLoadErrors: true };
    if ((await core.locks.acquire(frame, space.id, index, layout.MODE_EXCLUSIVE, owner)) !== layout.OK) continue;
    const blocks = words.blockWord(frame);
    const kept = (blocks & layout.BLOCKS_GRANTED) >>> 0;
    if (kept !== blocks >>> 0) while (words.markDirty(frame, thread, kept, words.dirtiedAt(frame)) === layout.LOST);
    core.locks.unlockExclusive(frame);
  }
}
