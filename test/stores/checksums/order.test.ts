/** What has to be durable before what, and what a failed or concurrent sync says of it: each with the storage held at that point. */
import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { ChecksumStore, MemoryStore } from "../../../src/index.js";
import { headerBytes, placesOf } from "../../../src/stores/checksums/format.js";
import { FaultyStore, ScriptedStore } from "../../../src/testing/index.js";
import { turns } from "../../mapping/fixture.js";

const page = 4096;
const blocks = 16;
const logPages = 4;

async function put(store: ChecksumStore, index: number, fill: number): Promise<void> {
  await store.pageMkwrite({ position: index * page, length: page, pageSize: page, blocks: new Uint32Array(1) });
  await store.writePages(index * page, [Buffer.alloc(page, fill)]);
}

async function get(store: ChecksumStore, index: number): Promise<number | undefined> {
  const buffer = Buffer.alloc(page);
  await store.readPages(index * page, [buffer]);
  return buffer[0];
}

/** Puts bytes on the medium behind everybody's back: a kernel that dropped what it could not write, a power cut that lost it. */
function revert(medium: MemoryStore, index: number, fill: number): void {
  medium.writePagesSync(index * page, [Buffer.alloc(page, fill)]);
}

function media(): { data: MemoryStore; sums: MemoryStore } {
  return { data: new MemoryStore({ sizeBytes: blocks * page }), sums: new MemoryStore() };
}

/** As after a crash: nobody closed. */
async function crash(memory: MemoryStore): Promise<MemoryStore> {
  await memory.close();
  return memory.reopen();
}

test("the table is durable before the header says so, and the header before the log's area is used again", async () => {
  const { data, sums } = media();
  const calls: string[] = [];
  const { areas, table } = placesOf({ areaPages: logPages });
  const scripted = new ScriptedStore(sums);
  const store = await ChecksumStore.open(data, scripted, { fresh: true, logPages });
  scripted.on("sync", { after: () => void calls.push("sync") });
  scripted.on("writePages", {
    before: ({ position }) => {
      if (position < headerBytes) calls.push(position === 0 ? "header" : "copy");
      else if (position >= table) calls.push("table");
      else calls.push(position < areas[1] ? "area 0" : "area 1");
    },
  });
  for (let round = 0; round < 6; round++) {
    // The other area is full too before the first one is empty: then it is used at once.
    const held = scripted.hold("writePages", { when: ({ position }) => position >= table });
    const writing = (async () => {
      for (let i = 0; i < 3 * logPages; i++) await put(store, i % blocks, i);
    })();
    await held.entered;
    await turns();
    held.release();
    await writing;
  }
  await store.close();
  ok(calls.filter((call) => call === "header").length > 8);
  for (const [at, call] of calls.entries()) {
    if (call === "copy")
      equal(
        calls.slice(0, at).findLast((one) => one === "sync" || one === "header"),
        "sync",
      );
    if (call !== "header") continue;
    const before = calls.slice(0, at);
    ok(before.lastIndexOf("sync") > before.lastIndexOf("table"), `the table is synced before header ${at}`);
    const after = calls.slice(at + 1);
    const used = before.findLast((one) => one.startsWith("area"));
    const emptied = used === "area 0" ? "area 1" : "area 0";
    const again = after.indexOf(emptied);
    if (again >= 0) ok(after.indexOf("sync") < again, `header ${at} is synced before ${emptied} is used again`);
  }
});

test("after a sync of the data that failed, what was before it is no error of a read", async () => {
  const { data, sums } = media();
  const faulty = new FaultyStore(data);
  const store = await ChecksumStore.open(faulty, sums, { fresh: true });
  await put(store, 3, 1);
  await store.sync({ data: true });
  await put(store, 3, 2);
  faulty.add({ fault: { kind: "error" }, calls: ["sync"] });
  await store.sync({ data: true }).catch(() => {});
  revert(data, 3, 1);
  equal(await get(store, 3), 1, "the failure was told; what was durable can be read");
  await put(store, 3, 3);
  await store.sync({ data: true });
  equal(await get(store, 3), 3);
  await store.close();
});

test("a write that ends while a sync is on its way is not taken for durable by it", async () => {
  const { data, sums } = media();
  const scripted = new ScriptedStore(data);
  const store = await ChecksumStore.open(scripted, sums, { fresh: true });
  await put(store, 3, 1);
  await store.sync({ data: true });
  const held = scripted.hold("sync");
  const syncing = store.sync({ data: true });
  await held.entered;
  await put(store, 3, 2);
  held.release();
  await syncing;
  // Tells the log what is settled.
  await put(store, 4, 1);
  revert(data, 3, 1);
  const again = await ChecksumStore.open(await crash(data), await crash(sums));
  equal(await get(again, 3), 1);
  deepStrictEqual(again.tornBlocks, []);
  await again.close();
});

test("where a write takes long and the log is full, the others wait for it", async () => {
  const { data, sums } = media();
  const scripted = new ScriptedStore(data);
  const store = await ChecksumStore.open(scripted, sums, { fresh: true, logPages });
  const held = scripted.hold("writePages");
  const slow = put(store, 0, 9);
  await held.entered;
  let done = 0;
  const others = (async () => {
    for (let i = 1; i < 40; i++) {
      await put(store, 1 + (i % (blocks - 1)), i);
      done = i;
    }
  })();
  for (let i = 0; i < 50; i++) await turns();
  ok(done >= logPages && done < 2 * logPages, `${done} writes while one takes long`);
  held.release();
  await Promise.all([slow, others]);
  equal(await get(store, 0), 9);
  await store.sync({ data: true });
  await store.close();
});

test("leave is ENOSPC where the checksums have no space, also for a call that waits; nothing is taken from the data", async () => {
  const data = new MemoryStore({ sizeBytes: 2048 * page });
  const sums = new MemoryStore({ capacityBytes: (2 + 2 * logPages + 1) * page });
  const store = await ChecksumStore.open(data, sums, { fresh: true, logPages });
  await put(store, 0, 1);
  const error = await put(store, 1016, 1).catch((thrown: unknown) => thrown);
  equal((error as { code?: unknown }).code, "ENOSPC");
  equal(data.usage().reservedBlocks, 0);
  await store.close();
});
