/**
 * Write-back for callers that block their thread's event loop, on which the flusher runs: dirty pages are written and synced
 * here and now with the store's sync calls. What somebody holds, or has on its way already, is passed over.
 */
import type { AddressSpace } from "../cache/space.js";
import { collectDirty } from "../writeback/dirty-set.js";
import type { Core } from "./core.js";

/**
 * Writes what is dirty, of one file or of all; of all, it is synced too, so that its pages can leave.
 * Never throws: a page that could not be written stays dirty, and the next one who syncs is told.
 */
export function makeRoom(core: Core, only?: AddressSpace): void {
  for (const space of only ? [only] : core.openSpaces()) {
    if (space.readOnly || !space.store.capabilities.syncCalls) continue;
    core.writer.writeBlocking(
      space,
      collectDirty(core.frames, space, () => true),
    );
    if (!only) core.storeSync.syncBlocking(space);
  }
}
