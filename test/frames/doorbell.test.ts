/**
 * Waiting across threads: a worker that holds a lock grants it to a waiter of the main thread and rings its doorbell (rule 18).
 * The same file is the worker's program.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";
import { systemClock } from "../../src/base/clock.js";
import { Frames } from "../../src/frames/frames.js";
import { PageLocks } from "../../src/frames/locks.js";
import type { FramePlan } from "../../src/frames/plan.js";
import { Scopes } from "../../src/frames/scopes.js";
import * as layout from "../../src/sync/layout.js";
import { SharedIntegers } from "../../src/sync/shared.js";
import { loadWords } from "../../src/sync/words.js";

const workerThread = 1;
const handOvers = 200;

interface WorkerInput {
  memory: WebAssembly.Memory;
  plan: FramePlan;
  record: number;
}

/** Holds the lock until told, then gives it to who waits and rings. */
function runWorker({ memory, plan, record }: WorkerInput): void {
  const words = loadWords(memory);
  const shared = new SharedIntegers(memory);
  const { records, buckets, links, blocks, ghosts, ledger, transfers, transits } = plan;
  words.configure(plan.frames, records, buckets, links, blocks, ghosts, ledger, transfers, transits);
  const lock = () => {
    while (words.lockExclusive(record, 0, layout.LOCK_RESIZE, workerThread) !== layout.OK);
    parentPort?.postMessage("locked");
  };
  parentPort?.on("message", (message: string) => {
    if (message === "end") process.exit(0);
    if (message === "lock") return lock();
    const bits = words.unlockExclusive(record, workerThread, 0);
    if ((bits & layout.WAKE) === 0) return;
    const node = words.firstWaiter(record);
    while (words.grant(node, record) === layout.LOST);
    const thread = shared.load(layout.NODES + node * layout.NODE_BYTES + layout.NODE_THREAD);
    shared.ring(layout.THREADS + thread * layout.THREAD_BYTES + layout.THREAD_DOORBELL);
  });
  lock();
}

if (isMainThread) {
  test("a waiter gets the lock that another thread lets go of, every time", { timeout: 60_000 }, async () => {
    const frames = Frames.create(64 * 4096, 4096, false);
    const locks = new PageLocks(frames, systemClock, new Scopes(frames));
    const record = frames.lockRecord(0, layout.LOCK_RESIZE);
    const worker = new Worker(new URL(import.meta.url), {
      workerData: { memory: frames.wordsMemory, plan: frames.plan, record } satisfies WorkerInput,
    });
    const nextMessage = () => new Promise((resolve) => void worker.once("message", resolve));
    await nextMessage();
    for (let i = 0; i < handOvers; i++) {
      assert.equal(locks.tryExclusive(record, 0, layout.LOCK_RESIZE), layout.BUSY);
      const waiting = locks.acquire(record, 0, layout.LOCK_RESIZE, layout.MODE_EXCLUSIVE, {});
      worker.postMessage("release");
      assert.equal(await waiting, layout.OK);
      assert.equal((frames.words.lowWord(record) >>> layout.HOLDERS_SHIFT) & layout.HOLDERS_MASK, frames.thread);
      locks.unlockExclusive(record);
      worker.postMessage("lock");
      await nextMessage();
    }
    worker.postMessage("end");
    await new Promise((resolve) => void worker.once("exit", resolve));
    assert.equal(locks.queues.waiting, 0);
    assert.equal(frames.shared.load(layout.HEADER_NODES_USED), 0);
  });
} else {
  runWorker(workerData as WorkerInput);
}
