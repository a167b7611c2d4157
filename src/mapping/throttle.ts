/**
 * Keeps writers from running ahead of the storage: a bounded delay at the dirty limit, before the first page lock (R28),
 * never an error. Pages that write pins hold do not count: nobody could write them out.
 */
import { limits } from "../base/limits.js";
import * as layout from "../sync/layout.js";
import type { Core } from "./core.js";
import { waitForPool } from "./frame-supply.js";

/** Above the limit: how many dirty, in-flight and unstable pages there may be. */
function isOverLimit(core: Core): boolean {
  const most = core.options.dirtyBytesMax / core.frames.pageSize;
  const pages = core.flusher.heldPages;
  return pages > most && pages - writePinnedPages(core) > most;
}

/** Pages that stay dirty whatever is written: under counted write pins, in transit too, or locked ones, of all threads. */
function writePinnedPages({ frames }: Core): number {
  let pages = frames.counter(layout.HEADER_WRITE_PINNED);
  for (let slot = 0; slot < layout.THREADS_MAX; slot++)
    pages += frames.shared.load(frames.threads.at(slot, layout.THREAD_WRITE_PAGES));
  return pages;
}

/** True where a writer may go on at once. */
export function mayWriteNow(core: Core): boolean {
  return !isOverLimit(core);
}

/**
 * Waits until there are fewer dirty pages, at most limits.throttleMs.
 * @throws the signal's reason
 */
export async function throttle(core: Core, signal: AbortSignal | undefined): Promise<void> {
  if (!isOverLimit(core)) return;
  const untilMs = core.clock.nowMs() + limits.throttleMs;
  // Who came before has the earlier end, so that waiting for the turn keeps nobody longer.
  await core.writerTurns.take(signal, async () => {
    while (isOverLimit(core)) {
      void core.flusher.step(false);
      const leftMs = untilMs - core.clock.nowMs();
      if (leftMs <= 0) return;
      await waitForPool(core, leftMs, () => !isOverLimit(core), signal);
    }
  });
}
