/**
 * Contract cases: bytes in, bytes out.
 *
 * See also: contract-suite.ts.
 */
import { strictEqual } from "node:assert/strict";
import { alignedBytes, patternBytes } from "./bytes.js";
import type { StoreCase } from "./store-case.js";
import { block, pieces, same } from "./store-subject.js";

const KiB = 1024;
const MiB = 1024 * KiB;

export const transferCases: readonly StoreCase[] = [
  {
    name: "a new store has the size asked for and reads as zeros",
    size: 1 * MiB,
    async run(s) {
      strictEqual(s.store.sizeBytes, 1 * MiB);
      await s.zeros(0, 1 * MiB, "never written");
    },
  },
  {
    name: "a store of size zero opens and reads as zeros",
    async run(s) {
      strictEqual(s.store.sizeBytes, 0);
      await s.zeros(0, 64 * KiB, "past the end");
    },
  },
  {
    name: "holes between written blocks read as zeros",
    size: 1 * MiB,
    async run(s) {
      const first = await s.putPattern(64 * KiB, 64 * KiB, 1);
      const second = await s.putPattern(256 * KiB, block, 2);
      await s.zeros(0, 64 * KiB, "before the first");
      await s.holds(64 * KiB, first, "first");
      await s.zeros(128 * KiB, 128 * KiB, "between");
      await s.holds(256 * KiB, second, "second");
      await s.zeros(256 * KiB + block, 128 * KiB, "after");
    },
  },
  {
    name: "what lies past the end reads as zeros, in the last block and far beyond",
    size: 5000,
    async run(s) {
      const bytes = await s.putPattern(0, 5000);
      await s.holds(0, bytes, "the file");
      await s.zeros(5000, 256 * KiB - 5000, "past the end");
      await s.zeros(1024 * MiB, 64 * KiB, "far past the end");
    },
  },
  {
    name: "buffers are filled in order, of different lengths, and nothing beside them is touched",
    size: 1 * MiB,
    async run(s) {
      const bytes = await s.putPattern(0, 256 * KiB);
      const memory = alignedBytes(512 * KiB).fill(0x5a);
      const lengths = [block, 64 * KiB, 2 * block, 16 * KiB];
      const views: Uint8Array[] = [];
      for (let i = 0, at = 64 * KiB; i < lengths.length; i++) {
        const length = lengths[i] as number;
        views.push(memory.subarray(at, at + length));
        at += length + block;
      }
      await s.store.readPages(block, views);
      let position = block;
      for (const view of views) {
        same(view, bytes.subarray(position, position + view.length), `buffer for byte ${position}`);
        position += view.length;
      }
      const untouched = memory.filter((byte) => byte === 0x5a).length;
      const inside = views.flatMap((view) => [...view]).filter((byte) => byte === 0x5a).length;
      strictEqual(
        untouched - inside,
        memory.length - lengths.reduce((a, b) => a + b),
        "no byte outside the buffers changed",
      );
    },
  },
  {
    name: "one run of several buffers is written in order",
    size: 1 * MiB,
    async run(s) {
      const bytes = patternBytes(alignedBytes(160 * KiB), 0, 3);
      await s.put(32 * KiB, bytes, 20 * KiB);
      await s.holds(32 * KiB, bytes, "the run");
      await s.zeros(0, 32 * KiB, "before the run");
      await s.zeros(192 * KiB, 64 * KiB, "after the run");
    },
  },
  {
    name: "a run of more buffers than one system call takes is whole, in both directions",
    size: 12 * MiB,
    async run(s) {
      const bytes = patternBytes(alignedBytes(2100 * block), 0, 4);
      await s.put(0, bytes, block);
      same(await s.get(0, bytes.length, block), bytes, "2,100 buffers");
    },
  },
  {
    name: "shared and unshared memory both do",
    size: 256 * KiB,
    async run(s) {
      for (const shared of [true, false]) {
        const bytes = patternBytes(alignedBytes(64 * KiB, { shared }), 0, shared ? 5 : 6);
        await s.put(0, bytes);
        const back = alignedBytes(64 * KiB, { shared });
        await s.store.readPages(0, pieces(back, s.pageSize));
        same(back, bytes, shared ? "shared" : "unshared");
      }
    },
  },
  {
    name: "writing again replaces the bytes, and only those",
    size: 1 * MiB,
    async run(s) {
      const old = await s.putPattern(0, 256 * KiB, 1);
      const fresh = await s.putPattern(64 * KiB, 2 * block, 2);
      await s.holds(0, old.subarray(0, 64 * KiB), "before");
      await s.holds(64 * KiB, fresh, "replaced");
      await s.holds(64 * KiB + 2 * block, old.subarray(64 * KiB + 2 * block), "after");
    },
  },
  {
    name: "a write never grows the file beyond its own end",
    size: 5000,
    async run(s) {
      await s.putPattern(0, 5000);
      await s.store.sync({ data: false });
      await s.reopen();
      strictEqual(s.store.sizeBytes, 5000);
      const bytes = await s.putPattern(0, 10_001, 2);
      await s.store.sync({ data: true });
      await s.reopen();
      strictEqual(s.store.sizeBytes, 10_001);
      await s.holds(0, bytes, "the longer file");
    },
  },
  {
    name: "many reads and writes at once keep to their ranges",
    size: 4 * MiB,
    async run(s) {
      const writes = Array.from({ length: 32 }, (_, i) => s.putPattern(i * 128 * KiB, 64 * KiB, i));
      const reads = Array.from({ length: 32 }, (_, i) => s.zeros(i * 128 * KiB + 64 * KiB, 64 * KiB, `hole ${i}`));
      const written = await Promise.all(writes);
      await Promise.all(reads);
      for (const [i, bytes] of written.entries()) await s.holds(i * 128 * KiB, bytes, `range ${i}`);
    },
  },
];
