/**
 * Reads without a lock while other threads write, cut and extend the file, and the cache is too small for it: nothing that is
 * accepted is half of an update, or another page's.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import type { CachedFile } from "../../src/index.js";
import { openCache, pageSize, scratchFolder } from "../api/fixture.js";
import type { OptimisticInput, OptimisticReport } from "./optimistic-worker.js";

const pages = 192;
const frames = 128;
const runMs = 3_000;

class Hand {
  readonly report: Promise<OptimisticReport>;
  readonly ready: Promise<void>;

  constructor(t: TestContext, input: OptimisticInput) {
    const worker = new Worker(new URL("./optimistic-worker.js", import.meta.url), { workerData: input });
    t.after(() => worker.terminate());
    const failed = new Promise<never>((_, reject) => {
      worker.once("error", reject);
    });
    failed.catch(() => {});
    this.ready = Promise.race([failed, new Promise<void>((resolve) => worker.once("message", () => resolve()))]);
    const reported = new Promise<OptimisticReport>((resolve) => {
      worker.on("message", (message: OptimisticReport | "ready") => {
        if (message !== "ready") resolve(message);
      });
    });
    const ended = new Promise<void>((resolve) => worker.once("exit", () => resolve()));
    this.report = Promise.race([failed, reported.then(async (report) => ended.then(() => report))]);
    this.report.catch(() => {});
  }
}

/** Cuts the file and brings it back to its size, over and over. How often. */
async function cutAndExtend(file: CachedFile, until: () => boolean): Promise<number> {
  let cuts = 0;
  while (!until()) {
    try {
      await file.truncate(Math.floor(Math.random() * pages) * pageSize);
      cuts++;
    } catch (error) {
      // A counted write pin in the range.
      assert.equal((error as { code?: string }).code, "EBUSY");
    }
    await file.truncate(pages * pageSize);
    await sleep(5);
  }
  return cuts;
}

async function run(t: TestContext, roles: readonly OptimisticInput["role"][]): Promise<OptimisticReport[]> {
  const cache = await openCache(t, { memory: frames * pageSize });
  const path = join(scratchFolder(t), "data.bin");
  const file = await cache.open(path, { create: true, size: pages * pageSize });
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const hands = roles.map((role) => new Hand(t, { share: cache.share(), path, role, pages, stop }));
  await Promise.all(hands.map(async ({ ready }) => ready));
  const untilMs = performance.now() + runMs;
  const cuts = await cutAndExtend(file, () => performance.now() > untilMs);
  Atomics.store(stop, 0, 1);
  const reports = await Promise.all(hands.map(async ({ report }) => report));
  for (const { role, done, again, busy, past } of reports)
    t.diagnostic(`${role}: ${done} done, ${again} again, ${busy} not to be had, ${past} past the end`);
  const { evictions } = cache.stats();
  t.diagnostic(`${cuts} cuts, ${evictions} evictions`);
  assert.ok(cuts > 0 && evictions > 0, "pages leave all the time");
  cache.verify({ quiesce: true });
  return reports;
}

function checkReaders(reports: readonly OptimisticReport[]): void {
  for (const { role, done, again, wrong } of reports) {
    assert.ok(done > 100, `${role}: ${done} times`);
    assert.deepEqual(wrong, [], role);
    if (role.startsWith("read")) assert.ok(again > 0, `${role}: nothing was read in vain, so nothing was tried`);
  }
}

test("begin and validate accept no page that is torn or another's", { timeout: 60_000 }, async (t) => {
  checkReaders(await run(t, ["read raw", "read raw", "write"]));
});

test("nor while counted pins come and go", { timeout: 60_000 }, async (t) => {
  checkReaders(await run(t, ["read raw", "write counted", "read raw"]));
});

test("readOptimistic answers for whole pages alone, and passes no error of half an update on", {
  timeout: 60_000,
}, async (t) => {
  const reports = await run(t, ["read", "read", "write"]);
  checkReaders(reports);
  for (const { role, busy } of reports) if (role === "read") assert.equal(busy, 0, "it waits for who writes");
});
