/**
 * Turns of a simulated life, from a seed: who goes on, which request ends or fails, when time passes, when a thread ends, and
 * when all is over.
 */
import type { SeededRandom } from "../../src/base/seeded.js";
import { clockBit, diskBit, eventBit, failBit, killBit } from "../runtime/scheduler.js";
import { STOP, type Turns } from "../search/subject.js";

export interface Odds {
  /** Of a hundred points, those at which whoever goes on goes on. */
  readonly steadiness: number;
  /** Of a thousand requests that end, those that fail. */
  readonly failures: number;
  /** The point at which it all stops, if there is one. */
  readonly cutAt: number | undefined;
}

/** Of ten thousand choices. */
const clockShare = 150;
const killShare = 3;
const failMask = ((1 << (eventBit - failBit)) - 1) << failBit;
const killMask = ((1 << (clockBit - killBit)) - 1) << killBit;
const clockMask = 1 << clockBit;

export class Chances implements Turns {
  readonly #random: SeededRandom;
  readonly #odds: Odds;
  points = 0;

  constructor(random: SeededRandom, odds: Odds) {
    this.#random = random;
    this.#odds = odds;
  }

  decide(enabled: number, current: number): number {
    if (this.points === this.#odds.cutAt) return STOP;
    this.points++;
    return this.#choose(enabled, current);
  }

  #choose(enabled: number, current: number): number {
    const random = this.#random;
    const usual = enabled & ~(failMask | killMask | clockMask);
    if (current >= 0 && random.below(100) < this.#odds.steadiness) return current;
    const draw = random.below(10_000);
    if ((enabled & killMask) !== 0 && draw < killShare) return this.#any(enabled & killMask);
    if ((enabled & clockMask) !== 0 && (usual === 0 || (draw >= killShare && draw < killShare + clockShare)))
      return clockBit;
    if (usual === 0) return this.#any(enabled);
    const choice = this.#any(usual);
    const failing = choice + failBit - diskBit;
    const fails = choice >= diskBit && choice < failBit && ((enabled >>> failing) & 1) !== 0;
    return fails && random.below(1000) < this.#odds.failures ? failing : choice;
  }

  #any(alternatives: number): number {
    let count = 0;
    for (let rest = alternatives; rest !== 0; rest &= rest - 1) count++;
    let left = alternatives;
    for (let skipped = this.#random.below(count); skipped > 0; skipped--) left &= left - 1;
    return 31 - Math.clz32(left & -left);
  }
}
