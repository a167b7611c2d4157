/**
 * The scripted store: hooks, failures, holds, records. That it is invisible without them is the contract suite's to show.
 */
import { deepStrictEqual, ok, rejects, strictEqual, throws } from "node:assert/strict";
import { describe, it } from "node:test";
import { AssertionError } from "../../../src/base/assert.js";
import { MemoryStore } from "../../../src/stores/memory/memory-store.js";
import { ScriptedStore } from "../../../src/testing/index.js";

const block = 4096;
const open = (): ScriptedStore => new ScriptedStore(new MemoryStore({ sizeBytes: 64 * block, strict: false }));
const buffers = (): Uint8Array[] => [new Uint8Array(block).fill(7)];
const request = (position = 0) => ({ position, length: block, pageSize: block, blocks: new Uint32Array(1) });

describe("the scripted store", () => {
  it("fails the next call before the store sees it, and only that one", async () => {
    const store = open();
    store.fail("writePages", "EIO");
    await rejects(store.writePages(0, buffers()), { code: "EIO" });
    strictEqual((store.inner as MemoryStore).usage().allocatedBlocks, 0);
    await store.writePages(0, buffers());
    strictEqual((store.inner as MemoryStore).usage().allocatedBlocks, 1);
    deepStrictEqual(
      store.calls("writePages").map((call) => call.outcome),
      ["failed", "ok"],
    );
  });

  it("fails after the store did it: done, and reported failed", async () => {
    const store = open();
    store.fail("writePages", "EIO", { stage: "after" });
    await rejects(store.writePages(0, buffers()), { code: "EIO" });
    strictEqual((store.inner as MemoryStore).usage().allocatedBlocks, 1);
  });

  it("fails only calls that match, so often as asked", async () => {
    const store = open();
    const boom = new Error("boom");
    store.fail("readPages", boom, { times: 2, when: (call) => call.position === block });
    await store.readPages(0, buffers());
    for (let i = 0; i < 2; i++) await rejects(store.readPages(block, buffers()), boom);
    await store.readPages(block, buffers());
  });

  it("holds a call until it is released, and others pass", async () => {
    const store = open();
    const hold = store.hold("writePages", { when: (call) => call.position === 0 });
    let done = false;
    const held = store.writePages(0, buffers()).then(() => {
      done = true;
    });
    strictEqual((await hold.entered).position, 0);
    await store.writePages(block, buffers());
    strictEqual(done, false);
    strictEqual((store.inner as MemoryStore).usage().allocatedBlocks, 1);
    hold.release();
    await held;
    strictEqual((store.inner as MemoryStore).usage().allocatedBlocks, 2);
  });

  it("holds after the store was done, and can make a held call fail", async () => {
    const store = open();
    const hold = store.hold("sync", { stage: "after" });
    const synced = store.sync({ data: true });
    await hold.entered;
    hold.fail("EIO");
    await rejects(synced, { code: "EIO" });
    await store.sync({ data: true });
  });

  it("a hold that was released before the call came does not wait", async () => {
    const store = open();
    store.hold("sync").release();
    await store.sync({ data: true });
  });

  it("keeps a grant synchronous, and makes it wait where a hook does", async () => {
    const store = open();
    strictEqual(store.pageMkwrite(request()), undefined);
    const hold = store.hold("pageMkwrite");
    const pending = store.pageMkwrite(request(block));
    ok(pending instanceof Promise);
    hold.release();
    await pending;
    store.fail("pageMkwrite", "ENOSPC");
    throws(() => store.pageMkwrite(request()), { code: "ENOSPC" });
  });

  it("refuses hooks that wait on calls that may not", () => {
    const store = open();
    store.on("cancelMkwrite", { before: async () => {} });
    throws(() => store.cancelMkwrite(0, block, 0), AssertionError);
    store.on("readPagesSync", { before: async () => {} });
    throws(() => store.readPagesSync?.(0, buffers()), AssertionError);
  });

  it("takes hooks away again", async () => {
    const store = open();
    let seen = 0;
    const off = store.on("sync", {
      before: () => {
        seen++;
      },
      after: () => {
        seen += 10;
      },
    });
    await store.sync({ data: true });
    off();
    await store.sync({ data: true });
    strictEqual(seen, 11);
    store.fail("sync", "EIO");
    store.clear();
    await store.sync({ data: true });
    strictEqual(store.count("sync"), 1, "counts start anew");
  });

  it("records ranges and words of all calls, in order, without their buffers", async () => {
    const store = open();
    await store.pageMkwrite(request(block));
    await store.writePages(block, [...buffers(), ...buffers()]);
    store.cancelMkwrite(block, block, 3);
    await store.setSize(70 * block);
    await store.truncate(10);
    await store.punch(1, 2);
    store.invalidatePages(5, Infinity);
    await store.sync({ data: false });
    deepStrictEqual(
      store.calls().map((call) => [call.sequence, call.name, call.position, call.length]),
      [
        [1, "pageMkwrite", block, block],
        [2, "writePages", block, 2 * block],
        [3, "cancelMkwrite", block, block],
        [4, "setSize", 70 * block, 0],
        [5, "truncate", 10, 0],
        [6, "punch", 1, 2],
        [7, "invalidatePages", 5, Infinity],
        [8, "sync", 0, 0],
      ],
    );
    strictEqual(store.calls("cancelMkwrite")[0]?.blocks, 3);
    strictEqual(store.calls("sync")[0]?.data, false);
    ok(store.calls().every((call) => call.buffers.length === 0 && call.outcome === "ok"));
  });

  it("can hide the sync calls and change capabilities", () => {
    const store = new ScriptedStore(new MemoryStore(), { syncCalls: false, capabilities: { reserves: "none" } });
    strictEqual(store.capabilities.syncCalls, false);
    strictEqual(store.capabilities.reserves, "none");
    ok(
      store.readPagesSync === undefined &&
        store.pageMkwriteSync === undefined &&
        store.writePagesSync === undefined &&
        store.syncSync === undefined,
    );
  });
});
