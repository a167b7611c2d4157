/**
 * Block words: how a store reads and sets the 2 bits that each 4 KiB block of a page has in its page's word.
 *
 * Invariants: only blocks that the request touches are read or changed; a bit is added, never taken away (the cache
 * clears words, a store does not).
 *
 * See also: contract.ts (MkwriteRequest, blockBits).
 */
import { assert } from "../base/assert.js";
import { limits } from "../base/limits.js";
import { blockBits, type MkwriteRequest } from "./contract.js";

/** Number of the first block that `position` lies in. */
export function firstBlock(position: number): number {
  return Math.floor(position / limits.blockSize);
}

/** Number of the block after the last one that [position, position + length) touches. */
export function endBlock(position: number, length: number): number {
  return Math.ceil((position + length) / limits.blockSize);
}

/** Asserts that a request is one that a cache may make. */
export function verifyMkwriteRequest(request: MkwriteRequest): void {
  const { position, length, pageSize, blocks } = request;
  assert(Number.isSafeInteger(position) && position >= 0, "mkwrite: the position is a byte");
  assert(Number.isSafeInteger(length) && length > 0, "mkwrite: the length is at least one byte");
  const pages = Math.ceil((position + length) / pageSize) - Math.floor(position / pageSize);
  assert(blocks.length === pages, "mkwrite: one block word for each page of the range");
}

/** The bits of block number `block`, which the request touches. */
export function getBlockBits(request: MkwriteRequest, block: number): number {
  const { index, shift } = locate(request, block);
  return ((request.blocks[index] as number) >>> shift) & 3;
}

/** Adds bits to block number `block`, which the request touches. */
export function addBlockBits(request: MkwriteRequest, block: number, bits: number): void {
  const { index, shift } = locate(request, block);
  request.blocks[index] = (request.blocks[index] as number) | (bits << shift);
}

/** Calls `visit` for each block of one page whose word says *reserved*: what cancelMkwrite gives back. */
export function forEachReserved(
  position: number,
  pageSize: number,
  word: number,
  visit: (block: number) => void,
): void {
  const first = firstBlock(position);
  const count = pageSize / limits.blockSize;
  for (let i = 0; i < count; i++) {
    if (((word >>> (i * blockBits.width)) & blockBits.reserved) !== 0) visit(first + i);
  }
}

function locate(request: MkwriteRequest, block: number): { index: number; shift: number } {
  const pageBlocks = request.pageSize / limits.blockSize;
  const index = Math.floor(block / pageBlocks) - Math.floor(request.position / request.pageSize);
  assert(index >= 0 && index < request.blocks.length, "mkwrite: the block lies in the request's pages");
  return { index, shift: (block % pageBlocks) * blockBits.width };
}
