/** A disk that loses power: what was synced is there, of everything else any part is. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MemoryStore } from "../../../src/stores/memory/memory-store.js";
import { VolatileStore } from "../../../src/stores/faulty/volatile-store.js";
import { SeededRandom } from "../../../src/testing/index.js";

const block = 4096;
const sector = 512;
const blocks = 8;

function open(sizeBytes = blocks * block): VolatileStore<MemoryStore> {
  return new VolatileStore(new MemoryStore({ sizeBytes, strict: false }));
}

const full = (value: number, length = block) => new Uint8Array(length).fill(value);

/** What is left after power cuts of many seeds, each in a world of its own that `make` has made: distinct contents as text. */
async function outcomes(
  make: () => Promise<VolatileStore<MemoryStore>>,
  look: (bytes: Uint8Array) => string,
  seeds = 200,
): Promise<string[]> {
  const seen = new Set<string>();
  for (let seed = 1; seed <= seeds; seed++) {
    const store = await make();
    await store.powerCut(new SeededRandom(seed));
    seen.add(look(store.inner.snapshot()));
  }
  return [...seen].toSorted();
}

/** One letter a sector: its first byte, and that all others are the same. */
const sectors = (bytes: Uint8Array, count: number) =>
  Array.from({ length: count }, (_, at) => {
    const [first = 0, ...rest] = bytes.subarray(at * sector, (at + 1) * sector);
    return rest.every((byte) => byte === first) ? String(first) : "torn";
  }).join(" ");

describe("a store that loses power", () => {
  it("keeps what was synced, and any subset of the sectors that were not", async () => {
    const make = async () => {
      const store = open();
      await store.writePages(0, [full(1)]);
      await store.sync({ data: true });
      await store.writePages(0, [full(2, 2 * sector)]);
      return store;
    };
    assert.deepEqual(await outcomes(make, (bytes) => sectors(bytes, 3)), ["1 1 1", "1 2 1", "2 1 1", "2 2 1"]);
  });

  it("may leave any of several writes of one sector, each sector another", async () => {
    const make = async () => {
      const store = open();
      await store.writePages(0, [full(1, 2 * sector)]);
      await store.writePages(0, [full(2, 2 * sector)]);
      return store;
    };
    assert.equal((await outcomes(make, (bytes) => sectors(bytes, 2))).length, 9);
  });

  it("covers what was done when the sync began, and not what came during it", async () => {
    const make = async () => {
      const store = open();
      await store.writePages(0, [full(1, sector)]);
      const synced = store.sync({ data: true });
      const late = store.writePages(sector, [full(2, sector)]);
      await Promise.all([synced, late]);
      return store;
    };
    assert.deepEqual(await outcomes(make, (bytes) => sectors(bytes, 2)), ["1 0", "1 2"]);
  });

  it("keeps nothing for a sync that failed", async () => {
    const make = async () => {
      const store = open();
      await store.writePages(0, [full(1, sector)]);
      store.inner.sync = async () => {
        throw new Error("no");
      };
      await assert.rejects(store.sync({ data: true }), /no/);
      store.inner.sync = async () => {};
      return store;
    };
    assert.deepEqual(await outcomes(make, (bytes) => sectors(bytes, 1)), ["0", "1"]);
  });

  it("makes changes of size in their order, and what was cut does not come back once the cut has happened", async () => {
    const make = async () => {
      const store = open(2 * sector);
      await store.writePages(0, [full(1, 2 * sector)]);
      await store.sync({ data: true });
      await store.truncate(sector);
      await store.setSize(3 * sector);
      return store;
    };
    const look = (bytes: Uint8Array) => sectors(bytes, bytes.length / sector);
    assert.deepEqual(await outcomes(make, look), ["1", "1 0 0", "1 1"]);
  });

  it("has what was written after a cut only where the cut has happened", async () => {
    const make = async () => {
      const store = open(sector);
      await store.writePages(0, [full(1, sector)]);
      await store.sync({ data: true });
      await store.punch(0, sector);
      await store.writePages(0, [full(2, sector)]);
      return store;
    };
    assert.deepEqual(await outcomes(make, (bytes) => sectors(bytes, 1)), ["0", "1", "2"]);
    const both = async () => {
      const store = await make();
      await store.sync({ data: true });
      return store;
    };
    assert.deepEqual(await outcomes(both, (bytes) => sectors(bytes, 1), 20), ["2"]);
  });

  it("writes a part of a sector together with what stands beside it", async () => {
    const make = async () => {
      const store = open();
      await store.writePages(0, [full(1, sector)]);
      await store.sync({ data: true });
      await store.writePages(10, [full(2, 5)]);
      await store.writePages(12, [full(3, 5)]);
      return store;
    };
    const look = (bytes: Uint8Array) => bytes.subarray(9, 18).join("");
    assert.deepEqual(await outcomes(make, look), ["111111111", "122222111", "122333331"]);
  });

  it("waits for the calls that are on their way, and does nothing from then on", async () => {
    const store = open();
    let let_go: () => void = () => {};
    const inner = store.inner.writePages.bind(store.inner);
    store.inner.writePages = async (position, buffers) => {
      await new Promise<void>((resolve) => {
        let_go = resolve;
      });
      await inner(position, buffers);
    };
    const writing = store.writePages(0, [full(1, sector)]);
    for (let turn = 0; turn < 10; turn++) await Promise.resolve();
    store.inner.writePages = inner;
    const cut = store.powerCut(new SeededRandom(3));
    let_go();
    await assert.rejects(writing, { code: "EIO" });
    const { openSectors } = await cut;
    assert.equal(openSectors, 1);
    await assert.rejects(store.readPages(0, [full(0)]), { code: "EIO" });
    await assert.rejects(store.sync({ data: true }), { code: "EIO" });
    await assert.rejects(store.powerCut(new SeededRandom(3)), { code: "EIO" });
    await store.close();
  });

  it("says what it has done, the same for the same seed", async () => {
    const once = async () => {
      const store = open();
      for (let at = 0; at < blocks; at++) await store.writePages(at * block, [full(at + 1)]);
      return { report: await store.powerCut(new SeededRandom(11)), bytes: store.inner.snapshot() };
    };
    const [one, two] = [await once(), await once()];
    assert.deepEqual(one, two);
    assert.equal(one.report.openSectors, (blocks * block) / sector);
    assert.ok(one.report.lostSectors > 10 && one.report.lostSectors < 60);
  });

  it("refuses sectors that do not fit its blocks", () => {
    for (const sectorBytes of [0, 3, 100, 8192, 1.5])
      assert.throws(() => new VolatileStore(new MemoryStore(), { sectorBytes }), { code: "EINVAL" });
  });
});
