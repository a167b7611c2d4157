/**
 * Contract cases: sync, the calls that do not wait, opening again.
 *
 * Power cuts are beyond a suite that only has the store; a store that has a medium to cut tests that itself.
 *
 * See also: contract-suite.ts.
 */
import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { blockBits } from "../store/contract.js";
import { alignedBytes, patternBytes } from "./bytes.js";
import { needs, type StoreCase } from "./store-case.js";
import { failsWith } from "./reservation-cases.js";
import { block, expectedWords, pieces, same } from "./store-subject.js";

const KiB = 1024;
const MiB = 1024 * KiB;

export const syncCases: readonly StoreCase[] = [
  {
    name: "what was synced is there when opened again",
    size: 1 * MiB,
    async run(s) {
      const bytes = await s.putPattern(128 * KiB, 256 * KiB);
      await s.store.sync({ data: true });
      const key = s.store.key;
      await s.reopen();
      strictEqual(s.store.key, key, "the same storage has the same key");
      strictEqual(s.store.sizeBytes, 1 * MiB);
      await s.holds(128 * KiB, bytes, "opened again");
      await s.zeros(0, 128 * KiB, "hole, opened again");
    },
  },
  {
    name: "syncs of both kinds succeed, alone, repeated, and several at once",
    size: 256 * KiB,
    async run(s) {
      await s.store.sync({ data: true });
      await s.store.sync({ data: false });
      await s.putPattern(0, 64 * KiB);
      await Promise.all([s.store.sync({ data: true }), s.store.sync({ data: false }), s.store.sync({ data: true })]);
    },
  },
  {
    name: "a grant that was open at a close does no harm",
    size: 256 * KiB,
    async run(s) {
      const bytes = await s.putPattern(0, 64 * KiB);
      await s.grant(64 * KiB, 64 * KiB);
      await s.store.sync({ data: false });
      await s.reopen();
      strictEqual(s.store.sizeBytes, 256 * KiB);
      await s.holds(0, bytes, "data");
      await s.zeros(64 * KiB, 192 * KiB, "never written");
      const later = await s.putPattern(64 * KiB, 64 * KiB);
      await s.holds(64 * KiB, later, "written after all");
    },
  },
  {
    name: "releasePage of a clean page loses nothing",
    size: 256 * KiB,
    async run(s) {
      const bytes = await s.putPattern(0, 64 * KiB);
      await s.store.sync({ data: true });
      for (let position = 0; position < 64 * KiB; position += s.pageSize)
        strictEqual(typeof s.store.releasePage(position, s.pageSize), "boolean");
      s.store.invalidatePages(0, Infinity);
      await s.holds(0, bytes, "after release and invalidation");
    },
  },
  {
    name: "sync calls do what their waiting twins do",
    size: 512 * KiB,
    needs: [needs.syncCalls],
    async run(s) {
      const { store, pageSize } = s;
      const words = s.words(5000, 130_000);
      store.pageMkwriteSync?.({ position: 5000, length: 130_000, pageSize, blocks: words });
      deepStrictEqual(
        words.map((word) => word & 0x55555555),
        expectedWords(5000, 130_000, pageSize, blockBits.granted),
      );
      const bytes = patternBytes(alignedBytes(32 * block), block, 7);
      store.writePagesSync?.(block, pieces(bytes, pageSize));
      await s.holds(block, bytes, "written by the sync call");
      const back = alignedBytes(bytes.length + 64 * KiB).fill(0xee);
      store.readPagesSync?.(block, pieces(back, pageSize));
      same(back.subarray(0, bytes.length), bytes, "read by the sync call");
      ok(
        back.subarray(bytes.length).every((byte) => byte === 0),
        "a hole read by the sync call",
      );
      store.syncSync?.({ data: true });
      store.syncSync?.({ data: false });
      await s.reopen();
      await s.holds(block, bytes, "opened again");
    },
  },
  {
    name: "sync calls are there if and only if the capabilities say so",
    size: 0,
    async run(s) {
      const { store } = s;
      const names = ["readPagesSync", "pageMkwriteSync", "writePagesSync", "syncSync"] as const;
      for (const name of names)
        strictEqual(typeof store[name], store.capabilities.syncCalls ? "function" : "undefined", name);
    },
  },
  {
    name: "a sync grant that does not fit is ENOSPC, all or nothing",
    size: 4 * MiB,
    capacityBytes: 1 * MiB,
    needs: [needs.syncCalls, needs.reservations, needs.capacity],
    async run(s) {
      const words = s.words(0, 4 * MiB);
      await failsWith("ENOSPC", () =>
        s.store.pageMkwriteSync?.({ position: 0, length: 4 * MiB, pageSize: s.pageSize, blocks: words }),
      );
      ok(
        words.every((word) => word === 0),
        "words unchanged",
      );
      await s.grant(0, 512 * KiB);
    },
  },
  {
    name: "a full read or write takes no more than the caller's buffers say",
    size: 256 * KiB,
    async run(s) {
      const bytes = await s.putPattern(0, 256 * KiB);
      const memory = alignedBytes(192 * KiB).fill(0x11);
      await s.store.readPages(64 * KiB, [memory.subarray(64 * KiB, 64 * KiB + block)]);
      same(memory.subarray(64 * KiB, 64 * KiB + block), bytes.subarray(64 * KiB, 64 * KiB + block), "the block");
      ok(
        memory.subarray(0, 64 * KiB).every((byte) => byte === 0x11) &&
          memory.subarray(64 * KiB + block).every((byte) => byte === 0x11),
        "no byte beside it",
      );
    },
  },
  {
    name: "what another thread attaches is the same storage, and its detach ends nothing",
    size: 512 * KiB,
    needs: [needs.share],
    async run(s) {
      const before = await s.putPattern(0, 64 * KiB);
      const other = s.attachOther();
      strictEqual(other.key, s.store.key);
      deepStrictEqual(other.capabilities, s.store.capabilities);
      const back = alignedBytes(64 * KiB);
      await other.readPages(0, [back]);
      same(back, before, "read by the other");
      const bytes = patternBytes(alignedBytes(64 * KiB), 64 * KiB, 3);
      const blocks = s.words(64 * KiB, 64 * KiB);
      await other.pageMkwrite({ position: 64 * KiB, length: 64 * KiB, pageSize: s.pageSize, blocks });
      await other.writePages(64 * KiB, [bytes]);
      await other.sync({ data: true });
      other.detach?.();
      await s.holds(64 * KiB, bytes, "written by the other");
      await s.store.sync({ data: true });
    },
  },
  {
    name: "stat tells the size",
    size: 70_001,
    needs: [needs.stat],
    async run(s) {
      strictEqual((await s.store.stat?.())?.size, 70_001);
      await s.extend(90_000);
      strictEqual((await s.store.stat?.())?.size, 90_000);
    },
  },
  {
    name: "the capabilities are sound",
    size: 0,
    async run(s) {
      const { capabilities } = s.store;
      ok([512, 1024, 2048, 4096].includes(capabilities.blockSize));
      ok(capabilities.reserves === "data" || capabilities.reserves === "none");
      ok(s.store.key.length > 0 && s.store.name.length > 0);
    },
  },
];
