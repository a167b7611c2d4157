/**
 * All interleavings of a scenario's actors at their atomic operations, depth first.
 *
 * A state is the memory and, for each actor, what its next actions depend on (actors.ts). A state that was met before is
 * not entered again, so every state that can be reached is entered once, whatever the order of choices: sound without
 * conditions but that two states do not share a hash of 53 bits (for 10^6 states: one chance in 10^4).
 *
 * An operation is no point of choice where no other actor can conflict with it: on a word that only this actor touches, or
 * that nobody writes, or that is only touched under a latch that the actor holds. It commutes with whatever the others do
 * next, so running it at once leaves out no result (a persistent set of one; no circle consists of these alone, since a
 * step has no loop and a lost step met a conflict). Which words these are is found while running: when a word turns out
 * to be contended after all, everything starts again with that known, until a pass has found nothing new.
 *
 * Violations: an invariant broken in a state where nobody has written inside a step (check-words.ts), at the end one of
 * checkQuiet; what a script checks; a state from which no run can end: a deadlock (nobody can go on), a lost wake-up, a
 * livelock. The violation has its schedule, which `replay` runs again.
 *
 * See also: actors.ts, traced-memory.ts, scenarios/.
 */
import * as layout from "../src/sync/layout.js";
import { Actor, Holds, type Play, type Script } from "./actors.js";
import type { AtomicOps, StepWords } from "./builds.js";
import { checkQuiet, checkWords } from "./check-words.js";
import { joined, TracedMemory } from "./traced-memory.js";
import { POINT_LOAD } from "./transform.js";
import { configureWords, planWords, type WordsMemory, type WordsSize } from "./words-memory.js";

export interface Scenario {
  readonly name: string;
  readonly size: WordsSize;
  /** Runs alone, before all others. */
  readonly prepare?: Script;
  readonly actors: readonly Script[];
  /** Further invariants of a run that has ended. */
  readonly atEnd?: (memory: WordsMemory) => string[];
}

export interface Exploration {
  /** Runs to the end or to a state that was known. */
  readonly schedules: number;
  readonly states: number;
  readonly points: number;
  /** Passes that were begun until one found no new contended word. */
  readonly passes: number;
}

/** A scenario went wrong under `schedule`: actors' letters in turn, one a point. */
export class Violation extends Error {
  override readonly name = "Violation";
  readonly schedule: string;

  constructor(sentence: string, schedule: string) {
    super(sentence);
    this.schedule = schedule;
  }
}

export interface ExplorationLimits {
  readonly statesMax?: number;
  /** Random runs before the first pass: they find most contended words, and shallow violations. */
  readonly warmUpRuns?: number;
}

const statesMaxDefault = 2_000_000;
const warmUpRunsDefault = 100;
const eagerMax = 100_000;
const done = Number.NEGATIVE_INFINITY;

interface Running {
  readonly actor: Actor;
  readonly play: Play;
  /** The next operation: address * 4 + kind; -(node + 1): waits for that node; `done`. */
  pending: number;
}

/** One state on the way that is being explored. */
interface Choice {
  readonly state: number;
  readonly enabled: readonly number[];
  taken: number;
}

export class Enumerator {
  readonly #scenario: Scenario;
  readonly #traced: TracedMemory;
  readonly #words: StepWords;
  // Of each 16-bit word of the memory: which actors read and write it, which latches were held at all accesses.
  readonly #readers: Uint8Array;
  readonly #writers: Uint8Array;
  readonly #guards: Int32Array;
  #learnt = false;
  #running: Running[] = [];
  #path: number[] = [];
  #points = 0;

  constructor(scenario: Scenario, make: (ops: AtomicOps) => StepWords) {
    this.#scenario = scenario;
    const plan = planWords(scenario.size);
    this.#traced = new TracedMemory(plan);
    this.#words = make(this.#traced);
    configureWords(this.#words, plan);
    const halves = Math.ceil(plan.bytes / 2) + 4;
    this.#readers = new Uint8Array(halves);
    this.#writers = new Uint8Array(halves);
    this.#guards = new Int32Array(halves).fill(-1);
    if (scenario.prepare) this.#runAlone(scenario.prepare);
    this.#traced.settle();
  }

  #runAlone(script: Script): void {
    const actor = new Actor("prepare", 0, this.#words, this.#traced, new Holds());
    this.#traced.track = actor.track;
    for (const point of script(actor)) if (point < 0) throw new Error("prepare waits for somebody");
    const findings = checkWords(this.#traced.memory);
    if (findings.length > 0) throw new Error(`${this.#scenario.name} begins wrong: ${findings.join("; ")}`);
  }

  /** Explores everything. @throws Violation */
  explore({ statesMax = statesMaxDefault, warmUpRuns = warmUpRunsDefault }: ExplorationLimits = {}): Exploration {
    this.#warmUp(warmUpRuns);
    for (let passes = 1; passes < 1_000; passes++) {
      this.#learnt = false;
      const result = new Pass(this, statesMax).run();
      if (result !== undefined) return { ...result, points: this.#points, passes };
    }
    throw new Error("contended words were found in every pass");
  }

  /** Runs one schedule again. The calls that the actors made, in the order in which they ended. @throws Violation */
  replay(schedule: string): string[] {
    const calls: string[] = [];
    this.start(calls);
    try {
      for (const letter of schedule) this.choose(letter.charCodeAt(0) - 65);
    } catch (error) {
      if (!(error instanceof Violation)) throw error;
    }
    return calls;
  }

  /** Random runs, bounded: a pair of actors may well spin. */
  #warmUp(runs: number): void {
    let random = 12345;
    for (let run = 0; run < runs; run++) {
      this.start();
      for (let turn = 0; turn < 2_000; turn++) {
        const enabled = this.enabled();
        if (enabled.length === 0) break;
        random = (Math.imul(random, 1103515245) + 12345) >>> 0;
        this.choose(enabled[(random >>> 16) % enabled.length] as number);
      }
    }
  }

  get learnt(): boolean {
    return this.#learnt;
  }

  /** The memory as it was at the beginning, all actors before their first contended operation. */
  start(calls?: string[]): void {
    this.#traced.rewind();
    this.#path = [];
    const holds = new Holds();
    this.#running = this.#scenario.actors.map((script, at) => {
      const actor = new Actor(String.fromCharCode(65 + at), at + 1, this.#words, this.#traced, holds, calls);
      return { actor, play: script(actor), pending: done };
    });
    for (let at = 0; at < this.#running.length; at++) this.#advance(at);
  }

  enabled(): number[] {
    const enabled: number[] = [];
    this.#running.forEach(({ pending }, at) => {
      const waits = pending < 0 && pending !== done && this.#traced.memory.nodeState(-pending - 1) === layout.NODE_WAITING;
      if (pending !== done && !waits) enabled.push(at);
    });
    return enabled;
  }

  ended(): boolean {
    return this.#running.every(({ pending }) => pending === done);
  }

  /** Hash of the state. */
  state(): number {
    let { one, two } = this.#traced;
    this.#running.forEach(({ actor, pending }, at) => {
      one = Math.imul(one ^ (actor.track.one + pending), 0x2c1b3c6d) ^ at;
      two = Math.imul(two ^ (actor.track.two + pending), 0x297a2d39) ^ (two >>> 13);
    });
    return joined(one ^ (one >>> 12), two ^ (two >>> 15));
  }

  /** Lets actor `at` do its next operation, and what follows that nobody contends. @throws Violation */
  choose(at: number): void {
    this.#path.push(at);
    this.#points++;
    this.#note(at, (this.#running[at] as Running).pending);
    this.#advance(at);
  }

  #advance(at: number): void {
    const running = this.#running[at] as Running;
    this.#traced.track = running.actor.track;
    for (let count = 0; count < eagerMax; count++) {
      const next = this.#next(running);
      running.pending = next.done === true ? done : next.value;
      if (running.pending < 0) {
        if (running.pending !== done) this.#note(at, running.pending);
        return;
      }
      if (this.#contended(at, running)) return;
      this.#note(at, running.pending);
    }
    this.violated(`${running.actor.name} goes on and on without meeting anybody`);
  }

  #next(running: Running): IteratorResult<number, void> {
    try {
      return running.play.next();
    } catch (error) {
      return this.violated((error as Error).message);
    }
  }

  violated(sentence: string): never {
    throw new Violation(`${this.#scenario.name}: ${sentence}`, this.#path.map((at) => String.fromCharCode(65 + at)).join(""));
  }

  /** Whether another actor may do something meanwhile that does not commute with the next operation. */
  #contended(at: number, { pending, actor }: Running): boolean {
    const word = pending >>> 3;
    const others = ~(1 << at);
    const mine = (pending & 3) === POINT_LOAD ? 0 : (this.#readers[word] as number);
    if (((mine | (this.#writers[word] as number)) & others) === 0) return false;
    return ((this.#guards[word] as number) & actor.track.held) === 0;
  }

  /** Learns from an access; if a word is contended that was not, what ran before may have left something out. */
  #note(at: number, pending: number): void {
    const node = pending < 0 ? this.#traced.memory.node(-pending - 1) + layout.NODE_STATE : 0;
    const word = pending < 0 ? node >>> 1 : pending >>> 3;
    const access = pending < 0 || (pending & 3) === POINT_LOAD ? this.#readers : this.#writers;
    const before = access[word] as number;
    const guards = this.#guards[word] as number;
    const after = before | (1 << at);
    const left = guards & (this.#running[at] as Running).actor.track.held;
    if (after === before && left === guards) return;
    access[word] = after;
    this.#guards[word] = left;
    const writers = this.#writers[word] as number;
    const all = writers | (this.#readers[word] as number);
    if (writers !== 0 && (all & (all - 1)) !== 0) this.#learnt = true;
  }

  /** Checks a state that was entered for the first time. @throws Violation */
  inspect(): void {
    const ended = this.ended();
    if (!ended && this.#running.some(({ actor }) => actor.track.wrote)) return;
    const { memory } = this.#traced;
    const findings = checkWords(memory);
    if (ended) findings.push(...checkQuiet(memory), ...(this.#scenario.atEnd?.(memory) ?? []));
    if (findings.length > 0) this.violated(findings.join("; "));
  }

  whoWaits(): string {
    const waiting = this.#running.filter(({ pending }) => pending !== done).map(({ actor, pending }) => `${actor.name}${pending < 0 ? " (waits)" : ""}`);
    return waiting.join(", ");
  }
}

/** One exploration with what is known of contended words; ends early where that changes. */
class Pass {
  readonly #runs: Enumerator;
  readonly #statesMax: number;
  /** States by hash, numbered as they are met; -1 before the state is known. */
  readonly #states = new Map<number, number>();
  readonly #ends: number[] = [];
  /** Where a state was first reached from, and by whose step. */
  readonly #parents: number[] = [];
  readonly #steps: number[] = [];
  readonly #from: number[] = [];
  readonly #to: number[] = [];
  readonly #choices: Choice[] = [];
  #schedules = 0;

  constructor(runs: Enumerator, statesMax: number) {
    this.#runs = runs;
    this.#statesMax = statesMax;
  }

  /** Undefined where a contended word was found on the way. */
  run(): Omit<Exploration, "points" | "passes"> | undefined {
    do {
      this.#runs.start();
      for (const choice of this.#choices) this.#runs.choose(choice.enabled[choice.taken] as number);
      while (this.#enter()) this.#runs.choose((this.#choices.at(-1) as Choice).enabled[0] as number);
      this.#schedules++;
      if (this.#runs.learnt) return undefined;
    } while (this.#backtrack());
    this.#findStuck();
    return { schedules: this.#schedules, states: this.#states.size };
  }

  /** Enters the state that was just reached; false where there is nothing more to do there. */
  #enter(): boolean {
    const hash = this.#runs.state();
    const last = this.#choices.at(-1);
    const known = this.#states.get(hash);
    const state = known ?? this.#states.size;
    if (last !== undefined) {
      this.#from.push(last.state);
      this.#to.push(state);
    }
    if (known !== undefined) return false;
    if (state >= this.#statesMax) throw new Error(`more than ${this.#statesMax} states`);
    this.#states.set(hash, state);
    this.#parents.push(last?.state ?? -1);
    this.#steps.push(last === undefined ? -1 : (last.enabled[last.taken] as number));
    this.#runs.inspect();
    if (this.#runs.ended()) {
      this.#ends.push(state);
      return false;
    }
    const enabled = this.#runs.enabled();
    if (enabled.length === 0) return this.#runs.violated(`nobody can go on: ${this.#runs.whoWaits()}`);
    this.#choices.push({ state, enabled, taken: 0 });
    return true;
  }

  /** Goes back to the last state with a choice left. */
  #backtrack(): boolean {
    for (let choice = this.#choices.at(-1); choice !== undefined; choice = this.#choices.at(-1)) {
      choice.taken++;
      if (choice.taken < choice.enabled.length) return true;
      this.#choices.pop();
    }
    return false;
  }

  /** Complains of states from which no end can be reached: somebody spins for ever. */
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
    const steps: number[] = [];
    for (let state = stuck; state > 0; state = this.#parents[state] as number) steps.push(this.#steps[state] as number);
    throw new Violation("some actors spin for ever", steps.reverse().map((at) => String.fromCharCode(65 + at)).join(""));
  }
}
