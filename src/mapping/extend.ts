/**
 * Extending a file (rule 11): the bytes of a partial last page beyond the old end become zeros under that page's lock, then
 * the store's size grows, then the new size is published. The new bytes read as zeros.
 */
import type { AddressSpace } from "../cache/space.js";
import { askStore } from "../io/transfer.js";
import * as layout from "../sync/layout.js";
import type { Core } from "./core.js";

/**
 * Extends to `size` bytes, if that is more than there are. The caller holds the resize mutex.
 * @throws PinfoldError what the store says (nothing has changed then); the signal's reason
 */
export async function extendUnderLock(core: Core, space: AddressSpace, size: number, signal: AbortSignal | undefined): Promise<void> {
  await finishTruncate(space);
  const old = space.size;
  if (size <= old) {
    // A write that begins at the end still leaves no stale byte behind it in the last page.
    if (old % space.pageSize !== 0) await zeroTail(core, space, old, signal);
    return;
  }
  if (old % space.pageSize !== 0) await zeroTail(core, space, old, signal);
  await askStore(space.store, "extension", () => space.store.setSize(size));
  space.changes += 1;
  space.publishSize(size);
}

/** Guard of R10: what lies beyond the end in the last page is zeros before it becomes part of the file. */
async function zeroTail(core: Core, space: AddressSpace, end: number, signal: AbortSignal | undefined): Promise<void> {
  const index = space.pageOf(end);
  for (;;) {
    const frame = core.table.find(space.id, index);
    if (frame < 0) return;
    if ((await core.locks.acquire(frame, space.id, index, layout.MODE_EXCLUSIVE, { signal })) !== layout.OK) continue;
    core.frames.slice(frame, end - index * space.pageSize, space.pageSize).fill(0);
    core.locks.unlockExclusive(frame);
    return;
  }
}

/** A truncate whose last step, in the store, had failed: done before anything is built on its result. */
export async function finishTruncate(space: AddressSpace): Promise<void> {
  const pending = space.pendingTruncate;
  if (pending === undefined) return;
  await askStore(space.store, "truncation", () => space.store.truncate(pending));
  space.changes += 1;
  space.pendingTruncate = undefined;
}
