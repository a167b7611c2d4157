/**
 * What the search runs: a program whose only freedom is whose turn it is. Given the same turns it does the same again.
 *
 * An *alternative* is something that can happen next: a virtual thread goes on, a disk request ends, time passes. They are
 * numbered from 0, at most `alternativesMax`, so that a set of them is a bit mask. A *point* is where an alternative is about to do
 * something that another one could notice.
 *
 * See also: the searches beside this file; ../runtime/world.ts (the cache as a subject).
 */

/** More would not fit the bits of a small integer. */
export const alternativesMax = 30;

/** Answer of `decide`: the run is not wanted any further. */
export const STOP = -1;

export interface Turns {
  /**
   * The run is at a point. `enabled`: mask of the alternatives that can go on (never 0). `current`: the one that did the last thing
   * and can go on, or -1; to choose another one than `current` is a *preemption*. Answers an alternative of `enabled`, or STOP.
   */
  decide(enabled: number, current: number): number;
}

export interface Subject {
  /**
   * Ask at every point, also where only one alternative is enabled, or nobody contends for what it is about to touch. Where a point is
   * left out, `current` goes on, or the lowest enabled one if there is no `current`.
   */
  everyPoint: boolean;
  /**
   * Set by a run that met contention it did not know of: points of earlier runs may have been left out, and what was explored so far
   * may lack something. The search clears it and begins again. Between two such runs, the same turns lead to the same points. Who is
   * kept waiting for a word contends for it, though it has not touched it yet.
   */
  learnt: boolean;
  /**
   * Runs from the beginning to an end, asking `turns` at points. True: it came to an end; false: it was stopped.
   * @throws Violation
   */
  run(turns: Turns): boolean;
  /**
   * During `decide`: a hash (an exact integer below 2^53) of everything that what follows depends on, whose turn it is apart. The same
   * with `everyPoint` and without; so a schedule of some points is made one of all points.
   */
  state(): number;
  /**
   * During `decide`, and when a run has ended: which words were read and written since the last `decide`, each as a mask of 32 bits
   * by hash. Two stretches of different alternatives commute if neither writes what the other reads or writes: what an alternative
   * will do next, and whether it is enabled, changes only by a stretch that conflicts with its next one. Where points were left out
   * because one alternative alone was enabled, a stretch is of several. After a violation they are not looked at.
   */
  readonly reads: number;
  readonly writes: number;
  /** What an alternative is called: "A", "disk". */
  name(alternative: number): string;
}

export type ViolationKind =
  | "assertion"
  | "check"
  | "deadlock"
  | "leak"
  | "livelock"
  | "lost wake-up"
  | "race"
  | "unhandled";

/** A run went wrong. */
export class Violation extends Error {
  override readonly name = "Violation";
  readonly kind: ViolationKind;

  constructor(kind: ViolationKind, sentence: string) {
    super(sentence);
    this.kind = kind;
  }
}
