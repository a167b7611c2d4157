/**
 * Small programs for tests of the explorer's machine: generators over a few words.
 */
import { type AtomicName, Machine, SWITCH } from "../../explore/runtime/machine.js";
import { drainBit } from "../../explore/runtime/scheduler.js";
import type { Play } from "../../explore/runtime/play.js";
import { RaceCheck } from "../../explore/runtime/race-check.js";
import { StoreBuffers } from "../../explore/runtime/store-buffer.js";
import type { Subject, Turns } from "../../explore/search/subject.js";

const extras = 8;

/** What the actors of a small program can do. */
export class Hand {
  readonly #machine: Machine;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  get races(): RaceCheck {
    return this.#machine.races as RaceCheck;
  }

  get machine(): Machine {
    return this.#machine;
  }

  *does(name: AtomicName, word: number, a = 0, b = 0): Play<number> {
    const answer = this.#machine.atomic(0, name, word, a, b);
    return (answer === SWITCH ? yield* this.#machine.again() : answer) as number;
  }
}

export type Actor = (hand: Hand) => Play<void>;

export class SmallProgram implements Subject {
  everyPoint = false;
  /** Called when a run has ended. */
  onEnd: (() => void) | undefined;
  readonly machine = new Machine(64, extras);
  readonly #actors: readonly Actor[];

  constructor(actors: readonly Actor[]) {
    this.#actors = actors;
  }

  /** With a look-out for data races. */
  withRaces(isExact: boolean): this {
    const options = { bytes: 16, pageBytes: 16, sites: ["small.ts:1"], isCounted: false, isExact };
    this.machine.races = new RaceCheck(this.machine, options);
    return this;
  }

  /** As on x86. */
  withBuffers(): this {
    this.machine.buffers = new StoreBuffers(this.machine, extras - 1);
    return this;
  }

  get learnt(): boolean {
    return this.machine.contended.learnt;
  }

  set learnt(learnt: boolean) {
    this.machine.contended.learnt = learnt;
  }

  get reads(): number {
    return this.machine.reads;
  }

  get writes(): number {
    return this.machine.writes;
  }

  name(alternative: number): string {
    return "ABC"[alternative] ?? `drain-${"ABC"[alternative - drainBit]}`;
  }

  state(): number {
    const { machine } = this;
    let hash = machine.hashOne ^ (machine.races?.hash ?? 0);
    for (const thread of machine.threads) hash = Math.imul(hash ^ thread.one, 0x2c1b3c6d) ^ thread.waiting;
    for (const { alternative, mark } of machine.outside) hash = Math.imul(hash ^ mark, 0x297a2d39) ^ alternative;
    return hash >>> 0;
  }

  run(turns: Turns): boolean {
    const { machine } = this;
    machine.begin(new Uint32Array(16));
    this.#actors.forEach((actor, at) => {
      machine.addThread(this.name(at)).post({ mark: 1, job: () => actor(new Hand(machine)) });
    });
    const isOver = machine.run(turns);
    if (isOver) this.onEnd?.();
    return isOver;
  }
}
