/** Calls that block the thread: they read and write as node:fs does, and are told EDEADLK instead of hanging. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { MemoryStore } from "../../src/index.js";
import { failsWith, openCache, openDisk, openMemory, pageSize, pattern, stateOf, withoutSyncCalls } from "./fixture.js";

test("getUserPagesSync loads what is missing and pins it", async (t) => {
  const { cache, file } = await openDisk(t, pattern(10 * pageSize));
  const pages = file.getUserPagesSync(4090, 3 * pageSize, { write: true });
  const bytes = Buffer.alloc(3 * pageSize);
  pages.copyTo(bytes);
  assert.deepEqual(bytes, pattern(10 * pageSize).subarray(4090, 4090 + 3 * pageSize));
  pages.copyFrom(Buffer.from("in place"));
  pages.put();
  const read = Buffer.alloc(8);
  assert.equal(file.readSync(read, 0, 8, 4090), 8);
  assert.equal(read.toString(), "in place");
  cache.verify({ quiesce: true });
});

test("a page that a task of this thread holds is EDEADLK with the holder named, and nothing changes", async (t) => {
  const { cache, file } = await openMemory(t, 8, { pinSites: "all" });
  const pages = await file.getUserPages(0, 10, { write: true });
  const calls: Record<string, () => unknown> = {
    getUserPagesSync: () => file.getUserPagesSync(0, 10),
    "getUserPagesSync for writing": () => file.getUserPagesSync(0, 2 * pageSize, { write: true }),
    readSync: () => file.readSync(Buffer.alloc(10), 0, 10, 0),
    writeSync: () => file.writeSync(Buffer.alloc(10), 0, 10, 0),
  };
  for (const [name, call] of Object.entries(calls)) {
    const error = await failsWith("EDEADLK", call, name);
    assert.match(error.message, /locked write pin of .* \[0, 10\) for .* from .*sync-calls\.test/);
  }
  assert.equal(cache.pins().length, 1);
  pages.putUnmodified();
  assert.equal(cache.stats().dirtyPages, 0);
  cache.verify({ quiesce: true });
});

test("a read pin does not stand in the way of readers, and a long-term one not of writers", async (t) => {
  const { file } = await openMemory(t, 8);
  using read = await file.getUserPages(0, 10);
  using counted = await file.getUserPages(pageSize, 10, { longterm: true });
  assert.equal(file.readSync(Buffer.alloc(10), 0, 10, 0), 10);
  assert.equal(file.writeSync(Buffer.from("seen"), 0, 4, pageSize), 4);
  assert.equal(Buffer.from(counted.bytes).toString("latin1", 0, 4), "seen");
  assert.equal(read.bytes[0], 0);
});

test("pins that hold all frames are EDEADLK, and named", async (t) => {
  const { cache, file } = await openMemory(t, 300);
  const pins = await Promise.all(
    Array.from({ length: cache.stats().frames }, (_, at) => file.getUserPages(at * pageSize, 1)),
  );
  const error = await failsWith("EDEADLK", () => file.getUserPagesSync(280 * pageSize, 1));
  assert.match(error.message, /locked read pin of .*; and \d+ more/);
  await failsWith("EDEADLK", () => file.readSync(Buffer.alloc(1), 0, 1, 280 * pageSize));
  for (const pages of pins) pages.put();
  file.getUserPagesSync(280 * pageSize, 1).put();
  cache.verify({ quiesce: true });
});

test("a store without sync calls is ENOTSUP for blocking calls alone", async (t) => {
  const cache = await openCache(t);
  const file = await cache.open(withoutSyncCalls(new MemoryStore({ contents: pattern(2 * pageSize) })));
  const before = await stateOf(cache, file);
  await failsWith("ENOTSUP", () => file.getUserPagesSync(0, 10));
  await failsWith("ENOTSUP", () => file.getUserPagesSync(0, 10, { write: true }));
  await failsWith("ENOTSUP", () => file.readSync(Buffer.alloc(10)));
  await failsWith("ENOTSUP", () => file.writeSync("abc", 0));
  assert.deepEqual(await stateOf(cache, file), before);
  await file.write("async works", 0);
  using pages = await file.getUserPages(0, 11);
  assert.equal(Buffer.from(pages.bytes).toString(), "async works");
});

test("writeSync past the end extends the file; what lies between reads as zeros", async (t) => {
  const { cache, file, path } = await openDisk(t, pattern(5000));
  assert.equal(file.writeSync(Buffer.from("end"), 0, 3, 5000), 3);
  assert.equal(file.writeSync(pattern(3 * pageSize), 0, 3 * pageSize, 30_001), 3 * pageSize);
  assert.equal(file.size, 30_001 + 3 * pageSize);
  const expected = Buffer.alloc(file.size);
  expected.set(pattern(5000));
  expected.write("end", 5000);
  expected.set(pattern(3 * pageSize), 30_001);
  const read = Buffer.alloc(file.size);
  assert.equal(file.readSync(read, 0, read.length, 0), read.length);
  assert.deepEqual(read, expected);
  cache.verify({ quiesce: true });
  await file.close();
  assert.deepEqual(readFileSync(path), expected);
});

test("writeSync leaves no stale byte of the last page behind the old end", async (t) => {
  const { file } = await openMemory(t, 4);
  await file.write(Buffer.alloc(4 * pageSize, 1), 0, 4 * pageSize, 0);
  await file.truncate(5000);
  file.writeSync("x", 9000);
  assert.deepEqual((await file.readFile()).subarray(5000, 9000), Buffer.alloc(4000));
});

test("writeSync past the end is EDEADLK while somebody resizes the file or holds its last page, and changes nothing", async (t) => {
  const { cache, file } = await openMemory(t, 4);
  await file.truncate(3 * pageSize + 100);
  const holder = await file.getUserPages(3 * pageSize, 100, { write: true });
  await failsWith("EDEADLK", () => file.writeSync("past", 4 * pageSize));
  holder.putUnmodified();
  const reader = await file.getUserPages(0, 1, { write: true });
  const cutting = file.truncate(0);
  await failsWith("EDEADLK", () => file.writeSync("past", 5 * pageSize));
  reader.putUnmodified();
  await cutting;
  assert.equal(file.size, 0);
  assert.equal(file.writeSync("after", 0), 5);
  cache.verify({ quiesce: true });
});

test("writeSync on a full store is ENOSPC, with the size as it was; what fitted before it is written", async (t) => {
  const cache = await openCache(t);
  const store = new MemoryStore({ sizeBytes: 2 * pageSize, capacityBytes: 66 * pageSize });
  const file = await cache.open(store);
  const before = await stateOf(cache, file);
  await failsWith(
    "ENOSPC",
    () =>
      file.writeSync(Buffer.alloc(67 * pageSize), 0, 60 * pageSize, 10 * pageSize) &&
      file.writeSync(Buffer.alloc(9 * pageSize, 1), 0, 9 * pageSize, 100 * pageSize),
  );
  assert.equal(file.size, 70 * pageSize, "the first of the two was written");
  assert.notDeepEqual(await stateOf(cache, file), before);
  assert.equal(file.writeSync(Buffer.from("small"), 0, 5, 0), 5);
  await file.sync();
  assert.equal(store.sizeBytes, 2 * pageSize);
  cache.verify({ quiesce: true });
});

test("a writer that blocks the loop writes more than the cache holds: room is made on the way", async (t) => {
  const { cache, file, path } = await openDisk(t, new Uint8Array(0));
  const pages = 3 * cache.stats().frames;
  for (let at = 0; at < pages; at++) file.writeSync(pattern(pageSize, at), 0, pageSize, at * pageSize);
  const read = Buffer.alloc(pageSize);
  for (let at = 0; at < pages; at++) {
    file.readSync(read, 0, pageSize, at * pageSize);
    assert.ok(read.equals(pattern(pageSize, at)), `page ${at}`);
  }
  for (let at = 0; at < pages; at += 7) {
    const pinned = file.getUserPagesSync(at * pageSize, pageSize, { write: true });
    pinned.bytes[0] = 0xab;
    pinned.put();
  }
  cache.verify({ quiesce: true });
  await file.close();
  const bytes = readFileSync(path);
  for (let at = 0; at < pages; at++) {
    const expected = pattern(pageSize, at);
    if (at % 7 === 0) expected[0] = 0xab;
    assert.ok(bytes.subarray(at * pageSize, (at + 1) * pageSize).equals(expected), `page ${at} of the file`);
  }
});

test("with writeThrough the store has the bytes when writeSync returns", async (t) => {
  const store = new MemoryStore({ sizeBytes: 4 * pageSize });
  const cache = await openCache(t, { writeThrough: true });
  const file = await cache.open(store);
  file.writeSync("through", 100);
  const stored = Buffer.alloc(pageSize);
  store.readPagesSync(0, [stored]);
  assert.equal(stored.toString("latin1", 100, 107), "through");
  assert.equal(cache.stats().dirtyPages, 0);
});
