/**
 * The checksum of a block: CRC-32C (Castagnoli, RFC 3720 B.4) of its 4 KiB, what lies past the end of the file taken as zeros, mixed with
 * its place, so that the bytes of another block, or of another file, are wrong here (F20).
 *
 * The place goes in by exclusive or: the block's number through a bijection of 32 bits (the finalizer of MurmurHash3, which is in the public
 * domain), so that no two blocks of the first 16 TiB have the same; and the file's own number.
 *
 * Invariant: a sum is from 2 to 2^32 - 1. 0 in its place says that the block was never written, or is a hole: all of it is zero; 1 that
 * nobody knows (format.ts).
 *
 * The library is loaded at the first use, in each thread that uses it, and not while a thread is terminated (base/load-guard.ts).
 */
import { createRequire } from "node:module";
import { PinfoldError } from "../../base/errors.js";
import { limits } from "../../base/limits.js";
import { whileNobodyEnds } from "../../base/load-guard.js";

/** CRC-32C of `bytes`, going on from the CRC of what comes before. */
type Crc = (bytes: Uint8Array, before?: number) => number;

/** In the place of a sum that was lost. */
export const unknownSum = 1;

const require = createRequire(import.meta.url);
const zeros = new Uint8Array(limits.blockSize);
let loaded: Crc | undefined;

/** @throws PinfoldError ENOTSUP where the library has no binary for this system */
export function loadCrc(): Crc {
  return (loaded ??= whileNobodyEnds(() => {
    try {
      return (require("@node-rs/crc32") as { crc32c: Crc }).crc32c;
    } catch (error) {
      throw new PinfoldError("ENOTSUP", "checksums need @node-rs/crc32, which does not load on this system", {
        cause: error,
      });
    }
  }));
}

/** What the place of block `block` puts into its sum. `fileNumber`: 32 bits. */
function placeOf(block: number, fileNumber: number): number {
  let h = ((block % 2 ** 32) | 0) ^ Math.imul(Math.floor(block / 2 ** 32), 0x9e3779b1);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16) ^ fileNumber;
}

function atPlace(crc: number, block: number, fileNumber: number): number {
  return Math.max((crc ^ placeOf(block, fileNumber)) >>> 0, unknownSum + 1);
}

/** The sum of bytes that stand at the beginning of block `block`; the rest of it is zero. At most 4 KiB. */
export function sumOf(bytes: Uint8Array, block: number, fileNumber: number): number {
  const crc = loadCrc();
  const head = crc(bytes);
  return atPlace(bytes.length < zeros.length ? crc(zeros.subarray(bytes.length), head) : head, block, fileNumber);
}

/** The sum of a block of zeros. */
export function zeroSum(block: number, fileNumber: number): number {
  return sumOf(zeros, block, fileNumber);
}

/** Sums of the blocks from number `first` that `buffers` hold one after the other; of the last one perhaps only the beginning. */
export function sumsOf(buffers: readonly Uint8Array[], first: number, fileNumber: number): number[] {
  const crc = loadCrc();
  const sums: number[] = [];
  let state = 0;
  let filled = 0;
  const end = () => {
    sums.push(atPlace(state, first + sums.length, fileNumber));
    state = 0;
    filled = 0;
  };
  for (const buffer of buffers) {
    for (let at = 0; at < buffer.length; ) {
      const piece = buffer.subarray(at, at + zeros.length - filled);
      state = crc(piece, state);
      filled += piece.length;
      at += piece.length;
      if (filled === zeros.length) end();
    }
  }
  if (filled > 0) {
    state = crc(zeros.subarray(filled), state);
    end();
  }
  return sums;
}
