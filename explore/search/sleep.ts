/**
 * Sleep sets (P. Godefroid, "Partial-order methods for the verification of concurrent systems", LNCS 1032, 1996), on top of states that
 * are met once.
 *
 * A *stretch* is what happens from one point to the next: an alternative does what it was about to do, and what follows that nobody
 * can notice. Two stretches of different alternatives that touch nothing in common commute: from where both can be next, both orders
 * lead to the same state. So when everything that begins with A was explored from a point, and another, B, is taken there, A need not
 * be taken right after B, nor as long as what is done does not conflict with it: A *sleeps*. Every state is still reached, by another
 * order, and each alternative in it is taken there or was taken earlier with the same effect.
 *
 * When what is known. What A will touch shows only by doing it: its footprint at a point is read at the next point (or the end) of
 * the first run that takes A there. A falls asleep only after that (`leave`), and its footprint then goes along from point to point as
 * long as it sleeps. It stays right: nothing that was done meanwhile wrote what A reads, so A would do the same. The footprint of the
 * stretch between two points wakes whoever conflicts with it, before the second point is looked at. What ended in a violation
 * may have a footprint that lacks something, and counts as having touched everything.
 *
 * Where only one alternative can go on, the subject need not ask; so a stretch may be B and then, after B blocked, A. Its footprint is
 * of both. For what slept before it, that wakes too many rather than too few. If A itself was asleep and conflicts with nothing
 * in it, then A could as well have gone first: the whole stretch is superfluous, and to leave A asleep after it loses nothing.
 *
 * With the states. What was explored from a state is all but what was asleep there. So with each state lies who slept. When it is met
 * again, those who slept then and do not now are taken, and from then on those sleep who slept both times; nobody such: nothing
 * is left to explore. A state therefore does not stand for itself alone, and pruning by state without looking at the sleepers is wrong.
 *
 * Not with a preemption bound: the order that was explored instead may need more preemptions than the one that was left out
 * (K. Coons, M. Musuvathi, K. McKinley, "Bounded partial-order reduction", OOPSLA 2013).
 *
 * Invariant: the sleepers at a point are enabled there, and have a footprint there.
 *
 * See also: reductions.ts, subject.ts (`reads`, `writes`).
 */
import type { Reduction } from "./reductions.js";
import type { StateTable } from "./states.js";
import type { Subject } from "./subject.js";
import { grown, isSingle, lowest, type Path } from "./turns.js";

/** Footprints of a point lie together: 2 to this power. */
const footprintsShift = 5;
/** A mask of all words. */
const everything = -1;

export class Sleepers implements Reduction {
  readonly cut = false;
  readonly #subject: Subject;
  readonly #path: Path;
  readonly #table: StateTable;
  /** By point: who sleeps. */
  #asleep = new Int32Array(1);
  /** By point and alternative, for sleepers and for what was chosen: what its next stretch reads and writes. */
  #reads = new Int32Array(1 << footprintsShift);
  #writes = new Int32Array(1 << footprintsShift);

  constructor(subject: Subject, path: Path, table: StateTable) {
    this.#subject = subject;
    this.#path = path;
    this.#table = table;
  }

  arrive(at: number, enabled: number): number {
    this.#reach(at);
    const asleep = at === 0 ? 0 : this.#stillAsleep(at - 1) & enabled;
    this.#asleep[at] = asleep;
    if (isSingle(enabled)) return enabled & ~asleep;
    const table = this.#table;
    const slot = table.slotOf(this.#path.states[at] as number);
    if (slot < 0) return 0;
    if (table.fresh) {
      table.masks[slot] = asleep;
      return enabled & ~asleep;
    }
    const before = table.masks[slot] as number;
    table.masks[slot] = before & asleep;
    this.#asleep[at] = before & asleep;
    return before & ~asleep;
  }

  end(broken: boolean): void {
    const at = this.#path.length - 1;
    if (at >= 0) this.#note(at, broken ? everything : this.#subject.reads, broken ? everything : this.#subject.writes);
  }

  leave(at: number): void {
    this.#asleep[at] = (this.#asleep[at] as number) | (1 << (this.#path.chosen[at] as number));
  }

  #reach(at: number): void {
    if (at < this.#asleep.length) return;
    this.#asleep = grown(this.#asleep, at);
    this.#reads = grown(this.#reads, this.#asleep.length << footprintsShift);
    this.#writes = grown(this.#writes, this.#asleep.length << footprintsShift);
  }

  #note(at: number, reads: number, writes: number): void {
    const place = (at << footprintsShift) | (this.#path.chosen[at] as number);
    this.#reads[place] = reads;
    this.#writes[place] = writes;
  }

  /** Those who slept at point `at` and do not conflict with what was done since; they keep their footprints at the next point. */
  #stillAsleep(at: number): number {
    const reads = this.#subject.reads | 0;
    const writes = this.#subject.writes | 0;
    this.#note(at, reads, writes);
    let asleep = 0;
    for (let left = this.#asleep[at] as number; left !== 0; left &= left - 1) {
      const alternative = lowest(left);
      const place = (at << footprintsShift) | alternative;
      const itsReads = this.#reads[place] as number;
      const itsWrites = this.#writes[place] as number;
      if ((writes & (itsReads | itsWrites)) !== 0 || (reads & itsWrites) !== 0) continue;
      const next = ((at + 1) << footprintsShift) | alternative;
      this.#reads[next] = itsReads;
      this.#writes[next] = itsWrites;
      asleep |= 1 << alternative;
    }
    return asleep;
  }
}
