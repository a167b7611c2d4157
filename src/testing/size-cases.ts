/**
 * Contract cases: extending, cutting, punching.
 *
 * See also: contract-suite.ts.
 */
import { ok, strictEqual } from "node:assert/strict";
import { needs, type StoreCase } from "./store-case.js";
import { block, type StoreSubject } from "./store-subject.js";

const KiB = 1024;
const MiB = 1024 * KiB;

function atMost(s: StoreSubject, got: number, most: number, message: string): void {
  const limit = most + (s.options.usedSlackBytes ?? 0);
  ok(got <= limit, `${message}: ${got} bytes, at most ${limit} expected`);
}

async function sizeAfterReopen(s: StoreSubject): Promise<number> {
  await s.store.sync({ data: true });
  await s.reopen();
  return s.store.sizeBytes;
}

export const sizeCases: readonly StoreCase[] = [
  {
    name: "extending adds zeros, keeps what was there, and is durable with the next sync",
    size: 5000,
    async run(s) {
      const bytes = await s.putPattern(0, 5000);
      await s.extend(200_001);
      await s.holds(0, bytes, "old bytes");
      await s.zeros(5000, 195_001, "new bytes");
      strictEqual(await sizeAfterReopen(s), 200_001);
      await s.holds(0, bytes, "old bytes, opened again");
    },
  },
  {
    name: "setSize never shrinks",
    size: 256 * KiB,
    async run(s) {
      const bytes = await s.putPattern(0, 256 * KiB);
      await s.store.setSize(100);
      await s.store.setSize(256 * KiB);
      await s.holds(0, bytes, "all of it");
      strictEqual(await sizeAfterReopen(s), 256 * KiB);
    },
  },
  {
    name: "cutting and extending again shows zeros, never old bytes",
    size: 256 * KiB,
    async run(s) {
      for (const cut of [128 * KiB, 70_001, 4095, 0]) {
        const bytes = await s.putPattern(0, 256 * KiB, cut);
        await s.truncate(cut);
        await s.zeros(cut, 256 * KiB - cut, `past a cut to ${cut}`);
        await s.extend(256 * KiB);
        await s.holds(0, bytes.subarray(0, cut), `kept by a cut to ${cut}`);
        await s.zeros(cut, 256 * KiB - cut, `extended after a cut to ${cut}`);
      }
    },
  },
  {
    name: "the size after a cut is the one asked for, to the byte",
    size: 256 * KiB,
    async run(s) {
      await s.putPattern(0, 256 * KiB);
      await s.truncate(70_001);
      strictEqual(await sizeAfterReopen(s), 70_001);
    },
  },
  {
    name: "truncate can extend, with zeros",
    size: 5000,
    async run(s) {
      const bytes = await s.putPattern(0, 5000);
      await s.truncate(100_000);
      await s.holds(0, bytes, "old bytes");
      await s.zeros(5000, 95_000, "new bytes");
      strictEqual(await sizeAfterReopen(s), 100_000);
    },
  },
  {
    name: "a cut frees data and reservations past it",
    size: 4 * MiB,
    needs: [needs.holes, needs.usage],
    async run(s) {
      await s.putPattern(0, 64 * KiB);
      await s.store.sync({ data: true });
      const before = await s.usedBytes();
      await s.putPattern(1 * MiB, 256 * KiB);
      await s.grant(2 * MiB, 256 * KiB);
      await s.truncate(64 * KiB);
      atMost(s, await s.usedBytes(), before, "after the cut");
    },
  },
  {
    name: "a cut to the present size frees what is reserved past the end",
    size: 64 * KiB,
    needs: [needs.holes, needs.pastEnd, needs.usage],
    async run(s) {
      await s.putPattern(0, 64 * KiB);
      await s.store.sync({ data: true });
      const before = await s.usedBytes();
      await s.grant(64 * KiB, 256 * KiB);
      await s.truncate(64 * KiB);
      atMost(s, await s.usedBytes(), before, "after the cut");
      strictEqual(await sizeAfterReopen(s), 64 * KiB);
    },
  },
  {
    name: "a punched range reads as zeros to the byte, whatever its edges",
    size: 512 * KiB,
    async run(s) {
      const ranges = [
        [100, 50],
        [4000, 200],
        [8192, 4096],
        [12_289, 8190],
        [65_535, 65_538],
        [200_000, 100_000],
        [511 * KiB, KiB],
      ] as const;
      for (const [position, length] of ranges) {
        const bytes = await s.putPattern(0, 512 * KiB, position);
        await s.punch(position, length);
        bytes.fill(0, position, position + length);
        await s.holds(0, bytes, `punched ${length} bytes from ${position}`);
      }
    },
  },
  {
    name: "a punch leaves the size, also over the end",
    size: 100_000,
    async run(s) {
      const bytes = await s.putPattern(0, 100_000);
      await s.punch(50_000, 500_000);
      await s.holds(0, bytes.subarray(0, 50_000), "before the punch");
      await s.zeros(50_000, 200_000, "punched");
      strictEqual(await sizeAfterReopen(s), 100_000);
    },
  },
  {
    name: "a punch gives whole blocks back",
    size: 2 * MiB,
    needs: [needs.holes, needs.usage],
    async run(s) {
      const before = await s.usedBytes();
      await s.putPattern(0, 1 * MiB);
      await s.store.sync({ data: true });
      await s.punch(block - 1, 512 * KiB + 2);
      atMost(s, (await s.usedBytes()) - before, 512 * KiB, "after the punch");
    },
  },
  {
    name: "a punched block can be written again",
    size: 256 * KiB,
    async run(s) {
      await s.putPattern(0, 256 * KiB, 1);
      await s.punch(64 * KiB, 64 * KiB);
      const bytes = await s.putPattern(64 * KiB, 64 * KiB, 2);
      await s.holds(64 * KiB, bytes, "written after the punch");
    },
  },
];
