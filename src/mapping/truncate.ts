/**
 * Cutting a file (rule 10).
 *
 * 1. Under the resize mutex the new size is published: new pins and reads past it fail at once, they do not wait (R26).
 * 2. Page locks, locked pins and write-back of the range are drained, *without* the invalidate lock. Abort here restores the
 *    size; until then write-back still writes up to the old end, or what it cleaned would be lost then. The page that the cut
 *    goes through stays locked from here on: others may still come to what is before the cut.
 * 3. Under the invalidate lock all other pages of the range are locked by try-lock; if one fails, everything is given back and
 *    the range is drained again. It ends, because nobody new gets in.
 * 4. Tail zeroed, grants dropped, pages removed, the store told. If the store fails now, the cut stays in effect in the cache
 *    and is finished before anything depends on it (extend.ts).
 *
 * The phase stands in shared memory (layout's CUT_ numbers), so that a cut whose thread dies is undone or finished by another.
 */
import { PinfoldError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { Resident } from "../cache/page-table.js";
import type { AddressSpace } from "../cache/space.js";
import { flagsOf, isCounted, wordBits } from "../frames/page-word.js";
import type { WaitOwner } from "../frames/wait-queues.js";
import type { Scope } from "../frames/scopes.js";
import * as layout from "../sync/layout.js";
import type { Core } from "./core.js";
import { cutStore, extendUnderLock, finishTruncate } from "./extend.js";
import { grantedMask } from "./grant.js";
import { describeHolds, foreignHolds, lastingLocks } from "./holders.js";
import { withInvalidateLock, withResizeLock } from "./resize-lock.js";
import { ageViews, tryCloseViews } from "./view-revoke.js";

export interface TruncateOptions {
  /** What to do about locked pins of the range: wait for them (default), or fail and name them. */
  readonly pinned?: "wait" | "fail" | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly scope?: Scope | undefined;
}

/**
 * Sets the file's size.
 * @throws PinfoldError EBUSY for counted pins in the range; ERR_PINFOLD_PINNED; EDEADLK under the scope's own pins; ENOSPC, EIO
 * and what the store says; the signal's reason
 */
export async function truncate(
  core: Core,
  space: AddressSpace,
  length: number,
  options: TruncateOptions,
): Promise<void> {
  const { signal, scope } = options;
  refuseOwnPins(core, space, length, scope);
  if (space.isRemote) {
    await core.calls.ask(space, { op: "truncate", length, pinned: options.pinned }, signal);
    return;
  }
  await withResizeLock(core, space, { signal, scope }, async () => {
    await finishTruncate(core, space);
    if (length > space.size) await extendUnderLock(core, space, length, { signal, scope });
    else if (length < space.size) await cut(core, space, length, options);
  });
}

function refuseOwnPins(core: Core, space: AddressSpace, length: number, scope: Scope | undefined): void {
  const { words } = core.frames;
  for (const frame of scope?.held.keys() ?? []) {
    if (words.mappingIdOf(frame) === space.id && ((words.indexOf(frame) >>> 0) + 1) * space.pageSize > length) {
      throw new PinfoldError("EDEADLK", `truncate of ${space.store.name} would wait for the caller's own pin`);
    }
  }
}

async function cut(core: Core, space: AddressSpace, length: number, options: TruncateOptions): Promise<void> {
  const old = space.size;
  const first = space.pageOf(length);
  const last = space.pageOf(old - 1);
  refuseCounted(core, space, first, last, length);
  if (options.pinned === "fail") await refuseLocked(core, space, length, last, options.signal);
  space.beginCut();
  space.publishSize(length);
  try {
    await cutPages(core, space, { length, first, last }, options);
  } catch (error) {
    if (space.cutPhase === layout.CUT_UNDOABLE) space.publishSize(old);
    throw error;
  } finally {
    space.setCutPhase(layout.CUT_NONE);
  }
}

/** Where a file is cut, and the pages from there to its old end. */
export interface Cut {
  readonly length: number;
  readonly first: number;
  readonly last: number;
}

/** Steps 2 to 4, also for a cut whose thread died after its phase was final. The caller holds the resize mutex. */
export async function cutPages(core: Core, space: AddressSpace, at: Cut, options: TruncateOptions): Promise<void> {
  for (let tries = 0; tries < limits.lookupRetriesMax; tries++) {
    if (await tryCut(core, space, at, options)) return;
  }
  throw new Error("pages kept coming into a file that is being cut");
}

async function tryCut(core: Core, space: AddressSpace, at: Cut, options: TruncateOptions): Promise<boolean> {
  await drain(core, space, at.first, at.last, options);
  const owned: Resident[] = [];
  try {
    const head = at.first * space.pageSize < at.length ? core.table.find(space.id, at.first) : -1;
    if (head >= 0) {
      const page = { frame: head, index: at.first };
      if (!(await own(core, space, page, options))) return false;
      owned.push(page);
    }
    return await withInvalidateLock(core, space, { signal: options.signal }, () => remove(core, space, at, owned));
  } finally {
    for (const { frame } of owned) core.locks.unlockExclusive(frame);
  }
}

/** Whether a page is under a long-term pin. It may have left its frame meanwhile: then the pin is another page's, or was. */
export function isUnderCounted(core: Core, space: AddressSpace, { frame, index }: Resident): boolean {
  return isCounted(core.frames.words, frame) && core.table.find(space.id, index) === frame;
}

function refuseCounted(core: Core, space: AddressSpace, first: number, last: number, from: number): void {
  const counted = core.table.residents(space, first, last).filter((page) => isUnderCounted(core, space, page));
  if (counted.length === 0) return;
  const pins = core.pins.holders(space, first, last).filter((pin) => pin.counted && pin.position + pin.length > from);
  // Where in its pages a pin of another thread ends is not known.
  const foreign = foreignHolds(core, space, first, last).filter((hold) => hold.counted);
  // A pin that ends before the cut, in the page that is cut, is not in the way.
  const isKnown = counted.every(({ index }) => index * space.pageSize < from);
  if (pins.length === 0 && foreign.length === 0 && isKnown) return;
  throw new PinfoldError(
    "EBUSY",
    `pages of ${space.store.name} past ${from} are pinned: ${describeHolds(core, pins, foreign)}`,
  );
}

async function refuseLocked(
  core: Core,
  space: AddressSpace,
  from: number,
  last: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  const range = { first: space.pageOf(from), last };
  const pins = core.pins.holders(space, range.first, last).filter((pin) => pin.position + pin.length > from);
  const foreign = pins.length > 0 ? [] : await lastingLocks(core, space, range, signal);
  if (pins.length + foreign.length === 0) return;
  throw new PinfoldError(
    "ERR_PINFOLD_PINNED",
    `pages of ${space.store.name} are pinned: ${describeHolds(core, pins, foreign)}`,
  );
}

/** Waits until each page of the range has been free for a moment: neither locked nor under write-back. */
export async function drain(
  core: Core,
  space: AddressSpace,
  first: number,
  last: number,
  options: TruncateOptions,
): Promise<void> {
  const owner = { signal: options.signal, scope: options.scope, ignoresLoadErrors: true };
  for (const { frame, index } of core.table.residents(space, first, last)) {
    if ((await core.locks.acquire(frame, space.id, index, layout.MODE_EXCLUSIVE, owner)) === layout.OK)
      core.locks.unlockExclusive(frame);
    await core.locks.acquire(frame, space.id, index, layout.MODE_WRITEBACK, owner);
  }
}

/** Locks a resident page exclusively, when no snapshot of it is in flight. False: it has left. */
export async function own(
  core: Core,
  space: AddressSpace,
  { frame, index }: Resident,
  { signal, scope }: WaitOwner,
): Promise<boolean> {
  const owner = { signal, scope, ignoresLoadErrors: true };
  for (;;) {
    const answer = await core.locks.acquire(frame, space.id, index, layout.MODE_EXCLUSIVE, owner);
    if (answer !== layout.OK) return false;
    if ((flagsOf(core.frames.words, frame) & wordBits.writeback) === 0) return true;
    core.locks.unlockExclusive(frame);
    await core.locks.acquire(frame, space.id, index, layout.MODE_WRITEBACK, owner);
  }
}

/** Locks a page exclusively now, if it is not under write-back (a snapshot of it may be in flight without a lock). */
export function tryOwn(core: Core, space: AddressSpace, page: Resident): boolean {
  const answer = core.locks.tryExclusive(page.frame, space.id, page.index);
  if (answer !== layout.OK) return false;
  if ((flagsOf(core.frames.words, page.frame) & wordBits.writeback) === 0) return true;
  core.locks.unlockExclusive(page.frame);
  return false;
}

/**
 * Removes the pages of a cut, those of `owned` and the others by try-lock; false if one cannot be had. The caller holds the
 * invalidate lock, and unlocks what is left in `owned`.
 */
async function remove(
  core: Core,
  space: AddressSpace,
  { length, first, last }: Cut,
  owned: Resident[],
): Promise<boolean> {
  const mine = new Set(owned.map(({ frame }) => frame));
  for (const page of core.table.residents(space, first, last)) {
    if (mine.has(page.frame)) continue;
    if (!tryOwn(core, space, page)) return false;
    owned.push(page);
  }
  // A pin that was locked when the cut began may have become a counted one since. Not where the cut of a dead thread is finished:
  // what is pinned by now, in the page that the cut goes through, ends before it.
  if (space.cutPhase !== layout.CUT_FINAL) refuseCounted(core, space, first, last, length);
  if (!tryCloseViews(core, owned)) {
    await core.views.pause();
    return false;
  }
  space.cutDue = layout.CUT_DUE;
  space.setCutPhase(layout.CUT_FINAL);
  for (const page of owned.splice(0)) {
    if (page.index * space.pageSize < length) keepHead(core, space, page, length - page.index * space.pageSize);
    else removeOwned(core, page);
  }
  space.store.invalidatePages(length, Number.POSITIVE_INFINITY);
  await cutStore(space);
  return true;
}

/** Takes a page, locked by the caller, out of the cache. Its grant ends with the store's invalidatePages, which follows. */
export function removeOwned(core: Core, page: Resident): void {
  core.table.remove(page.frame);
  core.table.release(page.frame);
}

/** The page that the cut goes through: zeros from there on, and no grant for blocks that lie wholly beyond. */
function keepHead(core: Core, space: AddressSpace, page: Resident, keep: number): void {
  clearWithin(core, page, keep, space.pageSize);
  ageViews(core, [page]);
  core.locks.unlockExclusive(page.frame, true);
}

/**
 * Bytes [from, to) of an owned page become zeros, and blocks that lie wholly in it lose their grants: the store frees them,
 * and write-back must not bring them back.
 */
export function clearWithin(core: Core, page: Resident, from: number, to: number): void {
  const { words, thread } = core.frames;
  core.frames.slice(page.frame, from, to).fill(0);
  const firstWhole = Math.ceil(from / limits.blockSize) * limits.blockSize;
  const lastWhole = Math.floor(to / limits.blockSize) * limits.blockSize;
  const before = words.blockWord(page.frame);
  if (before === 0 || lastWhole <= firstWhole) return;
  const dropped = grantedMask(firstWhole, lastWhole) * 3;
  const kept = (before & ~dropped) >>> 0;
  if (kept === before >>> 0) return;
  const seconds = words.dirtiedAt(page.frame);
  while (words.markDirty(page.frame, thread, kept, seconds) === layout.LOST);
}
