/** syncSync: durable when it returns, or it throws; and EDEADLK for what only this thread's own event loop could finish. */
import { deepEqual, equal, match, ok, throws } from "node:assert/strict";
import { test } from "node:test";
import { PinfoldError } from "../../src/index.js";
import { byteAt, filled, open, page, storedAt, turns, writeAt } from "./fixture.js";

function errorOf(call: () => void): PinfoldError {
  try {
    call();
  } catch (error) {
    ok(error instanceof PinfoldError, String(error));
    return error;
  }
  throw new Error("nothing was thrown");
}

test("syncSync writes what is dirty and has the store make it durable, datasyncSync its data", async (t) => {
  const { cache, file, store, memory } = await open(t);
  for (let at = 0; at < 10; at++) await writeAt(file, at * 2, at + 1);
  file.datasyncSync();
  equal(storedAt(memory, 18 * page), 10);
  deepEqual(
    store.calls("syncSync").map(({ data }) => data),
    [true],
  );
  file.syncSync();
  file.syncSync();
  deepEqual(
    store.calls("syncSync").map(({ data }) => data),
    [true, false],
    "once for the metadata; nothing has changed since",
  );
  equal(store.calls("writePages").length + store.calls("sync").length, 0);
  const { dirtyPages, unstablePages } = cache.stats();
  deepEqual([dirtyPages, unstablePages], [0, 0]);
  cache.verify({ quiesce: true });
});

test("syncSync of a range leaves the rest dirty", async (t) => {
  const { cache, file, memory } = await open(t);
  await writeAt(file, 1, 7);
  await writeAt(file, 2, 8);
  file.syncSync({ position: page, length: page });
  deepEqual([storedAt(memory, page), storedAt(memory, 2 * page), cache.stats().dirtyPages], [7, 0, 1]);
});

test("syncSync throws as long as something covered is not durable, with ranges and causes", async (t) => {
  const { cache, file, store, memory } = await open(t);
  await writeAt(file, 1, 1);
  await writeAt(file, 5, 5);
  store.fail("writePagesSync", "EIO", { when: ({ position }) => position === page });
  const error = errorOf(() => file.syncSync());
  equal(error.code, "EIO");
  match(error.message, /not durable: \[4096, 8192\)/);
  equal(storedAt(memory, 5 * page), 5);
  store.fail("syncSync", "EIO");
  equal(errorOf(() => file.syncSync()).code, "EIO");
  ok(cache.stats().dirtyPages > 0, "what was written is dirty again");
  file.syncSync();
  deepEqual([storedAt(memory, page), cache.stats().dirtyPages, cache.stats().unstablePages], [1, 0, 0]);
  cache.verify({ quiesce: true });
});

test("syncSync skips a page that was clean when its present pin came, and is EDEADLK under a pin on a dirty one", async (t) => {
  const { cache, file, memory } = await open(t);
  const fresh = await file.getUserPages(3 * page, 1, { write: true });
  file.syncSync();
  fresh.putUnmodified();
  await writeAt(file, 0, 1);
  const pages = await file.getUserPages(0, 1, { write: true });
  const error = errorOf(() => file.syncSync());
  equal(error.code, "EDEADLK");
  match(error.message, /would wait for this thread's own event loop: locked write pin/);
  pages.put();
  file.syncSync();
  equal(storedAt(memory, 0), 1);
  cache.verify({ quiesce: true });
});

test("syncSync writes a snapshot of a page under a counted write pin, which stays dirty", async (t) => {
  const { cache, file, memory } = await open(t);
  const pages = await file.getUserPages(0, page, { write: true, longterm: true });
  pages.bytes.fill(9);
  file.syncSync();
  deepEqual([storedAt(memory, 0), cache.stats().dirtyPages], [9, 1]);
  pages.put();
  file.syncSync();
  cache.verify({ quiesce: true });
});

test("what this thread's event loop has on its way is EDEADLK for syncSync: a write-back, a store sync", async (t) => {
  const { cache, file, store, memory } = await open(t);
  await writeAt(file, 0, 1);
  const writing = store.hold("writePages");
  const synced = file.sync();
  await writing.entered;
  equal(errorOf(() => file.syncSync()).code, "EDEADLK");
  writing.release();
  await synced;
  await writeAt(file, 1, 2);
  const syncing = store.hold("sync");
  const again = file.sync();
  await syncing.entered;
  await writeAt(file, 2, 3);
  equal(errorOf(() => file.syncSync()).code, "EDEADLK");
  syncing.release();
  await again;
  file.syncSync();
  equal(storedAt(memory, 2 * page), 3);
  cache.verify({ quiesce: true });
});

test("where the last snapshot frames are on their way in this thread's event loop, syncSync is EDEADLK", async (t) => {
  const { file, store } = await open(t);
  const pins = [];
  for (let at = 0; at < 2; at++) {
    const pages = await file.getUserPages(at * page, page, { write: true, longterm: true });
    pages.bytes.fill(at + 1);
    pins.push(pages);
  }
  const writing = store.hold("writePages");
  const synced = file.sync({ position: 0, length: page });
  await writing.entered;
  equal(errorOf(() => file.syncSync({ position: page, length: page })).code, "EDEADLK");
  writing.release();
  await synced;
  file.syncSync();
  for (const pages of pins) pages.put();
});

test("with writeThrough a write whose bytes the store does not take throws from writeSync", async (t) => {
  const { file, store, memory } = await open(t, { cache: { writeThrough: true } });
  store.fail("writePagesSync", "EIO");
  throws(() => file.writeSync(filled(1, 10), 0, 10, 0), { code: "EIO" });
  equal(await byteAt(file, 0), 1, "the page has the bytes, and stays dirty");
  file.writeSync(filled(2, 10), 0, 10, 0);
  equal(storedAt(memory, 0), 2);
});

test("a cut that the store has not finished is EDEADLK for blocking calls that depend on it, until sync has", async (t) => {
  const { file, store, memory } = await open(t);
  store.fail("truncate", "EIO");
  await file.truncate(3 * page).catch(() => {});
  await turns();
  equal(errorOf(() => file.syncSync()).code, "EDEADLK");
  throws(() => file.writeSync(filled(1, 10), 0, 10, 9 * page), { code: "EDEADLK" });
  await file.sync();
  equal(file.writeSync(filled(1, 10), 0, 10, 9 * page), 10);
  file.syncSync();
  equal(storedAt(memory, 9 * page), 1);
});

test("a store that fails every write lets a blocking miss end with its error, and not hang", async (t) => {
  const { file, store } = await open(t, { frames: 64, cache: { frameWaitMs: 100 } });
  for (let at = 0; at < 40; at++) await writeAt(file, at, 1);
  store.on("writePagesSync", {
    before: () => {
      throw new PinfoldError("EIO", "bad disk");
    },
  });
  const error = errorOf(() => {
    for (let at = 40; at < 200; at++) file.writeSync(filled(2), 0, page, at * page);
  });
  equal(error.code, "EIO");
  store.clear();
  file.syncSync();
});
