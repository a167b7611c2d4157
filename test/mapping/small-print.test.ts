/**
 * Rules that are easy to break unnoticed: what readahead may take, whose the credits are, what datasync leaves to sync, who is
 * asked before a page leaves.
 */
import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { CachedFile } from "../../src/api/cached-file.js";
import { PinfoldError } from "../../src/base/errors.js";
import { MemoryStore } from "../../src/index.js";
import { lockRun } from "../../src/mapping/fault.js";
import * as layout from "../../src/sync/layout.js";
import { codeOf, filled, open, page } from "./fixture.js";

test("a load that may take free frames only reclaims none", async (t) => {
  const { file, cache } = await open(t);
  const target = new Uint8Array(63 * page);
  await file.read(target, 0, target.length, 0);
  const space = CachedFile.spaceOf(file, cache.core);
  const request = { first: 200, last: 203, mode: layout.MODE_SHARED, needsBytes: () => true, pastEnd: false } as const;
  const sparing = async () => lockRun(cache.core, space, { ...request, freeFramesOnly: true }, {});
  strictEqual(await codeOf(sparing()), "ERR_PINFOLD_NO_FRAMES");
  strictEqual(cache.stats().evictions, 0);
  const run = await lockRun(cache.core, space, request, {});
  strictEqual(cache.stats().evictions, run.frames.length);
  for (const frame of run.frames) cache.core.locks.unlockShared(frame);
});

test("a load that may not even wait for the file's lock fails, and gives back only what it has", async (t) => {
  const { file, cache } = await open(t);
  const space = CachedFile.spaceOf(file, cache.core);
  const { locks } = cache.core;
  const lock = space.invalidateLock;
  strictEqual(locks.tryExclusive(lock, space.id, layout.LOCK_INVALIDATE), layout.OK);
  t.mock.method(locks, "acquire", () => {
    throw new PinfoldError("ERR_PINFOLD_TOO_MANY", "tasks wait for pages already");
  });
  strictEqual(await codeOf(file.getUserPages(0, page)), "ERR_PINFOLD_TOO_MANY");
  t.mock.restoreAll();
  strictEqual(locks.tryShared(lock, space.id, layout.LOCK_INVALIDATE), layout.BUSY);
  locks.unlockExclusive(lock);
  const pages = await file.getUserPages(0, page);
  pages.put();
  cache.verify({ quiesce: true });
});

test("a pin that waited while its file began to close is refused, and does not keep it open", async (t) => {
  const { file, cache, store } = await open(t);
  const other = await cache.open(new MemoryStore({ sizeBytes: 64 * page }));
  await file.write(filled(5, 2 * page), 0, 2 * page, 0);
  const pins = [await other.getUserPages(0, 31 * page), await other.getUserPages(0, 31 * page)];
  const late = codeOf(file.getUserPages(0, 2 * page));
  const held = store.hold("sync");
  const closed = file.close();
  await held.entered;
  for (const pin of pins) pin.put();
  strictEqual(await late, "EBADF");
  held.release();
  await closed;
});

test("each range of a multi-range pin holds the credits of its own pages until it is put", async (t) => {
  const { file, cache } = await open(t);
  const credits = () => cache.core.frames.counter(layout.HEADER_CREDITS);
  const pins = await cache.pin([
    { file, position: 0, length: 20 * page },
    { file, position: 10 * page, length: 20 * page },
  ]);
  strictEqual(credits(), 63 - 30);
  pins.ranges[0]?.put();
  strictEqual(credits(), 63 - 10);
  pins.ranges[1]?.put();
  strictEqual(credits(), 63);
  cache.verify({ quiesce: true });
});

test("sync after datasync still asks for what datasync left out, once", async (t) => {
  const { file, store } = await open(t);
  const asked: boolean[] = [];
  store.on("sync", { before: ({ data }) => void asked.push(data as boolean) });
  await file.write(filled(1), 0, page, 0);
  await file.datasync();
  await file.datasync();
  await file.sync();
  await file.sync();
  deepStrictEqual(asked, [true, false]);
});

test("invalidate leaves a page that its store does not let go", async (t) => {
  const { file, store, cache } = await open(t);
  await file.read(new Uint8Array(page), 0, page, 0);
  store.inner.releasePage = () => false;
  strictEqual(await codeOf((async () => file.invalidate())()), "EBUSY");
  strictEqual(cache.stats().files[0]?.residentPages, 1);
  store.inner.releasePage = () => true;
  file.invalidate();
  strictEqual(cache.stats().files[0]?.residentPages, 0);
  cache.verify({ quiesce: true });
});

test("a page whose thread was stopped while it took it out is waited for, and nobody spins or fails", async (t) => {
  const { file, cache } = await open(t);
  const { words } = cache.core.frames;
  const elsewhere = 15;
  await file.read(new Uint8Array(1), 0, 1, 0);
  const frame = cache.core.table.find(0, 0);
  strictEqual(words.freeze(frame, elsewhere), layout.OK);
  strictEqual(file.tryGetUserPages(0, 1), undefined);
  strictEqual(file.tryGetUserPages(0, 1, { write: true }), undefined);
  const waiting = file.getUserPages(0, 1);
  await new Promise((resolve) => setTimeout(resolve, 50));
  strictEqual(words.thaw(frame, elsewhere), layout.OK);
  strictEqual(words.unlockExclusive(frame, elsewhere, 0) >= 0, true);
  while (words.requeue(frame) === layout.LOST);
  (await waiting).put();
  cache.verify({ quiesce: true });
});
