/**
 * F15, F16, F18 one by one: a storage that loses power at a known point, many times with different luck. What a sync covered is there each
 * time; of what came after it every sector is old or new, and over all the cuts both are seen.
 */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { type CachedFile, MemoryStore, PageCache } from "../../src/index.js";
import { ScriptedStore, SeededRandom, VolatileStore } from "../../src/testing/index.js";
import { filled, page, turns, watch, writeAt } from "../mapping/fixture.js";

const sector = 512;
const cuts = 40;
const oldValue = 3;
const newValue = 8;

interface Scene {
  readonly file: CachedFile;
  readonly cache: PageCache;
  readonly store: ScriptedStore;
}

/** What is left after `life`, at whose end the power goes, with the luck of `seed`. */
async function leftAfter(t: TestContext, seed: number, life: (scene: Scene) => Promise<void>): Promise<Uint8Array> {
  const memory = new MemoryStore({ sizeBytes: 8 * page, strict: false });
  const volatile = new VolatileStore(memory, { sectorBytes: sector });
  const store = new ScriptedStore(volatile);
  const cache = await PageCache.open({ memory: 64 * page, writebackIntervalMs: 86_400_000 });
  t.after(() => cache.close({ discard: true }));
  const file = await cache.open(store);
  await life({ file, cache, store });
  const { sizeBytes } = await volatile.powerCut(new SeededRandom(seed));
  return memory.snapshot().slice(0, sizeBytes);
}

/** The value of each whole sector of a page. */
function sectorsOf(bytes: Uint8Array, index: number): number[] {
  return Array.from({ length: page / sector }, (_, at) => {
    const one = bytes.subarray(index * page + at * sector, index * page + (at + 1) * sector);
    assert.equal(new Set(one).size, 1, `sector ${at} of page ${index} is torn`);
    return one[0] as number;
  });
}

test("after a power cut before the sync each sector is old or new, and what an earlier sync covered is whole", async (t) => {
  const seen = new Set<string>();
  for (let seed = 1; seed <= cuts; seed++) {
    const left = await leftAfter(t, seed, async ({ file, cache }) => {
      for (const index of [0, 1, 2]) await writeAt(file, index, oldValue);
      await file.sync();
      for (const index of [1, 2]) await writeAt(file, index, newValue);
      // On its way to the medium, and never made durable.
      await cache.core.writer.writeNow(cache.core.spaces[0] as never, [
        { frame: cache.core.table.find(0, 1), index: 1 },
        { frame: cache.core.table.find(0, 2), index: 2 },
      ]);
    });
    assert.deepEqual(new Set(sectorsOf(left, 0)), new Set([oldValue]));
    for (const index of [1, 2]) {
      const sectors = sectorsOf(left, index);
      assert.ok(sectors.every((value) => value === oldValue || value === newValue));
      seen.add(sectors.join());
    }
  }
  // Any of them without the others, and so in any order: few of 256 outcomes come twice.
  assert.ok(seen.size > cuts, `${seen.size} outcomes`);
});

test("after a power cut after the sync all of it is there, size included", async (t) => {
  for (let seed = 1; seed <= cuts; seed++) {
    const left = await leftAfter(t, seed, async ({ file }) => {
      await file.sync();
      await writeAt(file, 1, newValue);
      await file.write(filled(newValue), 0, page, 8 * page);
      await file.sync();
    });
    assert.equal(left.length, 9 * page);
    for (const index of [1, 8]) assert.deepEqual(new Set(sectorsOf(left, index)), new Set([newValue]));
  }
});

test("a size that was set, and nothing else, is there after a sync, a hole too", async (t) => {
  for (let seed = 1; seed <= cuts; seed++) {
    const longer = await leftAfter(t, seed, async ({ file }) => {
      await file.sync();
      await file.truncate(20 * page);
      await file.sync();
    });
    assert.equal(longer.length, 20 * page);
    const shorter = await leftAfter(t, seed, async ({ file }) => {
      await writeAt(file, 1, oldValue);
      await file.sync();
      await file.punchHole(page, page);
      await file.sync();
      await file.truncate(2 * page);
      await file.sync();
    });
    assert.equal(shorter.length, 2 * page);
    assert.deepEqual(new Set(sectorsOf(shorter, 1)), new Set([0]));
  }
});

test("a sync waits for writes that began before it, and its store sync begins after them", async (t) => {
  for (let seed = 1; seed <= cuts; seed++) {
    const left = await leftAfter(t, seed, async ({ file, cache, store }) => {
      await file.sync();
      await writeAt(file, 0, newValue);
      const held = store.hold("writePages");
      const written = cache.core.flusher.step(true);
      await held.entered;
      const before = store.count("sync");
      const synced = watch(file.sync());
      await turns();
      assert.ok(!synced.isDone, "a write is on its way");
      assert.equal(store.count("sync"), before, "and would be overtaken by the storage's sync");
      held.release();
      await Promise.all([written, synced.promise]);
    });
    assert.deepEqual(new Set(sectorsOf(left, 0)), new Set([newValue]));
  }
});
