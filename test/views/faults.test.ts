/** The write fault of a mapped view: when the storage is asked, what it may answer, and what takes the access away again. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import { PageCache, PinfoldError } from "../../src/index.js";
import { openCache, scratchFolder } from "../api/fixture.js";
import { byteAt, dropCaches, filled, open, page, storedAt, turns, writeAt } from "../mapping/fixture.js";

const code = (wanted: string) => ({ code: wanted });

describe("the first store to a clean page", () => {
  it("asks the storage before it changes a byte, later ones do not", async (t) => {
    const { cache, file, store } = await open(t, { pages: 4 });
    const view = file.map();
    let seen: number | undefined;
    const stop = store.on("pageMkwriteSync", {
      before: () => {
        seen = view.getUint8(10);
      },
    });
    view.setUint8(10, 1);
    stop();
    assert.equal(seen, 0);
    for (let value = 2; value < 100; value++) view.setUint8(value, value);
    view.copyFrom(filled(3, 50), 200);
    assert.equal(store.count("pageMkwriteSync"), 1);
    assert.equal(store.count("pageMkwrite"), 0);
    assert.equal(cache.stats().dirtyPages, 1);
    cache.verify({ quiesce: true });
  });

  it("throws ENOSPC itself, with nothing changed, and works once there is space", async (t) => {
    const { cache, file, memory } = await open(t, { pages: 4, capacityBytes: page });
    const view = file.map();
    view.setUint8(0, 1);
    assert.throws(() => view.setInt32(page, 5), code("ENOSPC"));
    assert.throws(() => view.copyFrom(filled(1), page), code("ENOSPC"));
    assert.equal(view.getInt32(page), 0);
    assert.equal(cache.stats().dirtyPages, 1);
    cache.verify({ quiesce: true });
    await file.punchHole(0, page);
    view.setInt32(page, 5);
    await file.sync();
    assert.equal(storedAt(memory, page + 3), 5);
  });

  it("throws EIO where the page cannot be read", async (t) => {
    const { cache, file, store } = await open(t, { pages: 4 });
    const view = file.map();
    const heal = store.on("readPagesSync", {
      before: () => {
        throw new PinfoldError("EIO", "bad sector");
      },
    });
    assert.throws(() => view.setUint8(0, 1), code("EIO"));
    assert.throws(() => view.getUint8(0), code("EIO"));
    heal();
    view.setUint8(0, 1);
    assert.equal(view.getUint8(0), 1);
    cache.verify({ quiesce: true });
  });

  it("is EROFS on a file that was opened read-only", async (t) => {
    const folder = scratchFolder(t);
    writeFileSync(`${folder}/data.bin`, filled(6));
    const cache = await openCache(t);
    const file = await cache.open(`${folder}/data.bin`, { readOnly: true });
    const view = file.map();
    assert.equal(view.getUint8(page - 1), 6);
    assert.throws(() => view.setUint8(0, 1), code("EROFS"));
    assert.throws(() => view.copyFrom(filled(1, 4), 0), code("EROFS"));
    assert.equal(view.getUint8(0), 6);
  });

  it("makes room where dirty pages are at their limit", async (t) => {
    const pages = 200;
    const { cache, file } = await open(t, { pages });
    const view = file.map();
    for (let index = 0; index < pages; index++) {
      view.setUint32(index * page + 8, index);
      assert.ok(cache.stats().dirtyPages <= 26);
    }
    for (let index = 0; index < pages; index++) assert.equal(view.getUint32(index * page + 8), index);
    cache.verify({ quiesce: true });
  });
});

describe("a store that crosses two pages", () => {
  it("has both pages before it writes either", async (t) => {
    const { cache, file, memory } = await open(t, { pages: 4, capacityBytes: page });
    const view = file.map();
    view.setUint8(page - 1, 7);
    assert.throws(() => view.setBigUint64(page - 4, 2n ** 64n - 1n), code("ENOSPC"));
    assert.equal(view.getBigUint64(page - 4), 7n << 32n);
    assert.equal(cache.stats().dirtyPages, 1);
    await file.sync();
    assert.equal(storedAt(memory, page - 4), 0);
    cache.verify({ quiesce: true });
  });

  it("throws at the end of the file, with nothing changed", async (t) => {
    const { file } = await open(t, { pages: 2 });
    const view = file.map();
    await file.truncate(page + 2);
    assert.throws(() => view.setInt32(page - 1, -1), code("ERR_PINFOLD_OUT_OF_RANGE"));
    assert.throws(() => view.getInt32(page - 1), code("ERR_PINFOLD_OUT_OF_RANGE"));
    assert.equal(view.getInt16(page - 1), 0);
    view.setInt16(page - 1, -1);
    assert.equal(view.getUint16(page), 0xff00);
  });
});

describe("a store that crosses two pages where dirty pages are at their limit and a sync does not end", () => {
  it("has both pages in the end: making room for the second one does not go on taking the first one away", async (t) => {
    const { cache, file, store, memory } = await open(t, { pages: 60 });
    const view = file.map();
    view.setUint8(0, 1);
    const hold = store.hold("sync");
    const synced = file.sync();
    await hold.entered;
    // They are written as there is no room for more, and stay: what they wait for is the sync that stands still.
    for (let index = 1; index < 32; index++) view.setUint8(index * page, index);
    view.setBigUint64(50 * page - 4, 0x0102030405060708n);
    assert.equal(view.getBigUint64(50 * page - 4), 0x0102030405060708n);
    hold.release();
    await synced;
    await file.sync();
    assert.equal(storedAt(memory, 50 * page - 1), 4);
    assert.equal(storedAt(memory, 50 * page), 5);
    cache.verify({ quiesce: true });
  });
});

describe("write-back", () => {
  it("takes the access away: the next store asks the storage again", async (t) => {
    const { cache, file, store, memory } = await open(t, { pages: 4 });
    const view = file.map();
    view.setUint8(0, 1);
    view.setUint8(page, 1);
    await file.sync();
    assert.equal(cache.stats().dirtyPages, 0);
    assert.equal(storedAt(memory, 0), 1);
    assert.equal(view.getUint8(0), 1);
    assert.equal(store.count("pageMkwriteSync"), 2);
    view.setUint8(0, 2);
    assert.equal(store.count("pageMkwriteSync"), 3);
    assert.equal(cache.stats().dirtyPages, 1);
    await file.sync();
    assert.equal(storedAt(memory, 0), 2);
    cache.verify({ quiesce: true });
  });

  it("does not make a store wait for a write that ends on the same event loop", async (t) => {
    const { cache, file, store, memory } = await open(t, { pages: 4 });
    const view = file.map();
    view.setUint8(0, 1);
    const hold = store.hold("writePages");
    const synced = file.sync();
    await hold.entered;
    view.setUint8(0, 2);
    assert.equal(cache.stats().dirtyPages, 1);
    hold.release();
    await synced;
    assert.equal(storedAt(memory, 0), 1);
    assert.equal(view.getUint8(0), 2);
    cache.verify({ quiesce: true });
    await file.sync();
    assert.equal(storedAt(memory, 0), 2);
  });

  it("that fails leaves the page dirty and its stores are kept", async (t) => {
    const { cache, file, store, memory } = await open(t, { pages: 4 });
    const view = file.map();
    view.setUint8(0, 1);
    store.fail("writePages", "EIO");
    await assert.rejects(file.sync(), code("EIO"));
    view.setUint8(1, 2);
    await file.sync();
    assert.deepEqual([storedAt(memory, 0), storedAt(memory, 1)], [1, 2]);
    cache.verify({ quiesce: true });
  });

  it("of a page under a counted write pin leaves the view open, and loses none of its stores", async (t) => {
    const { cache, file, store, memory } = await open(t, { pages: 4 });
    const view = file.map();
    const pages = await file.getUserPages(0, page, { write: true, longterm: true });
    const asked = () => store.count("pageMkwriteSync") + store.count("pageMkwrite");
    view.setUint8(0, 1);
    const before = asked();
    await file.sync();
    assert.equal(storedAt(memory, 0), 1);
    view.setUint8(0, 2);
    assert.equal(asked(), before);
    pages.put();
    await file.sync();
    assert.equal(storedAt(memory, 0), 2);
    assert.equal(cache.stats().dirtyPages, 0);
    cache.verify({ quiesce: true });
  });

  it("does not clean a page for putUnmodified while a view has stored to it", async (t) => {
    const { cache, file, memory } = await open(t, { pages: 4 });
    const view = file.map();
    const pages = await file.getUserPages(0, page, { write: true, longterm: true });
    view.setUint8(0, 1);
    pages.putUnmodified();
    assert.equal(cache.stats().dirtyPages, 1);
    const again = await file.getUserPages(0, page, { write: true });
    again.putUnmodified();
    assert.equal(cache.stats().dirtyPages, 1);
    await file.sync();
    assert.equal(storedAt(memory, 0), 1);
    cache.verify({ quiesce: true });
  });
});

describe("the size of the file", () => {
  it("cut: loads and stores past it throw; what is before it stays", async (t) => {
    const { cache, file } = await open(t, { pages: 8 });
    const view = file.map();
    for (let index = 0; index < 8; index++) view.setUint8(index * page + 100, index + 1);
    const cut = 3 * page + 200;
    await file.truncate(cut);
    assert.equal(view.getUint8(3 * page + 100), 4);
    view.setUint8(cut - 1, 9);
    for (const address of [cut, 4 * page - 1, 4 * page + 100, 8 * page - 1]) {
      assert.throws(() => view.getUint8(address), code("ERR_PINFOLD_OUT_OF_RANGE"));
      assert.throws(() => view.setUint8(address, 1), code("ERR_PINFOLD_OUT_OF_RANGE"));
      assert.throws(() => view.copyTo(new Uint8Array(1), address), code("ERR_PINFOLD_OUT_OF_RANGE"));
    }
    assert.throws(() => view.getInt16(cut - 1), code("ERR_PINFOLD_OUT_OF_RANGE"));
    cache.verify({ quiesce: true });
    await file.truncate(8 * page);
    for (const address of [cut, 3 * page + 300, 4 * page + 100]) assert.equal(view.getUint8(address), 0);
    assert.equal(view.getUint8(cut - 1), 9);
    view.setUint8(cut, 5);
    await file.sync();
    assert.equal(await byteAt(file, cut), 5);
    cache.verify({ quiesce: true });
  });

  it("extended within a large page: the new blocks are asked for before they are stored to (R10)", async (t) => {
    const pageSize = 16 * page;
    const { cache, file, store, memory } = await open(t, { pages: 2, cache: { pageSize } });
    await file.truncate(pageSize + 100);
    const view = file.map(0, pageSize + 100);
    view.setUint8(pageSize, 1);
    // A view that opens between the zeroing of the tail and the new size: what the race of two threads comes to.
    const stop = store.on("setSize", { before: () => view.setUint8(pageSize + 1, 2) });
    await file.truncate(2 * pageSize);
    stop();
    const after = file.map();
    assert.equal(after.getUint8(pageSize + 3 * page), 0);
    const asked = store.count("pageMkwriteSync");
    after.setUint8(pageSize + 3 * page, 3);
    assert.equal(store.count("pageMkwriteSync"), asked + 1);
    after.setUint8(2 * pageSize - 1, 4);
    assert.equal(store.count("pageMkwriteSync"), asked + 1);
    await file.sync();
    assert.deepEqual(
      [0, 1, 3 * page, pageSize - 1].map((at) => storedAt(memory, pageSize + at)),
      [1, 2, 3, 4],
    );
    cache.verify({ quiesce: true });
  });

  it("extended: stores to the last page are stopped while its rest becomes zeros", async (t) => {
    const { cache, file } = await open(t, { pages: 2 });
    const isOpen = () => cache.core.views.isOpen(cache.core.table.find(0, 1));
    await file.truncate(page + 10);
    for (const extend of [
      () => file.truncate(page + 20),
      () => file.write(filled(1, 1), 0, 1, 3 * page),
      () => Promise.resolve(file.writeSync(filled(1, 1), 0, 1, 3 * page)),
    ]) {
      file.map().setUint8(page, 1);
      assert.equal(isOpen(), true);
      await extend();
      assert.equal(isOpen(), false);
      await file.truncate(page + 30);
    }
    cache.verify({ quiesce: true });
  });

  it("extended by writeSync and by write: the view follows", async (t) => {
    const { cache, file } = await open(t, { pages: 2 });
    await file.truncate(page + 10);
    const view = file.map();
    view.setUint8(page + 9, 1);
    file.writeSync(filled(2, 10), 0, 10, page + 20);
    assert.throws(() => view.getUint8(page + 10), code("ERR_PINFOLD_OUT_OF_RANGE"));
    const longer = file.map();
    assert.deepEqual([longer.getUint8(page + 9), longer.getUint8(page + 15), longer.getUint8(page + 25)], [1, 0, 2]);
    longer.setUint8(page + 15, 3);
    await file.write(filled(4, 10), 0, 10, page + 40);
    assert.equal(file.map().getUint8(page + 45), 4);
    assert.equal(longer.getUint8(page + 15), 3);
    cache.verify({ quiesce: true });
  });
});

describe("closing a file", () => {
  it("with discard gives up what views have stored", async (t) => {
    const { cache, file, memory } = await open(t, { pages: 4 });
    const view = file.map();
    view.setUint8(0, 1);
    view.setUint8(3 * page, 1);
    await file.close({ discard: true });
    assert.throws(() => view.getUint8(0), code("EBADF"));
    assert.equal(cache.stats().dirtyPages, 0);
    cache.verify({ quiesce: true });
    assert.equal(memory.usage().reservedBlocks, 0);
  });

  it("that fails leaves the views as they were", async (t) => {
    const { cache, file, store, memory } = await open(t, { pages: 4 });
    const view = file.map();
    view.setUint8(0, 1);
    store.fail("writePages", "EIO");
    await assert.rejects(file.close(), code("EIO"));
    view.setUint8(1, 2);
    assert.equal(view.getUint16(0), 0x0102);
    await file.close();
    assert.deepEqual([storedAt(memory.reopen(), 0), storedAt(memory.reopen(), 1)], [1, 2]);
    cache.verify({ quiesce: true });
  });
});

describe("a punched hole", () => {
  it("reads as zeros, and is asked for again when it is stored to", async (t) => {
    const { cache, file, store, memory } = await open(t, { pages: 4 });
    const view = file.map();
    view.copyFrom(filled(1, 4 * page));
    await file.punchHole(page - 10, page + 20);
    assert.deepEqual([view.getUint8(page - 11), view.getUint8(page - 10), view.getUint8(page + 50)], [1, 0, 0]);
    const asked = store.count("pageMkwriteSync");
    view.setUint8(page + 50, 2);
    assert.equal(store.count("pageMkwriteSync"), asked + 1);
    await file.sync();
    assert.equal(storedAt(memory, page + 50), 2);
    assert.equal(storedAt(memory, page - 10), 0);
    cache.verify({ quiesce: true });
  });
});

describe("eviction", () => {
  it("unmaps: what a view loads is always the page's own bytes", async (t) => {
    const pages = 300;
    const { cache, file } = await open(t, { pages });
    for (let index = 0; index < pages; index++) await writeAt(file, index, index & 0xff);
    await file.sync();
    const view = file.map();
    assert.equal(view.getUint8(5), 0);
    for (let round = 0; round < 3; round++) {
      for (let index = 0; index < pages; index++) {
        assert.equal(view.getUint8(index * page + 5), index & 0xff);
        assert.equal(view.getUint32(((index * 7) % pages) * page + 8) & 0xff, ((index * 7) % pages) & 0xff);
      }
    }
    assert.ok(cache.stats().evictions > pages);
    dropCaches(file);
    assert.equal(view.getUint8(17 * page), 17);
    cache.verify({ quiesce: true });
  });

  it("spares pages that are open to stores", async (t) => {
    const { cache, file } = await open(t, { pages: 200 });
    const view = file.map();
    for (let index = 0; index < 8; index++) view.setUint8(index * page, index + 1);
    for (let index = 8; index < 200; index++) assert.equal(view.getUint8(index * page), 0);
    for (let index = 0; index < 8; index++) assert.equal(view.getUint8(index * page), index + 1);
    assert.equal(cache.stats().dirtyPages, 8);
    await file.sync();
    cache.verify({ quiesce: true });
  });
});

describe("a view and other accesses", () => {
  it("loads what this thread has locked for writing, and says EDEADLK where a store would wait for that", async (t) => {
    const { cache, file } = await open(t, { pages: 4 });
    const view = file.map();
    const pages = await file.getUserPages(0, page, { write: true });
    pages.bytes[0] = 5;
    assert.equal(view.getUint8(0), 5);
    assert.throws(() => view.setUint8(1, 1), code("EDEADLK"));
    pages.put();
    view.setUint8(1, 1);
    assert.equal(await byteAt(file, 1), 1);
    cache.verify({ quiesce: true });
  });

  it("says EDEADLK for a page that this thread's event loop is loading", async (t) => {
    const { cache, file, store } = await open(t, { pages: 4 });
    const view = file.map();
    const hold = store.hold("readPages");
    const read = file.read(new Uint8Array(10), 0, 10, 0);
    await hold.entered;
    assert.throws(() => view.getUint8(0), code("EDEADLK"));
    hold.release();
    await read;
    assert.equal(view.getUint8(0), 0);
    await turns();
    cache.verify({ quiesce: true });
  });

  it("sees what write changes, and write sees what it stores", async (t) => {
    const { file } = await open(t, { pages: 4 });
    const view = file.map();
    view.setUint8(0, 1);
    await file.write(filled(2, 10), 0, 10, 1);
    assert.equal(view.getUint16(0), 0x0102);
    assert.equal(file.tryWrite(filled(3, 1), 0), true);
    assert.equal(view.getUint16(0), 0x0302);
    view.setUint16(0, 0x0405);
    assert.equal(await byteAt(file, 1), 5);
  });
});

describe("a view of a sparse file of 1 TiB", () => {
  it("works at both ends and costs what it touches", async (t) => {
    const path = `${scratchFolder(t)}/sparse.bin`;
    const size = 2 ** 40;
    const cache = await PageCache.open({ memory: "1MiB" });
    const file = await cache.open(path, { create: true, size });
    const before = process.memoryUsage().arrayBuffers;
    const view = file.map();
    const places = [0, 2 ** 31 - 8, 2 ** 31, 2 ** 32 - 4, 2 ** 32 + 12_345, 2 ** 39 + 1, size - 8];
    for (const at of places) {
      assert.equal(view.getFloat64(at), 0);
      view.setFloat64(at, at + 0.5);
    }
    for (const at of places) assert.equal(view.getFloat64(at), at + 0.5);
    assert.throws(() => view.getUint8(size), code("ERR_PINFOLD_OUT_OF_RANGE"));
    assert.throws(() => view.getFloat64(size - 7), code("ERR_PINFOLD_OUT_OF_RANGE"));
    assert.ok(process.memoryUsage().arrayBuffers - before < 2 ** 20);
    await file.sync();
    const { blocks } = await file.stat();
    assert.ok(blocks * 512 < 64 * page, `${blocks} blocks`);
    await file.close();
    const again = await cache.open(path);
    const reopened = again.map(2 ** 39);
    assert.equal(reopened.getFloat64(1), 2 ** 39 + 1.5);
    assert.equal(reopened.getFloat64(2 ** 39 - 8), size - 7.5);
    cache.verify({ quiesce: true });
    await cache.close();
  });
});
