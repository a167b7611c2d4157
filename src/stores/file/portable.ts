/**
 * Reservation without fallocate: zeros are written into the hole under the page lock.
 *
 * Node cannot say what is a hole. So a block is read first: if it has data, it has its space; if it is all zeros, zeros
 * are written over it, which changes nothing that anyone can see and takes the space now, where a full disk can still be
 * answered (ENOSPC). File systems that allocate late set the space aside at that write.
 *
 * Blocks may be shared with a reflinked copy, and Node cannot see that either: on file systems that share (XFS), what was
 * read is written again, data too, and the file system sets aside the space of the copy.
 *
 * Invariants: the bytes of the file do not change; nothing is written past its end (the size must not grow), so that blocks
 * wholly past the end are granted without a reservation; no block gets the *reserved* bit, because nothing here could give
 * it back.
 *
 * See also: reserve.ts.
 */
import { fstatSync } from "node:fs";
import { limits } from "../../base/limits.js";
import { endBlock, firstBlock } from "../../store/block-words.js";
import type { MkwriteRequest } from "../../store/contract.js";
import { markGranted, type Reserve } from "./reserve.js";
import { readAll, readAllSync, writeAll, writeAllSync, type Descriptors } from "./transfer.js";

const blockSize = limits.blockSize;
/** Blocks that are looked at together. */
const batchBlocks = 64;

export class PortableReserve implements Reserve {
  readonly #files: Descriptors;
  readonly #shares: boolean;

  /** Everything goes through the buffered descriptor. `shares`: blocks with data may be another file's too. */
  constructor(files: Descriptors, shares: boolean) {
    this.#files = { ...files, main: files.buffered };
    this.#shares = shares;
  }

  async grant(request: MkwriteRequest): Promise<void> {
    await this.fill(firstBlock(request.position), endBlock(request.position, request.length));
    markGranted(request);
  }

  grantSync(request: MkwriteRequest): void {
    this.fillSync(firstBlock(request.position), endBlock(request.position, request.length));
    markGranted(request);
  }

  /** Space that a cancelled grant took stays, as zeros. */
  cancel(): void {}

  async fill(first: number, end: number, shared = this.#shares): Promise<void> {
    const size = this.#size();
    for (let block = first; block < end && block * blockSize < size; block += batchBlocks) {
      const position = block * blockSize;
      const bytes = new Uint8Array(Math.min((end - block) * blockSize, batchBlocks * blockSize, size - position));
      await readAll(this.#files, position, [bytes]);
      for (const range of shared ? [bytes] : zeroRanges(bytes))
        await writeAll(this.#files, position + range.byteOffset, [range]);
    }
  }

  fillSync(first: number, end: number, shared = this.#shares): void {
    const size = this.#size();
    for (let block = first; block < end && block * blockSize < size; block += batchBlocks) {
      const position = block * blockSize;
      const bytes = new Uint8Array(Math.min((end - block) * blockSize, batchBlocks * blockSize, size - position));
      readAllSync(this.#files, position, [bytes]);
      for (const range of shared ? [bytes] : zeroRanges(bytes))
        writeAllSync(this.#files, position + range.byteOffset, [range]);
    }
  }

  #size(): number {
    return fstatSync(this.#files.main).size;
  }
}

/** The runs of blocks that are all zeros, as views. */
function zeroRanges(bytes: Uint8Array): Uint8Array[] {
  const ranges: Uint8Array[] = [];
  let start = -1;
  for (let offset = 0; offset < bytes.length; offset += blockSize) {
    const zero = isZero(bytes.subarray(offset, offset + blockSize));
    if (zero && start < 0) start = offset;
    if (!zero && start >= 0) ranges.push(bytes.subarray(start, offset));
    if (!zero) start = -1;
  }
  if (start >= 0) ranges.push(bytes.subarray(start));
  return ranges;
}

const zeroBlock = new Uint8Array(blockSize);

function isZero(bytes: Uint8Array): boolean {
  return Buffer.compare(bytes, bytes.length === blockSize ? zeroBlock : zeroBlock.subarray(0, bytes.length)) === 0;
}
