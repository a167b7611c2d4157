/**
 * Cuts pages into what one store call writes: ascending bytes without a gap. Only blocks that were granted are written:
 * nobody had leave to change the others, so they are as the store has them, and holes stay holes.
 *
 * Invariant: nothing past the file's end is written; a crash must never show a rounded-up size.
 */
import type { Frames } from "../frames/frames.js";
import { limits } from "../base/limits.js";
import { blockBits } from "../store/contract.js";

export interface Run {
  readonly position: number;
  readonly buffers: Uint8Array[];
  bytes: number;
}

export interface RunSource {
  readonly index: number;
  /** The frame that has the bytes: the page's own, or its snapshot. */
  readonly bytesFrame: number;
  readonly blocks: number;
}

/** The runs of consecutive pages, in order, cut at `size`. */
export function cutRuns(frames: Frames, pages: readonly RunSource[], size: number): Run[] {
  const runs: Run[] = [];
  for (const page of pages) {
    const start = page.index * frames.pageSize;
    const blocksInPage = frames.pageSize / limits.blockSize;
    for (let block = 0; block < blocksInPage; ) {
      if (!isGranted(page.blocks, block)) {
        block += 1;
        continue;
      }
      const from = block;
      while (block < blocksInPage && isGranted(page.blocks, block)) block += 1;
      const to = Math.min(block * limits.blockSize, size - start);
      if (to > from * limits.blockSize) append(frames, runs, page, from * limits.blockSize, to);
    }
  }
  return runs;
}

function isGranted(blocks: number, block: number): boolean {
  return ((blocks >>> (block * blockBits.width)) & blockBits.granted) !== 0;
}

function append(frames: Frames, runs: Run[], page: RunSource, from: number, to: number): void {
  const position = page.index * frames.pageSize + from;
  const bytes =
    from === 0 && to === frames.pageSize ? frames.bytes(page.bytesFrame) : frames.slice(page.bytesFrame, from, to);
  const last = runs.at(-1);
  if (last && last.position + last.bytes === position && last.bytes < limits.runBytesMax) {
    last.buffers.push(bytes);
    last.bytes += bytes.length;
  } else {
    runs.push({ position, buffers: [bytes], bytes: bytes.length });
  }
}
