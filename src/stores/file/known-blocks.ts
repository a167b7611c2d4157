/**
 * Which blocks of a file are known to be its own (allocated, nobody else's), so that a grant need not ask the kernel about them.
 *
 * Guard of R17: only that is remembered, never a hole; and what was learnt is forgotten by every thread when anything is freed:
 * a punch, a cut, a cancelled or failed grant. They count up a cell that the threads share, when it is done; who looks
 * reads that cell *before* he looks, and what he learns holds only as long as it has that value. The count may be plain: a
 * count that another thread's overwrites had its freeing before it. Punch and cut are done under the cache's invalidate lock,
 * without which no grant is asked for; a cancel or failed grant frees blocks of pages that its caller has locked.
 *
 * Not for file systems on which files can share blocks: there another program's reflink takes what was the file's own.
 *
 * Invariants: a fixed number of chunks, the newest for each residue. A bit is set only for a block that a look has found, or a grant
 * has made, the file's own since the chunk's generation began.
 *
 * See also: reserve.ts, extents.ts; ../../docs/races.md.
 */
import { cells } from "./descriptors.js";
import type { Piece } from "./extents.js";

/** Blocks of a chunk: what is looked at together. */
const chunkBlocks = 256;
const chunksMax = 1024;
const wordsPerChunk = chunkBlocks / 32;
const nothing: readonly Piece[] = [];

/** What is missing of blocks [first, end), or an errno. */
type LookAt = (first: number, end: number) => readonly Piece[] | number;

export class KnownBlocks {
  #cells: Int32Array;
  /** Made when something is learnt: a bit a block; which chunk an entry has, + 1; the generation in which it was learnt. */
  #bits: Uint32Array | undefined;
  readonly #chunks = new Float64Array(chunksMax);
  readonly #generations = new Int32Array(chunksMax);

  /** `shared`: the store's cells. */
  constructor(shared: Int32Array) {
    this.#cells = shared;
  }

  /** From now on the count stands in cells that other threads see too. */
  shareCells(shared: Int32Array): void {
    this.#cells = shared;
  }

  /** Blocks have been freed: nothing that was learnt until now holds any more, in any thread. */
  forget(): void {
    this.#cells[cells.freed] = ((this.#cells[cells.freed] as number) + 1) | 0;
  }

  /** As `look`, asking it only about what is not known; about the whole chunk where nothing of that is. */
  missing(first: number, end: number, look: LookAt): readonly Piece[] | number {
    const chunk = Math.floor(first / chunkBlocks);
    const start = chunk * chunkBlocks;
    if (end > start + chunkBlocks) return look(first, end);
    if (this.#isKnown(chunk)) {
      if (this.#has(chunk, first - start, end - start)) return nothing;
      const found = look(first, end);
      if (typeof found !== "number" && found.length === 0) this.add(first, end);
      return found;
    }
    const generation = this.#cells[cells.freed] as number;
    const found = look(start, start + chunkBlocks);
    if (typeof found === "number") return found;
    this.#learn(chunk, generation, found);
    return found.length === 0 ? nothing : clip(found, first, end);
  }

  /** Blocks [first, end), whose pages the caller has locked, are the file's own. */
  add(first: number, end: number): void {
    for (let block = first; block < end; block++) {
      const chunk = Math.floor(block / chunkBlocks);
      if (this.#isKnown(chunk) && this.#bits) setBit(this.#bits, chunk % chunksMax, block - chunk * chunkBlocks);
    }
  }

  #isKnown(chunk: number): boolean {
    const at = chunk % chunksMax;
    return this.#chunks[at] === chunk + 1 && this.#generations[at] === this.#cells[cells.freed];
  }

  #has(chunk: number, first: number, end: number): boolean {
    const at = chunk % chunksMax;
    if (this.#bits === undefined) return false;
    for (let bit = first; bit < end; bit++) {
      if (((this.#bits[at * wordsPerChunk + (bit >>> 5)] as number) & (1 << (bit & 31))) === 0) return false;
    }
    return true;
  }

  #learn(chunk: number, generation: number, missing: readonly Piece[]): void {
    const at = chunk % chunksMax;
    this.#bits ??= new Uint32Array(chunksMax * wordsPerChunk);
    this.#bits.fill(0xffffffff, at * wordsPerChunk, (at + 1) * wordsPerChunk);
    for (const piece of missing) {
      for (let block = piece.first; block < piece.end; block++) clearBit(this.#bits, at, block - chunk * chunkBlocks);
    }
    this.#chunks[at] = chunk + 1;
    this.#generations[at] = generation;
  }
}

function setBit(bits: Uint32Array, at: number, bit: number): void {
  const word = at * wordsPerChunk + (bit >>> 5);
  bits[word] = (bits[word] as number) | (1 << (bit & 31));
}

function clearBit(bits: Uint32Array, at: number, bit: number): void {
  const word = at * wordsPerChunk + (bit >>> 5);
  bits[word] = (bits[word] as number) & ~(1 << (bit & 31));
}

/** What of the pieces lies in [first, end). */
function clip(pieces: readonly Piece[], first: number, end: number): readonly Piece[] {
  const inside: Piece[] = [];
  for (const { kind, first: from, end: to } of pieces) {
    if (from < end && to > first) inside.push({ kind, first: Math.max(from, first), end: Math.min(to, end) });
  }
  return inside;
}
