/**
 * Opening and closing files, whichever thread has them open; dropping their pages; the flush at exit.
 *
 * The last close syncs, drops the pages, closes the store. If the sync fails, nothing is given up: it rejects, and file and
 * pages stay (rule in docs/stores.md); `discard` gives them up.
 */
import { PinfoldError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { Resident } from "../cache/page-table.js";
import type { AddressSpace } from "../cache/space.js";
import { flagsOf, isCounted, isHeld, isUnclean, wordBits } from "../frames/page-word.js";
import { writeOutSync } from "../io/transfer.js";
import type { Store } from "../store/contract.js";
import * as layout from "../sync/layout.js";
import { collectDeparted, collectDirty } from "../writeback/dirty-set.js";
import { cutRuns } from "../writeback/runs.js";
import type { Core } from "./core.js";
import { pause } from "./fault.js";
import { describeHolds, foreignHolds } from "./holders.js";
import { withInvalidateLock } from "./resize-lock.js";
import { sync } from "./sync.js";
import { removeOwned, tryOwn } from "./truncate.js";
import { closeViews } from "./view-revoke.js";

/** What an open asks for. */
export interface OpenRequest {
  /** The key of the store that would be opened, if that can be known before. Asked while nobody else opens or closes. */
  identify(): Promise<string | undefined> | string;
  /** What two opens of one file have to agree on, as text. */
  readonly identity: string;
  /**
   * Opens the store: called at most once, and not where the file is open already. `cells` are the store's in shared memory: what it
   * notes there can be closed again though this thread dies before the file is open.
   */
  open(cells: Int32Array): Promise<Store>;
  /** Whether the caller can have the file that is open already. @throws PinfoldError EINVAL */
  checkOpen(space: AddressSpace, identity: string): void;
}

/** Runs `work` while nobody else opens or closes a file, in any thread. */
async function withDirectory<T>(core: Core, work: () => Promise<T> | T): Promise<T> {
  const lock = core.frames.plan.directoryRecord;
  const { words } = core.frames;
  await core.locks.acquire(lock, words.mappingIdOf(lock), words.indexOf(lock), layout.MODE_EXCLUSIVE, {});
  try {
    return await work();
  } finally {
    core.locks.unlockExclusive(lock);
  }
}

/**
 * One more opener of a file: of one that is open already, in whichever thread, or of a new one.
 * @throws PinfoldError ERR_PINFOLD_TOO_MANY, EFBIG; EIO where its store ended with its thread; what `open` and `checkOpen` throw
 */
export async function openFile(core: Core, request: OpenRequest): Promise<AddressSpace> {
  for (let tries = 0; tries < limits.lookupRetriesMax; tries++) {
    const space = await withDirectory(core, async () => {
      const key = await request.identify();
      const slot = key === undefined ? -1 : core.directory.find(key);
      return slot < 0 ? openNew(core, request) : openAgain(core, slot, request);
    });
    if (space) return space;
    // It is being closed at this moment: then it can be opened anew.
    await pause(core, limits.closingPollMs);
  }
  throw new PinfoldError("EBUSY", "the file is being closed all the time");
}

function openAgain(core: Core, slot: number, request: OpenRequest): AddressSpace | undefined {
  const state = core.directory.stateOf(slot);
  if (state === layout.MAPPING_CLOSING) return undefined;
  const space = core.space(slot) as AddressSpace;
  if (state === layout.MAPPING_ORPHANED)
    throw new PinfoldError("EIO", `${space.store.name}: the thread that had its store has ended`);
  request.checkOpen(space, core.directory.factsOf(slot).identity);
  core.directory.addOpeners(slot, core.frames.thread, 1);
  return space;
}

async function openNew(core: Core, request: OpenRequest): Promise<AddressSpace> {
  const { directory, frames } = core;
  const slot = directory.take();
  try {
    const store = await request.open(directory.cellsOf(slot));
    const most = Math.min(limits.fileBytesMax, limits.filePagesMax * frames.pageSize);
    if (store.sizeBytes > most) {
      await store.close();
      throw new PinfoldError("EFBIG", `${store.name} has ${store.sizeBytes} bytes; at most ${most} can be cached`);
    }
    if (directory.find(store.key) >= 0) {
      await store.close();
      throw new PinfoldError("EBUSY", `${store.name} became another file while it was opened; open it again`);
    }
    frames.words.setSize(slot, store.sizeBytes);
    const shared = store.share?.(directory.cellsOf(slot));
    const { key, name, capabilities } = store;
    const facts = { key, name, capabilities, identity: request.identity };
    directory.addOpeners(slot, frames.thread, 1);
    directory.publish(
      slot,
      shared === undefined ? facts : { ...facts, store: shared },
      shared === undefined ? frames.thread : -1,
    );
    if (shared === undefined) core.calls.listen();
    const space = core.adopt(slot, store);
    // What a process wrote that was killed since is read from the storage's cache, and is in no way durable: the first sync makes it so.
    if (!space.readOnly) space.noteChange();
    return space;
  } catch (error) {
    directory.free(slot);
    throw error;
  }
}

/**
 * One opener less; the last one, in whichever thread, syncs, drops the pages and closes the store. `discard`: what is dirty is given up.
 * @throws PinfoldError EBUSY while pages are pinned; what the sync throws; ERR_PINFOLD_DATA_LOST. The opener stays then.
 */
export async function closeFile(core: Core, space: AddressSpace, discard: boolean): Promise<void> {
  const { directory } = core;
  const isCurrent = directory.get(space.id, layout.MAPPING_GENERATION) === space.generation;
  const hasOthers = isCurrent && directory.openers(space.id) > 1;
  if (hasOthers && !discard && !space.readOnly && !space.closing) await sync(core, space, {});
  await dropOpener(core, space, discard);
}

/** As closeFile; where others have the file open, without a sync. @throws PinfoldError as closeFile */
export async function dropOpener(core: Core, space: AddressSpace, discard: boolean): Promise<void> {
  const { directory, frames } = core;
  for (let tries = 0; tries < limits.lookupRetriesMax; tries++) {
    const next = await withDirectory(core, async () => {
      // Gone, where it was closed for all.
      if (space.isStale || directory.openersOf(space.id, frames.thread) === 0) return "done";
      if (space.state === layout.MAPPING_CLOSING) return "wait";
      if (space.state === layout.MAPPING_ORPHANED) {
        await dropOrphan(core, space, discard);
        return "done";
      }
      if (directory.openers(space.id) > 1) {
        directory.addOpeners(space.id, frames.thread, -1);
        return "done";
      }
      beginClosing(core, space);
      return "close";
    });
    if (next === "close") await endClosing(core, space, () => askToClose(core, space, discard));
    if (next !== "wait") return;
    // Somebody is closing it for all: that is the end of it, or it is open again.
    await pause(core, limits.closingPollMs);
  }
  throw new PinfoldError("EBUSY", `${space.store.name} is being closed all the time`);
}

/**
 * An opener of a file whose store has ended with its thread. Dirty pages can never be written: they stay until they are given up.
 * The caller has the directory lock.
 */
async function dropOrphan(core: Core, space: AddressSpace, discard: boolean): Promise<void> {
  const { directory, frames } = core;
  if (!discard && space.dirtyPages + space.unstablePages > 0) throw dataLost(space);
  if (directory.openers(space.id) === 1) {
    refusePinned(core, space);
    await dropAll(core, space, true);
    directory.free(space.id);
    core.spaces[space.id] = undefined;
  }
  directory.addOpeners(space.id, frames.thread, -1);
}

/**
 * Ends a file whose store is in this thread, whoever else has it open: they get EBADF from now on.
 * @throws PinfoldError as closeFile
 */
export async function closeForAll(core: Core, space: AddressSpace, discard: boolean): Promise<void> {
  const isMine = await withDirectory(core, () => {
    if (space.closing && space.state !== layout.MAPPING_ORPHANED) return false;
    beginClosing(core, space);
    return true;
  });
  if (isMine) await endClosing(core, space, () => askToClose(core, space, discard));
}

function askToClose(core: Core, space: AddressSpace, discard: boolean): Promise<void> {
  return space.isRemote ? core.calls.ask(space, { op: "close", discard }) : closeStore(core, space, discard);
}

/**
 * A close whose thread died. Where the store is in another thread, that one may be at it still, or have done it: asked again, it
 * does it once.
 */
export async function closeAgain(core: Core, space: AddressSpace): Promise<void> {
  await endClosing(core, space, () => (space.isRemote ? askToClose(core, space, false) : endStore(core, space, true)));
}

function beginClosing(core: Core, space: AddressSpace): void {
  refusePinned(core, space);
  core.directory.set(space.id, layout.MAPPING_CLOSER, core.frames.thread + 1);
  core.directory.setState(space.id, layout.MAPPING_CLOSING);
}

async function endClosing(core: Core, space: AddressSpace, work: () => Promise<void>): Promise<void> {
  const { directory } = core;
  try {
    await work();
  } catch (error) {
    if (!(await isEnded(core, space))) {
      directory.reopen(space.id);
      throw error;
    }
  }
  await withDirectory(core, () => {
    directory.free(space.id);
  });
  core.spaces[space.id] = undefined;
}

/** Another call of the same close has ended the store, though this one failed. */
async function isEnded(core: Core, space: AddressSpace): Promise<boolean> {
  if (space.cutPhase !== layout.CUT_CLOSE) return false;
  await core.locks.acquire(space.resizeLock, space.id, layout.LOCK_RESIZE, layout.MODE_EXCLUSIVE, {});
  core.locks.unlockExclusive(space.resizeLock);
  return space.cutPhase === layout.CUT_CLOSE;
}

/** Syncs, drops all pages, closes the store: for a file that is closing, in a thread that can use its store. */
export async function closeStore(core: Core, space: AddressSpace, discard: boolean): Promise<void> {
  if (space.cutPhase === layout.CUT_CLOSE) return endStore(core, space, false);
  // Calls that were on their way when the close came may still finish, and what they wrote is covered too.
  do {
    if (!discard) {
      if (!space.readOnly) await sync(core, space, {});
      if (space.losses > 0) throw space.dataLost ?? dataLost(space);
    }
    refusePinned(core, space);
  } while (!(await dropAll(core, space, discard)));
  await endStore(core, space, false);
}

/**
 * Closes the store of a file without pages. The phase says that this has begun, and stays when it is done. `again`: a thread has
 * died at it; how far it came is for the store to know.
 */
async function endStore(core: Core, space: AddressSpace, again: boolean): Promise<void> {
  // Whatever another thread has asked of the store ends before it is closed; whoever comes later sees that it is.
  const mutex = space.resizeLock;
  await core.locks.acquire(mutex, space.id, layout.LOCK_RESIZE, layout.MODE_EXCLUSIVE, {});
  try {
    await core.locks.acquire(space.syncLock, space.id, layout.LOCK_SYNC, layout.MODE_EXCLUSIVE, {});
    try {
      await withInvalidateLock(core, space, {}, async () => {
        if (space.cutPhase === layout.CUT_CLOSE && !again) return;
        space.setCutPhase(layout.CUT_CLOSE);
        try {
          await space.store.close();
        } catch (error) {
          space.setCutPhase(layout.CUT_NONE);
          throw error;
        }
      });
    } finally {
      core.locks.unlockExclusive(space.syncLock);
    }
  } finally {
    core.locks.unlockExclusive(mutex);
  }
}

export function dataLost(space: AddressSpace): PinfoldError {
  return new PinfoldError("ERR_PINFOLD_DATA_LOST", `${space.store.name}: written data may be lost`);
}

function refusePinned(core: Core, space: AddressSpace): void {
  const pins = core.pins.holders(space, 0, limits.filePagesMax - 1);
  // Page locks of other threads end by themselves: they are waited for.
  const foreign = foreignHolds(core, space).filter((hold) => hold.counted);
  if (pins.length + foreign.length > 0)
    throw new PinfoldError("EBUSY", `${space.store.name} has pinned pages: ${describeHolds(core, pins, foreign)}`);
}

/**
 * Removes all pages of a file, waiting for operations in progress. False where something still has to be synced: nobody
 * asked for it to be dropped. No counted pin can be added to a page whose lock is held: they are looked for under it.
 * @throws PinfoldError EBUSY where a page was pinned meanwhile
 */
async function dropAll(core: Core, space: AddressSpace, discard: boolean): Promise<boolean> {
  for (let tries = 0; space.residentPages > 0; tries++) {
    if (tries > limits.lookupRetriesMax) throw new Error("pages kept coming into a closing file");
    for (const page of core.table.residents(space, 0, limits.filePagesMax - 1)) {
      if (tryOwn(core, space, page)) {
        if (isCounted(core.frames.words, page.frame)) {
          core.locks.unlockExclusive(page.frame);
          refusePinned(core, space);
          continue;
        }
        if (!discard && isUnclean(core.frames.words, page.frame)) {
          core.locks.unlockExclusive(page.frame);
          return false;
        }
        await closeViews(core, [page]);
        const blocks = core.frames.words.blockWord(page.frame);
        // A store that ended with its thread has no grants any more.
        if (blocks !== 0 && !space.isRemote)
          space.store.cancelMkwrite(page.index * space.pageSize, space.pageSize, blocks);
        removeOwned(core, page);
      } else await waitFor(core, space, page);
    }
  }
  return discard || space.readOnly || space.isDurable(space.changes, true);
}

async function waitFor(core: Core, space: AddressSpace, { frame, index }: Resident): Promise<void> {
  const owner = { ignoresLoadErrors: true };
  if ((await core.locks.acquire(frame, space.id, index, layout.MODE_EXCLUSIVE, owner)) === layout.OK)
    core.locks.unlockExclusive(frame);
  await core.locks.acquire(frame, space.id, index, layout.MODE_WRITEBACK, owner);
}

/**
 * Drops clean pages of a range from the cache; guard of R18: each is looked at again under its own lock.
 * @throws PinfoldError EBUSY if a page of the range is dirty or held; those before it are gone then
 */
export function invalidate(core: Core, space: AddressSpace, position: number, length: number): void {
  const { words } = core.frames;
  if (length === 0) return;
  const pages = core.table.residents(space, space.pageOf(position), space.pageOf(position + length - 1));
  const busy = pages.find(({ frame }) => isUnclean(words, frame) || isHeld(words, frame));
  if (busy)
    throw new PinfoldError(
      "EBUSY",
      `page ${busy.index} of ${space.store.name} is ${isUnclean(words, busy.frame) ? "dirty" : "pinned"}`,
    );
  for (const page of pages) {
    if (!tryOwn(core, space, page))
      throw new PinfoldError("EBUSY", `page ${page.index} of ${space.store.name} is pinned`);
    if (isCounted(words, page.frame)) {
      core.locks.unlockExclusive(page.frame);
      throw new PinfoldError("EBUSY", `page ${page.index} of ${space.store.name} is pinned`);
    }
    if (isUnclean(words, page.frame)) {
      core.locks.unlockExclusive(page.frame);
      throw new PinfoldError("EBUSY", `page ${page.index} of ${space.store.name} is dirty`);
    }
    if (!space.store.releasePage(page.index * space.pageSize, space.pageSize)) {
      core.locks.unlockExclusive(page.frame);
      throw new PinfoldError("EBUSY", `${space.store.name} does not let go of page ${page.index} yet`);
    }
    removeOwned(core, page);
  }
}

/**
 * The flush at exit (F36): writes what is dirty, blocking, for stores with sync calls. Errors cannot be told to anybody any
 * more but the process's standard error; the bytes of pages under write pins are written as they are.
 */
export function flushAtExit(core: Core, report: (message: string) => void): void {
  for (const space of core.openSpaces()) {
    const { store } = space;
    if (space.readOnly || !store.capabilities.syncCalls || !store.writePagesSync || !store.syncSync) continue;
    try {
      const { words } = core.frames;
      const dirty = collectDirty(core.frames, space, (frame) => (flagsOf(words, frame) & wordBits.uptodate) !== 0);
      // What is on its way to the store may never get there: the loop does not run any more.
      const known = new Set(dirty.map(({ frame }) => frame));
      const onTheirWay = collectDeparted(core.frames, space, { first: 0, last: limits.filePagesMax - 1 });
      const departed = onTheirWay.filter(({ frame }) => !known.has(frame));
      const pages = [...dirty, ...departed].sort((a, b) => a.index - b.index);
      const sources = pages.map(({ frame, index }) => ({
        index,
        bytesFrame: frame,
        blocks: core.frames.words.blockWord(frame),
      }));
      for (const { position, buffers } of cutRuns(core.frames, sources, space.writableEnd))
        writeOutSync(store, position, buffers);
      if (pages.length > 0 || space.unstablePages > 0 || !space.isDurable(space.changes, false))
        store.syncSync({ data: false });
    } catch (error) {
      report(`pinfold: ${store.name}: not everything could be written at exit: ${(error as Error).message}`);
    }
  }
}
