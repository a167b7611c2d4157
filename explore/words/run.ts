/**
 * The actors of a scenario over one memory: lets them do operation after operation, saves where they are, and brings them
 * back there.
 *
 * A generator cannot be copied. So an actor that has to go back starts its script anew and is given what its steps answered,
 * then, inside the step that it was in, what its operations answered: nothing is done again to the memory.
 *
 * See also: enumerator.ts, contention.ts.
 */
import * as layout from "../../src/sync/layout.js";
import { Actor, type Play, type Script } from "./actors.js";
import { checkQuiet, checkWords } from "./check-words.js";
import { Contention } from "./contention.js";
import type { StepsMaker, StepWords } from "./reference.js";
import { joined, TracedMemory } from "./traced-memory.js";
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

/** A scenario went wrong under `schedule`: which actor did how many operations, in turn ("A12 B3 A1"). */
export class Violation extends Error {
  override readonly name = "Violation";
  readonly schedule: string;

  constructor(sentence: string, schedule: string) {
    super(sentence);
    this.schedule = schedule;
  }
}

/** Operations in a row that nobody contends for. */
const eagerMax = 100_000;
const ended = Number.NEGATIVE_INFINITY;

interface Running {
  readonly actor: Actor;
  readonly script: Script;
  play: Play;
  /** The next operation: address * 4 + kind; -(node + 1): waits for that node, or the alarm; `ended`. */
  pending: number;
  /** Operations done since the beginning, and how many of them `play` knows of: not the same after going back. */
  moves: number;
  played: number;
}

/** Where all actors and the memory are. */
export type Place = readonly number[];

function letterOf(at: number): string {
  return String.fromCharCode(65 + at);
}

function scheduleText(path: readonly number[]): string {
  let text = "";
  for (let from = 0; from < path.length; ) {
    let to = from;
    while (to < path.length && path[to] === path[from]) to++;
    text += `${text === "" ? "" : " "}${letterOf(path[from] as number)}${to - from}`;
    from = to;
  }
  return text;
}

/** The actors of a schedule, one for each operation. */
export function readSchedule(schedule: string): number[] {
  return schedule
    .split(" ")
    .flatMap((part) => new Array<number>(Number(part.slice(1)) || 0).fill(part.charCodeAt(0) - 65));
}

export class Run {
  readonly scenario: Scenario;
  readonly contention: Contention;
  points = 0;
  readonly #traced: TracedMemory;
  readonly #words: StepWords;
  #running: Running[] = [];
  /** Whose operations were done, in turn. */
  #path: number[] = [];

  constructor(scenario: Scenario, make: StepsMaker) {
    this.scenario = scenario;
    const plan = planWords(scenario.size);
    this.#traced = new TracedMemory(plan);
    this.#words = make(this.#traced);
    configureWords(this.#words, plan);
    this.contention = new Contention(plan.bytes);
    if (scenario.prepare) this.#runAlone(scenario.prepare);
    this.#traced.settle();
  }

  #runAlone(script: Script): void {
    const actor = new Actor("prepare", 0, this.#words, this.#traced, []);
    this.#traced.track = actor.track;
    for (const point of script(actor)) if (point < 0) throw new Error("prepare waits for somebody");
    const findings = checkWords(this.#traced.memory);
    if (findings.length > 0) throw new Error(`${this.scenario.name} begins wrong: ${findings.join("; ")}`);
  }

  /** The memory as it was at the beginning, all actors before their first contended operation. */
  start(calls?: string[]): void {
    this.#traced.rewind(0);
    this.#path = [];
    const actors: Actor[] = [];
    this.#running = this.scenario.actors.map((script, at) => {
      const actor = new Actor(letterOf(at), at + 1, this.#words, this.#traced, actors, calls);
      actors.push(actor);
      return { actor, script, play: script(actor), pending: ended, moves: 0, played: 0 };
    });
    for (let at = 0; at < this.#running.length; at++) this.#advance(at, this.#running[at] as Running);
  }

  /** Actors that can go on. */
  enabled(): number[] {
    const enabled: number[] = [];
    const { memory } = this.#traced;
    const alarm = memory.get(memory.plan.alarm) !== 0;
    this.#running.forEach(({ pending }, at) => {
      const waits =
        pending < 0 && pending !== ended && !alarm && memory.nodeState(-pending - 1) === layout.NODE_WAITING;
      if (pending !== ended && !waits) enabled.push(at);
    });
    return enabled;
  }

  ended(): boolean {
    return this.#running.every(({ pending }) => pending === ended);
  }

  /** Hash of the memory and of what each actor's next actions depend on. */
  state(): number {
    let { one, two } = this.#traced;
    for (const { actor, pending } of this.#running) {
      const next = pending === ended ? -1 << 20 : pending;
      one = Math.imul(one ^ (one >>> 14) ^ (actor.track.one + next), 0x2c1b3c6d);
      two = Math.imul(two ^ (two >>> 13) ^ (actor.track.two + next), 0x297a2d39);
    }
    return joined(one ^ (one >>> 12), two ^ (two >>> 15));
  }

  /** Lets actor `at` do its next operation, and what follows that nobody contends for. @throws Violation */
  choose(at: number): void {
    const running = this.#running[at] as Running;
    this.#path.push(at);
    this.points++;
    this.#note(at, running);
    if (running.played !== running.moves) this.#bringBack(running);
    this.#advance(at, running);
  }

  #advance(at: number, running: Running): void {
    const { track } = running.actor;
    this.#traced.track = track;
    for (let count = 0; count < eagerMax; count++) {
      const next = this.#next(running);
      running.pending = next.done === true ? ended : next.value;
      running.played = ++running.moves;
      if (running.pending < 0) {
        if (running.pending !== ended) this.#note(at, running);
        return;
      }
      if (this.contention.contended(at, running.pending, track.held)) return;
      this.#path.push(at);
      this.#note(at, running);
    }
    this.violated(`${running.actor.name} goes on and on without meeting anybody`);
  }

  #next(running: Running): IteratorResult<number, void> {
    if (running.moves > 0) running.actor.track.operations++;
    try {
      return running.play.next();
    } catch (error) {
      return this.violated((error as Error).message);
    }
  }

  #note(at: number, { pending, actor }: Running): void {
    const { memory } = this.#traced;
    const point = pending >= 0 ? pending : (memory.node(-pending - 1) + layout.NODE_STATE) * 4;
    this.contention.note(at, point, actor.track.held);
    if (pending < 0) this.contention.note(at, memory.plan.alarm * 4, actor.track.held);
  }

  violated(sentence: string): never {
    throw new Violation(`${this.scenario.name}: ${sentence}`, scheduleText(this.#path));
  }

  /** Where everybody is. */
  save(): Place {
    const place = [this.#traced.mark(), this.#path.length];
    for (const { actor, pending, moves } of this.#running) {
      const { one, two, wrote, held, holding, answers, results, stepFrom, operations } = actor.track;
      place.push(
        pending,
        moves,
        one,
        two,
        wrote ? 1 : 0,
        held,
        holding,
        answers.length,
        results.length,
        stepFrom,
        operations,
      );
    }
    return place;
  }

  /** Goes back to a place on the way to here. */
  restore(place: Place): void {
    let at = 0;
    const next = (): number => place[at++] as number;
    this.#traced.rewind(next());
    this.#path.length = next();
    for (const running of this.#running) {
      const { track } = running.actor;
      running.pending = next();
      running.moves = next();
      track.one = next();
      track.two = next();
      track.wrote = next() === 1;
      track.held = next();
      track.holding = next();
      track.answers.length = next();
      track.given = track.answers.length;
      track.results.length = next();
      track.stepFrom = next();
      track.operations = next();
    }
  }

  /** Starts the actor's script anew and brings it to where its track says that it is. */
  #bringBack(running: Running): void {
    const { track } = running.actor;
    const { one, two, wrote, held, holding, operations } = track;
    track.one = 0;
    track.two = 0;
    track.held = 0;
    track.holding = 0;
    track.given = 0;
    this.#traced.track = track;
    this.#traced.feedAt = track.stepFrom;
    running.play = running.script(running.actor);
    for (let count = 0; count <= operations; count++) {
      const { value } = running.play.next();
      if (count === operations && value !== running.pending)
        throw new Error(`${running.actor.name} did not come back to where it was`);
    }
    this.#traced.feedAt = -1;
    Object.assign(track, { one, two, wrote, held, holding, operations });
    running.played = running.moves;
  }

  /** Checks a state that was entered for the first time. @throws Violation */
  inspect(): void {
    const over = this.ended();
    if (!over && this.#running.some(({ actor }) => actor.track.wrote)) return;
    const { memory } = this.#traced;
    const findings = checkWords(memory);
    if (over) findings.push(...checkQuiet(memory), ...(this.scenario.atEnd?.(memory) ?? []));
    if (findings.length > 0) this.violated(findings.join("; "));
  }

  /** Who has not ended, for people. */
  whoWaits(): string {
    const left = this.#running.filter(({ pending }) => pending !== ended);
    return left.map(({ actor, pending }) => `${actor.name}${pending < 0 ? " (waits)" : ""}`).join(", ");
  }
}
