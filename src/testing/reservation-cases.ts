/**
 * Contract cases: the permission step, reservations, giving back, read-only stores, allocate.
 *
 * See also: contract-suite.ts; ../store/contract.ts, MkwriteRequest and blockBits.
 */
import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { PinfoldError } from "../base/errors.js";
import { blockBits } from "../store/contract.js";
import { alignedBytes, patternBytes } from "./bytes.js";
import { needs, type StoreCase } from "./store-case.js";
import { block, expectedWords, type StoreSubject } from "./store-subject.js";

const KiB = 1024;
const MiB = 1024 * KiB;
const grantedOnly = (words: Uint32Array) => words.map((word) => word & 0x55555555);

/** Rejects (or throws at once) with a PinfoldError of this code. */
export async function failsWith(code: string, call: () => unknown): Promise<void> {
  await rejects(
    async () => {
      await call();
    },
    (error: unknown) => {
      ok(error instanceof PinfoldError, `a PinfoldError, not ${String(error)}`);
      strictEqual(error.code, code);
      return true;
    },
  );
}

async function usedSince(s: StoreSubject, before: number): Promise<number> {
  return (await s.usedBytes()) - before;
}

function near(s: StoreSubject, got: number, expected: number, message: string): void {
  const slack = s.options.usedSlackBytes ?? 0;
  ok(Math.abs(got - expected) <= slack, `${message}: ${got} bytes, expected ${expected} (give or take ${slack})`);
}

export const reservationCases: readonly StoreCase[] = [
  {
    name: "a grant marks exactly the blocks that an unaligned range touches",
    size: 1 * MiB,
    async run(s) {
      for (const [position, length] of [
        [5000, 10],
        [4095, 2],
        [0, 1],
        [70_000, 70_000],
        [65_535, 1],
        [131_072, 65_536],
      ] as const) {
        const words = await s.grant(position, length);
        deepStrictEqual(
          grantedOnly(words),
          expectedWords(position, length, s.pageSize, blockBits.granted),
          `${length} bytes from ${position}`,
        );
        s.cancel(position, words);
      }
    },
  },
  {
    name: "bits that stood in a word stay, whatever the range",
    size: 1 * MiB,
    async run(s) {
      const words = await s.grant(0, 64 * KiB);
      const before = words.slice();
      await s.grant(
        8 * KiB,
        100,
        words.subarray(Math.floor((8 * KiB) / s.pageSize), Math.floor((8 * KiB) / s.pageSize) + 1),
      );
      deepStrictEqual(words, before);
      s.cancel(0, words);
    },
  },
  {
    name: "a grant changes neither size nor contents",
    size: 300_000,
    async run(s) {
      const bytes = await s.putPattern(64 * KiB, 64 * KiB);
      await s.grant(0, 300_000);
      await s.zeros(0, 64 * KiB, "granted holes");
      await s.holds(64 * KiB, bytes, "granted data");
      await s.zeros(128 * KiB, 300_000 - 128 * KiB, "granted holes after it");
      await s.store.sync({ data: false });
      await s.reopen();
      strictEqual(s.store.sizeBytes, 300_000);
    },
  },
  {
    name: "a block that has data is granted without the mark of new space, and its bytes outlive a cancel",
    size: 1 * MiB,
    async run(s) {
      const bytes = await s.putPattern(64 * KiB, 64 * KiB);
      const words = await s.grant(64 * KiB, 64 * KiB);
      deepStrictEqual(words, expectedWords(64 * KiB, 64 * KiB, s.pageSize, blockBits.granted));
      s.cancel(64 * KiB, words);
      await s.holds(64 * KiB, bytes, "after the cancel");
    },
  },
  {
    name: "a cancel gives back what its word says, and touches no other block",
    size: 2 * MiB,
    needs: [needs.reservations, needs.holes, needs.cancel, needs.usage],
    async run(s) {
      const left = await s.putPattern(256 * KiB, 64 * KiB, 1);
      const right = await s.putPattern(576 * KiB, 64 * KiB, 2);
      await s.store.sync({ data: true });
      const before = await s.usedBytes();
      const words = await s.grant(256 * KiB, 384 * KiB);
      near(s, await usedSince(s, before), 256 * KiB, "reserved");
      s.cancel(256 * KiB, words);
      near(s, await usedSince(s, before), 0, "given back");
      await s.holds(256 * KiB, left, "left neighbour");
      await s.zeros(320 * KiB, 256 * KiB, "holes again");
      await s.holds(576 * KiB, right, "right neighbour");
    },
  },
  {
    name: "renewal does not reserve twice, and one cancel undoes it",
    size: 2 * MiB,
    needs: [needs.reservations, needs.holes, needs.cancel, needs.usage],
    async run(s) {
      const before = await s.usedBytes();
      const words = await s.grant(64 * KiB, 256 * KiB);
      const first = words.slice();
      const reserved = await usedSince(s, before);
      near(s, reserved, 256 * KiB, "reserved");
      for (let i = 0; i < 3; i++) await s.grant(64 * KiB, 256 * KiB, words);
      deepStrictEqual(words, first, "the words stay as they were");
      near(s, await usedSince(s, before), reserved, "reserved after renewals");
      s.cancel(64 * KiB, words);
      near(s, await usedSince(s, before), 0, "given back");
    },
  },
  {
    name: "blocks of one page are reserved one by one",
    size: 1 * MiB,
    needs: [needs.reservations, needs.holes, needs.cancel, needs.usage],
    async run(s) {
      const before = await s.usedBytes();
      const one = await s.grant(block, 10);
      near(s, await usedSince(s, before), block, "one block");
      s.cancel(block, one);
      near(s, await usedSince(s, before), 0, "given back");
    },
  },
  {
    name: "ENOSPC is all or nothing: words unchanged, nothing reserved, contents as before",
    size: 4 * MiB,
    capacityBytes: 1 * MiB,
    needs: [needs.reservations, needs.capacity, needs.usage],
    async run(s) {
      const bytes = await s.putPattern(512 * KiB, 256 * KiB);
      const before = await s.usedBytes();
      const words = s.words(0, 4 * MiB);
      await failsWith("ENOSPC", () => s.grant(0, 4 * MiB, words));
      ok(
        words.every((word) => word === 0),
        "words unchanged",
      );
      near(s, await usedSince(s, before), 0, "nothing reserved");
      await s.holds(512 * KiB, bytes, "data");
      const fits = await s.grant(0, 256 * KiB);
      s.cancel(0, fits);
    },
  },
  {
    name: "what was granted can be written when the storage is full",
    size: 8 * MiB,
    capacityBytes: 1 * MiB,
    needs: [needs.reservations, needs.capacity],
    async run(s) {
      const granted: number[] = [];
      const full = async () => {
        for (let position = 0; position < 8 * MiB; position += 2 * block) {
          await s.grant(position, block);
          granted.push(position);
        }
      };
      await failsWith("ENOSPC", full);
      ok(granted.length > 1, "some were granted");
      const buffer = alignedBytes(block);
      for (const position of granted.reverse()) await s.store.writePages(position, [patternBytes(buffer, position)]);
      await s.store.sync({ data: true });
      for (const position of granted) await s.holds(position, patternBytes(buffer, position), "written when full");
      await failsWith("ENOSPC", () => s.grant(8 * MiB - block, block));
    },
  },
  {
    name: "space that was given back can be granted again",
    size: 8 * MiB,
    capacityBytes: 1 * MiB,
    needs: [needs.reservations, needs.capacity, needs.cancel],
    async run(s) {
      for (let round = 0; round < 4; round++) {
        const position = round * 2 * MiB;
        const words = await s.grant(position, 768 * KiB);
        await failsWith("ENOSPC", () => s.grant(position + 1 * MiB, 768 * KiB));
        s.cancel(position, words);
      }
    },
  },
  {
    name: "space reserved past the end is there after extending",
    size: 1000,
    capacityBytes: 1 * MiB,
    needs: [needs.reservations, needs.pastEnd],
    async run(s) {
      await s.grant(0, 128 * KiB);
      await s.zeros(0, 128 * KiB, "reserved past the end");
      await s.extend(128 * KiB);
      const bytes = patternBytes(alignedBytes(128 * KiB), 0);
      await s.store.writePages(0, [bytes]);
      await s.holds(0, bytes, "written");
    },
  },
  {
    name: "allocate reserves for good, and changes neither size nor contents",
    size: 100_000,
    capacityBytes: 1 * MiB,
    needs: [needs.allocate],
    async run(s) {
      const bytes = await s.putPattern(0, 2 * block);
      await s.store.allocate(0, 64 * KiB);
      await s.store.allocate(0, 64 * KiB);
      await s.holds(0, bytes, "data");
      await s.zeros(2 * block, 100_000 - 2 * block, "allocated");
      const words = await s.grant(0, 64 * KiB);
      s.cancel(0, words);
      const later = await s.putPattern(0, 64 * KiB, 2);
      await s.holds(0, later, "written into allocated space");
      await s.store.sync({ data: false });
      await s.reopen();
      strictEqual(s.store.sizeBytes, 100_000);
    },
  },
  {
    name: "allocate is ENOTSUP where the store cannot",
    size: 64 * KiB,
    needs: [needs.noAllocate],
    run: (s) => failsWith("ENOTSUP", () => s.store.allocate(0, block)),
  },
  {
    name: "a read-only store refuses every change with EROFS, and reads",
    size: 64 * KiB,
    async run(s) {
      const bytes = await s.putPattern(0, 64 * KiB);
      await s.store.sync({ data: false });
      await s.reopen({ readOnly: true });
      strictEqual(s.store.capabilities.readOnly, true);
      await s.holds(0, bytes, "read");
      const words = s.words(0, 100);
      await failsWith("EROFS", () => s.grant(0, 100, words));
      ok(
        words.every((word) => word === 0),
        "words unchanged",
      );
      await failsWith("EROFS", () => s.store.writePages(0, [bytes]));
      await failsWith("EROFS", () => s.store.setSize(1 * MiB));
      await failsWith("EROFS", () => s.store.truncate(0));
      await failsWith("EROFS", () => s.store.punch(0, block));
      await failsWith("EROFS", () => s.store.allocate(0, block));
      await s.store.sync({ data: true });
      await s.holds(0, bytes, "unchanged");
    },
  },
];
