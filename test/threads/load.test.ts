/**
 * A thread that is terminated while koffi's binary sets itself up in it would take the whole process along: nobody terminates then.
 * Without the guard in base/load-guard.ts the first test here ends the process of the tests.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { thisThread } from "../../src/base/thread-identity.js";
import { limits } from "../../src/base/limits.js";
import { PageCache } from "../../src/index.js";
import { loadLibc } from "../../src/stores/file/libc.js";
import { Random } from "../sync/random-calls.js";
import type { LoadData } from "./load-worker.js";

const page = 4096;
const skip = loadLibc() === null && "koffi does not load";
/** From the beginning of the write to its end. */
const loadMs = 8;

async function scene(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), "pinfold-load-"));
  const path = join(folder, "file");
  writeFileSync(path, "");
  truncateSync(path, 1024 * page);
  const cache = await PageCache.open({ memory: "1MiB" });
  const file = await cache.open(path);
  t.after(async () => {
    await file.close();
    await cache.close();
    rmSync(folder, { recursive: true });
  });
  const start = (at: number) => {
    const state = new SharedArrayBuffer(4);
    const workerData: LoadData = { share: cache.share(), path, position: at * page, state };
    const worker = new Worker(new URL("./load-worker.js", import.meta.url), { workerData });
    const failed: Error[] = [];
    worker.on("error", (error: Error) => failed.push(error));
    const reaches = async (wanted: number) => {
      while (Atomics.load(new Int32Array(state), 0) < wanted) {
        assert.deepEqual(failed, []);
        await nextTurn();
      }
    };
    return { worker, state: new Int32Array(state), reaches };
  };
  return { cache, start };
}

test("threads are terminated while they load what a write needs", { skip }, async (t) => {
  const { cache, start } = await scene(t);
  const random = new Random(Number(process.env["PINFOLD_SEED"] ?? Date.now() % 2 ** 31));
  for (let at = 0; at < 40; at++) {
    const { worker, reaches } = start(at);
    await reaches(1);
    const untilMs = performance.now() + (random.below(1_000) / 1_000) * loadMs;
    while (performance.now() < untilMs) await nextTurn();
    await worker.terminate();
    cache.verify();
  }
});

test("a thread that loads waits for one that terminates, and the other way round", { skip }, async (t) => {
  const { cache, start } = await scene(t);
  const word = cache.core.frames.loadingWord();
  const { worker, state, reaches } = start(0);
  // Somebody alive has the word: this very thread, which terminates nobody meanwhile.
  Atomics.store(word, 0, thisThread().id);
  await reaches(1);
  for (const untilMs = performance.now() + 50; performance.now() < untilMs; ) await nextTurn();
  assert.equal(state[0], 1, "it waits");
  Atomics.store(word, 0, 0);
  Atomics.notify(word, 0);
  await reaches(2);
  assert.equal(Atomics.load(word, 0), 0, "it was given back");

  // A thread that is no more had it: whoever comes next takes it.
  Atomics.store(word, 0, 2 ** 30);
  await worker.terminate();
  assert.equal(Atomics.load(word, 0), 0);
});

test("a word that somebody alive keeps for too long is taken from him", { skip }, async (t) => {
  const { cache, start } = await scene(t);
  const word = cache.core.frames.loadingWord();
  const sinceMs = performance.now();
  Atomics.store(word, 0, thisThread().id);
  const { worker, reaches } = start(0);
  await reaches(2);
  assert.ok(performance.now() - sinceMs >= limits.loadWaitMs, "not before its time");
  assert.equal(Atomics.load(word, 0), 0, "it was given back");
  await worker.terminate();
});
