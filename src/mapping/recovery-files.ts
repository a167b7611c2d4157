/**
 * What a dead thread was doing to whole files, and what becomes of it: cuts, punches, store syncs, opens, closes, and the files
 * that it had open.
 *
 * A cut that had removed nothing is undone. What is final goes on in the thread that cleans up, under locks that become its own
 * without ever being free: so nobody's write comes between a punch and its repetition, and if that thread dies too, it is again a
 * dead thread in the midst of a cut. The same with openers: they change hands one by one, so that a file always has one.
 *
 * Invariants: `takeOverFiles` comes before the dead one's locks are let go of, `takeOverOpeners` after that. A mapping's size, phase
 * and sync words are changed only while its locks are the dead one's or this thread's. Each function may end anywhere, by this
 * thread's death, and be called again by another.
 *
 * See also: recovery.ts; truncate.ts, punch.ts, lifetime.ts, which leave what is found here.
 */
import { PinfoldError } from "../base/errors.js";
import type { Resident } from "../cache/page-table.js";
import { AddressSpace } from "../cache/space.js";
import * as word from "../frames/page-word.js";
import * as layout from "../sync/layout.js";
import type { Core } from "./core.js";
import { closeAgain, dropOpener } from "./lifetime.js";
import { holeOf, punchAgain } from "./punch.js";
import { type Findings, insist, ownerOf, reachable } from "./recovery-pages.js";
import { remoteStore } from "./remote-store.js";
import { cutPages } from "./truncate.js";

/** What this thread goes on with, in the background. */
export interface Task {
  readonly space: AddressSpace;
  /** Locks of the file are this thread's until it is done; else the file is only open here. */
  readonly holdsLocks: boolean;
  /** Once; after a failure again. `discard`: what is dirty may be given up. */
  attempt(discard: boolean): Promise<void>;
}

export interface TakenOver {
  readonly tasks: Task[];
  /** Whether a lock that the dead one has stays locked: it is this thread's when the answer comes. */
  readonly keeps: (record: number) => boolean;
}

/** The file of a slot, for its shared words: its store may be out of reach. */
function spaceOf(core: Core, slot: number): AddressSpace {
  const known = reachable(core, slot);
  if (known) return known;
  const facts = core.directory.factsOf(slot);
  const { readOnly } = facts.capabilities;
  const { durability } = core.options;
  return new AddressSpace(slot, core.frames, remoteStore(facts), { readOnly, durability, isRemote: true });
}

/** First of all: what has to be known, undone or kept before the dead one's locks are let go of. */
export function takeOverFiles(
  core: Core,
  dead: number,
  found: Findings,
  abandonStore: (cells: Int32Array) => void,
): TakenOver {
  const { directory, frames } = core;
  const tasks: Task[] = [];
  const isOpening = ownerOf(core, frames.plan.directoryRecord) === dead;
  for (let slot = 0; slot < layout.MAPPINGS_MAX; slot++) {
    const state = directory.stateOf(slot);
    if (state === layout.MAPPING_OPENING && isOpening) {
      abandonStore(directory.cellsOf(slot));
      directory.free(slot);
    }
    if (state === layout.MAPPING_FREE || state === layout.MAPPING_OPENING) continue;
    if (directory.storeThread(slot) === dead) orphan(core, slot, found);
    revertSync(core, slot, dead);
    const task = settleResize(core, slot, dead);
    if (task) tasks.push(task);
    if (task) found.cuts += 1;
  }
  return { tasks, keeps: (record) => keepsForPunch(core, record, dead) };
}

/** The store has ended with its thread: nothing of the file can be read or written any more, and who asks for it is told. */
function orphan(core: Core, slot: number, found: Findings): void {
  const { directory, frames, locks } = core;
  directory.setState(slot, layout.MAPPING_ORPHANED);
  const ended = new PinfoldError("EIO", `${directory.factsOf(slot).name}: the thread that had its store has ended`);
  locks.queues.dismissAll(frames.lockRecord(slot, layout.LOCK_CALLS), ended);
  // Last, and so that the next thread in the dead one's slot is not taken for it.
  directory.set(slot, layout.MAPPING_STORE_THREAD, 0);
  found.stores += 1;
}

/** A store sync of which nobody knows what came: as one that failed. */
function revertSync(core: Core, slot: number, dead: number): void {
  if (ownerOf(core, core.frames.lockRecord(slot, layout.LOCK_SYNC)) !== dead) return;
  const space = spaceOf(core, slot);
  if (space.syncing < 0) return;
  reachable(core, slot)?.store.loseSync?.();
  core.storeSync.revert(space);
}

/** What the dead one was doing to the file's size or space: undone, or this thread's to finish. */
function settleResize(core: Core, slot: number, dead: number): Task | undefined {
  const lock = core.frames.lockRecord(slot, layout.LOCK_RESIZE);
  if (ownerOf(core, lock) !== dead) return undefined;
  const space = spaceOf(core, slot);
  if (space.cutDue === layout.CUT_DUE_EXTENDING) space.cutDue = layout.CUT_DUE;
  if (needsFinishing(core, slot) && !space.isRemote) {
    const pages = space.cutPhase === layout.CUT_PUNCH ? takeOverHole(core, space, dead) : undefined;
    insist(() => core.frames.words.takeOver(lock, dead, core.frames.thread));
    const attempt = () => (pages ? finishPunch(core, space, pages) : finishCut(core, space));
    return { space, holdsLocks: true, attempt };
  }
  if (space.cutPhase === layout.CUT_UNDOABLE) space.publishSize(space.oldSize);
  space.openGate();
  // A close has its own end (takeOverOpeners), and what it says about the store stays true.
  if (space.cutPhase !== layout.CUT_CLOSE) space.setCutPhase(layout.CUT_NONE);
  return undefined;
}

/** True where a cut of this file has removed pages, or a punch may have: then it has to be done to the end. */
function needsFinishing(core: Core, slot: number): boolean {
  const phase = core.directory.get(slot, layout.MAPPING_PHASE) & layout.CUT_MASK;
  return phase === layout.CUT_FINAL || phase === layout.CUT_PUNCH;
}

/** True where what a dead thread has left takes an event loop to finish. */
export function needsLoop(core: Core, dead: number): boolean {
  const { directory, frames } = core;
  for (const slot of directory.slots()) {
    if (ownerOf(core, frames.lockRecord(slot, layout.LOCK_RESIZE)) === dead && needsFinishing(core, slot)) return true;
  }
  return false;
}

/** The pages of a punch, and the invalidate lock under which it is: what it holds of them becomes this thread's. */
function takeOverHole(core: Core, space: AddressSpace, dead: number): Resident[] {
  const { words, thread, threads } = core.frames;
  const take = (record: number): boolean => {
    const owner = ownerOf(core, record);
    if (owner < 0) return false;
    // One who was taking this over may have died too.
    if (owner !== thread && owner !== dead && !threads.isDead(owner)) return false;
    if (owner !== thread) insist(() => words.takeOver(record, owner, thread));
    return true;
  };
  const { first, last } = holeOf(space, space.hole);
  const isThere = (frame: number) => (word.flagsOf(words, frame) & word.wordBits.uptodate) !== 0;
  const pages = core.table.residents(space, first, last).filter(({ frame }) => isThere(frame) && take(frame));
  for (const { frame } of pages) {
    if ((words.lowWord(frame) & word.lockBits.evicting) !== 0) insist(() => words.thaw(frame, thread));
  }
  take(space.invalidateLock);
  return pages;
}

/** A lock of a punch whose thread is dead and that this one, dead too, was taking over: kept for when that one is cleaned up after. */
function keepsForPunch(core: Core, record: number, dead: number): boolean {
  const { words, thread, count, plan } = core.frames;
  if (record >= count && (record < plan.locksFrom || record >= plan.directoryRecord)) return false;
  const slot = words.mappingIdOf(record);
  if ((core.directory.get(slot, layout.MAPPING_PHASE) & layout.CUT_MASK) !== layout.CUT_PUNCH) return false;
  if (ownerOf(core, core.frames.lockRecord(slot, layout.LOCK_RESIZE)) === dead) return false;
  const space = spaceOf(core, slot);
  const { first, last } = holeOf(space, space.hole);
  const index = words.indexOf(record) >>> 0;
  const isPage =
    record < count && index >= first && index <= last && (words.highWord(record) & word.wordBits.uptodate) !== 0;
  if (!isPage && record !== space.invalidateLock) return false;
  return insist(() => words.takeOver(record, dead, thread)) === layout.OK;
}

/** The rest of a cut. What the store does not do now is done before anything depends on it (extend.ts). */
async function finishCut(core: Core, space: AddressSpace): Promise<void> {
  const length = space.size;
  const at = { length, first: space.pageOf(length), last: space.pageOf(Math.max(length, space.oldSize - 1)) };
  try {
    await cutPages(core, space, at, {});
  } catch (error) {
    const beyond = Math.ceil(length / space.pageSize);
    if (core.table.residents(space, beyond, at.last).length > 0) throw error;
  }
  space.setCutPhase(layout.CUT_NONE);
  core.locks.unlockExclusive(space.resizeLock);
}

/** A punch once more, under the locks of the first time; `owned` is what stays of its pages. */
async function finishPunch(core: Core, space: AddressSpace, owned: Resident[]): Promise<void> {
  await punchAgain(core, space, holeOf(space, space.hole), owned);
  core.locks.unlockExclusive(space.invalidateLock);
  for (const { frame } of owned.reverse()) core.locks.unlockExclusive(frame, true);
  space.openGate();
  core.locks.unlockExclusive(space.resizeLock);
}

/** Last of all: the files that the dead one had open, or was closing, are this thread's to close. */
export function takeOverOpeners(core: Core, dead: number, found: Findings): Task[] {
  const { directory, frames } = core;
  const tasks: Task[] = [];
  for (const slot of directory.slots()) {
    const openers = directory.openersOf(slot, dead);
    const isClosing =
      directory.stateOf(slot) === layout.MAPPING_CLOSING && directory.get(slot, layout.MAPPING_CLOSER) === dead + 1;
    if (openers === 0 && !isClosing) continue;
    // One more before some less: a file never is without one, also where this thread dies in between.
    if (openers > 0) directory.addOpeners(slot, frames.thread, 1);
    if (openers > 0) directory.addOpeners(slot, dead, -openers);
    const space = core.space(slot) ?? spaceOf(core, slot);
    if (isClosing) tasks.push(takeOverClosing(core, space));
    else tasks.push(closing(core, space));
    found.files += 1;
  }
  return tasks;
}

function closing(core: Core, space: AddressSpace): Task {
  const attempt = (discard: boolean) => {
    const isOrphan = space.state === layout.MAPPING_ORPHANED;
    return dropOpener(core, space, discard || isOrphan);
  };
  return { space, holdsLocks: false, attempt };
}

/** A close that was under way: begun anew, or, where the store was being closed, finished. */
function takeOverClosing(core: Core, space: AddressSpace): Task {
  const { directory, frames } = core;
  directory.set(space.id, layout.MAPPING_CLOSER, frames.thread + 1);
  if (!space.isRemote && space.cutPhase !== layout.CUT_CLOSE) {
    directory.setState(space.id, layout.MAPPING_OPEN);
    return closing(core, space);
  }
  // The other thread may be at it still, or done: it is asked again, and does it once.
  const again = closing(core, space);
  let isAgain = false;
  const attempt = async (discard: boolean) => {
    if (isAgain) return again.attempt(discard);
    isAgain = space.isRemote;
    await closeAgain(core, space);
  };
  return { space, holdsLocks: false, attempt };
}
