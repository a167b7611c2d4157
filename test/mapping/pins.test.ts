/**
 * What a pin takes and gives back: grants, dirt, frames, credits, limits.
 */
import { deepStrictEqual, match, ok, rejects, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { MemoryStore, type UserPages } from "../../src/index.js";
import { SeededRandom } from "../../src/testing/index.js";
import { byteAt, codeOf, filled, open, page, storedAt, turns, until, watch, writeAt } from "./fixture.js";

const frameWaitMs = 60;

test("two pins of 60% of the pool at once both end", async (t) => {
  const { file, cache, store } = await open(t, { store: { syncCalls: false } });
  store.on("readPages", { before: () => turns(1) });
  const pages = Math.floor(cache.stats().frames * 0.6);
  const take = async (first: number) => {
    const pin = await file.getUserPages(first * page, pages * page, { write: true });
    await turns(3);
    pin.put();
  };
  await Promise.all([take(0), take(128), take(0), take(64)]);
  cache.verify({ quiesce: true });
});

test("two pins of 60% of the pool, each stopped half-way by a page that is held, both end", async (t) => {
  const { file, cache } = await open(t);
  const stops = [
    await file.getUserPages(30 * page, 1, { write: true }),
    await file.getUserPages(130 * page, 1, { write: true }),
  ];
  const both = [0, 100].map(async (first) => (await file.getUserPages(first * page, 37 * page)).put());
  await turns();
  for (const pages of stops) pages.put();
  await Promise.all(both);
  cache.verify({ quiesce: true });
});

test("a pin that can never be had is EINVAL at once", async (t) => {
  const { file } = await open(t);
  strictEqual(await codeOf(file.getUserPages(0, 64 * page)), "EINVAL");
});

test("when pins alone hold all frames, a miss fails after frameWaitMs and names them", async (t) => {
  const { file, cache } = await open(t, { cache: { frameWaitMs } });
  const all = await file.getUserPages(0, 63 * page);
  await rejects(file.getUserPages(100 * page, 1), {
    code: "ERR_PINFOLD_NO_FRAMES",
    message: /locked read pin of memory:\d+ \[0, 258048\)/,
  });
  all.put();
  (await file.getUserPages(100 * page, 1)).put();
  cache.verify({ quiesce: true });
});

test("pages that are dirty under write pins do not hide that pins alone hold all frames", async (t) => {
  const { file, store } = await open(t, { cache: { frameWaitMs } });
  const all = await file.getUserPages(0, 63 * page, { write: true });
  strictEqual(await codeOf(file.getUserPages(100 * page, 1)), "ERR_PINFOLD_NO_FRAMES");
  all.put();
  const counted = await file.getUserPages(0, 20 * page, { write: true, longterm: true });
  const read = await file.getUserPages(20 * page, 43 * page);
  store.clear();
  strictEqual(await codeOf(file.getUserPages(100 * page, 1)), "ERR_PINFOLD_NO_FRAMES");
  strictEqual(store.count("writePages") <= 1, true);
  counted.put();
  read.put();
});

test("a pin over several pages fails too when pins alone hold the credits that it needs", async (t) => {
  const { file, cache } = await open(t, { cache: { frameWaitMs } });
  const most = await file.getUserPages(0, 40 * page);
  await rejects(file.getUserPages(100 * page, 40 * page), {
    code: "ERR_PINFOLD_NO_FRAMES",
    message: /locked read pin/,
  });
  most.put();
  (await file.getUserPages(100 * page, 40 * page)).put();
  cache.verify({ quiesce: true });
});

test("while a store call is in flight a miss waits on, however long, and can be aborted", async (t) => {
  const { file, store } = await open(t, { cache: { frameWaitMs: 10 } });
  await file.write(filled(1, 63 * page), 0, 63 * page, 0);
  const held = store.hold("writePages");
  const miss = watch(file.getUserPages(100 * page, 1));
  await held.entered;
  const pinned: UserPages[] = [];
  for (let i = 0; i < 63; i++) {
    const pages = file.tryGetUserPages(i * page, 1);
    if (pages) pinned.push(pages);
  }
  const controller = new AbortController();
  const other = file.getUserPages(101 * page, 1, { signal: controller.signal });
  await new Promise((resolve) => setTimeout(resolve, 100));
  strictEqual(miss.isDone, false);
  controller.abort(new Error("enough"));
  await rejects(other, /enough/);
  for (const pages of pinned) pages.put();
  held.release();
  (await miss.promise).put();
});

test("counted write pins have a limit, whose error names the holders, also when they come at once", async (t) => {
  const { file, cache } = await open(t, { cache: { pinnedBytesMax: 4 * page }, store: { syncCalls: false } });
  const pins = [0, 1, 2, 3, 4, 5, 6, 7].map((i) => file.getUserPages(i * page, page, { write: true, longterm: true }));
  const results = await Promise.allSettled(pins);
  const got = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  strictEqual(got.length, 4);
  for (const result of results)
    if (result.status === "rejected") strictEqual((result.reason as { code: string }).code, "ERR_PINFOLD_PIN_LIMIT");
  strictEqual(cache.stats().dirtyPages, 4);
  await rejects(file.getUserPages(20 * page, 1, { write: true, longterm: true }), /4 of 4 pages .* counted write pin/);
  (await file.getUserPages(20 * page, 1, { longterm: true })).put();
  for (const pages of got) pages.put();
  (await file.getUserPages(20 * page, 1, { write: true, longterm: true })).put();
});

test("ENOSPC in pageMkwrite changes nothing: not dirty, not reserved, not locked", async (t) => {
  const { file, cache, memory } = await open(t, { capacityBytes: 4 * page, store: { syncCalls: false } });
  strictEqual(await codeOf(file.getUserPages(0, 5 * page, { write: true })), "ENOSPC");
  strictEqual(await codeOf(file.write(filled(1, 5 * page), 0, 5 * page, 0)), "ENOSPC");
  strictEqual(cache.stats().dirtyPages, 0);
  strictEqual(memory.usage().reservedBlocks, 0);
  cache.verify({ quiesce: true });
  (await file.getUserPages(0, 4 * page, { write: true })).put();
  strictEqual(await codeOf(file.getUserPages(8 * page, 1, { write: true })), "ENOSPC");
});

test("a pin of several ranges that fails at the last gives back what it was granted for the first", async (t) => {
  const { file, cache, memory } = await open(t);
  const full = await cache.open(new MemoryStore({ sizeBytes: 8 * page, capacityBytes: page }));
  const ranges = [
    { file, position: 0, length: 3 * page, write: true },
    { file: full, position: 0, length: 2 * page, write: true },
  ];
  strictEqual(await codeOf(cache.pin(ranges)), "ENOSPC");
  strictEqual(cache.stats().dirtyPages, 0);
  strictEqual(memory.usage().reservedBlocks, 0);
  cache.verify({ quiesce: true });
});

test("a write pin's page is dirty before a byte of it can change, and its put need not tell anybody", async (t) => {
  const { file, cache, store } = await open(t);
  const pages = await file.getUserPages(0, page, { write: true });
  strictEqual(cache.stats().dirtyPages, 1);
  deepStrictEqual(
    store
      .calls()
      .map(({ name }) => name)
      .filter((name) => name.startsWith("pageMkwrite") || name === "setPageDirty")
      .slice(-2),
    ["pageMkwrite", "setPageDirty"],
  );
  pages.put();
});

test("pages come back in a pin with the bytes that the store has", async (t) => {
  const memory = new MemoryStore({ contents: filled(5, 3 * page) });
  const { cache } = await open(t);
  const file = await cache.open(memory);
  const pages = await file.getUserPages(10, 2 * page);
  ok([...pages].every(({ bytes }) => bytes.every((byte) => byte === 5)));
  deepStrictEqual(
    [...pages].map(({ bytes }) => bytes.length),
    [page - 10, page, 10],
  );
  pages.put();
});

test("putUnmodified makes a page clean that was clean before, and gives its reservation back", async (t) => {
  const { file, cache, memory } = await open(t);
  for (const longterm of [false, true]) {
    const pages = await file.getUserPages(0, page, { write: true, longterm });
    strictEqual(memory.usage().reservedBlocks, 1);
    pages.putUnmodified();
    strictEqual(cache.stats().dirtyPages, 0);
    strictEqual(memory.usage().reservedBlocks, 0);
  }
  cache.verify({ quiesce: true });
});

test("putUnmodified leaves a page dirty that was dirty before, or not yet durable", async (t) => {
  const { file, cache, store } = await open(t);
  await writeAt(file, 0, 1);
  (await file.getUserPages(0, page, { write: true })).putUnmodified();
  strictEqual(cache.stats().dirtyPages, 1);
  store.fail("sync", "EIO");
  await codeOf(file.sync());
  const held = store.hold("sync");
  const synced = file.sync();
  await held.entered;
  (await file.getUserPages(0, page, { write: true })).putUnmodified();
  strictEqual(cache.stats().dirtyPages, 1);
  held.release();
  await synced;
  strictEqual(cache.stats().dirtyPages, 1);
});

test("putUnmodified leaves a page dirty where an overlapping pin modified it", async (t) => {
  const { file, cache } = await open(t);
  const take = () => file.getUserPages(0, page, { write: true, longterm: true });
  const [a, b] = [await take(), await take()];
  a.put();
  b.putUnmodified();
  strictEqual(cache.stats().dirtyPages, 1);
  await file.sync();
  const [c, d] = [await take(), await take()];
  c.putUnmodified();
  strictEqual(cache.stats().dirtyPages, 1);
  d.putUnmodified();
  strictEqual(cache.stats().dirtyPages, 0);
});

test("putUnmodified leaves a page dirty where a write or a snapshot came between", async (t) => {
  const { file, cache } = await open(t);
  const pages = await file.getUserPages(0, page, { write: true, longterm: true });
  await writeAt(file, 0, 9);
  pages.putUnmodified();
  strictEqual(cache.stats().dirtyPages, 1);
  await file.sync();
  const other = await file.getUserPages(0, page, { write: true, longterm: true });
  await file.sync();
  other.putUnmodified();
  strictEqual(cache.stats().dirtyPages, 1);
});

test("a grant that comes while a snapshot is written does not call written blocks a reservation", async (t) => {
  const { file, store, memory } = await open(t, {
    pages: 64,
    cache: { pageSize: 65_536 },
    store: { syncCalls: false },
  });
  const pages = await file.getUserPages(0, 100, { write: true, longterm: true });
  pages.bytes.fill(3);
  const write = store.hold("writePages");
  const synced = file.sync();
  await write.entered;
  const grant = store.hold("pageMkwrite", { stage: "after" });
  const written = file.write(filled(4), 0, page, 8 * page);
  await grant.entered;
  write.release();
  await synced;
  grant.release();
  await written;
  pages.put();
  await file.close({ discard: true });
  strictEqual(memory.reopen().snapshot()[0], 3);
});

test("random pins over 1 TiB of holes stay within the memory", async (t) => {
  const { cache } = await open(t);
  const memory = new MemoryStore({ sizeBytes: 2 ** 40 });
  const file = await cache.open(memory);
  const random = new SeededRandom(11);
  const written = new Map<number, number>();
  for (let i = 0; i < 2000; i++) {
    const index = random.below(2 ** 28);
    const pages = await file.getUserPages(index * page, page, { write: true });
    pages.bytes[17] = i % 251;
    written.set(index, i % 251);
    pages.put();
    ok(cache.stats().files.reduce((sum, { residentPages }) => sum + residentPages, 0) <= 63);
  }
  for (const [index, value] of written) strictEqual(await byteAt(file, index * page + 17), value);
  await file.sync();
  strictEqual(memory.usage().allocatedBlocks, written.size);
  cache.verify({ quiesce: true });
});

test("ten times the cache is written without a sync", async (t) => {
  const { file, memory, cache } = await open(t, { pages: 0 });
  const pages = 630;
  for (let index = 0; index < pages; index++) await writeAt(file, index, 1 + (index % 200));
  for (let index = 0; index < pages; index += 7) strictEqual(await byteAt(file, index * page), 1 + (index % 200));
  await file.sync();
  for (let index = 0; index < pages; index++) strictEqual(storedAt(memory, index * page), 1 + (index % 200));
  cache.verify({ quiesce: true });
});

test("others write while counted write pins are at their limit", async (t) => {
  const { file, cache } = await open(t, { cache: { dirtyBytesMax: 26 * page, pinnedBytesMax: 25 * page } });
  const pages = await file.getUserPages(0, 25 * page, { write: true, longterm: true });
  for (let index = 30; index < 230; index++) await writeAt(file, index, 1);
  strictEqual(await codeOf(file.getUserPages(100 * page, 1, { write: true, longterm: true })), "ERR_PINFOLD_PIN_LIMIT");
  pages.put();
  await file.sync();
  cache.verify({ quiesce: true });
});

test("pins() names who holds what, and verify counts it", async (t) => {
  const { file, cache } = await open(t, { cache: { pinSites: "all" } });
  const pages = await file.getUserPages(5, 10, { write: true });
  const [info] = cache.pins();
  deepStrictEqual([info?.position, info?.length, info?.write, info?.protocol], [5, 10, true, "locked"]);
  match(String(info?.site), /pins\.test\.js/);
  cache.verify({ quiesce: true });
  pages.put();
  await until(() => cache.pins().length === 0, "the put");
});

test("a closed file's slot is not used by a load that was still waiting for a frame", async (t) => {
  const { file, cache } = await open(t, { cache: { frameWaitMs: 20_000 } });
  const other = await cache.open(new MemoryStore({ contents: filled(1, 4 * page) }));
  const all = await file.getUserPages(0, 63 * page);
  const waiting = codeOf(other.getUserPages(0, 1));
  await turns();
  await other.close();
  const next = await cache.open(new MemoryStore({ contents: filled(2, 4 * page) }));
  all.put();
  strictEqual(await waiting, "EBADF");
  strictEqual(await byteAt(next, 0), 2);
  cache.verify({ quiesce: true });
});

test("a write that was on its way when its file was closed is not lost", async (t) => {
  const { file, store, memory } = await open(t, { store: { syncCalls: false } });
  const held = store.hold("pageMkwrite");
  const written = file.write(filled(6), 0, page, 0);
  await held.entered;
  const closed = file.close();
  await turns();
  held.release();
  strictEqual((await written).bytesWritten, page);
  await closed;
  strictEqual(memory.reopen().snapshot()[0], 6);
});
