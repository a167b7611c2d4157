/**
 * Misses: errors of the store's reads, readahead, and what others see of them (F1 to F4).
 */
import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { MemoryStore, PinfoldError } from "../../src/index.js";
import { ScriptedStore } from "../../src/testing/index.js";
import { byteAt, codeOf, filled, open, page, turns, until } from "./fixture.js";

test("EIO on a read reaches everybody who waits for the page, and the next read tries again", async (t) => {
  const { file, store, cache } = await open(t);
  const held = store.hold("readPages");
  const readers = [1, 2, 3].map(() => codeOf(file.getUserPages(0, 1)));
  const writer = codeOf(file.getUserPages(0, 1, { write: true }));
  await held.entered;
  await turns();
  held.fail("EIO");
  deepStrictEqual(await Promise.all([...readers, writer]), ["EIO", "EIO", "EIO", "EIO"]);
  strictEqual(cache.stats().files[0]?.residentPages, 0);
  strictEqual(await byteAt(file, 0), 0);
  cache.verify({ quiesce: true });
});

test("one page that cannot be read does not keep the others of its run from being read", async (t) => {
  const { file, store } = await open(t);
  store.on("readPages", {
    before({ position, length }) {
      if (position <= 5 * page && position + length > 5 * page) throw new PinfoldError("EIO", "bad sector");
    },
  });
  const target = new Uint8Array(10 * page);
  strictEqual(await codeOf(file.read(target, 0, target.length, 0)), "EIO");
  strictEqual((await file.read(target, 0, 5 * page, 0)).bytesRead, 5 * page);
  strictEqual((await file.read(target, 0, 4 * page, 6 * page)).bytesRead, 4 * page);
  strictEqual(await codeOf(file.getUserPages(5 * page, 1)), "EIO");
});

test("readahead that meets a bad page keeps the others; the error waits for whoever asks for that page", async (t) => {
  const { file, store, cache } = await open(t);
  store.on("readPages", {
    before({ position, length }) {
      if (position <= 3 * page && position + length > 3 * page) throw new PinfoldError("EIO", "bad sector");
    },
  });
  for (const index of [0, 1]) strictEqual(await byteAt(file, index * page + page - 1), 0);
  const target = new Uint8Array(page);
  await file.read(target, 0, page, 0);
  await file.read(target, 0, page, page);
  // The batch fails, then each of its pages is read by itself.
  await until(() => store.count("readPages") >= 5 && cache.core.storeCalls === 0, "readahead");
  await turns();
  deepStrictEqual(
    [2, 3].map((index) => cache.core.table.find(0, index) >= 0),
    [true, false],
    "the good page of the batch is there, and nobody has heard of the bad one",
  );
  strictEqual(await codeOf(file.read(target, 0, page, 3 * page)), "EIO");
  store.clear();
  strictEqual((await file.read(target, 0, page, 3 * page)).bytesRead, page);
});

test("of a batch with a bad page the others are there, and are not read again, for calls that block too", async (t) => {
  for (const call of ["readPages", "readPagesSync"] as const) {
    const { file, store, cache } = await open(t);
    const stop = store.on(call, {
      before({ position, length }) {
        if (position <= 5 * page && position + length > 5 * page) throw new PinfoldError("EIO", "bad sector");
      },
    });
    const target = new Uint8Array(10 * page);
    const read = async () =>
      call === "readPages" ? file.read(target, 0, target.length, 0) : file.readSync(target, 0, target.length, 0);
    strictEqual(await codeOf(read()), "EIO");
    strictEqual(cache.stats().files[0]?.residentPages, 9);
    const asked = store.count(call);
    for (const [from, pages] of [
      [0, 5],
      [6, 4],
    ] as const)
      (await file.getUserPages(from * page, pages * page)).put();
    strictEqual(store.count(call), asked, "all but one are there");
    const pin = async () =>
      call === "readPages" ? file.getUserPages(5 * page, 1) : file.getUserPagesSync(5 * page, 1);
    strictEqual(await codeOf(pin()), "EIO");
    strictEqual(cache.stats().files[0]?.residentPages, 9);
    stop();
    (await pin()).put();
    cache.verify({ quiesce: true });
  }
});

test("readahead takes free frames only", async (t) => {
  const { file, cache } = await open(t);
  const target = new Uint8Array(page);
  for (let index = 100; index < 160; index++) await file.read(target, 0, page, ((index * 37) % 200) * page);
  const evictions = cache.stats().evictions;
  const misses = cache.stats().misses;
  for (let index = 200; index < 240; index++) await file.read(target, 0, page, index * page);
  await turns();
  strictEqual(cache.stats().evictions - evictions <= cache.stats().misses - misses, true);
  strictEqual(cache.stats().files[0]?.residentPages, 63);
});

test("what lies past the end of the storage reads as zeros up to the end of the page", async (t) => {
  const { cache } = await open(t);
  const store = new ScriptedStore(new MemoryStore({ contents: filled(9, 100) }));
  store.on("readPages", { before: ({ buffers }) => buffers.forEach((buffer) => buffer.fill(255)) });
  const file = await cache.open(store);
  strictEqual(await byteAt(file, 99), 9);
  await file.truncate(page);
  strictEqual(await byteAt(file, 100), 0);
});

test("concurrent misses of one page ask the store once", async (t) => {
  const { file, store } = await open(t);
  const pins = await Promise.all([1, 2, 3, 4].map(() => file.getUserPages(7 * page, 1)));
  for (const pages of pins) pages.put();
  strictEqual(store.count("readPages"), 1);
});

test("a write of whole pages asks the store for nothing", async (t) => {
  const { file, store } = await open(t);
  await file.write(filled(1, 5 * page), 0, 5 * page, 0);
  strictEqual(store.count("readPages"), 0);
});

test("EINTR and EAGAIN are tried again, but not for ever", async (t) => {
  const { file, store } = await open(t);
  const transient = Object.assign(new Error("again"), { code: "EINTR" });
  store.fail("readPages", transient, { times: 3 });
  strictEqual(await byteAt(file, 0), 0);
  store.fail("readPages", Object.assign(new Error("again"), { code: "EAGAIN" }), { times: 1000 });
  strictEqual(await codeOf(file.getUserPages(9 * page, 1)), "EBUSY");
});

test("tryGetUserPages starts the load of what it misses", async (t) => {
  const { file, cache } = await open(t);
  strictEqual(file.tryGetUserPages(3 * page, 1), undefined);
  await until(() => cache.core.table.find(0, 3) >= 0 && cache.core.storeCalls === 0, "the load");
  await turns();
  const pages = file.tryGetUserPages(3 * page, 1);
  strictEqual(pages?.length, 1);
  pages?.put();
});
