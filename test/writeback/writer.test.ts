/**
 * How pages are written: runs, holes, snapshots, stability, one image of a page at a time.
 */
import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { MemoryStore, PinfoldError } from "../../src/index.js";
import { ScriptedStore } from "../../src/testing/index.js";
import { byteAt, codeOf, filled, open, page, storedAt, turns, until, watch, writeAt } from "../mapping/fixture.js";

const large = 65_536;

test("neighbouring pages go to the store in one call, runs ascending", async (t) => {
  const { file, store } = await open(t);
  for (const index of [12, 3, 11, 5, 4, 10]) await writeAt(file, index, 1);
  await file.sync();
  deepStrictEqual(
    store.calls("writePages").map(({ position, length }) => [position / page, length / page]),
    [
      [3, 3],
      [10, 3],
    ],
  );
});

test("of a page of 64 KiB only blocks that were asked for are written, so holes stay holes", async (t) => {
  const { file, store, memory } = await open(t, { pages: 4, cache: { pageSize: large } });
  await file.write(filled(1, 100), 0, 100, 3 * page);
  await file.write(filled(2, 2 * page), 0, 2 * page, 8 * page);
  await file.sync();
  deepStrictEqual(
    store.calls("writePages").map(({ position, length }) => [position / page, length / page]),
    [
      [3, 1],
      [8, 2],
    ],
  );
  strictEqual(memory.usage().allocatedBlocks, 3);
  await file.write(filled(3, 10), 0, 10, 0);
  await file.sync();
  strictEqual(memory.usage().allocatedBlocks, 4);
});

test("nothing is written past the end of the file", async (t) => {
  const { file, store, memory } = await open(t, { pages: 0 });
  await file.write(filled(1, page + 100), 0, page + 100, 0);
  await file.sync();
  deepStrictEqual(
    store.calls("writePages").map(({ position, length }) => [position, length]),
    [[0, page + 100]],
  );
  strictEqual(memory.snapshot().length, page + 100);
});

test("the bytes that the store writes do not change meanwhile: a writer waits", async (t) => {
  const { file, store, memory } = await open(t);
  await writeAt(file, 0, 5);
  const held = store.hold("writePages");
  const synced = file.sync();
  await held.entered;
  const written = watch(writeAt(file, 0, 6));
  await turns();
  strictEqual(written.isDone, false);
  strictEqual(await byteAt(file, 0), 5);
  held.release();
  await written.promise;
  await synced;
  strictEqual(storedAt(memory, 0), 5);
  await file.sync();
  strictEqual(storedAt(memory, 0), 6);
});

test("a page under a counted write pin is written from a snapshot and stays dirty", async (t) => {
  const { file, cache, store, memory } = await open(t);
  const pages = await file.getUserPages(0, page, { write: true, longterm: true });
  pages.bytes.fill(1);
  const held = store.hold("writePages");
  const synced = file.sync();
  await held.entered;
  pages.bytes.fill(2);
  held.release();
  await synced;
  strictEqual(storedAt(memory, 0), 1);
  strictEqual(cache.stats().dirtyPages, 1);
  pages.put();
  await file.sync();
  strictEqual(storedAt(memory, 0), 2);
  cache.verify({ quiesce: true });
});

test("the first of two snapshots of a page is delayed, and the disk ends with the second", async (t) => {
  const { file, store, memory } = await open(t, { frames: 256 });
  const pages = await file.getUserPages(0, page, { write: true, longterm: true });
  pages.bytes.fill(1);
  const held = store.hold("writePages");
  const first = file.sync();
  await held.entered;
  pages.bytes.fill(2);
  const second = watch(file.sync());
  await turns();
  strictEqual(store.count("writePages"), 1);
  strictEqual(second.isDone, false);
  held.release();
  await Promise.all([first, second.promise]);
  strictEqual(storedAt(memory, 0), 2);
  pages.put();
});

test("one image of a pinned page serves all syncs that came before it began", async (t) => {
  const { file, store, memory } = await open(t);
  const pages = await file.getUserPages(0, page, { write: true, longterm: true });
  const held = store.hold("writePages");
  const first = file.sync();
  await held.entered;
  pages.bytes.fill(2);
  const others = Array.from({ length: 20 }, () => file.sync());
  await turns();
  held.release();
  await Promise.all([first, ...others]);
  strictEqual(store.count("writePages"), 2);
  strictEqual(storedAt(memory, 0), 2);
  pages.put();
});

test("flush of a locked write pin writes the page as it is, and leaves it dirty and locked", async (t) => {
  const { file, cache, store, memory } = await open(t);
  const pages = await file.getUserPages(0, page, { write: true });
  pages.bytes.fill(1);
  await pages.flush();
  strictEqual(storedAt(memory, 0), 1);
  strictEqual(cache.stats().dirtyPages, 1);
  strictEqual(file.tryGetUserPages(0, 1), undefined);
  pages.bytes.fill(2);
  store.fail("writePages", "EIO");
  strictEqual(await codeOf(pages.flush()), "EIO");
  pages.put();
  await file.sync();
  strictEqual(storedAt(memory, 0), 2);
  cache.verify({ quiesce: true });
});

test("a put during the write of a flush waits with the next write, not with the put", async (t) => {
  const { file, store, memory } = await open(t, { frames: 256 });
  const pages = await file.getUserPages(0, page, { write: true, longterm: true });
  pages.bytes.fill(1);
  const held = store.hold("writePages");
  const flushed = pages.flush();
  await held.entered;
  pages.bytes.fill(2);
  const synced = watch(file.sync());
  await turns();
  strictEqual(synced.isDone, false);
  held.release();
  await flushed;
  pages.put();
  await synced.promise;
  await file.sync();
  strictEqual(storedAt(memory, 0), 2);
});

test("ENOSPC at write-back keeps the page dirty, and heals when there is space", async (t) => {
  const memory = new MemoryStore({ sizeBytes: 8 * page });
  const store = new ScriptedStore(memory, { capabilities: { reserves: "none" } });
  const { cache } = await open(t);
  const file = await cache.open(store);
  let isFull = true;
  store.on("writePages", {
    before() {
      if (isFull) throw new PinfoldError("ENOSPC", "full");
    },
  });
  await writeAt(file, 0, 5);
  for (let i = 0; i < 2; i++) strictEqual(await codeOf(file.sync()), "ENOSPC");
  strictEqual(await byteAt(file, 0), 5);
  isFull = false;
  await file.sync();
  strictEqual(storedAt(memory, 0), 5);
});

test("writeThrough: a write resolves after the store took the bytes, and a put starts the write", async (t) => {
  const { file, store, memory } = await open(t, { cache: { writeThrough: true } });
  const held = store.hold("writePages");
  const written = watch(writeAt(file, 0, 5));
  await held.entered;
  await turns();
  strictEqual(written.isDone, false);
  held.release();
  await written.promise;
  strictEqual(storedAt(memory, 0), 5);
  const pages = await file.getUserPages(0, page, { write: true });
  pages.bytes.fill(6);
  pages.put();
  await until(() => storedAt(memory, 0) === 6, "the write that the put started");
  store.fail("writePages", "EIO");
  strictEqual(await codeOf(writeAt(file, 1, 7)), "EIO");
});

test("a page that changes again while it is written is dirty afterwards", async (t) => {
  const { file, cache, store, memory } = await open(t);
  await writeAt(file, 0, 5);
  const held = store.hold("writePages");
  const synced = file.sync();
  await held.entered;
  const again = writeAt(file, 0, 6);
  held.release();
  await Promise.all([synced, again]);
  strictEqual(cache.stats().dirtyPages, 1);
  await file.sync();
  strictEqual(storedAt(memory, 0), 6);
});

test("a write that the store did but reported failed is done again", async (t) => {
  const { file, store, cache } = await open(t);
  await writeAt(file, 0, 5);
  store.fail("writePages", "EIO", { stage: "after" });
  strictEqual(await codeOf(file.sync()), "EIO");
  strictEqual(cache.stats().dirtyPages, 1);
  await file.sync();
  strictEqual(store.count("writePages"), 2);
});
