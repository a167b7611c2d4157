/**
 * Bytes for tests: buffers as a cache has them (page-aligned views of shared WebAssembly memory), contents that name
 * their position, and numbers that a seed repeats.
 *
 * Invariants: the same seed gives the same numbers; patternBytes never gives a zero byte, so that it differs from a hole.
 *
 * See also: contract-suite.ts.
 */
import { assert } from "../base/assert.js";

const wasmPage = 65_536;

/** The part of WebAssembly that is used here; Node's types leave it to the DOM library. */
interface MemoryMaker {
  readonly Memory: new (limits: {
    initial: number;
    maximum: number;
    shared: boolean;
  }) => { readonly buffer: ArrayBuffer };
}
const wasm = (globalThis as unknown as { WebAssembly: MemoryMaker }).WebAssembly;

/** Page-aligned bytes, all zero, in a WebAssembly memory of their own: shared as a cache's frames are, or not. */
export function alignedBytes(length: number, options: { shared?: boolean } = {}): Uint8Array {
  const pages = Math.max(1, Math.ceil(length / wasmPage));
  const memory = new wasm.Memory({ initial: pages, maximum: pages, shared: options.shared ?? true });
  return new Uint8Array(memory.buffer, 0, length);
}

/** Fills `into` with bytes that depend on `position` and `salt`; none is zero. */
export function patternBytes(into: Uint8Array, position: number, salt = 0): Uint8Array {
  for (let i = 0; i < into.length; i++) {
    const at = position + i;
    into[i] = 1 + ((at + Math.floor(at / 4096) * 7 + salt * 31) % 255);
  }
  return into;
}

/** A small generator (mulberry32): the same seed, the same numbers. */
export class SeededRandom {
  readonly seed: number;
  #state: number;

  constructor(seed: number) {
    this.seed = seed;
    this.#state = seed >>> 0;
  }

  /** A whole number from 0 to below `limit`. */
  below(limit: number): number {
    assert(limit > 0, "random: the limit is positive");
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * limit);
  }
}
