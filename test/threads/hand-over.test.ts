/**
 * One lock between two threads that both want it all the time: it changes hands 200,000 times (`PINFOLD_HANDOVERS` for more), by
 * blocking and by waiting tasks, and no wake-up is lost. A waiter that nobody wakes finds out by itself, so a lost one would hang
 * nothing; it is counted instead.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { Frames } from "../../src/frames/frames.js";
import * as layout from "../../src/sync/layout.js";
import { type HandOverData, type HandOverResult, cells } from "./hand-over-worker.js";

const handOvers = Number(process.env["PINFOLD_HANDOVERS"] ?? 200_000);
const memoryBytes = 64 * 4096;
/** Whoever lets go may lose the processor between the release and the wake-up, for so long that the waiter looks for itself. */
const rescuesMax = Math.max(10, handOvers / 10_000);

function contender(data: HandOverData): Promise<HandOverResult> {
  const worker = new Worker(new URL("./hand-over-worker.js", import.meta.url), { workerData: data });
  return new Promise((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
}

for (const blocking of [true, false]) {
  const name = blocking ? "two threads that block" : "tasks of two threads";
  test(`${name} hand a lock over ${handOvers / 2} times without a lost wake-up`, { timeout: 600_000 }, async (t) => {
    const frames = Frames.create(memoryBytes, 4096, true);
    const data = { share: frames.share(memoryBytes), handOvers: handOvers / 2, blocking };
    const results = await Promise.all([contender(data), contender(data)]);
    const shared = new Int32Array(frames.segments[0]?.buffer as SharedArrayBuffer);
    assert.ok((shared[cells.handOvers] as number) >= handOvers / 2);
    assert.equal(
      results.reduce((sum, { turns }) => sum + turns, 0),
      shared[cells.turns],
      "one had it at a time",
    );
    const rescues = results.reduce((sum, { rescues: own }) => sum + own, 0);
    t.diagnostic(`${shared[cells.turns]} turns, ${rescues} waiters looked before they were woken`);
    assert.ok(rescues <= rescuesMax, `${rescues} waiters were not woken`);
    assert.equal(frames.shared.load(layout.HEADER_NODES_USED), 0);
  });
}
