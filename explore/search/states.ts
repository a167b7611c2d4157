/**
 * The states that a search has met: a table with open addressing, by hash, so that a million states are a few flat arrays and no
 * objects. With each state lie two small numbers that the reductions use as they need (reductions.ts, sleep.ts).
 *
 * Two states of one hash are taken for one, and what only the second leads to is lost. With hashes of 53 bits a search of a million
 * states does that with a probability of 1 in 18,000.
 *
 * Invariants: at most three quarters of the slots are used; a slot's number holds until the next state is put in.
 */

const slotsAtFirst = 1024;
const empty = 0;

export class StateTable {
  /** States that were put in. */
  size = 0;
  /** True: the last `slotOf` put its state in. */
  fresh = false;
  /** A state had no room: from now on nothing may be concluded from what is not in the table. */
  full = false;
  /** By slot: alternatives, and a count up to 255. */
  masks = new Int32Array(slotsAtFirst);
  levels = new Uint8Array(slotsAtFirst);
  readonly #statesMax: number;
  /** Each hash plus 1, so that none is `empty`; still exact. */
  #keys = new Float64Array(slotsAtFirst);

  constructor(statesMax: number) {
    this.#statesMax = statesMax;
  }

  /** The state's slot; it is put in if it is not there yet. -1: it is not there, and there is no room. */
  slotOf(state: number): number {
    const key = state + 1;
    const keys = this.#keys;
    const last = keys.length - 1;
    let slot = slotOfKey(key, last);
    // Ends: a quarter of the slots is empty.
    for (let found = keys[slot] as number; found !== empty; found = keys[slot] as number) {
      if (found === key) {
        this.fresh = false;
        return slot;
      }
      slot = (slot + 1) & last;
    }
    return this.#put(key, slot);
  }

  #put(key: number, slot: number): number {
    if (this.size >= this.#statesMax) {
      this.full = true;
      return -1;
    }
    this.fresh = true;
    this.size++;
    if (this.size * 4 > this.#keys.length * 3) {
      this.#grow();
      slot = this.#freeSlot(key);
    }
    this.#keys[slot] = key;
    return slot;
  }

  #grow(): void {
    const { masks, levels } = this;
    const keys = this.#keys;
    this.#keys = new Float64Array(2 * keys.length);
    this.masks = new Int32Array(2 * keys.length);
    this.levels = new Uint8Array(2 * keys.length);
    for (let from = 0; from < keys.length; from++) {
      const key = keys[from] as number;
      if (key === empty) continue;
      const to = this.#freeSlot(key);
      this.#keys[to] = key;
      this.masks[to] = masks[from] as number;
      this.levels[to] = levels[from] as number;
    }
  }

  #freeSlot(key: number): number {
    const last = this.#keys.length - 1;
    let slot = slotOfKey(key, last);
    while (this.#keys[slot] !== empty) slot = (slot + 1) & last;
    return slot;
  }
}

/** Where a search for the key begins. Both halves count, however badly one of them was mixed. */
function slotOfKey(key: number, last: number): number {
  const mixed = Math.imul((key | 0) ^ (key / 2 ** 32), 0x9e3779b1);
  return (mixed ^ (mixed >>> 15)) & last;
}
