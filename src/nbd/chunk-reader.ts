/**
 * Reads a stream of bytes that comes in chunks of any size.
 *
 * Invariants: at most one chunk is held, and `carryBytes` of an earlier one; a new chunk is pushed only when the last
 * one is used up. Nothing is copied except fields that a chunk's end cuts in two. `take` consumes all or nothing.
 *
 * See also: option-parser.ts, request-parser.ts (users).
 */
import { assert } from "../base/assert.js";

/** The longest field that take() may ask for; longer ones are filled or skipped. */
export const carryBytes = 32;

const nothing = Buffer.alloc(0);

export class ChunkReader {
  /** After a successful take(): where the taken bytes lie, until the next call. */
  field: Buffer = nothing;
  at = 0;
  #chunk: Buffer = nothing;
  #next = 0;
  readonly #carry = Buffer.alloc(carryBytes);
  #carried = 0;

  /** Bytes of the present chunk that nobody consumed. */
  get remaining(): number {
    return this.#chunk.length - this.#next;
  }

  /** Bytes of a field that is not whole yet. */
  get carried(): number {
    return this.#carried;
  }

  push(chunk: Buffer): void {
    assert(this.remaining === 0, "the last chunk is used up");
    this.#chunk = chunk;
    this.#next = 0;
  }

  /** True and `field`, `at` are set if `length` bytes are there; else keeps what there is, and asks to be called with the same length again. */
  take(length: number): boolean {
    assert(length <= carryBytes, "a field fits the carry");
    if (this.#carried === 0 && this.remaining >= length) {
      this.field = this.#chunk;
      this.at = this.#next;
      this.#next += length;
      return true;
    }
    const missing = length - this.#carried;
    const got = Math.min(missing, this.remaining);
    this.#chunk.copy(this.#carry, this.#carried, this.#next, this.#next + got);
    this.#next += got;
    this.#carried += got;
    this.#releaseIfUsedUp();
    if (this.#carried < length) return false;
    this.#carried = 0;
    this.field = this.#carry;
    this.at = 0;
    return true;
  }

  /** The next `length` bytes without a copy if the present chunk has them all; consume them with skip(). */
  peek(length: number): Buffer | undefined {
    assert(this.#carried === 0, "no field is half read");
    return this.remaining >= length ? this.#chunk.subarray(this.#next, this.#next + length) : undefined;
  }

  /** Copies what is there to target[filled...] and returns the new `filled`. */
  fill(target: Uint8Array, filled: number): number {
    assert(this.#carried === 0, "no field is half read");
    const got = Math.min(target.length - filled, this.remaining);
    this.#chunk.copy(target, filled, this.#next, this.#next + got);
    this.#next += got;
    this.#releaseIfUsedUp();
    return filled + got;
  }

  /** Consumes at most `length` bytes and returns how many. */
  skip(length: number): number {
    assert(this.#carried === 0, "no field is half read");
    const got = Math.min(length, this.remaining);
    this.#next += got;
    return got;
  }

  /** Forgets everything: nobody will read on. */
  clear(): void {
    this.#carried = 0;
    this.#next = this.#chunk.length;
    this.#releaseIfUsedUp();
  }

  /** A chunk that is used up must not be kept alive by an idle connection. */
  #releaseIfUsedUp(): void {
    if (this.remaining > 0) return;
    this.#chunk = nothing;
    this.#next = 0;
  }
}
