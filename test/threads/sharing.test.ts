/** Files and stores that several threads have open: one mapping, openers of each thread, who has the store, who writes back. */
import assert from "node:assert/strict";
import { readFileSync, readdirSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type CachedFile, MemoryStore, PageCache, type PageCacheOptions } from "../../src/index.js";
import { ScriptedStore } from "../../src/testing/index.js";
import { failsWith, openCache, pageSize, pattern, runProgram, scratchFolder, until } from "../api/fixture.js";
import { type Thread, startThreads } from "./sharing-threads.js";

interface Shared {
  cache: PageCache;
  file: CachedFile;
  path: string;
  threads: Thread[];
  one: Thread;
}

/** A file on disk that this thread has open, and threads that can open it. */
async function onDisk(t: TestContext, count = 1, options: PageCacheOptions = {}): Promise<Shared> {
  const path = join(scratchFolder(t), "data.bin");
  writeFileSync(path, pattern(8 * pageSize));
  const cache = await openCache(t, options);
  const file = await cache.open(path);
  const threads = await startThreads(t, cache, count);
  return { cache, file, path, threads, one: threads[0] as Thread };
}

/** A store of this thread's memory that another thread can have. */
async function inMemory(
  t: TestContext,
  options: { store?: ConstructorParameters<typeof MemoryStore>[0]; cache?: PageCacheOptions } = {},
): Promise<{
  cache: PageCache;
  file: CachedFile;
  store: ScriptedStore;
  memory: MemoryStore;
  one: Thread;
  key: string;
}> {
  const memory = new MemoryStore({ sizeBytes: 8 * pageSize, ...options.store });
  const store = new ScriptedStore(memory);
  const cache = await openCache(t, options.cache);
  const file = await cache.open(store);
  const [one] = await startThreads(t, cache, 1);
  return { cache, file, store, memory, one: one as Thread, key: store.key };
}

async function readText(file: CachedFile, length: number, position: number): Promise<string> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, position);
  return buffer.toString("latin1", 0, bytesRead);
}

/** Descriptors of this process that lead to a file. */
function descriptorsOf(path: string): number {
  return readdirSync("/proc/self/fd").filter((descriptor) => {
    try {
      return readlinkSync(`/proc/self/fd/${descriptor}`) === path;
    } catch {
      return false;
    }
  }).length;
}

function openersOf(cache: PageCache, slot = 0): number[] {
  const { directory } = cache.core;
  return Array.from({ length: 16 }, (_, thread) => directory.openersOf(slot, thread));
}

test("the same path opened in two threads is one mapping: the same bytes and one size, without a sync", async (t) => {
  const { cache, file, path, one } = await onDisk(t);
  assert.equal(await one.tell("open", "a", path), 8 * pageSize);
  assert.equal(cache.stats().files.length, 1);
  await one.tell("write", "a", "from there", 5000);
  assert.equal(await readText(file, 10, 5000), "from there");
  await file.write("from here", 6000);
  assert.equal(await one.tell("read", "a", 9, 6000), "from here");
  await file.truncate(5005);
  assert.equal(await one.tell("size", "a"), 5005);
  assert.equal(await one.tell("read", "a", 100, 5000), "from ");
  await one.tell("truncate", "a", 20_000);
  assert.equal(file.size, 20_000);
  await one.tell("closeFile", "a");
  cache.verify({ quiesce: true });
});

test("opens of one path in three threads at once meet: one mapping, an opener each", async (t) => {
  const { cache, file, path, threads } = await onDisk(t, 2);
  await file.close();
  for (let round = 0; round < 20; round++) {
    const [own] = await Promise.all([cache.open(path), ...threads.map((thread) => thread.tell("open", "a", path))]);
    assert.deepEqual(openersOf(cache).slice(0, 4), [1, 1, 1, 0]);
    assert.equal(cache.stats().files.length, 1);
    assert.equal(descriptorsOf(path), 1);
    await Promise.all([own.close(), ...threads.map((thread) => thread.tell("closeFile", "a"))]);
    assert.equal(cache.stats().files.length, 0);
    assert.equal(descriptorsOf(path), 0);
  }
});

test("an open in another thread with conflicting options is EINVAL, in a cache of its own EBUSY", async (t) => {
  const { cache, path, one } = await onDisk(t);
  await failsWith("EINVAL", () => one.tell("open", "a", path, { readOnly: true }));
  await failsWith("EINVAL", () => one.tell("open", "a", path, { exclusive: false }));
  await failsWith("EINVAL", () => one.tell("open", "a", path, { size: 17 }));
  await failsWith("EBUSY", () => one.tell("openElsewhere", path));
  const { stdout, stderr } = runProgram(`
    const cache = await pinfold.PageCache.open({ memory: "1MiB" });
    console.log(await cache.open(${JSON.stringify(path)}).then(() => "open", (error) => error.code));`);
  assert.equal(stdout.trim(), "EBUSY", stderr);
  assert.deepEqual(openersOf(cache).slice(0, 3), [1, 0, 0]);
});

test("openers are counted for each thread; closing in one leaves the other's", async (t) => {
  const { cache, file, path, one } = await onDisk(t);
  for (const name of ["a", "b"]) await one.tell("open", name, path);
  const again = await cache.open(path);
  assert.deepEqual(openersOf(cache).slice(0, 3), [2, 2, 0]);
  await one.tell("closeFile", "a");
  await failsWith("EBADF", () => one.tell("read", "a", 1, 0));
  await one.tell("write", "b", "b goes on", 0);
  await Promise.all([file.close(), again.close()]);
  assert.deepEqual(openersOf(cache).slice(0, 3), [0, 1, 0]);
  assert.equal(await one.tell("read", "b", 9, 0), "b goes on");
  await one.tell("closeFile", "b");
  assert.equal(cache.stats().files.length, 0);
});

test("the last close, in whichever thread, syncs, gives the descriptor back and unlocks", async (t) => {
  const { cache, file, path, one } = await onDisk(t);
  await one.tell("open", "a", path);
  await file.write("of the first opener", 0);
  await file.close();
  await one.tell("write", "a", "of the last one", 100);
  assert.equal(descriptorsOf(path), 1);
  await one.tell("closeFile", "a");
  assert.equal(descriptorsOf(path), 0);
  const bytes = readFileSync(path, "latin1");
  assert.deepEqual([bytes.slice(0, 19), bytes.slice(100, 115)], ["of the first opener", "of the last one"]);
  assert.equal(cache.stats().freeFrames, cache.stats().frames);
  const other = await openCache(t);
  await (await other.open(path)).close();
});

test("a thread's pin keeps its own close back, and no other thread's", async (t) => {
  const { cache, file, path, one } = await onDisk(t);
  await one.tell("open", "a", path);
  await one.tell("pin", "a", 0, 10, { write: true });
  await file.close();
  await failsWith("EBUSY", () => one.tell("closeFile", "a"));
  await failsWith("EBUSY", () => one.tell("closeCache"));
  await one.tell("put", "a");
  await one.tell("closeFile", "a");
  cache.verify({ quiesce: true });
});

test("the cache's own thread closes it, the others go on, and one of them writes back", async (t) => {
  const { cache, path, threads } = await onDisk(t, 2, { writebackIntervalMs: 20, dirtyExpireMs: 50 });
  const [one, other] = threads as [Thread, Thread];
  await one.tell("open", "a", path);
  await other.tell("open", "a", path);
  await cache.close();
  await one.tell("write", "a", "after the end", 3);
  assert.equal(await other.tell("read", "a", 13, 3), "after the end");
  await until(() => readFileSync(path, "latin1").slice(3, 16) === "after the end", "written without being asked");
  await one.tell("closeCache");
  await other.tell("write", "a", "very last", 3);
  await other.tell("closeCache");
  assert.equal(readFileSync(path, "latin1").slice(3, 16), "very last end");
  assert.equal(descriptorsOf(path), 0);
});

test("a thread closes the cache and attaches it again", async (t) => {
  const { cache, file, path, one } = await onDisk(t);
  for (let round = 0; round < 5; round++) {
    await one.tell("open", "a", path);
    await one.tell("write", "a", `round ${round}`, 0);
    await one.tell("closeCache");
    await failsWith("EBADF", () => one.tell("size", "a"));
    assert.equal(await readText(file, 7, 0), `round ${round}`);
    await one.tell("attach");
  }
  assert.equal([...cache.core.frames.threads.claimed()].length, 2);
});

test("one thread in all does background write-back, and the next one where that one leaves", async (t) => {
  const { cache, file, path, threads } = await onDisk(t, 3, { writebackIntervalMs: 10, dirtyExpireMs: 20 });
  const { flusher } = cache.core;
  const step = flusher.step.bind(flusher);
  let own = 0;
  flusher.step = (urgent, most) => {
    own += 1;
    return step(urgent, most);
  };
  const rounds = async () => [own, ...(await Promise.all(threads.map((thread) => thread.tell("rounds"))))];
  const before = await rounds();
  await sleep(150);
  const grown = (await rounds()).filter((count, at) => count > (before[at] as number));
  assert.equal(grown.length, 1, "one of four");
  await (threads[0] as Thread).tell("open", "a", path);
  await file.write("by whomever", 0);
  await until(() => readFileSync(path, "latin1").startsWith("by whomever"), "written");
  cache.core.releaseFlusher();
  for (let left = 3; left > 0; left--) {
    const holders = await Promise.all(threads.map((thread) => thread.tell("holdsFlusher")));
    assert.equal(holders.filter(Boolean).length + Number(cache.core.holdsFlusher()), 1);
  }
});

test("16 threads can have a cache, and each that leaves makes room for another", async (t) => {
  const cache = await openCache(t);
  const others = Array.from({ length: 15 }, () => PageCache.attach(cache.share()));
  await failsWith("ERR_PINFOLD_TOO_MANY", () => PageCache.attach(cache.share()));
  await others.pop()?.close();
  others.push(PageCache.attach(cache.share()));
  await failsWith("ERR_PINFOLD_TOO_MANY", () => PageCache.attach(cache.share()));
  for (const other of others) await other.close();
});

test("attach refuses what is no share of a cache with EINVAL, and takes no slot for it", async (t) => {
  const cache = await openCache(t);
  const share = cache.share();
  const words = new WebAssembly.Memory({ shared: true, initial: 16, maximum: 16 });
  for (const wrong of [
    undefined,
    null,
    5,
    "share",
    {},
    { kind: "pinfold" },
    { kind: "pinfold-cache" },
    { ...share, frames: undefined },
    { ...share, frames: { ...share.frames, words } },
    { ...share, frames: { ...share.frames, words: 7 } },
    { ...share, frames: { ...share.frames, segments: [] } },
    { ...share, frames: { ...share.frames, memoryBytes: 4096 } },
    { ...share, frames: { ...share.frames, pageSize: 8192 } },
    { ...share, options: undefined },
  ])
    await failsWith("EINVAL", () => PageCache.attach(wrong as never), JSON.stringify(wrong) ?? "undefined");
  assert.equal([...cache.core.frames.threads.claimed()].length, 1);
  await cache.close();
  await failsWith("EBADF", () => cache.share());
});

test("a hit never leaves its thread, and a miss on a file is read by the thread that wants it", async (t) => {
  const { cache, path, one } = await onDisk(t);
  await one.tell("open", "a", path);
  const before = (await one.tell("stats")).misses;
  const expected = pattern(8 * pageSize).toString("latin1", 2 * pageSize, 2 * pageSize + 50);
  assert.equal(await one.tellBlocking("readOften", "a", 50, 2 * pageSize, 100), expected);
  await one.tellBlocking("write", "a", "while the opener stands still", 6 * pageSize);
  await one.tellBlocking("sync", "a");
  assert.equal(readFileSync(path, "latin1").slice(6 * pageSize, 6 * pageSize + 29), "while the opener stands still");
  assert.equal(cache.stats().misses - before, 2);
});

test("hits on a store of another thread need nothing of that thread", async (t) => {
  const { one, key, store } = await inMemory(t, { store: { contents: pattern(4 * pageSize) } });
  await one.tell("open", "a", { key });
  const expected = pattern(4 * pageSize).toString("latin1", 100, 150);
  assert.equal(await one.tell("read", "a", 50, 100), expected);
  const calls = store.calls().length;
  assert.equal(await one.tellBlocking("readOften", "a", 50, 100, 500), expected);
  await one.tell("write", "a", "x", 100);
  const reads = store.count("readPages") + store.count("readPagesSync");
  await one.tellBlocking("write", "a", "the page has its grant", 101);
  assert.equal(store.count("readPages") + store.count("readPagesSync"), reads);
  assert.ok(store.calls().length > calls, "the first write asked it");
});

test("a store that stays in its thread is used from another by its key: load, write, sync, cut, extend, close", async (t) => {
  const { cache, file, one, key, memory, store } = await inMemory(t);
  await failsWith("ENOENT", () => one.tell("open", "a", { key: `${key}?` }));
  assert.equal(await one.tell("open", "a", { key }), 8 * pageSize);
  await one.tell("write", "a", "from the other thread", pageSize - 5);
  assert.equal(await readText(file, 21, pageSize - 5), "from the other thread");
  await one.tell("sync", "a");
  assert.equal(Buffer.from(memory.snapshot()).toString("latin1", pageSize - 5, pageSize + 16), "from the other thread");
  await one.tell("truncate", "a", pageSize);
  assert.equal(file.size, pageSize);
  await one.tell("write", "a", "past the end", 3 * pageSize);
  assert.equal(file.size, 3 * pageSize + 12);
  await file.close();
  assert.equal(store.count("close"), 0, "the other thread has it open");
  await one.tell("write", "a", "the last", 0);
  await one.tell("closeFile", "a");
  assert.equal(store.count("close"), 1);
  assert.equal(Buffer.from(memory.snapshot()).toString("latin1", 0, 8), "the last");
  cache.verify({ quiesce: true });
});

test("with write-through, what another thread writes and puts is in the store at once", async (t) => {
  const { one, key, memory } = await inMemory(t, { cache: { writeThrough: true } });
  const stored = (position: number, length: number) =>
    Buffer.from(memory.snapshot()).toString("latin1", position, position + length);
  await one.tell("open", "a", { key });
  await one.tell("write", "a", "written", 0);
  assert.equal(stored(0, 7), "written");
  await one.tell("fill", "a", pageSize, 5, 0x70);
  await until(() => stored(pageSize, 5) === "ppppp", "put");
  await one.tell("fillRaw", "a", 2, 0x71);
  await until(() => stored(2 * pageSize, 5) === "qqqqq", "unpinned");
});

test("a pin's flush in another thread than the store's writes its pages as they are", async (t) => {
  const { one, key, memory } = await inMemory(t);
  await one.tell("open", "a", { key });
  await one.tell("pin", "a", 100, 4, { write: true });
  await one.tell("flush", "a", 0x66);
  assert.equal(Buffer.from(memory.snapshot()).toString("latin1", 100, 104), "ffff");
  await one.tell("put", "a");
});

test("what a store says travels with its code: ENOSPC at the write, EIO of a read and of a sync", async (t) => {
  const { cache, one, key, store } = await inMemory(t, {
    store: { sizeBytes: 64 * pageSize, capacityBytes: 4 * pageSize },
  });
  await one.tell("open", "a", { key });
  for (let page = 0; page < 4; page++) await one.tell("write", "a", "taken", page * pageSize);
  const error = await failsWith("ENOSPC", () => one.tell("write", "a", "no room", 20 * pageSize));
  assert.match(error.message, /ENOSPC/);
  await failsWith("ENOSPC", () => one.tell("pin", "a", 30 * pageSize, 10, { write: true }));
  store.fail("readPages", "EIO", { times: 2 });
  store.fail("readPagesSync", "EIO", { times: 2 });
  await failsWith("EIO", () => one.tell("read", "a", 10, 40 * pageSize));
  store.clear();
  store.fail("sync", "EIO");
  store.fail("syncSync", "EIO");
  await failsWith("EIO", () => one.tell("sync", "a"));
  store.clear();
  await one.tell("sync", "a");
  assert.equal(await one.tell("read", "a", 10, 40 * pageSize), "\0".repeat(10));
  cache.verify({ quiesce: true });
});

test("while a sync fails, each opener's sync in each thread says so; once it works, all say that", async (t) => {
  const { file, one, key, store } = await inMemory(t);
  await one.tell("open", "a", { key });
  await one.tell("write", "a", "not durable", 0);
  const heal = store.on("sync", {
    before: () => {
      throw Object.assign(new Error("broken"), { code: "EIO" });
    },
  });
  await failsWith("EIO", () => one.tell("sync", "a"));
  await failsWith("EIO", () => file.sync());
  await failsWith("EIO", () => one.tell("sync", "a"));
  heal();
  await file.sync();
  await one.tell("sync", "a");
});

test('under "kernel" durability a loss is told once to each opener, in whichever thread', async (t) => {
  const { cache, file, one, key, store } = await inMemory(t, { cache: { durability: "kernel" } });
  await one.tell("open", "a", { key });
  await one.tell("open", "b", { key });
  const again = await cache.open({ key });
  await one.tell("write", "a", "lost", 0);
  store.fail("sync", "EIO");
  await failsWith("ERR_PINFOLD_DATA_LOST", () => one.tell("sync", "a"));
  await failsWith("ERR_PINFOLD_DATA_LOST", () => one.tell("sync", "b"));
  await failsWith("ERR_PINFOLD_DATA_LOST", () => file.sync());
  await failsWith("ERR_PINFOLD_DATA_LOST", () => again.sync());
  for (const name of ["a", "b"]) await one.tell("sync", name);
  await file.sync();
});

test("the store's own thread closes the cache: the others get EBADF, and what they wrote is there", async (t) => {
  const { cache, one, key, memory } = await inMemory(t);
  await one.tell("open", "a", { key });
  await one.tell("write", "a", "kept", 10);
  await cache.close();
  for (const call of [
    () => one.tell("read", "a", 1, 0),
    () => one.tell("write", "a", "x", 0),
    () => one.tell("sync", "a"),
    () => one.tell("truncate", "a", 0),
    () => one.tell("size", "a"),
    () => one.tell("pin", "a", 0, 1),
  ])
    await failsWith("EBADF", call);
  assert.equal(Buffer.from(memory.snapshot()).toString("latin1", 10, 14), "kept");
  await one.tell("closeFile", "a");
  await one.tell("closeCache");
});

test("the thread of a store is terminated: calls of others end with EIO, also one that waits for it", async (t) => {
  const cache = await openCache(t);
  const [one, other] = (await startThreads(t, cache, 2)) as [Thread, Thread];
  await one.tell("openMemory", "m", "the other's", 8 * pageSize);
  const file = await cache.open({ key: "the other's" });
  await other.tell("open", "m", { key: "the other's" });
  await file.write("half of it", 0);
  const endMs = performance.now();
  const waiting = failsWith("EIO", async () => {
    for (;;) {
      await file.read(Buffer.alloc(10), 0, 10, 5 * pageSize);
      await file.advise(0, 0, "dontneed");
      await file.sync();
    }
  });
  await sleep(20);
  await one.end();
  await waiting;
  assert.ok(performance.now() - endMs < 2_000, "within a second or so");
  await failsWith("EIO", () => file.write("more", 0));
  await failsWith("EIO", () => other.tell("sync", "m"));
  await failsWith("EIO", () => cache.open({ key: "the other's" }));
  await file.close({ discard: true });
  cache.verify();
});

test("counters of all threads are in stats(), whichever thread asks", async (t) => {
  const { cache, file, path, one } = await onDisk(t);
  await one.tell("open", "a", path);
  await one.tell("read", "a", 10, 0);
  await one.tell("readOften", "a", 10, 0, 10);
  await file.read(Buffer.alloc(10), 0, 10, 3 * pageSize);
  const { misses, hits } = cache.stats();
  assert.deepEqual([misses, hits >= 10], [2, true]);
  assert.deepEqual(await one.tell("stats"), { misses, hits, files: 1 });
});
