/**
 * Which pages leave: the policy's choices, and what never leaves.
 */
import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import type { CachedFile, PageCache } from "../../src/index.js";
import { byteAt, filled, open, page, turns, writeAt } from "../mapping/fixture.js";

const isThere = (cache: PageCache, index: number) => cache.core.table.find(0, index) >= 0;

async function use(file: CachedFile, index: number, times = 1): Promise<void> {
  for (let i = 0; i < times; i++) (await file.getUserPages(index * page, 1)).put();
}

test("pages that were used once leave before those that are used again and again", async (t) => {
  const { file, cache } = await open(t);
  for (let index = 0; index < 20; index++) await use(file, index, 4);
  for (let index = 50; index < 250; index++) await use(file, index);
  for (let index = 0; index < 20; index++) ok(isThere(cache, index), `page ${index}`);
  cache.verify({ quiesce: true });
});

test("pages that come back soon after they left go to the main queue, and outlive a scan", async (t) => {
  const { file, cache } = await open(t);
  for (let index = 0; index < 10; index++) await use(file, index);
  for (let index = 50; isThere(cache, 9); index++) await use(file, index);
  for (let index = 0; index < 10; index++) await use(file, index);
  for (let index = 130; index < 250; index++) await use(file, index);
  let there = 0;
  for (let index = 0; index < 10; index++) if (isThere(cache, index)) there += 1;
  // The ghost table is a small hash: it forgets some.
  ok(there >= 3, `${there} of 10 stayed`);
});

test("a page of the main queue leaves when it is not used any more", async (t) => {
  const { file, cache } = await open(t);
  for (let index = 0; index < 60; index++) await use(file, index, 4);
  for (let round = 0; round < 4; round++) for (let index = 100; index < 160; index++) await use(file, index, 3);
  let left = 0;
  for (let index = 0; index < 60; index++) if (!isThere(cache, index)) left += 1;
  ok(left > 30, `${left} of 60 left`);
});

test("a miss among pages that are all in frequent use does not wait for a timer", async (t) => {
  const { file, cache } = await open(t, { frames: 2048, pages: 4096, cache: { frameWaitMs: 3_600_000 } });
  const { frames } = cache.stats();
  for (let index = 0; index < frames; index++) await use(file, index, 4);
  await use(file, 3000);
  ok(isThere(cache, 3000));
});

test("a blocking miss among pages that are all in frequent use gets a frame", async (t) => {
  const { file, cache } = await open(t, { frames: 2048, pages: 4096 });
  for (let index = 0; index < cache.stats().frames; index++) await use(file, index, 4);
  file.getUserPagesSync(3000 * page, 1).put();
});

test("pinned, dirty and unstable pages never leave", async (t) => {
  const { file, cache } = await open(t);
  // Queued to leave as they are pinned.
  for (const index of [0, 1, 2]) await use(file, index);
  const pinned = await file.getUserPages(0, page);
  const counted = await file.getUserPages(page, page, { longterm: true });
  await writeAt(file, 2, 5);
  const frames = [0, 1, 2].map((index) => cache.core.table.find(0, index));
  for (let index = 50; index < 250; index++) await use(file, index);
  deepStrictEqual(
    [0, 1, 2].map((index) => cache.core.table.find(0, index)),
    frames,
  );
  ok(pinned.bytes.every((byte) => byte === 0) && counted.bytes.every((byte) => byte === 0), "their memory is theirs");
  strictEqual(await byteAt(file, 2 * page), 5);
  pinned.put();
  counted.put();
  for (let index = 50; index < 250; index++) await use(file, index);
  ok(!isThere(cache, 0) && !isThere(cache, 1));
  cache.verify({ quiesce: true });
});

test("a page whose store does not let go of it stays", async (t) => {
  const { file, cache, store } = await open(t);
  const refusing = 3;
  const inner = store.inner.releasePage.bind(store.inner);
  store.inner.releasePage = (position, pageSize) => position !== refusing * page && inner(position, pageSize);
  await use(file, refusing);
  for (let index = 50; index < 250; index++) await use(file, index);
  ok(isThere(cache, refusing));
  cache.verify({ quiesce: true });
  store.inner.releasePage = inner;
});

test("a refault brings back what write-back took to the store", async (t) => {
  const { file } = await open(t);
  await file.write(filled(7, 40 * page), 0, 40 * page, 0);
  for (let index = 50; index < 250; index++) await use(file, index);
  for (let index = 0; index < 40; index++) strictEqual(await byteAt(file, index * page + 5), 7);
  await turns();
});

test("dontneed and invalidate drop clean pages, and leave dirty ones", async (t) => {
  const { file, cache } = await open(t);
  await use(file, 0);
  await writeAt(file, 1, 1);
  await file.advise(0, 10 * page, "dontneed");
  ok(!isThere(cache, 0) && isThere(cache, 1));
  let code: unknown;
  try {
    file.invalidate();
  } catch (error) {
    code = (error as { code: unknown }).code;
  }
  strictEqual(code, "EBUSY");
  await file.sync();
  file.invalidate();
  strictEqual(cache.stats().files[0]?.residentPages, 0);
});
