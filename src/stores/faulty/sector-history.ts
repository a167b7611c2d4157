/**
 * What each sector of a store was since the last good sync, and what of that a power cut may leave.
 *
 * A sector is written as a whole or not at all, whatever happens to its neighbours; sectors reach the medium in any order. Changes of size,
 * cuts and punches happen in their order, as a journal makes them: a power cut lets the first few of them have happened. What one of them
 * took from a sector does not come back once it has happened, and what was written after one that has not is not there either.
 *
 * Invariants: states of a sector stand in the order in which they were begun; the first is durable; a sector with no other is forgotten.
 *
 * See also: volatile-store.ts.
 */
import { assert } from "../../base/assert.js";
import type { SeededRandom } from "../../base/seeded.js";

/** States of one sector; of more, one in the middle is forgotten: it is then no outcome of a power cut. */
const statesOfSectorMax = 16;
const sectorsMax = 1 << 20;

interface SectorState {
  /** The number of the operation that made it. */
  readonly operation: number;
  readonly bytes: Uint8Array;
  /** Made by a cut or a punch. */
  readonly isCut: boolean;
}

interface SizeState {
  readonly operation: number;
  readonly size: number;
}

/** What a power cut leaves. */
export interface Leftover {
  readonly size: number;
  /** Sectors that are not as they were last, by number. */
  readonly sectors: ReadonlyMap<number, Uint8Array>;
}

export class SectorHistory {
  readonly #sectors = new Map<number, SectorState[]>();
  #sizes: SizeState[];
  /** Cuts and punches, by the operation's number, ascending. */
  #cuts: number[] = [];
  /** Operations by number: when each was done. Those of before the last good sync are forgotten. */
  readonly #doneAt = new Map<number, number>();
  #time = 0;

  constructor(size: number) {
    this.#sizes = [{ operation: 0, size }];
  }

  /** Sectors that may come out of a power cut in more than one way. */
  get size(): number {
    return this.#sectors.size;
  }

  /** The number of an operation that begins. */
  begin(): number {
    return ++this.#time;
  }

  /** It was done: a sync that begins from now on covers it. */
  done(operation: number): void {
    this.#doneAt.set(operation, ++this.#time);
  }

  knows(sector: number): boolean {
    return this.#sectors.has(sector);
  }

  /** The last state of a sector that is known. */
  last(sector: number): Uint8Array | undefined {
    return this.#sectors.get(sector)?.at(-1)?.bytes;
  }

  /** A sector is changed for the first time since it was durable. */
  note(sector: number, durable: Uint8Array): void {
    assert(this.#sectors.size < sectorsMax, `more than ${sectorsMax} sectors were not synced`);
    this.#sectors.set(sector, [{ operation: 0, bytes: durable, isCut: false }]);
  }

  /** A sector gets another state. It is known. */
  add(sector: number, operation: number, bytes: Uint8Array, isCut: boolean): void {
    const states = this.#sectors.get(sector);
    assert(states !== undefined, "a sector is noted before it is changed");
    states.push({ operation, bytes, isCut });
    if (states.length <= statesOfSectorMax) return;
    const middle = states.findIndex((state, at) => at > 0 && at < states.length - 1 && !state.isCut);
    states.splice(middle < 0 ? 1 : middle, 1);
  }

  addSize(operation: number, size: number): void {
    this.#sizes.push({ operation, size });
  }

  addCut(operation: number): void {
    this.#cuts.push(operation);
  }

  /** When a sync begins: what it will cover. */
  now(): number {
    return this.#time;
  }

  /** A sync that began at `time` was good: what was done by then is durable. */
  settle(time: number): void {
    const isDurable = (operation: number) => operation === 0 || (this.#doneAt.get(operation) ?? Infinity) <= time;
    for (const [sector, states] of this.#sectors) {
      const first = states.findLastIndex(({ operation }) => isDurable(operation));
      if (first === states.length - 1) this.#sectors.delete(sector);
      else if (first > 0) states.splice(0, first);
    }
    const size = this.#sizes.findLastIndex(({ operation }) => isDurable(operation));
    this.#sizes = this.#sizes.slice(size);
    this.#cuts = this.#cuts.filter((operation) => !isDurable(operation));
    this.#keepOutcomes(isDurable);
    for (const [operation, doneAt] of this.#doneAt) if (doneAt <= time) this.#doneAt.delete(operation);
  }

  /** What is durable by now has no number any more. */
  #keepOutcomes(isDurable: (operation: number) => boolean): void {
    const durable = <State extends { readonly operation: number }>(state: State): State =>
      isDurable(state.operation) ? { ...state, operation: 0 } : state;
    for (const states of this.#sectors.values()) states[0] = durable(states[0] as SectorState);
    this.#sizes[0] = durable(this.#sizes[0] as SizeState);
  }

  /** Chooses what a power cut leaves. */
  cut(random: SeededRandom): Leftover {
    const changes = [...new Set([...this.#cuts, ...this.#sizes.slice(1).map(({ operation }) => operation)])];
    changes.sort((a, b) => a - b);
    const happened = random.below(changes.length + 1);
    const lastChange = happened === 0 ? 0 : (changes[happened - 1] as number);
    const sectors = new Map<number, Uint8Array>();
    for (const [sector, states] of this.#sectors) {
      const outcomes = outcomesOf(states, lastChange);
      const chosen = outcomes[random.below(outcomes.length)] as SectorState;
      if (chosen !== states.at(-1)) sectors.set(sector, chosen.bytes);
    }
    const size = this.#sizes.findLast(({ operation }) => operation <= lastChange) as SizeState;
    return { size: size.size, sectors };
  }
}

/** The states that a sector may have where of all cuts those up to the operation `lastChange` have happened. */
function outcomesOf(states: readonly SectorState[], lastChange: number): SectorState[] {
  const isPast = (state: SectorState) => state.isCut && state.operation <= lastChange;
  const isAhead = (state: SectorState) => state.isCut && state.operation > lastChange;
  const from = Math.max(0, states.findLastIndex(isPast));
  const ahead = states.findIndex(isAhead);
  return states.slice(from, ahead < 0 ? states.length : ahead);
}
