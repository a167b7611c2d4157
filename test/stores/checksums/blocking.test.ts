/** Calls that block, and a log that is full. */
import { deepStrictEqual, equal, ok, rejects, throws } from "node:assert/strict";
import { test } from "node:test";
import { ChecksumStore, MemoryStore } from "../../../src/index.js";
import { FaultyStore, ScriptedStore } from "../../../src/testing/index.js";

const page = 4096;
const blocks = 64;

function grant(store: ChecksumStore, index: number): void {
  store.pageMkwriteSync?.({ position: index * page, length: page, pageSize: page, blocks: new Uint32Array(1) });
}

function writeNow(store: ChecksumStore, index: number, fill: number): void {
  grant(store, index);
  store.writePagesSync?.(index * page, [Buffer.alloc(page, fill)]);
}

function readNow(store: ChecksumStore, index: number): number | undefined {
  const buffer = Buffer.alloc(page);
  store.readPagesSync?.(index * page, [buffer]);
  return buffer[0];
}

test("a thousand writes by calls that block go through a log of 512 pages, and all is known after an open", async () => {
  const data = new MemoryStore({ sizeBytes: blocks * page });
  const sums = new MemoryStore();
  const store = await ChecksumStore.open(data, sums, { fresh: true });
  for (let i = 0; i < 1000; i++) {
    writeNow(store, (i * 7) % blocks, i);
    if (i % 97 === 0) store.syncSync?.({ data: true });
    equal(readNow(store, (i * 7) % blocks), i & 255);
  }
  await store.close();
  const again = await ChecksumStore.open(data.reopen(), sums.reopen());
  for (let i = 1000 - blocks; i < 1000; i++) equal(readNow(again, (i * 7) % blocks), i & 255);
  deepStrictEqual(again.tornBlocks, []);
  await again.close();
});

test("a full log cannot be emptied while the data's sync fails: writes and the next sync say so; then all goes on", async () => {
  const data = new FaultyStore(new MemoryStore({ sizeBytes: blocks * page }));
  const store = await ChecksumStore.open(data, new MemoryStore(), { fresh: true });
  data.add({ fault: { kind: "error" }, calls: ["sync", "syncSync"], times: 1_000 });
  let refused = 0;
  for (let i = 0; i < 1000 && refused === 0; i++) {
    try {
      writeNow(store, i % blocks, i);
    } catch (error) {
      equal((error as { code?: unknown }).code, "EIO");
      refused = i;
    }
  }
  equal(refused, 512, "both areas are full");
  data.heal();
  // The failure was heard here alone: whoever syncs has to hear of it too, before a sync may say that all is well.
  throws(() => store.syncSync?.({ data: true }), { code: "EIO" });
  for (let i = 0; i < blocks; i++) writeNow(store, i, 200);
  store.syncSync?.({ data: true });
  for (let i = 0; i < blocks; i++) equal(readNow(store, i), 200);
  await store.close();
});

test("writes that wait share a batch of the log", async () => {
  const data = new MemoryStore({ sizeBytes: blocks * page });
  const sums = new ScriptedStore(new MemoryStore());
  const store = await ChecksumStore.open(data, sums, { fresh: true });
  for (let i = 0; i < blocks; i++) grant(store, i);
  const before = sums.count("sync");
  await Promise.all(Array.from({ length: blocks }, (_, i) => store.writePages(i * page, [Buffer.alloc(page, i + 1)])));
  ok(sums.count("sync") - before <= 3, `${sums.count("sync") - before} syncs for ${blocks} writes`);
  await store.close();
});

test("the sum of a block is durable before its bytes are written; a log that cannot be written keeps the data as it is", async () => {
  const memory = new MemoryStore({ sizeBytes: blocks * page });
  const data = new ScriptedStore(memory);
  const sums = new FaultyStore(new MemoryStore());
  const store = await ChecksumStore.open(data, sums, { fresh: true });
  grant(store, 3);
  for (const calls of [["writePages"], ["sync"]] as const) {
    sums.add({ fault: { kind: "error" }, calls });
    await rejects(store.writePages(3 * page, [Buffer.alloc(page, 9)]), { code: "EIO" });
    equal(data.count("writePages"), 0);
    equal(readNow(store, 3), 0);
  }
  await store.writePages(3 * page, [Buffer.alloc(page, 9)]);
  equal(readNow(store, 3), 9);
  await store.close();
});

test("a full storage of checksums is ENOSPC when leave is asked, and nothing is taken from the data", async () => {
  const data = new MemoryStore({ sizeBytes: 64 * 1024 * page });
  // The headers, the log, and one page of the table: for the first 1,016 blocks.
  const sums = new MemoryStore({ capacityBytes: (2 + 512 + 1) * page });
  const store = await ChecksumStore.open(data, sums, { fresh: true });
  writeNow(store, 0, 1);
  throws(() => grant(store, 1016), { code: "ENOSPC" });
  equal(data.usage().reservedBlocks, 0);
  writeNow(store, 1015, 1);
  equal(readNow(store, 1015), 1);
  await store.close();
});

test("what is wrong stays wrong through a cut or a punch within it", async () => {
  const data = new FaultyStore(new MemoryStore({ sizeBytes: blocks * page }));
  const store = await ChecksumStore.open(data, new MemoryStore(), { fresh: true });
  writeNow(store, 3, 1);
  writeNow(store, 5, 1);
  store.syncSync?.({ data: true });
  for (const index of [3, 5]) {
    data.add({ fault: { kind: "lost" }, calls: ["writePagesSync"] });
    writeNow(store, index, 2);
  }
  await store.punch(3 * page + 100, 200);
  await store.truncate(5 * page + 100);
  for (const index of [3, 5]) throws(() => readNow(store, index), { code: "ERR_PINFOLD_CHECKSUM" });
  await store.truncate(3 * page);
  await store.setSize(6 * page);
  for (const index of [3, 5]) equal(readNow(store, index), 0);
  await store.close();
});

test("many holes do not fill memory: what is in doubt is made durable in between", async () => {
  const size = 600_000;
  const data = new ScriptedStore(new MemoryStore({ sizeBytes: size * page }));
  const store = await ChecksumStore.open(data, new MemoryStore(), { fresh: true });
  writeNow(store, 77, 1);
  for (let i = 0; i < 700; i++) await store.punch(i * 800 * page, 700 * page);
  ok(data.count("sync") > 2, `${data.count("sync")} syncs`);
  equal(readNow(store, 77), 0);
  writeNow(store, 78, 2);
  equal(readNow(store, 78), 2);
  await store.close();
});
