/** What a dead thread held, waited for or was in the midst of: the others go on within a second, and nothing is left of it. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { CachedFile, PageCache } from "../../src/index.js";
import * as layout from "../../src/sync/layout.js";
import type { ActName } from "./mortal-worker.js";
import { type Scene, open, page, recoveryMs, start, verifyQuiet } from "./mortals.js";

/** Writes and syncs the pages that the dead thread had, and reads what was made durable. */
async function goOn({ file, path }: Scene): Promise<void> {
  for (let at = 0; at < 10; at++) {
    const pages = await file.getUserPages(at * page, page, { write: true });
    pages.bytes.fill(50 + at);
    pages.put();
  }
  await file.sync();
  const stored = readFileSync(path);
  for (let at = 0; at < 10; at++) assert.equal(stored[at * page + 17], 50 + at, `page ${at} is durable`);
}

const holds: readonly ActName[] = [
  ...(["idle", "writeLock", "readLock", "manyLocks", "scoped", "countedWrite", "countedRead", "transit"] as const),
  ...(["load", "overwriteAsked", "overwriteGranted", "reserved", "frozen", "writeback", "snapshot"] as const),
  ...(["storeSync", "storeSyncDone", "punchStore", "punchRemoving", "extend", "extendByWrite"] as const),
];

for (const act of holds) {
  test(`the others go on after a thread has died with: ${act}`, async (t) => {
    const scene = await open(t);
    const mortal = await start(scene, act);
    const tookMs = await mortal.kill();
    t.diagnostic(`${act}: ${Math.round(tookMs)} ms, ${JSON.stringify(scene.recovered[0]?.found)}`);
    assert.ok(tookMs < recoveryMs);
    assert.equal(scene.recovered.length, 1);
    assert.equal(scene.recovered[0]?.thread, mortal.slot);
    await scene.cache.core.recovery.settled();
    await verifyQuiet(scene);
    await goOn(scene);
    await verifyQuiet(scene);
  });
}

test("who takes a page next whose writer died is told so; its bytes are kept", async (t) => {
  for (const act of ["writeLock", "countedWrite", "transit"] as const) {
    const scene = await open(t);
    const { file } = scene;
    const mortal = await start(scene, act);
    await mortal.kill();
    assert.equal(scene.cache.stats().dirtyPages, act === "transit" ? 2 : 1, "what was pinned for writing stays dirty");
    const reader = await file.getUserPages(0, page);
    assert.ok(reader.ownerDied);
    if (act !== "transit") assert.equal(reader.bytes[0], 7);
    reader.put();
    await file.sync();
    const writer = await file.getUserPages(0, page, { write: true });
    assert.ok(writer.ownerDied);
    writer.put();
    await verifyQuiet(scene);
  }
});

test("a sync covers pages that a thread was writing, or making durable, when it died", async (t) => {
  for (const act of ["writeback", "storeSync"] as const) {
    const scene = await open(t);
    const mortal = await start(scene, act);
    const synced = scene.file.sync();
    await mortal.kill();
    await synced;
    const [failed, healed] = scene.cache.core.directory.cellsOf(0);
    assert.deepEqual(
      [failed, healed],
      act === "storeSync" ? [1, 1] : [0, 0],
      "the store knows of a sync that came to nothing",
    );
    assert.equal(readFileSync(scene.path)[0], 7);
    assert.equal(scene.cache.stats().dirtyPages + scene.cache.stats().unstablePages, 0);
    await verifyQuiet(scene);
  }
});

test("a sync that was looking for dirty pages while a dead thread's write-back ended looks again", async (t) => {
  const scene = await open(t);
  const { core } = scene.cache;
  const mortal = await start(scene, "writeback");
  core.recovery.look = () => {};
  await mortal.worker.terminate();
  const space = CachedFile.spaceOf(scene.file, core);
  const walk = () => core.locks.acquire(space.walkLock, space.id, layout.LOCK_WALK, layout.MODE_EXCLUSIVE, {});
  await walk();
  // It goes through the dirty pages, then through those on their way; this test comes in between.
  const synced = scene.file.sync();
  const between = walk();
  core.locks.unlockExclusive(space.walkLock);
  await between;
  core.recovery.cleanUp(mortal.slot);
  core.locks.unlockExclusive(space.walkLock);
  await synced;
  for (let at = 0; at < 4; at++) assert.equal(readFileSync(scene.path)[at * page], 7);
  Reflect.deleteProperty(core.recovery, "look");
  await core.recovery.settled();
  await verifyQuiet(scene);
});

test('under "kernel" durability a sync that died counts as lost data', async (t) => {
  const scene = await open(t, { durability: "kernel" });
  const mortal = await start(scene, "storeSync");
  await mortal.kill();
  await assert.rejects(scene.file.sync(), { code: "ERR_PINFOLD_DATA_LOST" });
});

test("a thread that blocks for what a dead one holds goes on, and nobody else has to run", async (t) => {
  for (const act of ["writeLock", "writeback", "load"] as const) {
    const scene = await open(t);
    const mortal = await start(scene, act);
    const gone = mortal.worker.terminate();
    const startedMs = performance.now();
    const pages = scene.file.getUserPagesSync(0, page, { write: true });
    assert.ok(performance.now() - startedMs < recoveryMs);
    pages.put();
    await gone;
    await scene.cache.core.recovery.settled();
    await verifyQuiet(scene);
  }
});

test("a cut or punch that needs an event loop is left to a thread that has one; if there is none, the call is EDEADLK", async (t) => {
  const scene = await open(t);
  const mortal = await start(scene, "punchStore");
  const gone = mortal.worker.terminate();
  const startedMs = performance.now();
  assert.throws(() => scene.file.getUserPagesSync(2 * page, page, { write: true }), { code: "EDEADLK" });
  assert.ok(performance.now() - startedMs < recoveryMs);
  await gone;
  await verifyQuiet(scene);
  const other = await start(scene, "punchStore");
  const third = await start(scene, "idle");
  const gone2 = other.worker.terminate();
  scene.file.getUserPagesSync(2 * page, page, { write: true }).put();
  await gone2;
  await third.kill();
  await verifyQuiet(scene);
});

test("closing the cache at once after a thread's end syncs and closes what that one had", async (t) => {
  const scene = await open(t);
  const second = await PageCache.open({ memory: 64 * page });
  const file = await second.open(`${scene.path}.second`, { create: true, size: 256 * page });
  const mortal = await start({ ...scene, cache: second, path: `${scene.path}.second` }, "writeLock");
  await mortal.worker.terminate();
  await file.close();
  await second.close();
  assert.equal(readFileSync(`${scene.path}.second`)[0], 7);
  const again = await scene.cache.open(`${scene.path}.second`);
  await again.close();
});

test("a thread that waits for a lock, and dies, is no longer in the queue", async (t) => {
  for (const act of ["waiting", "granted", "blocked"] as const) {
    const scene = await open(t);
    const own = await scene.file.getUserPages(0, page, { write: true });
    const mortal = await start(scene, act);
    if (act === "granted") own.put();
    const behind = scene.file.getUserPages(0, page);
    if (act === "blocked") await new Promise((resolve) => setTimeout(resolve, 50));
    assert.ok((await mortal.kill()) < recoveryMs);
    if (act !== "granted") own.put();
    (await behind).put();
    await verifyQuiet(scene);
  }
});
