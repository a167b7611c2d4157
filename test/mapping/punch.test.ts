/**
 * Punching holes and reserving space.
 */
import { rejects, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { byteAt, codeOf, filled, open, page, storedAt, turns, until, writeAt } from "./fixture.js";

test("a punch ends under constant readers", async (t) => {
  const { file, store } = await open(t);
  await file.write(filled(1, 20 * page), 0, 20 * page, 0);
  const run = { goOn: true };
  let reads = 0;
  const reader = async (number: number) => {
    for (let i = number; run.goOn; i++) {
      const pages = await file.getUserPages((i % 20) * page, 1);
      reads += 1;
      await setImmediate();
      pages.put();
      if (i % 7 === 0) await file.advise(0, 20 * page, "dontneed");
    }
  };
  const readers = Promise.all([reader(0), reader(5), reader(11)]);
  await until(() => reads > 20, "readers");
  await file.punchHole(2 * page, 10 * page);
  run.goOn = false;
  await readers;
  strictEqual(store.count("punch"), 1);
  strictEqual(await byteAt(file, 3 * page), 0);
  strictEqual(await byteAt(file, 15 * page), 1);
});

test("a load that began before a punch does not bring back what was punched", async (t) => {
  const { file, store } = await open(t);
  await writeAt(file, 3, 9);
  await file.sync();
  file.invalidate();
  const held = store.hold("readPages", { stage: "after" });
  const reading = file.getUserPages(3 * page, 1);
  await held.entered;
  const punched = file.punchHole(3 * page, page);
  await turns();
  strictEqual(store.count("punch"), 0);
  held.release();
  (await reading).put();
  await punched;
  strictEqual(await byteAt(file, 3 * page), 0);
});

test("a counted pin in the range makes punch EBUSY, which names it", async (t) => {
  const { file } = await open(t);
  const held = await file.getUserPages(5 * page, 10, { longterm: true });
  await rejects(file.punchHole(4 * page, 4 * page), { code: "EBUSY", message: /counted read pin/ });
  held.put();
  await file.punchHole(4 * page, 4 * page);
});

test("a punch through the end of the file gives back the reservation of its last, partial block", async (t) => {
  const { file, memory, cache } = await open(t, { pages: 0 });
  await file.write(filled(1, page + 100), 0, page + 100, 0);
  strictEqual(memory.usage().reservedBlocks, 2);
  await file.punchHole(0, 10 * page);
  strictEqual(memory.usage().reservedBlocks, 0);
  cache.verify({ quiesce: true });
});

test("a punch of a part of a dirty page zeroes that part, and write-back brings nothing back", async (t) => {
  const { file, memory } = await open(t);
  await file.write(filled(4, 2 * page), 0, 2 * page, 0);
  await file.punchHole(100, page);
  strictEqual(await byteAt(file, 99), 4);
  strictEqual(await byteAt(file, 100), 0);
  await file.sync();
  strictEqual(storedAt(memory, page + 99), 0);
  strictEqual(storedAt(memory, page + 100), 4);
});

test("a store sync that began before a punch was done does not count for it", async (t) => {
  const { file, store } = await open(t);
  await writeAt(file, 9, 1);
  const punch = store.hold("punch");
  const punched = file.punchHole(0, page);
  await punch.entered;
  const synced = codeOf(file.datasync({ length: 0 }));
  await turns();
  await synced;
  punch.release();
  await punched;
  const before = store.count("sync");
  await file.sync({ length: 0 });
  strictEqual(store.count("sync"), before + 1);
});

test("the store's failure of a punch reaches the caller, and the pages stay", async (t) => {
  const { file, store, cache } = await open(t);
  await writeAt(file, 3, 9);
  store.fail("punch", "EIO");
  strictEqual(await codeOf(file.punchHole(3 * page, page)), "EIO");
  strictEqual(await byteAt(file, 3 * page), 9);
  cache.verify({ quiesce: true });
});

test("where the store has punched and fails all the same, clean pages are what it has, and dirty ones have their leave", async (t) => {
  const { file, store, cache } = await open(t);
  await writeAt(file, 4, 5);
  await file.sync();
  await writeAt(file, 3, 9);
  const asked = store.count("pageMkwrite");
  store.fail("punch", "EIO", { stage: "after" });
  strictEqual(await codeOf(file.punchHole(3 * page, 2 * page)), "EIO");
  strictEqual(store.count("pageMkwrite"), asked + 1);
  strictEqual(await byteAt(file, 3 * page), 9);
  strictEqual(await byteAt(file, 4 * page), 0);
  // The store asserts that what is written has its space.
  await file.sync();
  strictEqual(await byteAt(file, 3 * page), 9);
  cache.verify({ quiesce: true });
});

test("where it gives no leave either, what is dirty stays, and can be written when it does", async (t) => {
  const { file, store, cache } = await open(t);
  await writeAt(file, 3, 9);
  store.fail("punch", "EIO");
  store.fail("pageMkwrite", "ENOSPC");
  strictEqual(await codeOf(file.punchHole(3 * page, page)), "EIO");
  strictEqual(await byteAt(file, 3 * page), 9);
  await file.sync();
  cache.verify({ quiesce: true });
});

test("space that allocate reserved is not given back with the grant of a page that turned out unmodified", async (t) => {
  const { file, memory } = await open(t);
  const pages = await file.getUserPages(0, page, { write: true });
  const allocated = file.allocate(0, page);
  await turns();
  pages.put();
  await allocated;
  const again = await file.getUserPages(0, page, { write: true });
  again.putUnmodified();
  strictEqual(memory.usage().keptBlocks + memory.usage().allocatedBlocks, 1);
});
