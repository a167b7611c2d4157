/** What the storage does wrong, and a cache over checksums says so (F17, F19 to F21). */
import { deepStrictEqual, equal, ok, rejects, throws } from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { ChecksumStore, type CachedFile, MemoryStore, PageCache } from "../../../src/index.js";
import { loadCrc, sumOf, sumsOf } from "../../../src/stores/checksums/sum.js";
import { FaultyStore, type FaultRule } from "../../../src/testing/index.js";

const page = 4096;
const pages = 64;
const wrong = { code: "ERR_PINFOLD_CHECKSUM" };

interface Setup {
  readonly file: CachedFile;
  readonly data: FaultyStore<MemoryStore>;
  /** Writes a page and syncs it. */
  readonly put: (index: number, fill: number) => Promise<void>;
  /** Throws the pages out of the cache, so that the next read asks the storage. */
  readonly forget: () => Promise<void>;
  readonly read: (index: number) => Promise<number>;
}

async function setup(t: TestContext, pageSize = page): Promise<Setup> {
  const data = new FaultyStore(new MemoryStore({ sizeBytes: pages * page }));
  const store = await ChecksumStore.open(data, new MemoryStore(), { fresh: true });
  const cache = await PageCache.open({ memory: "4MiB", pageSize });
  const file = await cache.open(store);
  t.after(async () => {
    await file.close({ discard: true });
    await cache.close();
  });
  const buffer = Buffer.alloc(page);
  return {
    file,
    data,
    async put(index, fill) {
      await file.write(Buffer.alloc(page, fill), 0, page, index * page);
      await file.sync();
    },
    async forget() {
      file.invalidate(0, pages * page);
    },
    async read(index) {
      await file.read(buffer, 0, page, index * page);
      ok(buffer.every((byte) => byte === buffer[0]));
      return buffer[0] as number;
    },
  };
}

test("F17: a page that is torn is an error, with its place; what is written anew is right again", async (t) => {
  const { data, put, forget, read } = await setup(t);
  await put(3, 1);
  data.add({ fault: { kind: "torn" }, calls: ["writePages"] });
  await put(3, 2);
  await forget();
  await rejects(read(3), (error: Error & { code?: string }) => {
    deepStrictEqual({ code: error.code }, wrong);
    ok(error.message.includes(`bytes ${3 * page} to ${4 * page - 1}`), error.message);
    return true;
  });
  equal(await read(2), 0);
  await put(3, 3);
  await forget();
  equal(await read(3), 3);
});

test("F19: a write that was lost though reported done is an error", async (t) => {
  const { data, put, forget, read } = await setup(t);
  await put(5, 1);
  data.add({ fault: { kind: "lost" }, calls: ["writePages"] });
  await put(5, 2);
  await forget();
  await rejects(read(5), wrong);
});

test("F19: also where nothing was before", async (t) => {
  const { data, put, forget, read } = await setup(t);
  data.add({ fault: { kind: "lost" }, calls: ["writePages"] });
  await put(6, 2);
  await forget();
  await rejects(read(6), wrong);
});

for (const call of ["writePages", "readPages"] as const) {
  test(`F20: a misdirected ${call} is an error, also where the bytes it met are good ones of another place`, async (t) => {
    const { data, put, forget, read } = await setup(t);
    await put(7, 1);
    await put(8, 1);
    await put(9, 2);
    const rule: FaultRule = {
      fault: { kind: "misdirected", bytes: page },
      calls: [call],
      from: 8 * page,
      to: 9 * page,
    };
    if (call === "readPages") {
      await forget();
      data.add(rule);
      await rejects(read(8), wrong);
      equal(await read(8), 1, "the next read asks again");
      return;
    }
    data.add(rule);
    await put(8, 3);
    await forget();
    await rejects(read(8), wrong);
    await rejects(read(9), wrong);
    equal(await read(7), 1);
  });
}

test("F20: the same bytes have another checksum at another place, and in another file", () => {
  const bytes = Buffer.alloc(page, 4);
  const sums = new Set<number>();
  for (let block = 0; block < 10_000; block++) sums.add(sumOf(bytes, block, 1)).add(sumOf(bytes, block, 2));
  for (const block of [2 ** 32, 2 ** 32 + 1, 2 ** 40]) sums.add(sumOf(bytes, block, 1));
  ok(sums.size > 19_990, `${sums.size} of 20,003 differ`);
  equal(
    sumOf(bytes.subarray(0, 100), 5, 1),
    sumOf(Buffer.concat([bytes.subarray(0, 100), Buffer.alloc(page - 100)]), 5, 1),
  );
  deepStrictEqual(sumsOf([bytes.subarray(0, 1000), bytes.subarray(1000), bytes.subarray(0, 7)], 5, 1), [
    sumOf(bytes, 5, 1),
    sumOf(bytes.subarray(0, 7), 6, 1),
  ]);
});

test("the CRC is CRC-32C", () => {
  // The check value of RFC 3720's polynomial; and its B.4: 32 bytes of zeros.
  equal(loadCrc()(Buffer.from("123456789")), 0xe3069283);
  equal(loadCrc()(new Uint8Array(32)), 0x8a9136aa);
});

test("F21: one bit that is not what it was is an error, never data", async (t) => {
  const { data, put, forget, read } = await setup(t);
  await put(12, 5);
  for (let times = 0; times < 50; times++) {
    await forget();
    data.add({ fault: { kind: "rot" }, calls: ["readPages"], from: 12 * page, to: 13 * page });
    await rejects(read(12), wrong);
    equal(await read(12), 5, "the medium has it right, and the next read gets it");
  }
});

test("F21: the others of a batch are there, and calls that block are told too", async (t) => {
  const { file, data, put, forget } = await setup(t);
  for (let i = 0; i < 8; i++) await put(20 + i, 30 + i);
  await forget();
  data.add({ fault: { kind: "rot" }, calls: ["readPages", "readPagesSync"], from: 23 * page, to: 24 * page, times: 8 });
  const buffer = Buffer.alloc(page);
  throws(() => file.readSync(buffer, 0, page, 23 * page), wrong);
  file.readSync(buffer, 0, page, 24 * page);
  equal(buffer[0], 34);
  await rejects(file.read(Buffer.alloc(8 * page), 0, 8 * page, 23 * page), wrong);
});

test("pages of 64 KiB: each block of 4 KiB has its own checksum", async (t) => {
  const { data, put, forget, read } = await setup(t, 65_536);
  await put(1, 1);
  await put(2, 2);
  await forget();
  data.add({ fault: { kind: "rot" }, calls: ["readPages"], from: 2 * page, to: 3 * page });
  await rejects(read(1), wrong);
  equal(await read(1), 1);
});

test("what the cache writes while somebody changes it has the checksum of what was written (R13)", async (t) => {
  const { file, forget, read } = await setup(t);
  const pin = await file.getUserPages(0, page, { write: true, longterm: true });
  for (let fill = 1; fill <= 50; fill++) {
    const syncing = file.sync();
    pin.bytes.fill(fill);
    await syncing;
  }
  pin.put();
  await file.sync();
  await forget();
  equal(await read(0), 50);
});
