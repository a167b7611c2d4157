/**
 * Random numbers that come again with the same seed: xorshift with 32 bits (G. Marsaglia, "Xorshift RNGs", Journal of Statistical
 * Software 8(14), 2003). Good enough to choose turns, and nothing else.
 */

/** Shifts of Marsaglia's list that give the full period of 2^32 - 1. */
const shifts = [13, 17, 5] as const;
/** 2^32 divided by the golden ratio, odd: seeds that lie together begin far apart. */
const spread = 0x9e3779b1;
const roundsAtFirst = 4;

export class Numbers {
  #state = 1;

  constructor(seed: number) {
    this.restart(seed);
  }

  /** Goes on as a new one of that seed would. */
  restart(seed: number): void {
    const mixed = Math.imul(seed | 0, spread) ^ spread;
    // Zero would stay zero.
    this.#state = mixed === 0 ? spread : mixed;
    for (let round = 0; round < roundsAtFirst; round++) this.#next();
  }

  /** A whole number from 0 to below `limit`, which is at most 2^32. */
  below(limit: number): number {
    return Math.floor((this.#next() / 2 ** 32) * limit);
  }

  #next(): number {
    let state = this.#state;
    state ^= state << shifts[0];
    state ^= state >>> shifts[1];
    state ^= state << shifts[2];
    this.#state = state;
    return state >>> 0;
  }
}
