/**
 * What the memory store has beside the contract: assertions on a cache that breaks it, usage, contents.
 */
import { deepStrictEqual, ok, rejects, strictEqual, throws } from "node:assert/strict";
import { describe, it } from "node:test";
import { AssertionError } from "../../../src/base/assert.js";
import { PinfoldError } from "../../../src/base/errors.js";
import { MemoryStore } from "../../../src/stores/memory/memory-store.js";
import { patternBytes } from "../../../src/testing/index.js";

const block = 4096;

function grant(store: MemoryStore, position: number, length: number): Uint32Array {
  const blocks = new Uint32Array(Math.ceil((position + length) / block) - Math.floor(position / block));
  store.pageMkwrite({ position, length, pageSize: block, blocks });
  return blocks;
}

const bytes = (salt = 0): Uint8Array => patternBytes(new Uint8Array(block), 0, salt);

describe("the memory store", () => {
  it("asserts when a block is written that was never granted, or whose grant was given back", async () => {
    const store = new MemoryStore({ sizeBytes: 8 * block });
    await rejects(store.writePages(0, [bytes()]), AssertionError);
    const [word] = grant(store, 0, block);
    store.cancelMkwrite(0, block, word as number);
    throws(() => store.writePagesSync(0, [bytes()]), AssertionError);
    grant(store, 0, block);
    await rejects(store.writePages(0, [bytes(), bytes()]), AssertionError, "the second block has no grant");
    await store.writePages(0, [bytes()]);
    await store.writePages(0, [bytes(2)]);
  });

  it("asserts when a block is cancelled that has data by now, and a cancel of zeros gives the block back", async () => {
    const store = new MemoryStore({ sizeBytes: 8 * block });
    const [word] = grant(store, 0, block);
    await store.writePages(0, [bytes()]);
    throws(() => store.cancelMkwrite(0, block, word as number), AssertionError);
    const [other] = grant(store, block, block);
    await store.writePages(block, [new Uint8Array(block)]);
    strictEqual(store.usage().allocatedBlocks, 2);
    store.cancelMkwrite(block, block, other as number);
    strictEqual(store.usage().allocatedBlocks, 1);
  });

  it("asserts when a page becomes dirty without a grant, when used after close, and when words and range do not fit", async () => {
    const store = new MemoryStore({ sizeBytes: 8 * block });
    throws(() => store.setPageDirty(0, block), AssertionError);
    throws(
      () => store.pageMkwrite({ position: 100, length: block, pageSize: block, blocks: new Uint32Array(1) }),
      AssertionError,
    );
    await store.close();
    throws(() => grant(store, 0, block), AssertionError);
    await rejects(store.close(), AssertionError);
  });

  it("lets an unasked write through when not strict, within its capacity", async () => {
    const store = new MemoryStore({ sizeBytes: 8 * block, capacityBytes: block, strict: false });
    await store.writePages(0, [bytes()]);
    await rejects(
      store.writePages(block, [bytes()]),
      (error: unknown) => error instanceof PinfoldError && error.code === "ENOSPC",
    );
    strictEqual(Buffer.compare(store.snapshot().subarray(0, block), bytes()), 0);
  });

  it("counts blocks by state", async () => {
    const store = new MemoryStore({ sizeBytes: 16 * block, capacityBytes: 10 * block });
    const words = grant(store, 0, 3 * block);
    await store.allocate(4 * block, 2 * block);
    await store.writePages(0, [bytes()]);
    deepStrictEqual(store.usage(), { allocatedBlocks: 1, reservedBlocks: 2, keptBlocks: 2, freeBlocks: 5 });
    store.cancelMkwrite(block, block, words[1] as number);
    store.invalidatePages(2 * block, 3 * block);
    deepStrictEqual(store.usage(), { allocatedBlocks: 1, reservedBlocks: 0, keptBlocks: 2, freeBlocks: 7 });
    await store.punch(0, 16 * block);
    deepStrictEqual(store.usage(), { allocatedBlocks: 0, reservedBlocks: 0, keptBlocks: 0, freeBlocks: 10 });
  });

  it("keeps what was allocated for good when a grant on it is cancelled", async () => {
    const store = new MemoryStore({ sizeBytes: 4 * block });
    const [word] = grant(store, 0, block);
    await store.allocate(0, block);
    store.cancelMkwrite(0, block, word as number);
    strictEqual(store.usage().keptBlocks, 1);
  });

  it("starts with contents, of their own", () => {
    const contents = patternBytes(new Uint8Array(5000), 0);
    const store = new MemoryStore({ contents });
    contents.fill(0);
    strictEqual(store.sizeBytes, 5000);
    strictEqual(Buffer.compare(store.snapshot(), patternBytes(new Uint8Array(5000), 0)), 0);
    throws(
      () => new MemoryStore({ contents, capacityBytes: block }),
      (error: unknown) => error instanceof PinfoldError && error.code === "ENOSPC",
    );
    throws(
      () => new MemoryStore({ contents, sizeBytes: 1 }),
      (error: unknown) => error instanceof PinfoldError && error.code === "EINVAL",
    );
  });

  it("has a key of its own unless one is given", () => {
    ok(new MemoryStore().key !== new MemoryStore().key);
    strictEqual(new MemoryStore({ key: "a" }).key, "a");
  });
});
