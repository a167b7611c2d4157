/** `debug`: pins hand out private buffers that end with the put, so that late touches and forbidden writes are caught. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { failsWith, openMemory, pageSize } from "./fixture.js";

const debug = { debug: true };

test("bytes that are kept after the put have length 0, and their view throws", async (t) => {
  const { file } = await openMemory(t, 4, debug);
  for (const options of [{}, { write: true }, { longterm: true }, { write: true, longterm: true }]) {
    const pages = await file.getUserPages(0, 2 * pageSize, options);
    const [page] = [...pages];
    const kept = page?.bytes as Uint8Array;
    const view = page?.view as DataView;
    assert.equal(kept.length, pageSize);
    pages.put();
    assert.equal(kept.length, 0);
    assert.throws(() => view.getUint8(0), TypeError);
    kept[0] = 1;
    assert.equal(kept[0], undefined, "a late write goes nowhere");
  }
});

test("without debug the bytes are shared memory, with it they are not", async (t) => {
  for (const [options, shared] of [
    [debug, false],
    [{}, true],
  ] as const) {
    const { file } = await openMemory(t, 4, options);
    using pages = await file.getUserPages(0, 10);
    assert.equal(pages.bytes.buffer instanceof SharedArrayBuffer, shared);
    assert.equal(pages.page(0).bytes, pages.bytes);
  }
});

test("what a write pin changed is in the cache after its put, with copyFrom, bytes and views", async (t) => {
  const { cache, file } = await openMemory(t, 4, debug);
  {
    using pages = await file.getUserPages(4090, 20, { write: true });
    pages.copyFrom(Buffer.from("0123456789"));
    pages.page(1).view.setUint8(9, 0x41);
  }
  const read = Buffer.alloc(20);
  await file.read(read, 0, 20, 4090);
  assert.equal(read.toString("latin1"), "0123456789\0\0\0\0\0A\0\0\0\0");
  assert.equal(cache.stats().dirtyPages, 2);
});

test("a write through a read pin is EROFS at the put, and not in the cache", async (t) => {
  const { cache, file } = await openMemory(t, 4, debug);
  const pages = await file.getUserPages(0, 10);
  pages.bytes[3] = 1;
  await failsWith("EROFS", () => pages.put());
  assert.equal(pages.isPinned, false);
  assert.deepEqual(await file.readFile(), Buffer.alloc(4 * pageSize));
  cache.verify({ quiesce: true });
});

test("putUnmodified with changes is EINVAL, and the changes are kept and dirty", async (t) => {
  const { cache, file } = await openMemory(t, 4, debug);
  const pages = await file.getUserPages(0, 10, { write: true });
  pages.bytes[3] = 9;
  await failsWith("EINVAL", () => pages.putUnmodified());
  assert.equal(cache.stats().dirtyPages, 1);
  assert.equal((await file.readFile())[3], 9);
  const unchanged = await file.getUserPages(pageSize, 10, { write: true });
  assert.equal(unchanged.bytes[0], 0);
  unchanged.putUnmodified();
  assert.equal(cache.stats().dirtyPages, 1);
});

test("two write pins of one scope on a page keep each other's changes", async (t) => {
  const { cache, file } = await openMemory(t, 4, debug);
  using scope = cache.scope();
  {
    using outer = await file.getUserPages(0, 10, { write: true, scope });
    outer.bytes[0] = 1;
    {
      using inner = await file.getUserPages(0, 10, { write: true, scope });
      inner.bytes[1] = 2;
    }
    outer.bytes[2] = 3;
  }
  assert.deepEqual((await file.readFile()).subarray(0, 4), Buffer.from([1, 2, 3, 0]));
});

test("a reader is not blamed for what a long-term writer changed meanwhile", async (t) => {
  const { file } = await openMemory(t, 4, debug);
  const reader = await file.getUserPages(0, 10, { longterm: true });
  assert.equal(reader.bytes[0], 0);
  const writer = await file.getUserPages(0, 10, { write: true, longterm: true });
  writer.bytes[0] = 5;
  writer.put();
  reader.put();
});

test("what was written before a downgrade or a flush is in the cache from then on", async (t) => {
  const { file, store } = await openMemory(t, 4, debug);
  const pages = await file.getUserPages(0, 10, { write: true });
  pages.bytes[0] = 1;
  await pages.flush();
  const stored = Buffer.alloc(pageSize);
  await store.readPages(0, [stored]);
  assert.equal(stored[0], 1);
  pages.bytes[1] = 2;
  pages.downgrade();
  {
    using beside = await file.getUserPages(0, 10);
    assert.deepEqual([...beside.bytes.subarray(0, 2)], [1, 2]);
  }
  pages.put();
  const late = await file.getUserPages(0, 10, { write: true });
  late.bytes[0] = 4;
  late.downgrade();
  late.bytes[1] = 9;
  await failsWith("EROFS", () => late.put());
  assert.deepEqual([...(await file.readFile()).subarray(0, 2)], [4, 2]);
});

test("an upgraded read pin may write", async (t) => {
  const { file } = await openMemory(t, 4, debug);
  const pages = await file.getUserPages(0, 10);
  assert.equal(pages.bytes[0], 0);
  await pages.upgrade();
  pages.bytes[0] = 8;
  pages.put();
  assert.equal((await file.readFile())[0], 8);
});
