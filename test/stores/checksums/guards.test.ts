/** Single guards of the rule for crashes, each with the order of calls that needs it. */
import { deepStrictEqual, equal, ok, rejects } from "node:assert/strict";
import { test } from "node:test";
import { limits } from "../../../src/base/limits.js";
import { ChecksumStore, MemoryStore } from "../../../src/index.js";
import { ScriptedStore, type StoreCall } from "../../../src/testing/index.js";

const page = 4096;
const areaPages = 256;
const table = (2 + 2 * areaPages) * page;
/** Blocks of data for a page of the table. */
const pageSums = 1016;

interface Disks {
  readonly store: ChecksumStore;
  readonly data: ScriptedStore;
  readonly sums: ScriptedStore;
}

async function setup(blocks = 100): Promise<Disks> {
  const data = new ScriptedStore(new MemoryStore({ sizeBytes: blocks * page }));
  const sums = new ScriptedStore(new MemoryStore());
  return { store: await ChecksumStore.open(data, sums, { fresh: true }), data, sums };
}

async function write(store: ChecksumStore, index: number, fill: number): Promise<void> {
  await store.pageMkwrite({ position: index * page, length: page, pageSize: page, blocks: new Uint32Array(1) });
  await store.writePages(index * page, [Buffer.alloc(page, fill)]);
}

async function read(store: ChecksumStore, index: number): Promise<number | undefined> {
  const buffer = Buffer.alloc(page);
  await store.readPages(index * page, [buffer]);
  return buffer[0];
}

/** Reads one block for each of more pages of the table than are kept. */
async function readOthers(store: ChecksumStore): Promise<void> {
  for (let i = 1; i <= limits.checksumPagesMax + 1; i++) equal(await read(store, i * pageSums), 0);
}

const far = (limits.checksumPagesMax + 2) * pageSums;

/** Fills the first area but for one page. The next two writes bring the log to the other one, and this one into the table. */
async function fillArea(store: ChecksumStore, written: number): Promise<void> {
  for (let i = written; i < areaPages; i++) await write(store, 50, i);
}

const at = (position: number) => ({ when: (call: StoreCall) => call.position === position });

test("the header that empties an area is durable before the area is written again", async () => {
  const { store, sums } = await setup();
  for (let i = 0; i < 3 * areaPages; i++) {
    store.pageMkwriteSync?.({ position: 0, length: page, pageSize: page, blocks: new Uint32Array(1) });
    store.writePagesSync?.(0, [Buffer.alloc(page, i)]);
  }
  let headers = 0;
  const calls = [...sums.calls("writePagesSync"), ...sums.calls("syncSync")].toSorted(
    (a, b) => a.sequence - b.sequence,
  );
  for (const [i, { name, position }] of calls.entries()) {
    if (name !== "writePagesSync" || position >= 2 * page) continue;
    equal(calls[i - 1]?.name, "syncSync", "the table is durable before its header, and that before its copy");
    if (position > 0) continue;
    headers += 1;
    equal(calls[i + 1]?.name, "syncSync", "and the header before the log");
    equal(calls[i + 2]?.position, page);
  }
  ok(headers > 0);
  await store.close();
});

test("after a sync that failed a block may be as it was before: the kernel may have dropped it", async () => {
  const { store, data } = await setup();
  await write(store, 3, 1);
  await store.sync({ data: true });
  await write(store, 3, 2);
  data.fail("sync", "EIO");
  await rejects(store.sync({ data: true }), { code: "EIO" });
  await data.inner.writePages(3 * page, [Buffer.alloc(page, 1)]);
  equal(await read(store, 3), 1);
  await data.inner.writePages(3 * page, [Buffer.alloc(page, 7)]);
  await rejects(read(store, 3), { code: "ERR_PINFOLD_CHECKSUM" });
  await write(store, 3, 2);
  await store.close();
});

test("a page of the table that is being written stays in memory", async () => {
  const { store, sums } = await setup(far);
  await write(store, 3, 1);
  await fillArea(store, 1);
  const hold = sums.hold("writePages", at(table));
  await write(store, 50, 1);
  await hold.entered;
  await readOthers(store);
  await read(store, 4);
  hold.release();
  await store.sync({ data: true });
  await store.sync({ data: true });
  // Once the log has forgotten the block, the table alone knows it.
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
  equal(await read(store, 3), 1);
  await store.close();
});

test("a page of the table that was read before it was changed is read again", async () => {
  const { store, sums } = await setup(far);
  await write(store, 3, 1);
  await fillArea(store, 1);
  await readOthers(store);
  // It is read as it was, and comes back when it was changed, written and thrown out.
  const hold = sums.hold("readPages", { ...at(table), stage: "after" });
  const reading = read(store, 4);
  await hold.entered;
  await write(store, 50, 1);
  for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
  equal(sums.calls("writePages").filter(({ position }) => position === table).length, 1);
  await readOthers(store);
  hold.release();
  await reading;
  equal(await read(store, 3), 1);
  await store.close();
});

test("a page of the table that is being read is read once, whatever changes beside it", async () => {
  const { store, sums } = await setup(far);
  // The file of sums gets this page, without anything in it.
  await store.pageMkwrite({ position: pageSums * page, length: page, pageSize: page, blocks: new Uint32Array(1) });
  await fillArea(store, 0);
  const other = { when: (call: StoreCall) => call.position === table + page, stage: "after" as const };
  const hold = sums.hold("readPages", other);
  const reading = read(store, pageSums);
  await hold.entered;
  await write(store, 50, 1);
  for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
  equal(sums.calls("writePages").filter(({ position }) => position === table).length, 1);
  hold.release();
  equal(await reading, 0);
  equal(sums.calls("readPages").filter(({ position }) => position === table + page).length, 1);
  await store.close();
});

test("where a batch of the log was told that a sync failed, the table is written once more", async () => {
  const { store, sums } = await setup();
  await write(store, 3, 1);
  await fillArea(store, 1);
  const hold = sums.hold("writePages", { ...at(table), stage: "after" });
  await write(store, 50, 1);
  await hold.entered;
  sums.fail("sync", "EIO");
  await rejects(write(store, 51, 1), { code: "EIO" });
  hold.release();
  for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
  equal(sums.calls("writePages").filter(({ position }) => position === table).length, 2);
  await store.close();
});

test("a hole that failed is not true because a block in it is written again", async () => {
  const first = await setup();
  await write(first.store, 3, 1);
  await first.store.close();
  const data = new ScriptedStore((first.data.inner as MemoryStore).reopen());
  const store = await ChecksumStore.open(data, (first.sums.inner as MemoryStore).reopen());
  data.fail("punch", "EIO");
  await rejects(store.punch(0, 90 * page), { code: "EIO" });
  const hold = data.hold("writePages");
  const again = write(store, 3, 2);
  await hold.entered;
  await store.sync({ data: true });
  hold.fail("EIO");
  await rejects(again, { code: "EIO" });
  equal(await read(store, 3), 1);
  await store.punch(0, 90 * page);
  equal(await read(store, 3), 0);
  await store.close();
});

test("a block that fails again while it is looked at stays in doubt", async () => {
  const { store, data } = await setup();
  await write(store, 3, 1);
  await store.sync({ data: true });
  data.fail("writePages", "EIO");
  await rejects(write(store, 3, 2), { code: "EIO" });
  await fillArea(store, 2);
  const hold = data.hold("readPages", { ...at(3 * page), stage: "after" });
  await write(store, 50, 1);
  await hold.entered;
  data.fail("writePages", "EIO", { stage: "after" });
  await rejects(write(store, 3, 5), { code: "EIO" });
  hold.release();
  for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
  equal(await read(store, 3), 5);
  await store.close();
});

test("what went into the table stays right for a block that was written after it, until a sync", async () => {
  const { store, data, sums } = await setup();
  await write(store, 3, 1);
  await fillArea(store, 1);
  const hold = sums.hold("writePages", at(table));
  await write(store, 50, 1);
  await hold.entered;
  await write(store, 3, 2);
  hold.release();
  for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
  data.fail("sync", "EIO");
  await rejects(store.sync({ data: true }), { code: "EIO" });
  await data.inner.writePages(3 * page, [Buffer.alloc(page, 1)]);
  equal(await read(store, 3), 1);
  await store.close();
});

test("a full log waits for a write that takes long, however long", async () => {
  const { store, data } = await setup();
  const hold = data.hold("writePages");
  const slow = write(store, 3, 1);
  await hold.entered;
  for (let i = 1; i < 2 * areaPages; i++) await write(store, 50, i);
  let isDone = false;
  const waiting = write(store, 51, 1).then(() => (isDone = true));
  for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
  ok(!isDone);
  hold.release();
  await Promise.all([slow, waiting]);
  equal(await read(store, 51), 1);
  await store.close();
});

test("space for the sums comes before space for the data, also for calls that wait", async () => {
  const { store, data, sums } = await setup();
  sums.fail("pageMkwrite", "ENOSPC", at(table));
  await rejects(write(store, 3, 1), { code: "ENOSPC" });
  equal(data.count("pageMkwrite"), 0);
  await write(store, 3, 1);
  await store.close();
});

test("either copy of the header may be damaged: both say from where on the log counts", async () => {
  for (const copy of [0, page]) {
    const { store, data, sums } = await setup();
    // The areas are used more than once: with the header of before, old records would count.
    const newest = new Map<number, number>();
    for (let i = 0; i < 5 * areaPages; i++) {
      await write(store, i % 90, i);
      newest.set(i % 90, i % 256);
    }
    await store.close();
    const contents = (sums.inner as MemoryStore).snapshot();
    contents.fill(0x58, copy, copy + page);
    const again = await ChecksumStore.open((data.inner as MemoryStore).reopen(), new MemoryStore({ contents }));
    deepStrictEqual(again.tornBlocks, []);
    for (const [i, fill] of newest) equal(await read(again, i), fill);
    await again.close();
  }
});

test("a damaged sector of the table loses the sums that were in it, until their blocks are written again", async () => {
  const first = await setup();
  for (let i = 0; i < 10; i++) await write(first.store, i, i);
  await first.store.close();
  const contents = (first.sums.inner as MemoryStore).snapshot();
  contents[table + 7] = (contents[table + 7] as number) ^ 1;
  let data = (first.data.inner as MemoryStore).reopen();
  let sums = new MemoryStore({ contents });
  let store = await ChecksumStore.open(data, sums);
  const damaged = { code: "ERR_PINFOLD_CHECKSUM", message: /their checksum is damaged/ };
  await rejects(read(store, 3), damaged);
  await write(store, 3, 33);
  equal(await read(store, 3), 33);
  // Half of a block whose sum is not known is cut off: it is still not known.
  await store.punch(5 * page, page / 2);
  await rejects(read(store, 5), damaged);
  await store.close();
  // The table has it, and the other ones of the sector.
  [data, sums] = [data.reopen(), sums.reopen()];
  store = await ChecksumStore.open(data, sums);
  equal(await read(store, 3), 33);
  for (const index of [0, 4, 5, 9, 50]) await rejects(read(store, index), damaged);
  await data.writePages(3 * page, [Buffer.alloc(page, 34)]);
  await rejects(read(store, 3), { code: "ERR_PINFOLD_CHECKSUM", message: /not what was written/ });
  await store.close();
});

test("a block whose sum is not known is not torn, whatever it is after a crash", async () => {
  const first = await setup();
  await write(first.store, 3, 1);
  await first.store.close();
  const contents = (first.sums.inner as MemoryStore).snapshot();
  contents[table + 7] = (contents[table + 7] as number) ^ 1;
  const data = new ScriptedStore((first.data.inner as MemoryStore).reopen());
  const sums = new MemoryStore({ contents });
  const store = await ChecksumStore.open(data, sums);
  const hold = data.hold("writePages");
  const writing = write(store, 3, 2);
  await hold.entered;
  // The process ends here: the log has the new sum, the data the old bytes.
  const crashed = new MemoryStore({ contents: (data.inner as MemoryStore).snapshot() });
  const next = await ChecksumStore.open(crashed, new MemoryStore({ contents: sums.snapshot() }));
  deepStrictEqual(next.tornBlocks, []);
  await rejects(read(next, 3), { code: "ERR_PINFOLD_CHECKSUM", message: /their checksum is damaged/ });
  hold.release();
  await writing;
  await Promise.all([store.close(), next.close()]);
});
