/**
 * Random searches, for what is too large to be searched whole. They find; they never show that there is nothing to find.
 *
 * A walk chooses evenly among those that can go on, at each point anew. PCT (priorities.ts) keeps to few preemptions, and finds
 * violations that need few with a probability that can be stated.
 *
 * The numbers of a run come from the seed and the run's number alone: the same seed gives the same runs, as long as the subject knows
 * the same of contention.
 *
 * See also: exhaustive.ts (which warms up with walks).
 */
import { type FindingLimits, Findings, type SearchResult } from "./findings.js";
import { type CutBy, Meter, pointsMaxDefault, type SearchLimits } from "./limits.js";
import { Numbers } from "./numbers.js";
import { Priorities } from "./priorities.js";
import { STOP, type Subject, type Turns } from "./subject.js";
import { isSingle, lowest, Path, run, unasked } from "./turns.js";

export interface RandomOptions extends SearchLimits, FindingLimits {
  /** Runs; a limit of time may end it sooner. Without either: 10,000. */
  readonly schedulesMax?: number;
  readonly seed?: number;
  /** Violations that need so many ordered events are looked for, by PCT; without it: an even walk. */
  readonly depth?: number;
}

const runsDefault = 10_000;
export const seedDefault = 1;

/** How a random search chooses where there is a choice. */
export interface Chance {
  /** A run begins, with numbers of its own. */
  restart(seed: number): void;
  choose(enabled: number): number;
}

export class Walk implements Chance {
  readonly #numbers = new Numbers(0);

  restart(seed: number): void {
    this.#numbers.restart(seed);
  }

  choose(enabled: number): number {
    let left = enabled;
    let skipped = 0;
    for (let rest = enabled; rest !== 0; rest &= rest - 1) skipped++;
    for (skipped = this.#numbers.below(skipped); skipped > 0; skipped--) left &= left - 1;
    return lowest(left);
  }
}

/** The turns of one random run. */
export class RandomTurns implements Turns {
  readonly path = new Path();
  /** The last run had more points than it may. */
  tooLong = false;
  readonly #subject: Subject;
  readonly #chance: Chance;
  readonly #pointsMax: number;

  constructor(subject: Subject, chance: Chance, pointsMax = pointsMaxDefault) {
    this.#subject = subject;
    this.#chance = chance;
    this.#pointsMax = pointsMax;
  }

  restart(seed: number): void {
    this.path.length = 0;
    this.tooLong = false;
    this.#chance.restart(seed);
  }

  decide(enabled: number): number {
    const { path } = this;
    const at = path.length;
    if (at >= this.#pointsMax) {
      this.tooLong = true;
      return STOP;
    }
    path.reach(at);
    const single = isSingle(enabled);
    const choice = single ? lowest(enabled) : this.#chance.choose(enabled);
    path.states[at] = single ? unasked : this.#subject.state();
    path.chosen[at] = choice;
    path.length = at + 1;
    return choice;
  }
}

/**
 * Runs the subject with random turns, again and again. Never complete.
 * @throws Error for a time limit without a clock
 */
export function searchAtRandom(subject: Subject, options: RandomOptions = {}): SearchResult {
  const { seed = seedDefault, depth, millisecondsMax } = options;
  const schedulesMax = options.schedulesMax ?? (millisecondsMax === undefined ? runsDefault : Infinity);
  const meter = new Meter({ ...options, schedulesMax });
  const findings = new Findings(subject, options);
  const turns = new RandomTurns(subject, depth === undefined ? new Walk() : new Priorities(depth), options.pointsMax);
  let points = 0;
  let cutBy: CutBy | undefined;
  while (!findings.enough) {
    const over = meter.begin(0);
    if (over !== undefined) {
      if (over !== "schedules") cutBy ??= over;
      break;
    }
    turns.restart(seed + meter.runs - 1);
    const end = run(subject, turns);
    points += turns.path.length;
    if (turns.tooLong) cutBy = "points";
    if (typeof end === "object") findings.add(end, turns.path);
  }
  if (findings.enough) cutBy = "violation";
  return {
    schedules: meter.runs,
    runs: meter.runs,
    states: 0,
    points,
    passes: 1,
    complete: false,
    bound: null,
    cutBy: cutBy ?? null,
    seed,
    violations: findings.violations,
  };
}
