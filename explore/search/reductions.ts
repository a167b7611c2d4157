/**
 * What a depth-first search leaves out, and why it may. Each reduction answers, where a run has come to a new point, which
 * alternatives are to be taken from there; none: the run is of no further use. `sleep.ts` has one more.
 *
 * Everything: nothing is left out.
 *
 * Visited ("states"): a state that was met before is not entered again. From every state that was met, every alternative is taken
 * once, and equal hashes have equal futures: so by induction over the length of a run every state that can be reached is met, and
 * everything that can happen in a state does. Whose turn it is does not matter: all alternatives are taken, whoever is `current`.
 * States on the way that is being explored count as met; that is sound because only reaching matters, not order. Where only one
 * alternative is enabled there is nothing to save, and no state is looked at.
 *
 * Budgeted (a bound): all runs with at most `bound` preemptions (M. Musuvathi, S. Qadeer, "Iterative context bounding for systematic
 * testing of multithreaded programs", PLDI 2007). What can still happen depends on the state, on who is current (to go on with that one
 * costs nothing), and on how many preemptions are left. Let the *worth* of an alternative be what is left after taking it: `left` if it is
 * current or nobody is, else `left` - 1. After the choice, state and current are the same whatever was before; so an alternative need
 * be taken from a state only if it was not yet taken there with the same worth or more. In a state whose highest `left` so far
 * was L, each alternative was taken with worth L or L - 1 (-1: not at all); the table has L (`levels`) and which ones were taken with
 * L - 1 only (`masks`). This covers every way in which one visit outdoes another: the same current and no less left; nobody current and
 * no less left; anybody current and one more left. If in the end each alternative of each state was taken with worth 0 or more,
 * no bound would have found a further state: the search is complete without one.
 *
 * All of these take points to be left out only where that is sound (nobody contends for what is touched), which is the subject's
 * business. A violation ends a run; so if several different ones can happen, perhaps not each of them is met, but at least one is.
 */
import type { StateTable } from "./states.js";
import { grown, isSingle, type Path } from "./turns.js";

export interface Reduction {
  /**
   * A run has come to point `at`, which is new; what was chosen before and the state here are in the path. Answers the alternatives to
   * take from here, now and in later runs; 0: none.
   */
  arrive(at: number, enabled: number, current: number): number;
  /** The run has ended after the path's last choice. `broken`: by a violation, perhaps in the midst of a stretch. */
  end(broken: boolean): void;
  /** Everything was explored that begins with what was chosen at point `at`. */
  leave(at: number): void;
  /** True: a schedule was left out, for the bound, that may lead to something new. */
  readonly cut: boolean;
}

export class Everything implements Reduction {
  readonly cut = false;

  arrive(_at: number, enabled: number): number {
    return enabled;
  }

  end(): void {}

  leave(): void {}
}

export class Visited implements Reduction {
  readonly cut = false;
  readonly #path: Path;
  readonly #table: StateTable;

  constructor(path: Path, table: StateTable) {
    this.#path = path;
    this.#table = table;
  }

  arrive(at: number, enabled: number): number {
    if (isSingle(enabled)) return enabled;
    const slot = this.#table.slotOf(this.#path.states[at] as number);
    return slot >= 0 && this.#table.fresh ? enabled : 0;
  }

  end(): void {}

  leave(): void {}
}

export class Budgeted implements Reduction {
  readonly #path: Path;
  readonly #bound: number;
  readonly #table: StateTable | undefined;
  /** By point: preemptions left, and who was current. */
  #lefts = new Uint8Array(1);
  #currents = new Int8Array(1);
  /** States in which an alternative was not taken at all. */
  #wanting = 0;
  #refused = false;

  /** Without a table no state is recognised. */
  constructor(path: Path, bound: number, table?: StateTable) {
    this.#path = path;
    this.#bound = bound;
    this.#table = table;
  }

  get cut(): boolean {
    return this.#refused || this.#wanting > 0;
  }

  arrive(at: number, enabled: number, current: number): number {
    const left = this.#leftAt(at, current);
    if (isSingle(enabled)) return enabled;
    const free = current < 0 ? enabled : 1 << current;
    if (this.#table !== undefined) return this.#meet(this.#table, at, enabled, free, left);
    if (left > 0) return enabled;
    if (free !== enabled) this.#refused = true;
    return free;
  }

  end(): void {}

  leave(): void {}

  /** Preemptions left at point `at`, noted with who is current there. */
  #leftAt(at: number, current: number): number {
    if (at >= this.#lefts.length) {
      this.#lefts = grown(this.#lefts, at);
      this.#currents = grown(this.#currents, at);
    }
    let left = this.#bound;
    if (at > 0) {
      const before = this.#currents[at - 1] as number;
      const preempted = before >= 0 && before !== this.#path.chosen[at - 1];
      left = (this.#lefts[at - 1] as number) - (preempted ? 1 : 0);
    }
    this.#lefts[at] = left;
    this.#currents[at] = current;
    return left;
  }

  /** The alternatives that are worth more than when they were taken from this state before. `free`: those that cost nothing. */
  #meet(table: StateTable, at: number, enabled: number, free: number, left: number): number {
    const slot = table.slotOf(this.#path.states[at] as number);
    if (slot < 0) return 0;
    const had = table.fresh ? -2 : (table.levels[slot] as number);
    const lesser = table.fresh ? 0 : (table.masks[slot] as number);
    if (left < had) return 0;
    const taken = left === had ? lesser & free : left === had + 1 ? lesser | free : enabled;
    const lesserNow = left === had ? lesser & ~free : enabled & ~free;
    if (had === 0 && lesser !== 0) this.#wanting--;
    if (left === 0 && lesserNow !== 0) this.#wanting++;
    table.levels[slot] = left;
    table.masks[slot] = lesserNow;
    return left === 0 ? taken & free : taken;
  }
}
