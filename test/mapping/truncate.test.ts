/**
 * Cutting and extending a file: who waits for whom, what an abort restores, what a failing store leaves to be done.
 */
import { deepStrictEqual, match, ok, rejects, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import type { UserPages } from "../../src/index.js";
import { leakPin } from "../../src/mapping/pin-changes.js";
import { byteAt, codeOf, filled, open, page, storedAt, turns, until, watch, writeAt } from "./fixture.js";

test("truncate waits for a pinned page, and new pins past the new end fail at once", async (t) => {
  const { file, cache } = await open(t);
  const held = await file.getUserPages(page, page, { write: true });
  const cut = watch(file.truncate(0));
  await turns();
  strictEqual(cut.isDone, false);
  strictEqual(await codeOf(file.getUserPages(9 * page, 1)), "ERR_PINFOLD_OUT_OF_RANGE");
  held.bytes.fill(7);
  held.put();
  await cut.promise;
  strictEqual(file.size, 0);
  cache.verify({ quiesce: true });
});

test("the memory of a pin stays its own while truncate waits for it", async (t) => {
  const { file } = await open(t);
  const held = await file.getUserPages(page, page, { write: true });
  const cut = file.truncate(0);
  await turns();
  held.bytes.fill(9);
  for (let i = 0; i < 5; i++) await turns(1);
  ok(held.bytes.every((byte) => byte === 9));
  held.put();
  await cut;
});

test("an aborted truncate restores the size", async (t) => {
  const { file, cache } = await open(t);
  const held = await file.getUserPages(page, page);
  const controller = new AbortController();
  const cut = file.truncate(0, { signal: controller.signal });
  await turns();
  strictEqual(file.size, 0);
  controller.abort(new Error("enough"));
  await rejects(cut, /enough/);
  strictEqual(file.size, 256 * page);
  held.put();
  cache.verify({ quiesce: true });
});

test("write-back during a truncate that is aborted loses nothing of what comes back", async (t) => {
  const { file, cache, memory } = await open(t);
  await writeAt(file, 5, 77);
  const held = await file.getUserPages(page, page);
  const controller = new AbortController();
  const cut = codeOf(file.truncate(0, { signal: controller.signal }));
  await turns();
  await cache.core.flusher.step(true);
  controller.abort();
  await cut;
  held.put();
  await file.sync();
  strictEqual(storedAt(memory, 5 * page), 77);
});

test("truncate within a page ends though pins of what stays come all the time", async (t) => {
  const { file } = await open(t);
  const run = { goOn: true };
  let taken = 0;
  const reader = async () => {
    while (run.goOn) {
      const pages = await file.getUserPages(0, 10);
      taken += 1;
      await setImmediate();
      pages.put();
    }
  };
  const readers = Promise.all([reader(), reader(), reader()]);
  await until(() => taken > 10, "readers");
  await file.truncate(100);
  run.goOn = false;
  await readers;
  strictEqual(file.size, 100);
});

test("a counted pin in the range makes truncate EBUSY, which names it, and changes nothing", async (t) => {
  const { file } = await open(t);
  const held = await file.getUserPages(5 * page, 10, { longterm: true, write: true });
  await rejects(file.truncate(page), (error: Error & { code: string }) => {
    strictEqual(error.code, "EBUSY");
    match(error.message, /counted write pin of memory:\d+ \[20480, 20490\)/);
    return true;
  });
  strictEqual(file.size, 256 * page);
  held.put();
  await file.truncate(page);
});

test("a locked pin that becomes a counted one while truncate waits for it makes that EBUSY", async (t) => {
  const { file, cache } = await open(t);
  await file.getUserPages(5 * page, 10, { write: true });
  const cut = codeOf(file.truncate(page));
  await turns();
  const [pin] = [...cache.core.pins];
  ok(pin);
  leakPin(cache.core, pin);
  strictEqual(await cut, "EBUSY");
  strictEqual(file.size, 256 * page);
  cache.verify();
});

test("truncate with pinned: fail names the locked pins instead of waiting", async (t) => {
  const { file } = await open(t);
  const held = await file.getUserPages(5 * page, 10);
  await rejects(file.truncate(page, { pinned: "fail" }), { code: "ERR_PINFOLD_PINNED", message: /locked read pin/ });
  held.put();
});

test("a truncate whose store call failed is in effect, and is finished before the file grows again", async (t) => {
  const { file, store, memory } = await open(t);
  await file.write(filled(3, 4 * page), 0, 4 * page, 0);
  await file.sync();
  store.fail("truncate", "EIO");
  strictEqual(await codeOf(file.truncate(page + 10)), "EIO");
  strictEqual(file.size, page + 10);
  strictEqual(memory.snapshot().length, 256 * page);
  await file.truncate(3 * page);
  strictEqual(store.count("truncate"), 2);
  for (const position of [page + 10, 2 * page]) strictEqual(await byteAt(file, position), 0);
  await file.sync();
  strictEqual(memory.snapshot().length, 3 * page);
});

test("a truncate whose store call failed is finished by sync", async (t) => {
  const { file, store, memory } = await open(t);
  store.fail("truncate", "EIO");
  strictEqual(await codeOf(file.truncate(page)), "EIO");
  await file.sync();
  strictEqual(memory.snapshot().length, page);
});

test("a sync during the store's truncate does not ask for a second one, which could come after the file has grown", async (t) => {
  const { file, store, memory } = await open(t);
  const held = store.hold("truncate");
  const cut = file.truncate(page);
  await held.entered;
  const synced = file.sync();
  await turns();
  held.release();
  await Promise.all([cut, synced]);
  strictEqual(store.count("truncate"), 1);
  await file.truncate(8 * page);
  strictEqual(memory.snapshot().length, 8 * page);
});

test("a page that cannot be read does not keep truncate from removing it", async (t) => {
  const { file, store } = await open(t);
  const held = store.hold("readPages");
  const reading = codeOf(file.getUserPages(5 * page, 1));
  await held.entered;
  const cut = file.truncate(page);
  await turns();
  held.fail("EIO");
  strictEqual(await reading, "EIO");
  await cut;
  strictEqual(file.size, page);
});

for (const [index, what] of [
  [1, "the page that it goes through"],
  [2, "a page that goes"],
] as const) {
  test(`no byte comes back that was cut during a read of ${what}`, async (t) => {
    const { file, store, memory } = await open(t, { pages: 4 });
    await file.write(filled(9, 4 * page), 0, 4 * page, 0);
    await file.sync();
    file.invalidate();
    // The storage has given the old bytes; the cache hears of it after the cut has begun.
    const held = store.hold("readPages", { stage: "after" });
    const read = file.read(new Uint8Array(page), 0, page, index * page);
    await held.entered;
    const cut = watch(file.truncate(page + 10));
    await turns();
    strictEqual(store.count("truncate"), 0, "the storage is not cut beside a read");
    held.release();
    await Promise.all([read, cut.promise]);
    await file.truncate(4 * page);
    for (const position of [page + 10, 2 * page - 1, 2 * page, 3 * page]) strictEqual(await byteAt(file, position), 0);
    strictEqual(await byteAt(file, page + 9), 9);
    await file.sync();
    ok(memory.snapshot().every((byte, at) => byte === (at < page + 10 ? 9 : 0)));
  });

  test(`no byte comes back that was cut during a write-back of ${what}`, async (t) => {
    for (const stage of ["before", "after"] as const) {
      const { file, store, memory, cache } = await open(t, { pages: 4 });
      await file.write(filled(9, 4 * page), 0, 4 * page, 0);
      await file.sync();
      await writeAt(file, index, 8);
      const held = store.hold("writePages", { stage });
      const synced = file.sync();
      await held.entered;
      const cut = watch(file.truncate(page + 10));
      await turns();
      strictEqual(store.count("truncate"), 0, "the storage is not cut beside a write");
      held.release();
      await Promise.all([synced, cut.promise]);
      await file.truncate(4 * page);
      for (const position of [page + 10, 2 * page - 1, 2 * page, 3 * page])
        strictEqual(await byteAt(file, position), 0);
      await file.sync();
      ok(memory.snapshot().every((byte, at) => at < page || (at < page + 10 ? byte > 0 : byte === 0)));
      cache.verify({ quiesce: true });
    }
  });
}

test("extending over a partial dirty page leaves zeros behind the old end", async (t) => {
  const { file, cache, memory } = await open(t, { pages: 0 });
  await file.write(filled(5, 100), 0, 100, 0);
  const [frame] = [cache.core.table.find(0, 0)];
  ok(frame !== undefined && frame >= 0);
  // What a page may have behind the end, for example through a raw pin.
  cache.core.frames.slice(frame, 100, page).fill(99);
  await file.truncate(2 * page);
  deepStrictEqual([await byteAt(file, 99), await byteAt(file, 100), await byteAt(file, page - 1)], [5, 0, 0]);
  await file.sync();
  strictEqual(storedAt(memory, 100), 0);
});

test("a write past the end that the store refuses leaves the size as it was", async (t) => {
  const { file, cache, store, memory } = await open(t, { pages: 1 });
  store.fail("pageMkwrite", "ENOSPC");
  strictEqual(await codeOf(file.write(filled(1), 0, page, 10 * page)), "ENOSPC");
  strictEqual(file.size, page);
  await file.sync();
  strictEqual(memory.snapshot().length, page);
  cache.verify({ quiesce: true });
});

test("a scope that holds the last page gets EDEADLK for an extension, not a hang", async (t) => {
  const { file, cache } = await open(t, { pages: 0 });
  await file.write(filled(5, 100), 0, 100, 0);
  const scope = cache.scope();
  const pages: UserPages = await file.getUserPages(0, 100, { scope });
  strictEqual(await codeOf(file.truncate(page, { scope })), "EDEADLK");
  strictEqual(await codeOf(file.truncate(10, { scope })), "EDEADLK");
  pages.put();
  scope.end();
});
