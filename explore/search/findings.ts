/**
 * What a search has found: distinct violations, each with its schedule, and how much was searched.
 */
import type { CutBy } from "./limits.js";
import { type FoundViolation, record } from "./schedule.js";
import type { Subject, Violation } from "./subject.js";
import type { Path } from "./turns.js";

export interface SearchResult {
  /** Runs: in the last pass to an end or to where nothing new begins; and all, those of other passes and to warm up included. */
  readonly schedules: number;
  readonly runs: number;
  /** States of the last pass with more than one alternative. Random searches do not count them. */
  readonly states: number;
  /** Points met, again and again in each run, in all passes. */
  readonly points: number;
  /** Passes that were begun until one met no contention that it did not know of. */
  readonly passes: number;
  /** Every schedule, of those with at most `bound` preemptions, was run, or another one that does the same. */
  readonly complete: boolean;
  /** Null: without a bound, or there is no more to find with a higher one. */
  readonly bound: number | null;
  /** Why it is not complete; null also for a random search that did all its runs. */
  readonly cutBy: CutBy | null;
  /** Of random numbers: the same again with the same seed. */
  readonly seed: number;
  /** Distinct ones, in the order in which they were found. */
  readonly violations: readonly FoundViolation[];
}

export interface FindingLimits {
  /** The search ends with so many distinct violations; 1 by default. */
  readonly violationsMax?: number;
  /** A violation for which it is false is passed over. */
  readonly wanted?: (violation: Violation) => boolean;
}

/** Collects distinct violations: by kind and sentence. */
export class Findings {
  readonly violations: FoundViolation[] = [];
  readonly #subject: Subject;
  readonly #violationsMax: number;
  readonly #wanted: ((violation: Violation) => boolean) | undefined;
  readonly #known = new Set<string>();

  constructor(subject: Subject, limits: FindingLimits) {
    this.#subject = subject;
    this.#violationsMax = limits.violationsMax ?? 1;
    this.#wanted = limits.wanted;
  }

  get enough(): boolean {
    return this.violations.length >= this.#violationsMax;
  }

  /** A run along `path` ended in `violation`. */
  add(violation: Violation, path: Path): void {
    const key = `${violation.kind}: ${violation.message}`;
    if (this.enough || this.#known.has(key) || this.#wanted?.(violation) === false) return;
    this.#known.add(key);
    this.violations.push(record(this.#subject, path, violation));
  }
}
