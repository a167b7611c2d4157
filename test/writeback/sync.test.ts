/**
 * What a sync covers, whom it waits for, and what it says when something is not durable (rules 7 and 8, F5 to F9, F14).
 */
import { match, ok, rejects, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { CachedFile } from "../../src/api/cached-file.js";
import { MemoryStore } from "../../src/index.js";
import { ScriptedStore } from "../../src/testing/index.js";
import { byteAt, codeOf, filled, open, page, storedAt, turns, until, watch, writeAt } from "../mapping/fixture.js";

test("sync does not wait for a locked pin on a page that was clean when the pin came", async (t) => {
  const { file, memory } = await open(t);
  await writeAt(file, 1, 5);
  const pages = await file.getUserPages(0, page, { write: true });
  pages.bytes.fill(7);
  await file.sync();
  strictEqual(storedAt(memory, 0), 0);
  strictEqual(storedAt(memory, page), 5);
  pages.put();
});

test("sync waits for a locked pin on a page that was dirty before", async (t) => {
  const { file, memory } = await open(t);
  await writeAt(file, 0, 5);
  const pages = await file.getUserPages(0, page, { write: true });
  const synced = watch(file.sync());
  await turns();
  strictEqual(synced.isDone, false);
  pages.bytes.fill(6);
  pages.put();
  await synced.promise;
  strictEqual(storedAt(memory, 0), 6);
});

test("sync waits for a locked pin on a page that is written but not yet durable", async (t) => {
  const { file, cache } = await open(t);
  await writeAt(file, 0, 5);
  await cache.core.flusher.step(false);
  await cache.core.writer.writeNow(cache.core.spaces[0] as never, [{ frame: cache.core.table.find(0, 0), index: 0 }]);
  strictEqual(cache.stats().unstablePages, 1);
  const pages = await file.getUserPages(0, page, { write: true });
  const synced = watch(file.sync());
  await turns();
  strictEqual(synced.isDone, false);
  pages.put();
  await synced.promise;
});

test("sync with pinned: fail names the holders, and writes the other pages", async (t) => {
  const { file, memory } = await open(t);
  await file.write(filled(5, 2 * page), 0, 2 * page, 0);
  const pages = await file.getUserPages(0, page, { write: true });
  await rejects(file.sync({ pinned: "fail" }), {
    code: "ERR_PINFOLD_PINNED",
    message: /locked write pin of memory:\d+ \[0, 4096\)/,
  });
  strictEqual(storedAt(memory, page), 5);
  pages.put();
  await file.sync({ pinned: "fail" });
});

test("sync waits for a write of the flusher that is on its way", async (t) => {
  const { file, cache, store, memory } = await open(t);
  await writeAt(file, 0, 5);
  const held = store.hold("writePages");
  const flushed = cache.core.flusher.step(true);
  await held.entered;
  const synced = watch(file.sync());
  await turns();
  strictEqual(synced.isDone, false);
  held.release();
  await synced.promise;
  await flushed;
  strictEqual(storedAt(memory, 0), 5);
  strictEqual(cache.stats().unstablePages, 0);
});

test("sync covers a page that the flusher takes while the sync waits for another", async (t) => {
  const { file, cache, store } = await open(t);
  await writeAt(file, 0, 5);
  const first = store.hold("writePages", { when: ({ position }) => position === 0 });
  const flushed = cache.core.flusher.step(true);
  await first.entered;
  await writeAt(file, 9, 6);
  const second = store.hold("writePages", { when: ({ position }) => position === 9 * page });
  const synced = watch(file.sync());
  void cache.core.writer.writeNow(cache.core.spaces[0] as never, [{ frame: cache.core.table.find(0, 9), index: 9 }]);
  await second.entered;
  first.release();
  await flushed;
  await turns();
  strictEqual(synced.isDone, false);
  second.release();
  await synced.promise;
  strictEqual(cache.stats().unstablePages, 0);
});

test("sync throws what a write on its way failed with, if the retry fails too", async (t) => {
  const { file, cache, store } = await open(t);
  await writeAt(file, 0, 5);
  const held = store.hold("writePages");
  void cache.core.flusher.step(true);
  await held.entered;
  store.fail("writePages", "EIO");
  const synced = codeOf(file.sync());
  await turns();
  held.fail("EIO");
  strictEqual(await synced, "EIO");
  strictEqual(cache.stats().dirtyPages, 1);
  await file.sync();
});

test("a failed write keeps the page dirty; sync throws with its range to every opener until a retry has worked", async (t) => {
  const { file, cache, store, memory } = await open(t);
  const other = await cache.open(store);
  await writeAt(file, 3, 5);
  const stop = store.fail("writePages", "EIO", { times: 1000 });
  for (const opener of [file, other, file]) {
    await rejects(opener.sync(), (error: Error & { code: string; cause: unknown }) => {
      strictEqual(error.code, "EIO");
      match(error.message, /not durable: \[12288, 16384\)/);
      ok(error.cause);
      return true;
    });
  }
  strictEqual(cache.stats().dirtyPages, 1);
  strictEqual(await codeOf((await cache.open(store)).sync()), "EIO");
  stop();
  await other.sync();
  await file.sync();
  strictEqual(storedAt(memory, 3 * page), 5);
  strictEqual(cache.stats().files[0]?.healedErrors, 1);
});

test("an error that background write-back met first uses up nobody's", async (t) => {
  const { file, cache, store } = await open(t);
  await writeAt(file, 3, 5);
  const stop = store.fail("writePages", "EIO", { times: 1000 });
  await cache.core.flusher.step(true);
  strictEqual(cache.stats().files[0]?.writeErrors, 1);
  strictEqual(await codeOf(file.sync()), "EIO");
  stop();
  await file.sync();
});

test("an error that a miss met first, as it needed a frame, uses up nobody's, and what failed is not evicted", async (t) => {
  const { file, cache, store, memory } = await open(t, { cache: { frameWaitMs: 20 } });
  const other = await cache.open(store);
  await file.write(filled(5, 60 * page), 0, 60 * page, 0);
  const stop = store.fail("writePages", "EIO", { times: Infinity });
  const held = await file.getUserPages(100 * page, 3 * page);
  const controller = new AbortController();
  const miss = file.getUserPages(150 * page, 1, { signal: controller.signal });
  await until(() => (cache.stats().files[0]?.writeErrors ?? 0) > 0, "write-back for the miss");
  controller.abort(new Error("enough"));
  await rejects(miss, /enough/);
  held.put();
  for (let index = 110; index < 130; index++) await byteAt(file, index * page);
  strictEqual(cache.stats().dirtyPages, 60);
  for (const opener of [file, other, await cache.open(store)]) strictEqual(await codeOf(opener.sync()), "EIO");
  strictEqual(cache.stats().dirtyPages, 60);
  stop();
  await other.sync();
  for (let index = 0; index < 60; index++) strictEqual(storedAt(memory, index * page), 5);
  cache.verify({ quiesce: true });
});

test("a store sync that failed in the background uses up nobody's error: what it covered is written again, or told as lost", async (t) => {
  for (const durability of ["device", "kernel"] as const) {
    const { file, cache, store } = await open(t, { cache: { durability } });
    const other = await cache.open(store);
    await writeAt(file, 0, 5);
    store.fail("sync", "EIO");
    await cache.core.flusher.step(true);
    if (durability === "kernel")
      await cache.core.storeSync.request(CachedFile.spaceOf(file, cache.core), true).catch(() => {});
    strictEqual(cache.stats().files[0]?.syncErrors, 1);
    const writes = store.count("writePages");
    const expected = durability === "kernel" ? "ERR_PINFOLD_DATA_LOST" : undefined;
    for (const opener of [file, other]) strictEqual(await codeOf(opener.sync()), expected);
    strictEqual(store.count("writePages"), durability === "kernel" ? writes : writes + 1);
    await cache.close({ discard: true });
  }
});

test("a store sync that fails makes what was written dirty again, with its grant, and the next one writes it again", async (t) => {
  const { file, cache, store } = await open(t);
  await file.write(filled(5, 3 * page), 0, 3 * page, 0);
  store.fail("sync", "EIO");
  strictEqual(await codeOf(file.sync()), "EIO");
  strictEqual(cache.stats().dirtyPages, 3);
  cache.verify({ quiesce: true });
  const asked = store.count("pageMkwrite") + store.count("pageMkwriteSync");
  const pages = await file.getUserPages(0, 3 * page, { write: true });
  strictEqual(store.count("pageMkwrite") + store.count("pageMkwriteSync"), asked);
  pages.put();
  const writes = store.count("writePages");
  await file.sync();
  strictEqual(store.count("writePages"), writes + 1);
  strictEqual(cache.stats().dirtyPages + cache.stats().unstablePages, 0);
  cache.verify({ quiesce: true });
});

test("what the store took while its sync was failing is dirty again too", async (t) => {
  const { file, cache, store } = await open(t);
  await writeAt(file, 0, 5);
  const held = store.hold("sync");
  const synced = codeOf(file.sync());
  await held.entered;
  await writeAt(file, 1, 6);
  await cache.core.writer.writeNow(cache.core.spaces[0] as never, [{ frame: cache.core.table.find(0, 1), index: 1 }]);
  strictEqual(cache.stats().unstablePages, 2);
  held.fail("EIO");
  strictEqual(await synced, "EIO");
  strictEqual(cache.stats().dirtyPages, 2);
});

test("what the store took after its sync began is not durable by it", async (t) => {
  const { file, cache, store } = await open(t);
  await writeAt(file, 0, 5);
  const held = store.hold("sync");
  const synced = file.sync();
  await held.entered;
  await writeAt(file, 1, 6);
  await cache.core.writer.writeNow(cache.core.spaces[0] as never, [{ frame: cache.core.table.find(0, 1), index: 1 }]);
  held.release();
  await synced;
  strictEqual(cache.stats().unstablePages, 1);
  await file.sync();
  strictEqual(store.count("sync"), 2);
  cache.verify({ quiesce: true });
});

test("a sync that joins while another's store sync fails does not say that all is well", async (t) => {
  const { file, cache, store, memory } = await open(t);
  await writeAt(file, 0, 5);
  const held = store.hold("sync");
  const first = codeOf(file.sync());
  await held.entered;
  const second = watch(file.sync());
  await turns();
  held.fail("EIO");
  strictEqual(await first, "EIO");
  await second.promise;
  strictEqual(cache.stats().dirtyPages + cache.stats().unstablePages, 0);
  strictEqual(store.count("writePages"), 2);
  strictEqual(storedAt(memory, 0), 5);
});

test("syncs at once share the store's: one runs, one more follows", async (t) => {
  const { file, store } = await open(t);
  await writeAt(file, 0, 5);
  const held = store.hold("sync");
  const first = file.sync();
  await held.entered;
  await writeAt(file, 1, 5);
  const others = Promise.all([file.sync(), file.sync(), file.datasync(), file.sync()]);
  await turns();
  held.release();
  await Promise.all([first, others]);
  strictEqual(store.count("sync"), 2);
});

test("sync of a range leaves the rest dirty", async (t) => {
  const { file, cache, memory } = await open(t);
  await writeAt(file, 0, 5);
  await writeAt(file, 9, 6);
  await file.sync({ position: 9 * page, length: 10 });
  strictEqual(storedAt(memory, 9 * page), 6);
  strictEqual(cache.stats().dirtyPages, 1);
});

test("an aborted sync throws the signal's reason, and the writes go on", async (t) => {
  const { file, store, memory } = await open(t);
  await writeAt(file, 0, 5);
  const held = store.hold("writePages");
  const controller = new AbortController();
  const synced = file.sync({ signal: controller.signal });
  await held.entered;
  controller.abort(new Error("enough"));
  await rejects(synced, /enough/);
  held.release();
  await file.sync();
  strictEqual(storedAt(memory, 0), 5);
});

test("under kernel durability a failed store sync is ERR_PINFOLD_DATA_LOST, once to each opener and to close until discard", async (t) => {
  const { cache } = await open(t, { cache: { durability: "kernel" } });
  const store = new ScriptedStore(new MemoryStore({ sizeBytes: 8 * page }));
  const [file, other] = [await cache.open(store), await cache.open(store)];
  await writeAt(file, 0, 5);
  store.fail("sync", "EIO");
  strictEqual(await codeOf(file.sync()), "ERR_PINFOLD_DATA_LOST");
  strictEqual(cache.stats().dirtyPages, 0);
  await file.sync();
  strictEqual(await codeOf(other.sync()), "ERR_PINFOLD_DATA_LOST");
  await other.sync();
  await codeOf(other.close());
  strictEqual(await codeOf(file.close()), "ERR_PINFOLD_DATA_LOST");
  await file.close({ discard: true });
});

test("under kernel durability a page is clean as soon as it is written", async (t) => {
  const { file, cache } = await open(t, { cache: { durability: "kernel" } });
  await writeAt(file, 0, 5);
  await cache.core.flusher.step(true);
  strictEqual(cache.stats().unstablePages + cache.stats().dirtyPages, 0);
  file.invalidate();
  cache.verify({ quiesce: true });
});

test("close rejects when its sync fails, and file and pages stay", async (t) => {
  const { file, store, memory } = await open(t);
  await writeAt(file, 0, 5);
  store.fail("writePages", "EIO");
  strictEqual(await codeOf(file.close()), "EIO");
  strictEqual(storedAt(memory, 0), 0);
  await file.sync();
  strictEqual(storedAt(memory, 0), 5);
});

test("the first sync of a file asks the store though nothing was written: what a killed process wrote may be in no way durable", async (t) => {
  const { cache } = await open(t);
  const store = new ScriptedStore(new MemoryStore({ sizeBytes: page }));
  const file = await cache.open(store);
  const before = store.count("sync");
  await file.sync();
  strictEqual(store.count("sync"), before + 1);
  await file.sync();
  strictEqual(store.count("sync"), before + 1);
});
