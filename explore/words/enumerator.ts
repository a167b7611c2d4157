/**
 * All interleavings of a scenario's actors at their atomic operations, depth first.
 *
 * A state is the memory and, for each actor, what its next actions depend on (actors.ts). A state that was met before is
 * not entered again, so every state that can be reached is entered once, whatever the order of choices: sound without
 * conditions but that two states do not share a hash of 53 bits (for 10^6 states: one chance in 10^4).
 *
 * An operation that nobody contends for (contention.ts) is no point of choice: it commutes with whatever the others do next,
 * so running it at once leaves out no result (a persistent set of one; no circle consists of these alone, since a step has
 * no loop and a lost step met a conflict). Which words are contended is found while running: when one turns out to be after
 * all, everything starts again with that known, until a pass has found nothing new.
 *
 * Violations: an invariant broken in a state where nobody has written inside a step (check-words.ts), at the end one of
 * checkQuiet; what a script checks; a state from which no run can end: a deadlock (nobody can go on), a lost wake-up, a
 * livelock. A violation has its schedule, which `replay` runs again.
 *
 * See also: run.ts, scenarios/.
 */
import type { StepsMaker } from "./reference.js";
import { readSchedule, Run, Violation, type Place, type Scenario } from "./run.js";

export { Violation, type Scenario } from "./run.js";

export interface Exploration {
  /** Runs to an end or to a state that was known. */
  readonly schedules: number;
  readonly states: number;
  /** States in which all actors have ended. */
  readonly ends: number;
  /** Choices made, in all passes. */
  readonly points: number;
  /** Passes that were begun until one found no new contended word. */
  readonly passes: number;
}

export interface ExplorationLimits {
  readonly statesMax?: number;
  /** Random runs before the first pass: they find most contended words, and shallow violations. */
  readonly warmUpRuns?: number;
  /** Makes every operation a point of choice: to see that leaving some out loses no end. */
  readonly everyPoint?: boolean;
  /** Asked now and then: true ends it. */
  readonly isStopped?: () => boolean;
}

/** It was stopped before its end. */
export class Stopped extends Error {
  override readonly name = "Stopped";
}

const statesMaxDefault = 2_000_000;
const warmUpRunsDefault = 200;
/** Choices of one random run; a pair of actors may well spin. */
const warmUpChoicesMax = 2_000;
const passesMax = 1_000;
/** Schedules from one look for a stop to the next. */
const schedulesPerLook = 64;

/** Explores everything. @throws Violation; Stopped */
export function explore(scenario: Scenario, make: StepsMaker, limits: ExplorationLimits = {}): Exploration {
  const run = new Run(scenario, make);
  run.contention.everyPoint = limits.everyPoint ?? false;
  warmUp(run, limits.warmUpRuns ?? warmUpRunsDefault);
  for (let passes = 1; passes < passesMax; passes++) {
    run.contention.learnt = false;
    const result = new Pass(run, limits.statesMax ?? statesMaxDefault, limits.isStopped).run();
    if (result !== undefined) return { ...result, points: run.points, passes };
  }
  throw new Error("contended words were found in every pass");
}

/** Runs the schedule of a violation again: what the actors called, in the order in which the calls ended, and what was wrong. */
export function replay(
  scenario: Scenario,
  make: StepsMaker,
  violation: Violation,
): { calls: string[]; sentence: string } {
  const run = new Run(scenario, make);
  run.contention.everyPoint = true;
  const calls: string[] = [];
  try {
    run.start(calls);
    for (const at of readSchedule(violation.schedule)) run.choose(at);
    run.inspect();
    if (run.enabled().length === 0 && !run.ended()) run.violated(`nobody can go on: ${run.whoWaits()}`);
  } catch (error) {
    if (error instanceof Violation) return { calls, sentence: error.message };
    throw error;
  }
  return { calls, sentence: "" };
}

function warmUp(run: Run, runs: number): void {
  let random = 12345;
  for (let count = 0; count < runs; count++) {
    run.start();
    for (let turn = 0; turn < warmUpChoicesMax; turn++) {
      const enabled = run.enabled();
      if (enabled.length === 0) break;
      random = (Math.imul(random, 1103515245) + 12345) >>> 0;
      run.choose(enabled[(random >>> 16) % enabled.length] as number);
    }
  }
}

/** One state on the way that is being explored. */
interface Choice {
  readonly state: number;
  readonly place: Place;
  readonly enabled: readonly number[];
  taken: number;
}

/** One exploration with what is known of contended words. */
class Pass {
  readonly #run: Run;
  readonly #statesMax: number;
  readonly #isStopped: (() => boolean) | undefined;
  /** States by hash, numbered as they are met. */
  readonly #states = new Map<number, number>();
  readonly #ends: number[] = [];
  /** Where a state was first reached from, and by whose operation. */
  readonly #parents: number[] = [];
  readonly #steps: number[] = [];
  /** All edges between states. */
  readonly #from: number[] = [];
  readonly #to: number[] = [];
  readonly #choices: Choice[] = [];
  #schedules = 0;

  constructor(run: Run, statesMax: number, isStopped: (() => boolean) | undefined) {
    this.#run = run;
    this.#statesMax = statesMax;
    this.#isStopped = isStopped;
  }

  /** Undefined where a contended word was found on the way: something may have been left out. @throws Violation; Stopped */
  run(): Omit<Exploration, "points" | "passes"> | undefined {
    this.#run.start();
    let choice = this.#enter();
    while (choice !== undefined) {
      this.#run.choose(choice.enabled[choice.taken] as number);
      choice = this.#enter();
      if (choice !== undefined) continue;
      if (this.#schedules++ % schedulesPerLook === 0 && this.#isStopped?.() === true) throw new Stopped();
      choice = this.#backtrack();
    }
    if (this.#run.contention.learnt) return undefined;
    this.#findStuck();
    return { schedules: this.#schedules, states: this.#states.size, ends: this.#ends.length };
  }

  /** Enters the state that was just reached; undefined where there is nothing more to do there. */
  #enter(): Choice | undefined {
    const hash = this.#run.state();
    const last = this.#choices.at(-1);
    const known = this.#states.get(hash);
    const state = known ?? this.#states.size;
    if (last !== undefined) {
      this.#from.push(last.state);
      this.#to.push(state);
    }
    if (known !== undefined) return undefined;
    if (state >= this.#statesMax) throw new Error(`more than ${this.#statesMax} states`);
    this.#states.set(hash, state);
    this.#parents.push(last?.state ?? -1);
    this.#steps.push(last === undefined ? -1 : (last.enabled[last.taken] as number));
    this.#run.inspect();
    if (this.#run.ended()) {
      this.#ends.push(state);
      return undefined;
    }
    const enabled = this.#run.enabled();
    if (enabled.length === 0) return this.#run.violated(`nobody can go on: ${this.#run.whoWaits()}`);
    const choice = { state, enabled, taken: 0, place: this.#run.save() };
    this.#choices.push(choice);
    return choice;
  }

  /** Goes back to the last state with a choice left. */
  #backtrack(): Choice | undefined {
    for (let choice = this.#choices.at(-1); choice !== undefined; choice = this.#choices.at(-1)) {
      choice.taken++;
      if (choice.taken < choice.enabled.length) {
        this.#run.restore(choice.place);
        return choice;
      }
      this.#choices.pop();
    }
    return undefined;
  }

  /** Complains of a state from which no end can be reached: somebody spins for ever. */
  #findStuck(): void {
    const before: number[][] = this.#parents.map(() => []);
    this.#to.forEach((state, at) => before[state]?.push(this.#from[at] as number));
    const good = new Uint8Array(this.#parents.length);
    const open = [...this.#ends];
    for (const state of open) good[state] = 1;
    for (let state = open.pop(); state !== undefined; state = open.pop()) {
      for (const previous of before[state] ?? []) {
        if (good[previous] === 0) {
          good[previous] = 1;
          open.push(previous);
        }
      }
    }
    const stuck = good.indexOf(0);
    if (stuck < 0) return;
    const path: number[] = [];
    for (let state = stuck; state > 0; state = this.#parents[state] as number) path.push(this.#steps[state] as number);
    this.#run.start();
    for (const at of path.reverse()) this.#run.choose(at);
    this.#run.violated("some actors spin for ever");
  }
}
