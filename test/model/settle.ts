/**
 * Waits until nothing of a cache is on its way any more: no write-back, load, grant, sync or wait.
 */
import { setImmediate } from "node:timers/promises";
import type { PageCache } from "../../src/index.js";

export async function settle(cache: PageCache): Promise<void> {
  for (let rounds = 0; rounds < 1_000_000; rounds++) {
    // What follows a store call's end takes no turn of the event loop of its own.
    await setImmediate();
    const { core } = cache;
    const isBusy = core.storeCalls > 0 || core.flusher.isRunning || core.locks.queues.waiting > 0;
    if (!isBusy && [...core.openSpaces()].every((space) => space.writebackPages === 0)) return;
  }
  throw new Error("the cache does not come to rest");
}
