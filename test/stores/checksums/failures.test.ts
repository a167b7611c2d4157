/** Failing writes and syncs of the data and of the sums, and what an open finds after them: no false alarm, and nothing swallowed. */
import { deepStrictEqual, equal, rejects, throws } from "node:assert/strict";
import { test } from "node:test";
import { ChecksumStore, MemoryStore } from "../../../src/index.js";
import { FaultyStore } from "../../../src/testing/index.js";

const page = 4096;
const blocks = 64;
const areaPages = 256;

interface Disks {
  readonly store: ChecksumStore;
  readonly data: FaultyStore<MemoryStore>;
  readonly sums: FaultyStore<MemoryStore>;
}

async function setup(): Promise<Disks> {
  const data = new FaultyStore(new MemoryStore({ sizeBytes: blocks * page }));
  const sums = new FaultyStore(new MemoryStore());
  return { store: await ChecksumStore.open(data, sums, { fresh: true }), data, sums };
}

function writeNow(store: ChecksumStore, index: number, fill: number): void {
  store.pageMkwriteSync?.({ position: index * page, length: page, pageSize: page, blocks: new Uint32Array(1) });
  store.writePagesSync?.(index * page, [Buffer.alloc(page, fill)]);
}

async function write(store: ChecksumStore, index: number, fill: number): Promise<void> {
  await store.pageMkwrite({ position: index * page, length: page, pageSize: page, blocks: new Uint32Array(1) });
  await store.writePages(index * page, [Buffer.alloc(page, fill)]);
}

function readNow(store: ChecksumStore, index: number): number | undefined {
  const buffer = Buffer.alloc(page);
  store.readPagesSync?.(index * page, [buffer]);
  return buffer[0];
}

/** What the next process finds where this one ends now. */
function afterCrash({ data, sums }: Pick<Disks, "data" | "sums">): Promise<ChecksumStore> {
  const contents = [data.inner.snapshot(), sums.inner.snapshot()] as const;
  return ChecksumStore.open(new MemoryStore({ contents: contents[0] }), new MemoryStore({ contents: contents[1] }));
}

function writeMany(store: ChecksumStore, count: number): void {
  for (let i = 0; i < count; i++) writeNow(store, 10 + (i % 40), i);
}

test("a write that failed, and was not done again when the log was emptied, leaves the block as it was", async () => {
  const disks = await setup();
  const { store, data } = disks;
  writeMany(store, areaPages - 10);
  writeNow(store, 3, 1);
  writeMany(store, 20);
  data.add({ fault: { kind: "error" }, calls: ["writePagesSync"] });
  throws(() => writeNow(store, 3, 2), { code: "EIO" });
  // Both areas are full, and the first one goes into the table; the record of the failed write is in the second one.
  writeMany(store, areaPages - 10);
  equal(readNow(store, 3), 1);
  const next = await afterCrash(disks);
  deepStrictEqual(next.tornBlocks, []);
  equal(readNow(next, 3), 1);
});

test("what was decided of a failed write holds only once the table has it durably", async () => {
  // Its first page, and then the first header.
  for (const position of [(2 + 2 * areaPages) * page, page]) {
    const disks = await setup();
    const { store, data, sums } = disks;
    await write(store, 3, 1);
    await store.sync({ data: true });
    data.add({ fault: { kind: "error" }, calls: ["writePages"] });
    await rejects(write(store, 3, 2), { code: "EIO" });
    for (let i = 2; i < areaPages; i++) await write(store, 10, i);
    sums.add({ fault: { kind: "error" }, calls: ["writePages"], from: position, to: position + page });
    for (let i = 0; i < 20; i++) await write(store, 11, i);
    equal(sums.struck.length, 1);
    const next = await afterCrash(disks);
    deepStrictEqual(next.tornBlocks, []);
    equal(readNow(next, 3), 1);
  }
});

test("a write that is done again does not make the failed one before it true", async () => {
  const disks = await setup();
  const { store, data } = disks;
  writeNow(store, 3, 1);
  store.syncSync?.({ data: true });
  data.add({ fault: { kind: "error" }, calls: ["writePagesSync"] });
  throws(() => writeNow(store, 3, 2), { code: "EIO" });
  // A sync of somebody else, which succeeds while the write is done again; that fails too.
  data.add({ fault: { kind: "delay", milliseconds: 30 }, calls: ["writePages"] });
  data.add({ fault: { kind: "error" }, calls: ["writePages"] });
  const again = store.writePages(3 * page, [Buffer.alloc(page, 3)]);
  await new Promise((resolve) => setTimeout(resolve, 10));
  await store.sync({ data: true });
  await rejects(again, { code: "EIO" });
  equal(readNow(store, 3), 1);
  await store.close();
});
