/**
 * A store under test, with the steps that a cache takes as one call each: extend, ask, write; read whole blocks.
 *
 * Invariants: what it does keeps to the contract (a block is asked for before it is written; positions are whole blocks;
 * only the last block of the file is written in part), so that an assertion of the store is a defect of the store.
 *
 * See also: contract-suite.ts.
 */
import { deepStrictEqual, ok } from "node:assert/strict";
import { limits } from "../base/limits.js";
import type { Store } from "../store/contract.js";
import { alignedBytes, patternBytes } from "./bytes.js";
import type { StoreContractOptions, StoreOpenRequest, StoreUnderTest } from "./store-case.js";

export const block = limits.blockSize;

export class StoreSubject {
  store: Store;
  size: number;
  readonly options: StoreContractOptions;
  readonly #under: StoreUnderTest;

  private constructor(options: StoreContractOptions, under: StoreUnderTest) {
    this.options = options;
    this.#under = under;
    this.store = under.store;
    this.size = under.store.sizeBytes;
  }

  static async open(options: StoreContractOptions, request: StoreOpenRequest): Promise<StoreSubject> {
    return new StoreSubject(options, await options.open(request));
  }

  /** Whether `attachOther` can be called. */
  get canAttach(): boolean {
    return "attach" in this.#under;
  }

  /** The same storage as another thread would use it, by what the store shares. */
  attachOther(): Store {
    const cells = new Int32Array(new SharedArrayBuffer(32));
    const shared = this.store.share?.(cells);
    ok(
      typeof shared === "string" && shared.length <= limits.storeFactsMax,
      "share answers a text that is not too long",
    );
    JSON.parse(shared);
    const other = this.#under.attach?.(shared, cells);
    ok(other, "the suite was told how to attach the store");
    return other;
  }

  get pageSize(): number {
    return this.options.pageSize ?? limits.pageSizeDefault;
  }

  /** Words of zero for the pages of a range. */
  words(position: number, length: number): Uint32Array {
    return new Uint32Array(Math.ceil((position + length) / this.pageSize) - Math.floor(position / this.pageSize));
  }

  /** Asks for a range; new words unless some are given. */
  async grant(position: number, length: number, blocks = this.words(position, length)): Promise<Uint32Array> {
    await this.store.pageMkwrite({ position, length, pageSize: this.pageSize, blocks });
    return blocks;
  }

  /** Gives a grant back, page by page. */
  cancel(position: number, words: Uint32Array): void {
    const first = Math.floor(position / this.pageSize);
    for (const [i, word] of words.entries()) this.store.cancelMkwrite((first + i) * this.pageSize, this.pageSize, word);
  }

  /** Extends if need be, asks, writes. `position` is a block's; the end is a block's or becomes the file's. */
  async put(position: number, bytes: Uint8Array, pieceBytes = this.pageSize): Promise<void> {
    const end = position + bytes.length;
    if (end > this.size) await this.extend(end);
    ok(position % block === 0 && (end % block === 0 || end === this.size), "the suite writes whole blocks");
    const words = await this.grant(position, bytes.length);
    for (let page = Math.floor(position / this.pageSize), i = 0; i < words.length; i++)
      this.store.setPageDirty((page + i) * this.pageSize, this.pageSize);
    await this.store.writePages(position, pieces(bytes, pieceBytes));
  }

  /** Puts a pattern that tells its position. */
  async putPattern(position: number, length: number, salt = 0): Promise<Uint8Array> {
    const bytes = patternBytes(alignedBytes(length), position, salt);
    await this.put(position, bytes);
    return bytes;
  }

  async extend(size: number): Promise<void> {
    await this.store.setSize(size);
    this.size = Math.max(this.size, size);
  }

  async truncate(size: number): Promise<void> {
    this.store.invalidatePages(size, Infinity);
    await this.store.truncate(size);
    this.size = size;
  }

  async punch(position: number, length: number): Promise<void> {
    this.store.invalidatePages(position, position + length);
    await this.store.punch(position, length);
  }

  /** Reads whole blocks into buffers that were full of rubbish. */
  async get(position: number, length: number, pieceBytes = this.pageSize): Promise<Uint8Array> {
    const bytes = alignedBytes(length).fill(0xee);
    await this.store.readPages(position, pieces(bytes, pieceBytes));
    return bytes;
  }

  /** Asserts the bytes at `position`, which need not be a block's. */
  async holds(position: number, expected: Uint8Array, message: string): Promise<void> {
    const from = position - (position % block);
    const length = Math.ceil((position + expected.length - from) / block) * block;
    const got = await this.get(from, length);
    same(
      got.subarray(position - from, position - from + expected.length),
      expected,
      `${message} (from byte ${position})`,
    );
  }

  async zeros(position: number, length: number, message: string): Promise<void> {
    await this.holds(position, new Uint8Array(length), message);
  }

  /** Whether usedBytes means something. */
  get measuresUsage(): boolean {
    return this.#under.usedBytes !== undefined;
  }

  /** Space that the storage has taken, where it can say. */
  async usedBytes(): Promise<number> {
    return (await this.#under.usedBytes?.()) ?? 0;
  }

  async reopen(options: { readOnly?: boolean } = {}): Promise<void> {
    this.store = await this.#under.reopen(options);
    this.size = this.store.sizeBytes;
  }

  async cleanup(): Promise<void> {
    await this.#under.cleanup();
  }
}

/** Views of at most `pieceBytes`, in order. */
export function pieces(bytes: Uint8Array, pieceBytes: number): Uint8Array[] {
  const views: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += pieceBytes)
    views.push(bytes.subarray(at, Math.min(at + pieceBytes, bytes.length)));
  return views;
}

/** Equal, or the first byte that is not: a diff of megabytes helps nobody. */
export function same(got: Uint8Array, expected: Uint8Array, message: string): void {
  deepStrictEqual(got.length, expected.length, message);
  if (Buffer.compare(got, expected) === 0) return;
  const at = got.findIndex((byte, i) => byte !== expected[i]);
  ok(false, `${message}: byte ${at} of ${got.length} is ${got[at]}, not ${expected[at]}`);
}

/** The bits that a range should have in the words of its pages. */
export function expectedWords(position: number, length: number, pageSize: number, bits: number): Uint32Array {
  const firstPage = Math.floor(position / pageSize);
  const words = new Uint32Array(Math.ceil((position + length) / pageSize) - firstPage);
  const perPage = pageSize / block;
  for (let b = Math.floor(position / block); b < Math.ceil((position + length) / block); b++) {
    const i = Math.floor(b / perPage) - firstPage;
    words[i] = (words[i] as number) | (bits << ((b % perPage) * 2));
  }
  return words;
}
