/** Failing writes and syncs of the data and of the sums, and what an open finds after them: no false alarm, and nothing swallowed. */
import { deepStrictEqual, equal, ok, rejects, throws } from "node:assert/strict";
import { test } from "node:test";
import { ChecksumStore, MemoryStore } from "../../../src/index.js";
import { rebuildSums } from "../../../src/stores/checksums/open.js";
import { runLater } from "../../../src/stores/checksums/steps.js";
import { verifySums } from "../../../src/stores/checksums/verify.js";
import { FaultyStore, ScriptedStore } from "../../../src/testing/index.js";

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
  for (const position of [(2 + 2 * areaPages) * page, 0]) {
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

test("a sync does not run beside one of our own, which may be told of its error", async () => {
  const data = new ScriptedStore(new MemoryStore({ sizeBytes: blocks * page }));
  const store = await ChecksumStore.open(data, new MemoryStore(), { fresh: true });
  const hold = data.hold("sync");
  let running = 0;
  for (let i = 0; running === 0 && i < 600; i++) {
    const writing = write(store, i % blocks, i);
    if (i >= areaPages - 1) await new Promise((resolve) => setImmediate(resolve));
    await writing;
    running = data.calls("sync").length;
  }
  equal(running, 1, "the log goes into the table, after a sync");
  data.fail("sync", "EIO");
  let isDone = false;
  const synced = store.sync({ data: true }).finally(() => (isDone = true));
  await new Promise((resolve) => setTimeout(resolve, 10));
  ok(!isDone && data.calls("sync").length === 1, "one at a time");
  throws(() => store.syncSync?.({ data: true }), { code: "EBUSY" });
  equal(data.calls("syncSync").length, 1, "it was tried all the same: at the exit of a process it is the last one");
  hold.release();
  await rejects(synced, { code: "EIO" });
  await store.close();
});

test("a sync of our own heals nothing: what failed is not written again before it", async () => {
  const memory = new MemoryStore({ sizeBytes: blocks * page });
  const data = new ScriptedStore(memory) as ScriptedStore & { loseSync?: () => void };
  let lost = 0;
  data.loseSync = () => void lost++;
  const store = await ChecksumStore.open(data, new MemoryStore(), { fresh: true });
  writeMany(store, 2 * areaPages);
  equal(lost, 0);
  data.fail("syncSync", "EIO");
  throws(() => store.syncSync?.({ data: true }), { code: "EIO" });
  // Written again: there is no place in the log before it was emptied.
  writeMany(store, 40);
  equal(lost, 1);
  store.syncSync?.({ data: true });
  writeMany(store, 3 * areaPages);
  equal(lost, 1);
  await store.close();
});

test("sums that are made anew are as long as they have to be, whatever was there", async () => {
  const data = new MemoryStore({ sizeBytes: 5000 * page, contents: Buffer.alloc(5000 * page, 1) });
  const sums = new ScriptedStore(new MemoryStore({ contents: Buffer.alloc((600 + 2) * page, 9) }));
  await runLater(rebuildSums(data, sums, () => {}));
  equal(sums.calls("setSize").at(-1)?.position, (2 + 2 * areaPages + 5) * page);
  const found = await verifySums(data, sums);
  equal(found.wrongBytes, 0);
});

test("verify sees that a settled block beyond the end was cut off, though only the log knows of it", async () => {
  const disks = await setup();
  writeNow(disks.store, blocks - 1, 7);
  disks.store.syncSync?.({ data: true });
  writeNow(disks.store, 0, 7);
  const contents = disks.data.inner.snapshot().subarray(0, 8 * page);
  const data = new MemoryStore({ contents, readOnly: true });
  const found = await verifySums(data, new MemoryStore({ contents: disks.sums.inner.snapshot(), readOnly: true }));
  deepStrictEqual(
    found.findings.map(({ from, what }) => ({ from, what })),
    [{ from: (blocks - 1) * page, what: "lost" }],
  );
});
