/**
 * Extending a file (rule 11): the bytes of a partial last page beyond the old end become zeros under that page's lock, then
 * the store's size grows, then the new size is published. The new bytes read as zeros.
 */
import type { AddressSpace } from "../cache/space.js";
import { askStore } from "../io/transfer.js";
import * as layout from "../sync/layout.js";
import type { WaitOwner } from "../frames/wait-queues.js";
import type { Core } from "./core.js";
import { withInvalidateLock } from "./resize-lock.js";
import { closeViews } from "./view-revoke.js";

/**
 * Extends to `size` bytes, if that is more than there are. The caller holds the resize mutex.
 * @throws PinfoldError what the store says (nothing has changed then); the signal's reason
 */
export async function extendUnderLock(core: Core, space: AddressSpace, size: number, owner: WaitOwner): Promise<void> {
  await prepareExtension(core, space, owner);
  await extendStore(space, size);
  space.publishSize(size);
  space.cutDue = layout.CUT_DUE_NO;
}

/**
 * The store grows to `size` bytes. Until the caller has published that and cleared `cutDue`, the store is longer than the file:
 * if he fails, or his thread dies, it is cut again before anything depends on it.
 */
export async function extendStore(space: AddressSpace, size: number): Promise<void> {
  space.cutDue = layout.CUT_DUE_EXTENDING;
  try {
    await askStore(space.store, "extension", () => space.store.setSize(size));
  } catch (error) {
    space.cutDue = layout.CUT_DUE;
    throw error;
  } finally {
    space.noteChange();
  }
}

/** What comes before the store's size grows: a cut that is not finished, and the rest of the last page. */
export async function prepareExtension(core: Core, space: AddressSpace, owner: WaitOwner): Promise<void> {
  await finishTruncate(core, space);
  const end = space.size;
  if (end % space.pageSize !== 0) await zeroTail(core, space, end, owner);
}

/** Guard of R10: what lies beyond the end in the last page is zeros before it becomes part of the file. */
async function zeroTail(core: Core, space: AddressSpace, end: number, { signal, scope }: WaitOwner): Promise<void> {
  const owner = { signal, scope, ignoresLoadErrors: true };
  const index = space.pageOf(end);
  for (;;) {
    const frame = core.table.find(space.id, index);
    if (frame < 0) return;
    if ((await core.locks.acquire(frame, space.id, index, layout.MODE_EXCLUSIVE, owner)) !== layout.OK) continue;
    await closeViews(core, [{ frame, index }]);
    core.frames.slice(frame, end - index * space.pageSize, space.pageSize).fill(0);
    core.locks.unlockExclusive(frame);
    return;
  }
}

/** A truncate whose last step, in the store, had failed: done before anything is built on its result. */
export async function finishTruncate(core: Core, space: AddressSpace): Promise<void> {
  if (space.cutDue !== layout.CUT_DUE) return;
  await withInvalidateLock(core, space, {}, () => cutStore(space));
}

/**
 * The store's part of a cut: to the size of the file. One call at a time, and only while it is still to be done: a second one
 * that came late would cut what has grown again since. The caller holds the invalidate lock, which sees to that.
 */
export async function cutStore(space: AddressSpace): Promise<void> {
  if (space.cutDue !== layout.CUT_DUE) return;
  try {
    await askStore(space.store, "truncation", () => space.store.truncate(space.size));
    space.cutDue = layout.CUT_DUE_NO;
  } finally {
    space.noteChange();
  }
}
