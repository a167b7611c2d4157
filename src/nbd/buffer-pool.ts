/**
 * Buffers to use again, by powers of two. Saves the allocation, and with it most of the garbage collector's work.
 *
 * Invariants: at most `keptBytesMax` are kept; a buffer is given back only when nobody, the socket included, can touch
 * it again. Contents are whatever the last user left: who takes one writes before anybody reads.
 *
 * See also: byte-budget.ts (the bound on buffers in use), reply-writer.ts, transmission.ts (users).
 */
import { assert } from "../base/assert.js";

const smallestShift = 12;

export class BufferPool {
  keptBytes = 0;
  readonly #keptBytesMax: number;
  readonly #classes: Buffer[][] = [];

  constructor(keptBytesMax: number) {
    this.#keptBytesMax = keptBytesMax;
  }

  /** A buffer of at least `length` bytes. */
  take(length: number): Buffer {
    const shift = Math.max(smallestShift, 32 - Math.clz32(length - 1));
    assert(length > 0 && 2 ** shift >= length, "a class fits the length");
    const kept = this.#classes[shift]?.pop();
    if (kept === undefined) return Buffer.allocUnsafeSlow(2 ** shift);
    this.keptBytes -= kept.length;
    return kept;
  }

  /** Takes back a buffer that take() gave, whole. */
  give(buffer: Buffer): void {
    if (this.keptBytes + buffer.length > this.#keptBytesMax) return;
    const shift = 31 - Math.clz32(buffer.length);
    assert(buffer.length === 2 ** shift && shift >= smallestShift, "a whole buffer of the pool");
    (this.#classes[shift] ??= []).push(buffer);
    this.keptBytes += buffer.length;
  }
}
