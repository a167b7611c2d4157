/**
 * Arrays' methods whose callbacks can be stopped, and the values of generators of the sources, which also yield where they are.
 */
import { SWITCH } from "./machine.js";
import { isGenerator } from "./promises.js";
import type { Play } from "./play.js";

export type Callback = (...taken: unknown[]) => unknown;

/** A value that a generator of the sources yields. */
export class Item {
  readonly value: unknown;

  constructor(value: unknown) {
    this.value = value;
  }
}

/** To the end, what may be a generator or an answer already. */
export function* run(made: unknown): Play<unknown> {
  if (made === SWITCH)
    throw new Error("a function that answers for its only operation is called by another function of the sources");
  return isGenerator(made) ? yield* made : made;
}

export const arrays = {
  *$map(list: Iterable<unknown>, work: Callback): Play<unknown[]> {
    const made: unknown[] = [];
    let at = 0;
    for (const one of list) made.push(yield* run(work(one, at++)));
    return made;
  },
  *$flatMap(list: Iterable<unknown>, work: Callback): Play<unknown[]> {
    return (yield* arrays.$map(list, work)).flat();
  },
  *$filter(list: Iterable<unknown>, work: Callback): Play<unknown[]> {
    const kept: unknown[] = [];
    let at = 0;
    for (const one of list) if (yield* run(work(one, at++))) kept.push(one);
    return kept;
  },
  *$some(list: Iterable<unknown>, work: Callback): Play<boolean> {
    let at = 0;
    for (const one of list) if (yield* run(work(one, at++))) return true;
    return false;
  },
  *$every(list: Iterable<unknown>, work: Callback): Play<boolean> {
    let at = 0;
    for (const one of list) if (!(yield* run(work(one, at++)))) return false;
    return true;
  },
  *$forEach(list: Iterable<unknown>, work: Callback): Play<void> {
    let at = 0;
    for (const one of list) yield* run(work(one, at++));
  },
  *$find(list: Iterable<unknown>, work: Callback): Play<unknown> {
    let at = 0;
    for (const one of list) if (yield* run(work(one, at++))) return one;
    return undefined;
  },
  *$findIndex(list: Iterable<unknown>, work: Callback): Play<number> {
    let at = 0;
    for (const one of list) {
      if (yield* run(work(one, at))) return at;
      at++;
    }
    return -1;
  },
  *$reduce(list: Iterable<unknown>, work: Callback, first: unknown): Play<unknown> {
    let sum = first;
    let at = 0;
    for (const one of list) sum = yield* run(work(sum, one, at++));
    return sum;
  },
};
