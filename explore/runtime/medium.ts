/**
 * What the modelled storage has: blocks in one piece of memory, so that a run can begin where the scenario was prepared.
 *
 * A block is a hole, reserved (leave was given to fill it), or there. Invariants, asserted: only a block that is there or reserved is
 * written (R4, R11: else the cache writes what it did not ask for, or was told to forget); what is given back was not written
 * meanwhile. Space is counted in blocks: reserved and there together never pass the capacity.
 *
 * See also: disk.ts; src/stores/memory/memory-store.ts (the same contract, for programs).
 */
import { Violation } from "../search/subject.js";
import { hashOfNumbers } from "./hash.js";
import { blockBits, type MkwriteRequest } from "../../src/store/contract.js";

const hole = 0;
const reserved = 1;
const there = 2;
const written = 1;
const syncing = 2;

export interface MediumPlan {
  readonly blocks: number;
  readonly blockBytes: number;
  readonly pageBytes: number;
  /** Blocks that can be reserved or there at once. */
  readonly capacity: number;
}

/** Bytes at one time. */
export interface Image {
  readonly bytes: Uint8Array;
  readonly number: number;
}

export class Medium {
  readonly #plan: MediumPlan;
  /** Bytes, durable bytes, two states for each block, the size. */
  readonly #all: Uint8Array;
  readonly bytes: Uint8Array;
  readonly #states: Uint8Array;
  /** Of each block: whether it was written since the last good sync, and whether the sync that is under way has it. */
  readonly #volatile: Uint8Array;
  readonly #sizes: Uint8Array;
  /** Bytes as the last good sync left them. */
  readonly durable: Uint8Array;
  #images = 0;
  #durableImage = 0;
  #version = 0;
  #hashed = -1;
  #hash = 0;

  constructor(plan: MediumPlan) {
    this.#plan = plan;
    const length = plan.blocks * plan.blockBytes;
    this.#all = new Uint8Array(length * 2 + plan.blocks * 2 + 1);
    this.bytes = this.#all.subarray(0, length);
    this.durable = this.#all.subarray(length, length * 2);
    this.#states = this.#all.subarray(length * 2, length * 2 + plan.blocks);
    this.#volatile = this.#all.subarray(length * 2 + plan.blocks, length * 2 + plan.blocks * 2);
    this.#sizes = this.#all.subarray(length * 2 + plan.blocks * 2);
  }

  save(): Uint8Array {
    return this.#all.slice();
  }

  restore(saved: Uint8Array): void {
    this.#all.set(saved);
    this.#images = 0;
    this.#durableImage = 0;
    this.#version++;
  }

  get hash(): number {
    if (this.#hashed !== this.#version) {
      this.#hashed = this.#version;
      this.#hash = hashOfNumbers([this.#images, this.#durableImage], hashOfNumbers(this.#all));
    }
    return this.#hash;
  }

  get size(): number {
    return this.#sizes[0] as number;
  }

  set size(size: number) {
    this.#version++;
    this.#sizes[0] = size;
  }

  /** Blocks that are promised and not filled. */
  get reservedBlocks(): number {
    return this.#states.filter((state) => state === reserved).length;
  }

  get freeBlocks(): number {
    return this.#plan.capacity - this.#states.filter((state) => state !== hole).length;
  }

  /** Makes pages from the beginning, page n full of bytes n + 1. */
  fill(pages: number): void {
    const { pageBytes, blockBytes } = this.#plan;
    for (let at = 0; at < pages * pageBytes; at++) {
      this.bytes[at] = Math.floor(at / pageBytes) + 1;
      this.#states[Math.floor(at / blockBytes)] = there;
    }
    this.durable.set(this.bytes);
    this.size = pages * pageBytes;
  }

  read(position: number, buffers: readonly Uint8Array[]): void {
    let at = position;
    for (const buffer of buffers)
      for (let i = 0; i < buffer.length; i++, at++) buffer[i] = at < this.size ? (this.bytes[at] ?? 0) : 0;
  }

  write(position: number, buffers: readonly Uint8Array[]): void {
    this.#version++;
    let at = position;
    for (const buffer of buffers) {
      for (const byte of buffer) {
        const block = Math.floor(at / this.#plan.blockBytes);
        if (this.#states[block] === hole || block >= this.#plan.blocks)
          throw new Violation("assertion", `block ${block} is written, which was never granted or was freed`);
        this.#states[block] = there;
        this.#volatile[block] = written;
        this.bytes[at++] = byte;
      }
    }
    this.size = Math.max(this.size, at);
  }

  /** All or nothing. False: there is no space. */
  grant(request: MkwriteRequest): boolean {
    this.#version++;
    const { blockBytes, blocks } = this.#plan;
    const first = Math.floor(request.position / blockBytes);
    const end = Math.ceil((request.position + request.length) / blockBytes);
    let holes = 0;
    for (let block = first; block < end; block++) if (this.#states[block] === hole) holes++;
    if (holes > this.freeBlocks || end > blocks) return false;
    for (let block = first; block < end; block++) {
      let bits: number = blockBits.granted;
      if (this.#states[block] === hole) {
        this.#states[block] = reserved;
        bits |= blockBits.reserved;
      }
      this.#tell(request, block, bits);
    }
    return true;
  }

  #tell(request: MkwriteRequest, block: number, bits: number): void {
    const perPage = request.pageSize / this.#plan.blockBytes;
    const page = Math.floor(block / perPage) - Math.floor(request.position / request.pageSize);
    request.blocks[page] = (request.blocks[page] ?? 0) | (bits << ((block % perPage) * blockBits.width));
  }

  cancel(position: number, pageSize: number, blocks: number): void {
    this.#version++;
    const first = Math.floor(position / this.#plan.blockBytes);
    for (let at = 0; at < pageSize / this.#plan.blockBytes; at++) {
      if (((blocks >>> (at * blockBits.width)) & blockBits.reserved) === 0) continue;
      if (this.#states[first + at] === hole)
        throw new Violation("assertion", `block ${first + at} is given back, though nobody has it`);
      if (this.#states[first + at] === there && !this.#isZero(first + at))
        throw new Violation(
          "assertion",
          `block ${first + at} is given back, though it was written since it was reserved`,
        );
      this.#states[first + at] = hole;
    }
  }

  #isZero(block: number): boolean {
    const { blockBytes } = this.#plan;
    return this.bytes.subarray(block * blockBytes, (block + 1) * blockBytes).every((byte) => byte === 0);
  }

  noteDirty(position: number, pageSize: number): void {
    const first = Math.floor(position / this.#plan.blockBytes);
    const states = this.#states.subarray(first, first + pageSize / this.#plan.blockBytes);
    if (states.every((state) => state === hole))
      throw new Violation("assertion", `the page at ${position} is dirty, and no block of it was granted`);
  }

  /** Reservations of [from, to) end. */
  forget(from: number, to: number): void {
    this.#version++;
    const first = Math.ceil(from / this.#plan.blockBytes);
    const end = to === Infinity ? this.#plan.blocks : Math.floor(to / this.#plan.blockBytes);
    for (let block = first; block < end; block++) if (this.#states[block] === reserved) this.#states[block] = hole;
  }

  /** Bytes of [from, to) are zero from now on, whole blocks of it are free. */
  drop(from: number, to: number): void {
    this.#version++;
    const { blockBytes } = this.#plan;
    const end = Math.min(to, this.bytes.length);
    this.bytes.fill(0, from, end);
    for (let block = Math.ceil(from / blockBytes); (block + 1) * blockBytes <= end; block++) {
      this.#states[block] = hole;
      this.#volatile[block] = 0;
    }
  }

  /** A cut, with the size, in one. */
  truncate(size: number): void {
    this.drop(size, Infinity);
    this.size = size;
  }

  /** After a power cut: what is there, with this size, is durable; blocks without a byte are holes. */
  wakeUp(size: number): void {
    const { blockBytes, blocks } = this.#plan;
    this.#version++;
    this.#sizes[0] = size;
    this.durable.set(this.bytes);
    this.#volatile.fill(0);
    for (let block = 0; block < blocks; block++) {
      const bytes = this.bytes.subarray(block * blockBytes, (block + 1) * blockBytes);
      this.#states[block] = bytes.some((byte) => byte !== 0) ? there : hole;
    }
  }

  /** What a sync that begins now makes durable. */
  image(): Image {
    this.#version++;
    this.#mark(written, syncing);
    return { bytes: this.bytes.slice(), number: ++this.#images };
  }

  /** A sync has ended. One that began after it may have ended before: what is durable stays so. */
  noteDurable({ bytes, number }: Image): void {
    if (number < this.#durableImage) return;
    this.#version++;
    this.#durableImage = number;
    this.durable.set(bytes);
    this.#mark(syncing, 0);
  }

  /** A sync has failed: what was written since the last good one is lost, as kernels drop what they could not write. */
  loseVolatile(): void {
    this.#version++;
    const { blockBytes } = this.#plan;
    this.#volatile.forEach((state, block) => {
      if (state === 0) return;
      const [from, to] = [block * blockBytes, (block + 1) * blockBytes];
      this.bytes.set(this.durable.subarray(from, to), from);
    });
    // A file system shows nothing past the end, whatever a block has there.
    this.bytes.fill(0, this.size);
    this.#volatile.fill(0);
  }

  #mark(from: number, to: number): void {
    this.#volatile.forEach((state, block) => {
      if (state === from) this.#volatile[block] = to;
    });
  }
}
