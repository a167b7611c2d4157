/**
 * A thread leaves a cache: it waits for what it has under way itself, then gives its slot back.
 */
import { PinfoldError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import * as layout from "../sync/layout.js";
import type { Core } from "./core.js";
import { pause } from "./fault.js";
import { describeHolds } from "./holders.js";

/** Something that this thread began is not over: a wait, a store call, a load ahead of time, a run of write-back. */
function isBusy(core: Core): boolean {
  const { shared, threads, thread } = core.frames;
  return (
    core.locks.queues.waiting > 0 ||
    core.writer.runs > 0 ||
    core.prefetches > 0 ||
    core.flusher.isRunning ||
    core.calls.answering > 0 ||
    shared.load(threads.at(thread, layout.THREAD_STORE_CALLS)) > 0
  );
}

/**
 * Waits until this thread has nothing under way, then gives its slot back.
 * @throws PinfoldError EBUSY where its own calls go on for more than limits.detachWaitMs, and where it has pins
 */
export async function leaveCache(core: Core): Promise<void> {
  const untilMs = core.clock.nowMs() + limits.detachWaitMs;
  while (isBusy(core)) {
    if (core.clock.nowMs() > untilMs) throw new PinfoldError("EBUSY", "calls of this thread are still on their way");
    await pause(core, limits.closingPollMs);
  }
  // Pages that were adopted while the files were being closed: a ledger without its thread would be nobody's.
  if (core.pins.size > 0) throw new PinfoldError("EBUSY", `pages are pinned: ${describeHolds(core, [...core.pins])}`);
  core.calls.close();
  core.releaseFlusher();
  for (const space of core.spaces) if (space && !space.isRemote) space.store.detach?.();
  core.frames.threads.release(core.frames.thread);
}
