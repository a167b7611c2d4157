/**
 * PCT: random priorities that change at few random points (S. Burckhardt, P. Kothari, M. Musuvathi, S. Nagarakatte, "A randomized
 * scheduler with probabilistic guarantees of finding bugs", ASPLOS 2010).
 *
 * Alternatives get a random order of priority; the highest that can go on does. At `depth` - 1 points, chosen at random, the one that
 * would go on falls below all others. A violation that needs `depth` events in a certain order, in a program of n alternatives and
 * k points, is found by a run with a probability of at least 1 / (n k^(depth - 1)). Only points with a choice count: a change where only
 * one can go on does the same as one at the next choice.
 *
 * k is not known. It is taken to be the most that any run had so far, which the first runs find.
 *
 * Invariant: no two alternatives have the same priority.
 */
import { Numbers } from "./numbers.js";
import { alternativesMax } from "./subject.js";
import { lowest } from "./turns.js";

export class Priorities {
  readonly #numbers = new Numbers(0);
  /** By alternative. The first order has priorities from `depth` on; a change gives a lower one. */
  readonly #priorities = new Int32Array(alternativesMax);
  /** Points with a choice at which somebody falls. */
  readonly #changes: Int32Array;
  #point = 0;
  #pointsMost = 1;

  /** @throws Error for a depth that is no whole number from 1 */
  constructor(depth: number) {
    if (!Number.isInteger(depth) || depth < 1) throw new Error(`depth ${depth} is not a whole number from 1`);
    this.#changes = new Int32Array(depth - 1);
  }

  restart(seed: number): void {
    const numbers = this.#numbers;
    const priorities = this.#priorities;
    this.#pointsMost = Math.max(this.#pointsMost, this.#point);
    this.#point = 0;
    numbers.restart(seed);
    for (let change = 0; change < this.#changes.length; change++)
      this.#changes[change] = numbers.below(this.#pointsMost);
    for (let alternative = 0; alternative < alternativesMax; alternative++) {
      const other = numbers.below(alternative + 1);
      priorities[alternative] = priorities[other] as number;
      priorities[other] = this.#changes.length + 1 + alternative;
    }
  }

  choose(enabled: number): number {
    const point = this.#point++;
    for (let change = 0; change < this.#changes.length; change++) {
      if (this.#changes[change] === point) this.#priorities[this.#highest(enabled)] = this.#changes.length - change;
    }
    return this.#highest(enabled);
  }

  #highest(enabled: number): number {
    let highest = lowest(enabled);
    for (let rest = enabled & (enabled - 1); rest !== 0; rest &= rest - 1) {
      const other = lowest(rest);
      if ((this.#priorities[other] as number) > (this.#priorities[highest] as number)) highest = other;
    }
    return highest;
  }
}
