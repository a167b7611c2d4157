/**
 * Several threads do all that can be done with one small cache, at once, and look at every byte.
 *
 * PINFOLD_SOAK_S: how long the tests of this file run together (default 30); PINFOLD_SEED: the same choices again.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Torture, type TortureOptions } from "./torture-run.js";

const soakS = Number(process.env["PINFOLD_SOAK_S"] ?? 30);

const small = {
  pageSize: 4096,
  cellBytes: 1024,
  stablePages: 320,
  punchedPages: 96,
  cutPages: 96,
  sidePages: 4,
};

/** The others go on within a second; on a machine that is busy with other things it may look like more. */
const resumedMsMax = 3_000;

const restless = { writebackIntervalMs: 20, dirtyExpireMs: 200, preTouch: false };

async function torture(t: Parameters<Torture["run"]>[0], options: TortureOptions): Promise<Torture> {
  const run = new Torture(options);
  await run.run(t);
  return run;
}

test("two threads, pages of 4 KiB: no byte is lost, torn, foreign or stale", async (t) => {
  const run = await torture(t, {
    geometry: { ...small, workers: 2, lanesPerWorker: 4 },
    cache: { memory: "1MiB", ...restless },
    forS: soakS * 0.35,
  });
  assert.deepEqual(run.undone, []);
});

test("eight threads, pages of 64 KiB: no byte is lost, torn, foreign or stale", async (t) => {
  const run = await torture(t, {
    geometry: {
      pageSize: 65_536,
      cellBytes: 4096,
      stablePages: 120,
      punchedPages: 40,
      cutPages: 40,
      sidePages: 2,
      workers: 8,
      lanesPerWorker: 2,
    },
    cache: { memory: "8MiB", pageSize: 65_536, ...restless },
    forS: soakS * 0.25,
  });
  assert.deepEqual(run.undone, []);
});

test("two threads on a store of a third: no byte is lost, torn, foreign or stale", async (t) => {
  const run = await torture(t, {
    geometry: { ...small, workers: 2, lanesPerWorker: 4 },
    cache: { memory: "1MiB", ...restless },
    forS: soakS * 0.15,
    memoryStore: true,
  });
  assert.deepEqual(run.undone, []);
});

test("workers are terminated at random: the others go on, and nothing but what the dead were writing is in doubt", async (t) => {
  const run = await torture(t, {
    geometry: { ...small, workers: 3, lanesPerWorker: 3 },
    cache: { memory: "1MiB", ...restless },
    forS: soakS * 0.25,
    killMs: [100, 400],
  });
  assert.deepEqual(run.undone, []);
  assert.ok(run.kills.length > soakS * 0.25, `${run.kills.length} kills`);
  assert.ok(run.resumedMs < resumedMsMax, `after a kill, nobody went on for ${Math.round(run.resumedMs)} ms`);
});
