/**
 * Numbers that a seed repeats, for tests and simulations.
 *
 * Invariant: the same seed gives the same numbers, on every machine.
 */
import { assert } from "./assert.js";

/** A small generator (mulberry32, Tommy Ettinger): the same seed, the same numbers. */
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
    return Math.floor(this.fraction() * limit);
  }

  /** From 0 to below 1, in steps of 2^-32. */
  fraction(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }
}
