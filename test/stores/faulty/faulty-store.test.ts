/** What each fault does to a call, and when it strikes. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Clock } from "../../../src/base/clock.js";
import { MemoryStore } from "../../../src/stores/memory/memory-store.js";
import { FaultyStore } from "../../../src/stores/faulty/faulty-store.js";
import type { FaultRule } from "../../../src/stores/faulty/faults.js";

const block = 4096;
const sector = 512;
const size = 8 * block;

function open(...rules: FaultRule[]): FaultyStore<MemoryStore> {
  const store = new FaultyStore(new MemoryStore({ sizeBytes: size, strict: false }), { seed: 5 });
  for (const rule of rules) store.add(rule);
  return store;
}

/** A clock that a test moves. */
function handClock(): Clock & { pass(ms: number): Promise<void> } {
  let now = 1_000;
  const timers: { at: number; run: () => void }[] = [];
  return {
    nowMs: () => now,
    after(delayMs, run) {
      const timer = { at: now + delayMs, run };
      timers.push(timer);
      return { cancel: () => void timers.splice(timers.indexOf(timer), 1) };
    },
    async pass(ms) {
      now += ms;
      for (const timer of timers.filter(({ at }) => at <= now)) {
        timers.splice(timers.indexOf(timer), 1);
        timer.run();
      }
      for (let turn = 0; turn < 20; turn++) await Promise.resolve();
    },
  };
}

const full = (value: number, length = block) => new Uint8Array(length).fill(value);
const bytesAt = (store: FaultyStore<MemoryStore>, position: number) => store.inner.snapshot()[position];

describe("a faulty store", () => {
  it("fails before the store is asked, or after it has done the call", async () => {
    const store = open(
      { fault: { kind: "error", code: "ENOSPC" }, calls: ["writePages"] },
      { fault: { kind: "error", stage: "after" }, calls: ["writePages"], skip: 0 },
    );
    await assert.rejects(store.writePages(0, [full(1)]), { code: "ENOSPC" });
    assert.equal(bytesAt(store, 0), 0);
    await assert.rejects(store.writePages(0, [full(1)]), { code: "EIO" });
    assert.equal(bytesAt(store, 0), 1);
    await store.writePages(0, [full(2)]);
    assert.deepEqual(
      store.struck.map(({ call, kind }) => `${call} ${kind}`),
      ["writePages error", "writePages error"],
    );
  });

  it("moves a part, and fails", async () => {
    const store = open({ fault: { kind: "short", bytes: block + 100 }, calls: ["writePages"] });
    await assert.rejects(store.writePages(0, [full(1), full(2)]), { code: "EIO" });
    assert.deepEqual([bytesAt(store, 0), bytesAt(store, block + 99), bytesAt(store, block + 100)], [1, 2, 0]);
    store.add({ fault: { kind: "short", bytes: 10 }, calls: ["readPages"] });
    const into = full(9);
    await assert.rejects(store.readPages(0, [into]), { code: "EIO" });
    assert.deepEqual([into[9], into[10]], [1, 9]);
  });

  it("begins later, or tells later, and adds both up", async () => {
    const clock = handClock();
    const store = new FaultyStore(new MemoryStore({ sizeBytes: size, strict: false }), { clock });
    store.add({ fault: { kind: "delay", milliseconds: 10 }, times: 2 });
    store.add({ fault: { kind: "late", milliseconds: 5 } });
    let isDone = false;
    const writing = store.writePages(0, [full(1)]).then(() => {
      isDone = true;
    });
    await clock.pass(9);
    assert.deepEqual([bytesAt(store, 0), isDone], [0, false]);
    await clock.pass(1);
    assert.deepEqual([bytesAt(store, 0), isDone], [1, false]);
    await clock.pass(5);
    assert.ok(isDone);
    await writing;
  });

  it("never ends, and does nothing", async () => {
    const store = open({ fault: { kind: "never" }, calls: ["sync"] });
    let isDone = false;
    void store.sync({ data: true }).then(() => {
      isDone = true;
    });
    for (let turn = 0; turn < 50; turn++) await Promise.resolve();
    assert.ok(!isDone);
    await store.sync({ data: true });
  });

  it("ends twice", async () => {
    const store = open({ fault: { kind: "twice" }, calls: ["writePages", "sync"], times: 2 });
    const heard: string[] = [];
    await store.writePages(0, [full(1)]).then(
      () => heard.push("well"),
      () => heard.push("failed"),
    );
    assert.deepEqual(heard, ["well", "failed"]);
    await store.sync({ data: true });
  });

  it("loses a write, tears one, and puts one elsewhere, and says that all is well", async () => {
    const lost = open({ fault: { kind: "lost" }, calls: ["writePages"] });
    await lost.writePages(0, [full(1)]);
    assert.equal(bytesAt(lost, 0), 0);

    const torn = open({ fault: { kind: "torn" } });
    await torn.writePages(100, [full(1), full(2)]);
    const bytes = torn.inner.snapshot();
    const starts = Array.from({ length: 17 }, (_, at) => (at === 0 ? 100 : at * sector));
    const written = starts.filter((at) => bytes[at] !== 0).length;
    assert.ok(written > 0 && written < 17, `${written} of 17 sectors`);
    for (const at of starts.slice(1, 16))
      assert.equal(new Set(bytes.subarray(at, at + (at === block ? 100 : sector))).size, 1, "sectors are whole");

    const off = open({ fault: { kind: "misdirected", bytes: block }, calls: ["writePages"] });
    await off.writePages(0, [full(1)]);
    assert.deepEqual([bytesAt(off, 0), bytesAt(off, block)], [0, 1]);
  });

  it("lets later writes overtake one, as its bytes were, but no sync", async () => {
    const store = open({ fault: { kind: "reordered", writes: 2 } });
    const buffer = full(1);
    await store.writePages(0, [buffer]);
    buffer.fill(9);
    await store.writePages(0, [full(2)]);
    assert.equal(bytesAt(store, 0), 2);
    await store.writePages(block, [full(3)]);
    assert.equal(bytesAt(store, 0), 1, "the older one lands last");
    store.add({ fault: { kind: "reordered", writes: 100 } });
    await store.writePages(block, [full(4)]);
    await store.sync({ data: true });
    assert.equal(bytesAt(store, block), 4);
  });

  it("flips bits of what is read, and leaves the medium as it is", async () => {
    const store = open({ fault: { kind: "rot", bits: 3 } });
    await store.writePages(0, [full(0xff)]);
    const into = full(0);
    await store.readPages(0, [into]);
    const flipped = into.reduce((sum, byte) => sum + (8 - byte.toString(2).replaceAll("0", "").length), 0);
    assert.ok(flipped === 3 || flipped === 1, `${flipped} bits`);
    await store.readPages(0, [into]);
    assert.ok(into.every((byte) => byte === 0xff));
  });

  it("strikes where and when the rule says: range, count, time, chance", async () => {
    const clock = handClock();
    const store = new FaultyStore(new MemoryStore({ sizeBytes: size, strict: false }), { clock, seed: 3 });
    const failsAt = async (position: number) =>
      store.writePages(position, [full(1)]).then(
        () => false,
        () => true,
      );
    store.add({ fault: { kind: "error" }, from: block, to: block + 1, skip: 1, times: 2 });
    assert.ok(!(await failsAt(0)) && !(await failsAt(2 * block)));
    assert.deepEqual(
      [await failsAt(block), await failsAt(block), await failsAt(1), await failsAt(block)],
      [...[false, true, true, false]],
    );
    const remove = store.add({ fault: { kind: "error" }, afterMs: 50, beforeMs: 60, times: Infinity });
    assert.ok(!(await failsAt(0)));
    await clock.pass(50);
    assert.ok(await failsAt(0));
    await clock.pass(10);
    assert.ok(!(await failsAt(0)));
    remove();
    store.add({ fault: { kind: "error" }, chance: 0.25 });
    let failures = 0;
    for (let count = 0; count < 400; count++) if (await failsAt(0)) failures++;
    assert.ok(failures > 60 && failures < 140, `${failures} of 400`);
    store.heal();
    assert.ok(!(await failsAt(0)));
  });

  it("strikes the same calls again with the same seed", async () => {
    const struckOf = async (seed: number) => {
      const store = new FaultyStore(new MemoryStore({ sizeBytes: size, strict: false }), { seed });
      store.add({ fault: { kind: "torn" }, chance: 0.3 });
      store.add({ fault: { kind: "lost" }, chance: 0.3 });
      for (let at = 0; at < 40; at++) await store.writePages((at % 8) * block, [full(at + 1)]);
      return { struck: store.struck.map(({ kind, position }) => `${kind} ${position}`), bytes: store.inner.snapshot() };
    };
    assert.deepEqual(await struckOf(1), await struckOf(1));
    assert.notDeepEqual((await struckOf(1)).struck, (await struckOf(2)).struck);
  });

  it("strikes calls that block with what does not wait", () => {
    const store = open(
      { fault: { kind: "error" }, calls: ["writePagesSync"] },
      { fault: { kind: "lost" }, calls: ["syncSync"] },
      { fault: { kind: "error", code: "ENOSPC" }, calls: ["pageMkwriteSync"] },
      { fault: { kind: "rot", bits: 1 }, calls: ["readPagesSync"] },
    );
    assert.throws(() => store.writePagesSync?.(0, [full(1)]), { code: "EIO" });
    store.syncSync?.({ data: true });
    const request = { position: 0, length: block, pageSize: block, blocks: new Uint32Array(1) };
    assert.throws(() => store.pageMkwriteSync?.(request), { code: "ENOSPC" });
    const into = full(0);
    store.readPagesSync?.(0, [into]);
    assert.ok(into.some((byte) => byte !== 0));
    assert.equal(store.struck.length, 4);
    assert.equal(new FaultyStore(store.inner, { syncCalls: false }).writePagesSync, undefined);
  });

  it("refuses rules that make no sense", () => {
    const store = open();
    const wrong: unknown[] = [
      { fault: { kind: "fire" } },
      { fault: { kind: "rot" }, calls: ["writePages"] },
      { fault: { kind: "never" }, calls: ["readPagesSync"] },
      { fault: { kind: "lost" }, calls: ["pageMkwrite"] },
      { fault: { kind: "error" }, chance: 2 },
      { fault: { kind: "error" }, times: -1 },
      { fault: { kind: "delay", milliseconds: Number.NaN } },
    ];
    for (const rule of wrong) assert.throws(() => store.add(rule as FaultRule), { code: "EINVAL" });
  });
});
