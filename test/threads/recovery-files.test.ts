/** Cuts, punches, extensions, opens and closes whose thread dies, stores that end with it, and the thread that made the cache. */
import assert from "node:assert/strict";
import { closeSync, fstatSync, openSync, readFileSync, readdirSync, statSync } from "node:fs";
import { type TestContext, test } from "node:test";
import { Worker } from "node:worker_threads";
import { CachedFile, PageCache } from "../../src/index.js";
import type { MakerReached } from "./mortal-maker.js";
import type { ActName } from "./mortal-worker.js";
import { type Scene, byteAt, filePages, open, page, recoveryMs, start, until, verifyQuiet } from "./mortals.js";

async function die(scene: Scene, act: ActName): Promise<void> {
  const mortal = await start(scene, act);
  assert.ok((await mortal.kill()) < recoveryMs);
}

test("a cut that had removed nothing is undone", async (t) => {
  const scene = await open(t);
  const { file } = scene;
  const own = await file.getUserPages(10 * page, page, { write: true });
  const mortal = await start(scene, "cutUndoable");
  assert.equal(file.size, page);
  await mortal.kill();
  assert.equal(file.size, filePages * page);
  own.put();
  assert.equal(await byteAt(file, 200 * page), 200);
  await verifyQuiet(scene);
});

for (const act of ["cutRemoving", "cutStore", "cutDone"] as const) {
  test(`a cut that had removed pages is finished: ${act}`, async (t) => {
    const scene = await open(t);
    const { file, path } = scene;
    await die(scene, act);
    await verifyQuiet(scene);
    assert.equal(file.size, page + 100);
    assert.equal(statSync(path).size, page + 100);
    assert.equal(await byteAt(file, page + 99), 1);
    await file.truncate(8 * page);
    assert.deepEqual([await byteAt(file, page + 100), await byteAt(file, 3 * page)], [0, 0]);
    await verifyQuiet(scene);
  });
}

test("a cut is finished though somebody has pinned what is before it, in the page that it goes through", async (t) => {
  const scene = await open(t);
  const mortal = await start(scene, "cutStore");
  const counted = scene.file.getUserPages(page, 100, { longterm: true });
  await mortal.kill();
  const pages = await counted;
  await until(() => scene.cache.core.recovery.unfinished === 0, "the cut is finished");
  assert.equal(statSync(scene.path).size, page + 100);
  pages.put();
  await verifyQuiet(scene);
});

test("a cut is finished though another thread has just got a long-term pin of what is before it", async (t) => {
  const scene = await open(t);
  const mortal = await start(scene, "cutStore");
  const pinner = await start(scene, "countedHead");
  await mortal.kill();
  await until(() => scene.cache.core.recovery.unfinished === 0, "the cut is finished");
  assert.equal(statSync(scene.path).size, page + 100);
  await until(() => scene.cache.pins().some((pin) => pin.protocol === "counted"), "the pin is there");
  await pinner.kill();
  await verifyQuiet(scene);
});

test("a punch that had not begun leaves everything as it was", async (t) => {
  const scene = await open(t);
  const own = await scene.file.getUserPages(5 * page, page, { write: true });
  await die(scene, "punchWaiting");
  own.put();
  for (let at = 0; at < 10; at++) assert.equal(await byteAt(scene.file, at * page), at);
  await verifyQuiet(scene);
});

for (const act of ["punchStore", "punchRemoving"] as const) {
  test(`a punch that had begun is done before anybody else gets at its pages: ${act}`, async (t) => {
    const scene = await open(t);
    const { file, path } = scene;
    const mortal = await start(scene, act);
    // One page that the punch still has, one that it may have removed already: both writes come after it, and stay.
    const writes = [2, 8].map((at) => file.write(new Uint8Array(10).fill(99), 0, 10, at * page));
    await mortal.kill();
    await Promise.all(writes);
    await verifyQuiet(scene);
    await file.sync();
    const stored = readFileSync(path);
    for (const at of [1, 3, 4, 5, 6, 7]) assert.equal(stored[at * page + 50], 0, `page ${at} is in the hole`);
    for (const at of [2, 8]) assert.deepEqual([stored[at * page], stored[at * page + 50]], [99, 0]);
    assert.deepEqual([stored[page - 1], stored[9 * page + 99], stored[9 * page + 100]], [0, 0, 9]);
    await verifyQuiet(scene);
  });
}

test("a punch that cannot be finished is none: its pages can be used", async (t) => {
  const scene = await open(t);
  const { file } = scene;
  const mortal = await start(scene, "punchRemoving");
  const { store } = CachedFile.spaceOf(file, scene.cache.core);
  const punch = store.punch.bind(store);
  store.punch = async () => {
    throw new Error("the storage fails");
  };
  await mortal.kill();
  await verifyQuiet(scene);
  store.punch = punch;
  for (let at = 0; at < 10; at++) await file.write(new Uint8Array(1), 0, 1, at * page);
  await file.sync();
  await verifyQuiet(scene);
});

for (const act of ["extend", "extendByWrite"] as const) {
  test(`the store is cut to the file again after an extension that was not finished: ${act}`, async (t) => {
    const scene = await open(t);
    const { file, path } = scene;
    await die(scene, act);
    assert.equal(file.size, filePages * page);
    await file.truncate(filePages * page);
    assert.equal(statSync(path).size, filePages * page);
    await file.truncate((filePages + 8) * page);
    assert.equal(await byteAt(file, filePages * page + 200), 0);
    await verifyQuiet(scene);
  });
}

function openDescriptors(): number {
  return readdirSync("/proc/self/fd").length;
}

/** Opens files so that numbers which have just come free are theirs. */
function decoys(t: TestContext, path: string): number[] {
  const fds = Array.from({ length: 8 }, () => openSync(path, "r"));
  t.after(() => fds.forEach((fd) => closeSync(fd)));
  return fds;
}

test("a file that was just being opened can be opened, and its descriptor is closed", async (t) => {
  const scene = await open(t);
  const before = openDescriptors();
  await die(scene, "open");
  assert.equal(openDescriptors(), before);
  const other = await scene.cache.open(`${scene.path}.other`);
  await other.close();
  await verifyQuiet(scene);
});

for (const act of ["soleOpener", "closeSync", "closeStore", "closeMarked", "closeHalf", "closeClosed"] as const) {
  test(`a file that only the dead thread had open is synced and closed, once: ${act}`, async (t) => {
    const scene = await open(t);
    const before = openDescriptors();
    const mortal = await start(scene, act);
    await mortal.worker.terminate();
    const fds = decoys(t, scene.path);
    await mortal.kill();
    await verifyQuiet(scene);
    for (const fd of fds) assert.equal(fstatSync(fd).ino, statSync(scene.path).ino, "the decoy is open");
    assert.equal(openDescriptors(), before + fds.length);
    assert.equal(readFileSync(`${scene.path}.other`)[0], 9);
    const other = await scene.cache.open(`${scene.path}.other`);
    await other.close();
  });
}

test("who has the file open besides the dead thread goes on with it", async (t) => {
  const scene = await open(t);
  const mortal = await start(scene, "soleOpener");
  const other = await scene.cache.open(`${scene.path}.other`);
  await mortal.kill();
  await until(() => scene.cache.core.recovery.unfinished === 0, "the dead one's opener is gone");
  assert.equal(await byteAt(other, 0), 9);
  await other.write(new Uint8Array(1).fill(5), 0, 1, page);
  await other.close();
  assert.equal(readFileSync(`${scene.path}.other`)[page], 5);
  await verifyQuiet(scene);
});

test("a store that ended with its thread: EIO for who uses it, ERR_PINFOLD_DATA_LOST for its dirty pages", async (t) => {
  const scene = await open(t);
  const mortal = await start(scene, "ownStore");
  const other = await scene.cache.open({ key: "mortal" });
  const second = await scene.cache.open({ key: "mortal" });
  assert.equal(await byteAt(other, 0), 7);
  await mortal.kill();
  await until(() => scene.cache.core.recovery.unfinished === 0, "the dead one's opener is gone");
  await assert.rejects(byteAt(other, page), { code: "EIO" });
  await assert.rejects(other.sync(), { code: "EIO" });
  await assert.rejects(scene.cache.open({ key: "mortal" }), { code: "EIO" });
  await assert.rejects(other.close(), { code: "ERR_PINFOLD_DATA_LOST" });
  await other.close({ discard: true });
  await second.close({ discard: true });
  await verifyQuiet(scene);
});

test("a call that a store's thread has not answered when it dies is EIO", async (t) => {
  const scene = await open(t);
  const mortal = await start(scene, "ownStoreBusy");
  const other = await scene.cache.open({ key: "mortal" });
  const calls = [byteAt(other, 0), other.truncate(8 * page), other.punchHole(0, page)];
  const outcomes = Promise.allSettled(calls);
  await new Promise((resolve) => setTimeout(resolve, 50));
  await mortal.kill();
  const [read] = await outcomes;
  assert.equal(read?.status === "rejected" && (read.reason as { code: string }).code, "EIO");
  await other.close({ discard: true });
  await verifyQuiet(scene);
});

test("the clean pages of a store that has ended make room for others", async (t) => {
  const scene = await open(t);
  const mortal = await start(scene, "ownStore");
  const other = await scene.cache.open({ key: "mortal" });
  await other.read(new Uint8Array(16 * page), 0, 16 * page, 0);
  await mortal.kill();
  for (let at = 0; at < filePages; at++) await byteAt(scene.file, at * page);
  const left = scene.cache.stats().files.find(({ name }) => name === other.name);
  assert.equal(left?.residentPages, 1, "only the dirty one is left");
  await other.close({ discard: true });
  await verifyQuiet(scene);
});

test("the thread that made the cache, and opened its files first, ends: the others go on", async (t) => {
  const { path } = await open(t);
  const worker = new Worker(new URL("./mortal-maker.js", import.meta.url), { workerData: { path: `${path}.made` } });
  const { share, slot } = await new Promise<MakerReached>((resolve) => worker.once("message", resolve));
  const cache = PageCache.attach(share);
  const file = await cache.open(`${path}.made`);
  await file.write(new Uint8Array(page).fill(3), 0, page, page);
  await worker.terminate();
  await until(() => !cache.core.frames.threads.isClaimed(slot), "it is cleaned up after");
  await until(() => cache.core.recovery.unfinished === 0, "its file is this thread's alone");
  await file.write(new Uint8Array(page).fill(4), 0, page, 2 * page);
  await file.sync();
  cache.verify({ quiesce: true });
  assert.ok(cache.core.holdsFlusher(), "somebody does background write-back");
  await file.close();
  const stored = readFileSync(`${path}.made`);
  assert.deepEqual([stored[0], stored[page], stored[2 * page]], [2, 3, 4]);
  await cache.close();
});
