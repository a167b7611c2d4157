/**
 * Keeps writers from running ahead of the storage: a bounded delay at the dirty limit, before the first page lock (R28). Pages that
 * write pins hold do not count: nobody could write them out.
 *
 * A file whose storage fails keeps its pages. At the limit its writers are refused, with what the storage failed with, after the same delay;
 * writers of other files are not held up by its pages. So memory stays bounded: by the limit for the files that fail, and as much for the others.
 */
import { PinfoldError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { AddressSpace } from "../cache/space.js";
import * as layout from "../sync/layout.js";
import type { Core } from "./core.js";
import { waitForPool } from "./frame-supply.js";
import { makeRoom } from "./room.js";

/** Above the limit: how many dirty, in-flight and unstable pages there may be. */
function isOverLimit(core: Core, space: AddressSpace): boolean {
  const most = core.options.dirtyBytesMax / core.frames.pageSize;
  const pages = core.flusher.heldPages;
  if (pages <= most) return false;
  const others = space.failingWith === undefined ? failingPages(core) : 0;
  return pages - writePinnedPages(core) - others > most;
}

/** Pages that stay dirty whatever is written: under counted write pins, in transit too, or locked ones, of all threads. */
function writePinnedPages({ frames }: Core): number {
  let pages = frames.counter(layout.HEADER_WRITE_PINNED);
  for (let slot = 0; slot < layout.THREADS_MAX; slot++)
    pages += frames.shared.load(frames.threads.at(slot, layout.THREAD_WRITE_PAGES));
  return pages;
}

/** Pages that files keep whose storage fails. */
function failingPages(core: Core): number {
  let pages = 0;
  for (const space of core.openSpaces())
    if (space.failingWith !== undefined) pages += space.dirtyPages + space.writebackPages + space.unstablePages;
  return pages;
}

/** True where a writer of this file may go on at once. */
export function mayWriteNow(core: Core, space: AddressSpace): boolean {
  return !isOverLimit(core, space);
}

/**
 * Waits until there are fewer dirty pages, at most limits.throttleMs.
 * @throws PinfoldError what the file's storage failed with, if it still fails then; the signal's reason
 */
export async function throttle(core: Core, space: AddressSpace, signal: AbortSignal | undefined): Promise<void> {
  if (!isOverLimit(core, space)) return;
  const untilMs = core.clock.nowMs() + limits.throttleMs;
  // Who came before has the earlier end, so that waiting for the turn keeps nobody longer.
  await core.writerTurns.take(signal, async () => {
    while (isOverLimit(core, space)) {
      void core.flusher.step(false);
      const leftMs = untilMs - core.clock.nowMs();
      if (leftMs <= 0) return refuseWhileFailing(space);
      await waitForPool(core, leftMs, () => !isOverLimit(core, space), signal);
    }
  });
}

/** As throttle, for callers that block: what is dirty is written here and now. @throws PinfoldError as throttle */
export function throttleBlocking(core: Core, space: AddressSpace): void {
  if (!isOverLimit(core, space)) return;
  makeRoom(core);
  if (isOverLimit(core, space)) refuseWhileFailing(space);
}

function refuseWhileFailing(space: AddressSpace): void {
  const code = space.failingWith;
  if (code === undefined) return;
  const { name } = space.store;
  throw new PinfoldError(
    code,
    `${name}: its storage fails, and ${space.dirtyPages} pages wait for it already: no more can be written before it works again`,
    { cause: space.lastError, operation: "write" },
  );
}
