/**
 * All schedules of a subject, depth first, but for those that a reduction shows to be superfluous (reductions.ts, sleep.ts) and those
 * with more preemptions than a bound.
 *
 * A run cannot be taken back, so each schedule is a run from the beginning: the path so far is given again, but for its last choice
 * that has others left, which becomes the next of those; after that the usual one goes on. `decide` is called hundreds of times a run
 * and for most of them does no more than look a number up.
 *
 * Points at which nobody contends are left out by the subject, as far as it has learnt who contends. When a run learns more, what was
 * explored may lack something, and the path no longer fits the points: the pass ends, a few random runs learn what else they can,
 * and all begins again. The result is of a pass that learnt nothing: every run of it was asked wherever it mattered.
 *
 * Invariants: a path's choices were all asked for by the last run. `complete` only where a pass came to its end.
 *
 * See also: random.ts, shrink.ts.
 */
import { type FindingLimits, Findings, type SearchResult } from "./findings.js";
import { type CutBy, Meter, pointsMaxDefault, type SearchLimits, statesMaxDefault } from "./limits.js";
import { RandomTurns, seedDefault, Walk } from "./random.js";
import { Budgeted, Everything, type Reduction, Visited } from "./reductions.js";
import { Sleepers } from "./sleep.js";
import { StateTable } from "./states.js";
import { STOP, type Subject, type Turns } from "./subject.js";
import { grown, isSingle, lowest, Path, run, unasked, usual } from "./turns.js";

export interface SearchOptions extends SearchLimits, FindingLimits {
  /** "sleep" by default. With a bound, that means "states". */
  readonly reduction?: "none" | "states" | "sleep";
  /** Only schedules with at most so many preemptions, up to 250. */
  readonly bound?: number;
  /** Random runs before the first pass: they learn most contention. Without a bound they may also find a violation. */
  readonly warmUpRuns?: number;
  readonly passesMax?: number;
  /** Of the random runs. */
  readonly seed?: number;
}

const boundMax = 250;
const passesMaxDefault = 1_000;
const warmUpRunsDefault = 30;
/** Random runs after a pass that learnt: one for each so many runs of the pass, within limits. */
const runsPerWarmUp = 4;
const warmUpRunsMax = 1_000;
/** Points of one of them: it may well spin. */
const warmUpPointsMax = 2_000;

/**
 * Explores all schedules, or those with at most `bound` preemptions: called with 0, 1, 2, ... the first violation has the fewest.
 * @throws Error for options that make no sense, and for a subject that does not do the same again
 */
export function search(subject: Subject, options: SearchOptions = {}): SearchResult {
  const { bound } = options;
  if (bound !== undefined && !(Number.isInteger(bound) && bound >= 0 && bound <= boundMax)) {
    throw new Error(`a bound of ${bound} preemptions is not a whole number up to ${boundMax}`);
  }
  return new Search(subject, options).run();
}

class Search {
  readonly #subject: Subject;
  readonly #options: SearchOptions;
  readonly #meter: Meter;
  readonly #findings: Findings;
  readonly #seed: number;
  #cutBy: CutBy | undefined;
  #points = 0;
  #walks = 0;

  constructor(subject: Subject, options: SearchOptions) {
    this.#subject = subject;
    this.#options = options;
    this.#meter = new Meter(options);
    this.#findings = new Findings(subject, options);
    this.#seed = options.seed ?? seedDefault;
  }

  run(): SearchResult {
    const { passesMax = passesMaxDefault, warmUpRuns = warmUpRunsDefault } = this.#options;
    this.#warmUp(warmUpRuns);
    let passes = 0;
    let schedules = 0;
    let turns = this.#newTurns();
    while (this.#cutBy === undefined) {
      if (passes >= passesMax) {
        this.#cutBy = "passes";
        break;
      }
      passes++;
      this.#subject.learnt = false;
      turns = this.#newTurns();
      schedules = this.#pass(turns);
      if (!this.#subject.learnt) break;
      this.#warmUp(Math.min(warmUpRunsMax, Math.ceil(schedules / runsPerWarmUp)));
    }
    const complete = this.#cutBy === undefined;
    const bound = this.#options.bound ?? null;
    return {
      schedules,
      runs: this.#meter.runs,
      states: turns.states,
      points: this.#points,
      passes,
      complete,
      bound: complete && !turns.cut ? null : bound,
      cutBy: this.#cutBy ?? null,
      seed: this.#seed,
      violations: this.#findings.violations,
    };
  }

  #newTurns(): DepthFirst {
    return new DepthFirst(this.#subject, this.#options);
  }

  #warmUp(runs: number): void {
    const turns = new RandomTurns(this.#subject, new Walk(), warmUpPointsMax);
    for (let count = 0; count < runs && this.#cutBy === undefined; count++) {
      this.#cutBy = this.#meter.begin(0);
      if (this.#cutBy !== undefined) return;
      turns.restart(this.#seed + this.#walks++);
      const end = run(this.#subject, turns);
      this.#points += turns.path.length;
      if (typeof end === "object" && this.#options.bound === undefined) this.#findings.add(end, turns.path);
      if (this.#findings.enough) this.#cutBy = "violation";
    }
  }

  /** Explores all there is, unless the subject learns something, or a limit ends the search. Answers how many runs there were. */
  #pass(turns: DepthFirst): number {
    let tooLong = false;
    for (let schedules = 0; ; ) {
      const over = this.#meter.begin(turns.states);
      if (over !== undefined) {
        this.#cutBy = over;
        return schedules;
      }
      schedules++;
      const end = run(this.#subject, turns);
      this.#points += turns.path.length;
      if (end !== false) turns.end(typeof end === "object");
      if (turns.misfit) throw new Error("the subject did not do the same again with the same turns");
      if (typeof end === "object") this.#findings.add(end, turns.path);
      if (this.#findings.enough) this.#cutBy = "violation";
      else if (turns.full) this.#cutBy = "states";
      if (this.#cutBy !== undefined || this.#subject.learnt) return schedules;
      tooLong ||= turns.tooLong;
      if (!turns.next()) {
        if (tooLong) this.#cutBy = "points";
        return schedules;
      }
    }
  }
}

/** The turns of a pass. */
class DepthFirst implements Turns {
  readonly path = new Path();
  /** The last run was not asked for the same choice as the one before. */
  misfit = false;
  /** A run had more points than it may. */
  tooLong = false;
  readonly #subject: Subject;
  readonly #reduction: Reduction;
  readonly #table: StateTable;
  readonly #pointsMax: number;
  /** By point of the path: alternatives to be taken later. */
  #todo = new Int32Array(1);
  /** Points, from the first, at which the path gives the choice. */
  #given = 0;
  #at = 0;

  constructor(subject: Subject, options: SearchOptions) {
    this.#subject = subject;
    this.#pointsMax = options.pointsMax ?? pointsMaxDefault;
    this.#table = new StateTable(options.statesMax ?? statesMaxDefault);
    this.#reduction = reductionOf(subject, this.path, this.#table, options);
  }

  get states(): number {
    return this.#table.size;
  }

  get full(): boolean {
    return this.#table.full;
  }

  /** True: the bound left something out. */
  get cut(): boolean {
    return this.#reduction.cut;
  }

  decide(enabled: number, current: number): number {
    const at = this.#at;
    if (at >= this.#given) return this.#arrive(at, enabled, current);
    const choice = this.path.chosen[at] as number;
    if (((enabled >>> choice) & 1) === 0) {
      this.misfit = true;
      return STOP;
    }
    this.#at = at + 1;
    return choice;
  }

  /** The run has come to its end. */
  end(broken: boolean): void {
    if (this.#at < this.#given) this.misfit = true;
    else this.#reduction.end(broken);
  }

  /** Makes the path the next one to be explored. False: there is none. */
  next(): boolean {
    const { path } = this;
    for (let at = path.length - 1; at >= 0; at--) {
      this.#reduction.leave(at);
      const todo = this.#todo[at] as number;
      if (todo === 0) continue;
      path.chosen[at] = lowest(todo);
      this.#todo[at] = todo & (todo - 1);
      path.length = at + 1;
      this.#given = at + 1;
      this.#at = 0;
      return true;
    }
    return false;
  }

  #arrive(at: number, enabled: number, current: number): number {
    const { path } = this;
    path.reach(at);
    if (at >= this.#todo.length) this.#todo = grown(this.#todo, at);
    path.states[at] = isSingle(enabled) ? unasked : this.#subject.state();
    const todo = this.#reduction.arrive(at, enabled, current);
    if (todo === 0) return STOP;
    if (at >= this.#pointsMax) {
      this.tooLong = true;
      return STOP;
    }
    const choice = usual(todo, current);
    path.chosen[at] = choice;
    this.#todo[at] = todo & ~(1 << choice);
    path.length = at + 1;
    this.#at = at + 1;
    return choice;
  }
}

function reductionOf(subject: Subject, path: Path, table: StateTable, options: SearchOptions): Reduction {
  const { reduction = "sleep", bound } = options;
  if (bound !== undefined) return new Budgeted(path, bound, reduction === "none" ? undefined : table);
  if (reduction === "none") return new Everything();
  return reduction === "states" ? new Visited(path, table) : new Sleepers(subject, path, table);
}
