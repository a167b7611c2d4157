/**
 * A store in the memory of one thread: a RAM disk, and the test double that finds what a cache does wrong.
 *
 * Space is counted in blocks of 4 KiB. A block is in one of four states, and counts against the capacity in all but
 * the first: hole; *reserved* (by pageMkwrite, cancelMkwrite gives it back); *kept* (by allocate, for good);
 * *allocated* (it has bytes). Invariants: the three sets are disjoint; their sizes together never pass the capacity;
 * no block has bytes at or past the size.
 *
 * `strict` (the default) asserts what the contract forbids a cache: to write a block that it did not ask for (races
 * R4, R11), and to cancel the grant of a block that by now has data, which a store that punches would lose.
 *
 * See also: README.md, ../../store/contract.ts.
 */
import { assert } from "../../base/assert.js";
import { PinfoldError } from "../../base/errors.js";
import { limits } from "../../base/limits.js";
import { addBlockBits, endBlock, firstBlock, forEachReserved, verifyMkwriteRequest } from "../../store/block-words.js";
import {
  blockBits,
  type MkwriteRequest,
  type Store,
  type StoreCapabilities,
  type SyncRequest,
} from "../../store/contract.js";

const blockSize = limits.blockSize;

export interface MemoryStoreOptions {
  /** Bytes at open; default 0, or the length of `contents`. */
  sizeBytes?: number;
  /** Space in bytes, rounded down to blocks of 4 KiB; default 1 GiB. */
  capacityBytes?: number;
  /** First bytes of the file, copied. */
  contents?: Uint8Array;
  readOnly?: boolean;
  /** Default: a key of its own. */
  key?: string;
  name?: string;
  /** False: all blocks of the size are taken at once, and punch only zeroes. Default true. */
  sparse?: boolean;
  /** Assert that the cache keeps to the contract. Default true. */
  strict?: boolean;
}

/** Blocks of 4 KiB by state. */
export interface MemoryStoreUsage {
  readonly allocatedBlocks: number;
  readonly reservedBlocks: number;
  readonly keptBlocks: number;
  readonly freeBlocks: number;
}

/** What outlives a close, so that the same contents can be opened again. */
interface Medium {
  readonly blocks: Map<number, Uint8Array>;
  readonly kept: Set<number>;
  readonly capacityBlocks: number;
  size: number;
}

let nextKey = 1;

export class MemoryStore implements Store {
  readonly capabilities: StoreCapabilities;
  readonly key: string;
  readonly name: string;
  readonly sizeBytes: number;
  readonly #medium: Medium;
  readonly #reserved = new Set<number>();
  readonly #strict: boolean;
  readonly #sparse: boolean;
  #closed = false;

  constructor(options: MemoryStoreOptions = {}, medium?: Medium) {
    this.#medium = medium ?? newMedium(options);
    this.#strict = options.strict ?? true;
    this.#sparse = options.sparse ?? true;
    this.key = options.key ?? `memory:${nextKey++}`;
    this.name = options.name ?? this.key;
    this.sizeBytes = this.#medium.size;
    this.capabilities = {
      reserves: "data",
      punchesHoles: this.#sparse,
      atomicCommits: false,
      readOnly: options.readOnly ?? false,
      syncCalls: true,
      blockSize,
    };
    if (medium === undefined && options.contents !== undefined) this.#put(0, options.contents);
    if (medium === undefined && !this.#sparse) this.#take(0, endBlock(0, this.sizeBytes));
  }

  /** The same contents in a new store, as after a restart: what was only reserved is free again. */
  reopen(options: Pick<MemoryStoreOptions, "readOnly" | "strict"> = {}): MemoryStore {
    assert(this.#closed, "reopen: the store was closed first");
    return new MemoryStore(
      { key: this.key, name: this.name, sparse: this.#sparse, strict: this.#strict, ...options },
      this.#medium,
    );
  }

  usage(): MemoryStoreUsage {
    const { blocks, kept, capacityBlocks } = this.#medium;
    const used = blocks.size + kept.size + this.#reserved.size;
    assert(used <= capacityBlocks, "no more blocks are used than there are");
    return {
      allocatedBlocks: blocks.size,
      reservedBlocks: this.#reserved.size,
      keptBlocks: kept.size,
      freeBlocks: capacityBlocks - used,
    };
  }

  /** A copy of all bytes, as a reader of the storage itself would see them. For tests. */
  snapshot(): Uint8Array {
    const bytes = new Uint8Array(this.#medium.size);
    this.#get(0, bytes);
    return bytes;
  }

  async readPages(position: number, buffers: readonly Uint8Array[]): Promise<void> {
    this.readPagesSync(position, buffers);
  }

  readPagesSync(position: number, buffers: readonly Uint8Array[]): void {
    this.#open("read");
    let at = position;
    for (const buffer of buffers) {
      this.#get(at, buffer);
      at += buffer.length;
    }
  }

  pageMkwrite(request: MkwriteRequest): void {
    this.pageMkwriteSync(request);
  }

  pageMkwriteSync(request: MkwriteRequest): void {
    this.#writable("mkwrite");
    verifyMkwriteRequest(request);
    if (request.position + request.length > limits.fileBytesMax)
      throw new PinfoldError("EFBIG", `${this.name}: byte ${request.position}`);
    const first = firstBlock(request.position);
    const end = endBlock(request.position, request.length);
    this.#need(first, end, "mkwrite");
    for (let block = first; block < end; block++) {
      if (this.#isHole(block)) {
        this.#reserved.add(block);
        addBlockBits(request, block, blockBits.granted | blockBits.reserved);
      } else {
        addBlockBits(request, block, blockBits.granted);
      }
    }
  }

  cancelMkwrite(position: number, pageSize: number, blocks: number): void {
    this.#open("cancelMkwrite");
    assert(position % pageSize === 0, "cancelMkwrite: the position is a page's");
    forEachReserved(position, pageSize, blocks, (block) => {
      this.#reserved.delete(block);
      const bytes = this.#medium.blocks.get(block);
      if (bytes === undefined) return;
      const zero = bytes.every((byte) => byte === 0);
      assert(
        zero || !this.#strict,
        `cancelMkwrite: block ${block} was written since it was reserved; its word must not say reserved`,
      );
      if (zero && this.#sparse) this.#medium.blocks.delete(block);
    });
  }

  setPageDirty(position: number, pageSize: number): void {
    this.#open("setPageDirty");
    if (!this.#strict) return;
    const end = endBlock(position, pageSize);
    let held = false;
    for (let block = firstBlock(position); block < end; block++) held ||= !this.#isHole(block);
    assert(held, `setPageDirty: no block of the page at ${position} was granted`);
  }

  async writePages(position: number, buffers: readonly Uint8Array[]): Promise<void> {
    this.writePagesSync(position, buffers);
  }

  writePagesSync(position: number, buffers: readonly Uint8Array[]): void {
    this.#writable("write");
    let length = 0;
    for (const buffer of buffers) length += buffer.length;
    assert(length > 0, "write: a run has bytes");
    const first = firstBlock(position);
    const end = endBlock(position, length);
    for (let block = first; this.#strict && block < end; block++) {
      assert(
        !this.#isHole(block),
        `write: block ${block} of ${this.name} was never granted, or its grant was given back`,
      );
    }
    this.#need(first, end, "write");
    let at = position;
    for (const buffer of buffers) {
      this.#put(at, buffer);
      at += buffer.length;
    }
    this.#medium.size = Math.max(this.#medium.size, at);
  }

  async sync(request: SyncRequest): Promise<void> {
    this.syncSync(request);
  }

  syncSync(_request: SyncRequest): void {
    this.#open("sync");
  }

  setSize(size: number): void {
    this.#writable("setSize");
    if (size > limits.fileBytesMax) throw new PinfoldError("EFBIG", `${this.name}: ${size} bytes`);
    if (!this.#sparse) {
      const first = endBlock(0, this.#medium.size);
      this.#need(first, endBlock(0, size), "setSize");
      this.#take(first, endBlock(0, size));
    }
    this.#medium.size = Math.max(this.#medium.size, size);
  }

  /** Ends grants only: what was written stays. */
  invalidatePages(from: number, to: number): void {
    this.#open("invalidatePages");
    assert(from <= to, "invalidatePages: an ascending range");
    const first = endBlock(0, from);
    const end = to === Infinity ? Infinity : firstBlock(to);
    for (const block of this.#reserved) if (block >= first && block < end) this.#reserved.delete(block);
  }

  releasePage(_position: number, _pageSize: number): boolean {
    this.#open("releasePage");
    return true;
  }

  async truncate(size: number): Promise<void> {
    this.#writable("truncate");
    this.#drop(size, Infinity, true);
    this.#medium.size = size;
  }

  async punch(position: number, length: number): Promise<void> {
    this.#writable("punch");
    this.#drop(position, position + length, this.#sparse);
  }

  async allocate(position: number, length: number): Promise<void> {
    this.#writable("allocate");
    const first = firstBlock(position);
    const end = endBlock(position, length);
    this.#need(first, end, "allocate");
    for (let block = first; block < end; block++) {
      this.#reserved.delete(block);
      if (!this.#medium.blocks.has(block)) this.#medium.kept.add(block);
    }
  }

  async close(): Promise<void> {
    this.#open("close");
    this.#closed = true;
    this.#reserved.clear();
  }

  #open(operation: string): void {
    assert(!this.#closed, `${operation}: the store is open`);
  }

  #writable(operation: string): void {
    this.#open(operation);
    if (this.capabilities.readOnly)
      throw new PinfoldError("EROFS", `${operation}: ${this.name} is read-only`, { operation });
  }

  #isHole(block: number): boolean {
    const { blocks, kept } = this.#medium;
    return !blocks.has(block) && !this.#reserved.has(block) && !kept.has(block);
  }

  /** Throws ENOSPC unless all holes of [first, end) can be filled. */
  #need(first: number, end: number, operation: string): void {
    const { freeBlocks } = this.usage();
    let holes = 0;
    for (let block = first; block < end && holes <= freeBlocks; block++) if (this.#isHole(block)) holes++;
    if (holes > freeBlocks)
      throw new PinfoldError("ENOSPC", `${operation}: ${this.name} has ${freeBlocks} free blocks`, { operation });
  }

  #block(block: number): Uint8Array {
    let bytes = this.#medium.blocks.get(block);
    if (bytes === undefined) {
      bytes = new Uint8Array(blockSize);
      this.#reserved.delete(block);
      this.#medium.kept.delete(block);
      this.#medium.blocks.set(block, bytes);
    }
    return bytes;
  }

  #take(first: number, end: number): void {
    for (let block = first; block < end; block++) this.#block(block);
  }

  #put(position: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) {
      const offset = (position + done) % blockSize;
      const count = Math.min(blockSize - offset, bytes.length - done);
      this.#block(firstBlock(position + done)).set(bytes.subarray(done, done + count), offset);
      done += count;
    }
  }

  #get(position: number, into: Uint8Array): void {
    for (let done = 0; done < into.length; ) {
      const offset = (position + done) % blockSize;
      const count = Math.min(blockSize - offset, into.length - done);
      const bytes = this.#medium.blocks.get(firstBlock(position + done));
      if (bytes === undefined) into.fill(0, done, done + count);
      else into.set(bytes.subarray(offset, offset + count), done);
      done += count;
    }
  }

  /** Zeroes [from, to), and with `free` gives the whole blocks in it back. */
  #drop(from: number, to: number, free: boolean): void {
    const { blocks, kept } = this.#medium;
    const last = endBlock(0, Math.min(to, limits.fileBytesMax));
    const few = last - firstBlock(from) <= blocks.size + kept.size + this.#reserved.size;
    const candidates = few ? numbers(firstBlock(from), last) : [...blocks.keys(), ...kept, ...this.#reserved];
    for (const block of candidates) {
      const start = block * blockSize;
      if (start >= to || start + blockSize <= from) continue;
      if (free && start >= from && start + blockSize <= to) {
        blocks.delete(block);
        kept.delete(block);
        this.#reserved.delete(block);
      } else {
        blocks.get(block)?.fill(0, Math.max(from - start, 0), Math.min(to - start, blockSize));
      }
    }
  }
}

function* numbers(first: number, end: number): Generator<number> {
  for (let i = first; i < end; i++) yield i;
}

function newMedium(options: MemoryStoreOptions): Medium {
  const size = options.sizeBytes ?? options.contents?.length ?? 0;
  const capacityBlocks = Math.floor((options.capacityBytes ?? 1024 * 1024 * 1024) / blockSize);
  const taken = options.sparse === false ? size : (options.contents?.length ?? 0);
  if (!Number.isSafeInteger(size) || size < (options.contents?.length ?? 0))
    throw new PinfoldError("EINVAL", `memory store: sizeBytes ${size} is no size, or less than the contents`);
  if (endBlock(0, taken) > capacityBlocks)
    throw new PinfoldError("ENOSPC", `memory store: capacity of ${capacityBlocks} blocks is less than the contents`);
  return { blocks: new Map(), kept: new Set(), capacityBlocks, size };
}
