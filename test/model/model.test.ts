/**
 * 200,000 random operations against a plain array: page sizes 4 KiB and 64 KiB, a memory and a file store, a cache far
 * smaller than the file. A failure prints the seed and the operation; `PINFOLD_SEED=<seed>` runs that one again.
 *
 * See also: array-model.ts (the operations), tasks.test.ts (several tasks at once).
 */
import { strictEqual } from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { MemoryStore, PageCache } from "../../src/index.js";
import { SeededRandom } from "../../src/testing/index.js";
import { ArrayModel, type Subject } from "./array-model.js";

const framesMin = 64;
const seedGiven = process.env.PINFOLD_SEED;
const never = 86_400_000;

async function openCache(t: TestContext, pageSize: number): Promise<PageCache> {
  const cache = await PageCache.open({ memory: framesMin * pageSize, pageSize, writebackIntervalMs: never });
  t.after(() => cache.close({ discard: true }));
  return cache;
}

async function memorySubject(t: TestContext, pageSize: number): Promise<Subject> {
  const cache = await openCache(t, pageSize);
  let store = new MemoryStore({ sizeBytes: 40 * pageSize });
  return {
    cache,
    pageSize,
    maxBytes: 160 * pageSize,
    canAllocate: true,
    file: await cache.open(store),
    async reopen() {
      store = store.reopen();
      return cache.open(store);
    },
    stored: () => store.snapshot(),
    usage: () => store.usage(),
  };
}

async function fileSubject(t: TestContext, pageSize: number): Promise<Subject> {
  const folder = mkdtempSync(join(tmpdir(), "pinfold-model-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, "data");
  const cache = await openCache(t, pageSize);
  return {
    cache,
    pageSize,
    maxBytes: 160 * pageSize,
    canAllocate: false,
    file: await cache.open(path, { create: true, size: 40 * pageSize }),
    reopen: () => cache.open(path),
    stored: () => readFile(path),
  };
}

async function run(t: TestContext, subject: Subject, steps: number): Promise<void> {
  const seed = seedGiven === undefined ? Math.floor(Math.random() * 2 ** 32) : Number(seedGiven);
  const model = new ArrayModel(subject, new SeededRandom(seed));
  let done = 0;
  try {
    for (; done < steps; done++) await model.step();
    model.said = "the end";
    await model.finish();
  } catch (error) {
    throw new Error(
      `operation ${done} (${model.said}) failed; run again with PINFOLD_SEED=${seed}: ${(error as Error).message}`,
      { cause: error },
    );
  }
  t.diagnostic(`seed ${seed}`);
  strictEqual(done, steps);
}

const kinds = [
  { name: "a memory store, pages of 4 KiB", pageSize: 4096, steps: 90_000, open: memorySubject },
  { name: "a memory store, pages of 64 KiB", pageSize: 65_536, steps: 30_000, open: memorySubject },
  { name: "a file, pages of 4 KiB", pageSize: 4096, steps: 60_000, open: fileSubject },
  { name: "a file, pages of 64 KiB", pageSize: 65_536, steps: 20_000, open: fileSubject },
];

for (const { name, pageSize, steps, open } of kinds) {
  test(`${steps} random operations on ${name} are those of an array`, async (t) => {
    await run(t, await open(t, pageSize), steps);
  });
}
