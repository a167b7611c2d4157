/**
 * Opening and closing a file's address space; dropping its pages; the flush at exit.
 *
 * The last close syncs, drops the pages, closes the store. If the sync fails, nothing is given up: it rejects, and file and
 * pages stay (rule in docs/stores.md); `discard` gives them up.
 */
import { PinfoldError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { Resident } from "../cache/page-table.js";
import { AddressSpace } from "../cache/space.js";
import { flagsOf, isHeld, isUnclean, wordBits } from "../frames/page-word.js";
import { writeOutSync } from "../io/transfer.js";
import type { Store } from "../store/contract.js";
import * as layout from "../sync/layout.js";
import { collectDirty } from "../writeback/dirty-set.js";
import { cutRuns } from "../writeback/runs.js";
import type { Core } from "./core.js";
import { describePins } from "./pin-registry.js";
import { sync } from "./sync.js";
import { removeOwned, tryOwn } from "./truncate.js";

/** Gives a store a slot. @throws PinfoldError ERR_PINFOLD_TOO_MANY, EFBIG */
export function openSpace(core: Core, store: Store): AddressSpace {
  const most = Math.min(limits.fileBytesMax, limits.filePagesMax * core.frames.pageSize);
  if (store.sizeBytes > most)
    throw new PinfoldError("EFBIG", `${store.name} has ${store.sizeBytes} bytes; at most ${most} can be cached`);
  const slot = core.freeSlot();
  const readOnly = store.capabilities.readOnly;
  const space = new AddressSpace(slot, core.frames, store, { readOnly, durability: core.options.durability });
  core.spaces[slot] = space;
  return space;
}

/**
 * Ends a file. `discard`: what is dirty is given up.
 * @throws PinfoldError EBUSY while pages are pinned; what the sync throws; ERR_PINFOLD_DATA_LOST. The file stays open then.
 */
export async function closeSpace(core: Core, space: AddressSpace, discard: boolean): Promise<void> {
  refusePinned(core, space);
  space.closing = true;
  try {
    // Calls that were on their way when the close came may still finish, and what they wrote is covered too.
    do {
      if (!discard) {
        if (!space.readOnly) await sync(core, space, {});
        if (space.dataLost) throw space.dataLost;
      }
      await Promise.all(space.inFlight);
      await core.storeSync.idle(space);
      refusePinned(core, space);
    } while (!(await dropAll(core, space, discard)));
    await space.store.close();
  } catch (error) {
    space.closing = false;
    throw error;
  }
  core.spaces[space.id] = undefined;
}

function refusePinned(core: Core, space: AddressSpace): void {
  const pins = core.pins.holders(space, 0, limits.filePagesMax - 1);
  if (pins.length > 0)
    throw new PinfoldError("EBUSY", `${space.store.name} has pinned pages: ${describePins(pins, core.clock.nowMs())}`);
}

/**
 * Removes all pages of a file, waiting for operations in progress. False where something still has to be synced: nobody
 * asked for it to be dropped.
 */
async function dropAll(core: Core, space: AddressSpace, discard: boolean): Promise<boolean> {
  for (let tries = 0; space.residentPages > 0; tries++) {
    if (tries > limits.lookupRetriesMax) throw new Error("pages kept coming into a closing file");
    for (const page of core.table.residents(space, 0, limits.filePagesMax - 1)) {
      if (tryOwn(core, space, page)) {
        if (!discard && isUnclean(core.frames.words, page.frame)) {
          core.locks.unlockExclusive(page.frame);
          return false;
        }
        const blocks = core.frames.words.blockWord(page.frame);
        if (blocks !== 0) space.store.cancelMkwrite(page.index * space.pageSize, space.pageSize, blocks);
        removeOwned(core, page);
      } else await waitFor(core, space, page);
    }
  }
  return discard || space.changes === space.durable;
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
      const departed = [...space.departed].filter(({ frame }) => !known.has(frame));
      const pages = [...dirty, ...departed].sort((a, b) => a.index - b.index);
      const sources = pages.map(({ frame, index }) => ({
        index,
        bytesFrame: frame,
        blocks: core.frames.words.blockWord(frame),
      }));
      for (const { position, buffers } of cutRuns(core.frames, sources, space.writableEnd))
        writeOutSync(store, position, buffers);
      if (pages.length > 0 || space.unstablePages > 0 || space.changes !== space.durable)
        store.syncSync({ data: false });
    } catch (error) {
      report(`pinfold: ${store.name}: not everything could be written at exit: ${(error as Error).message}`);
    }
  }
}
