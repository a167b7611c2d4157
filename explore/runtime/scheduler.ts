/**
 * Whose turn it is: threads, what happens outside of them, the clock; a run from its beginning to its end. What threads do is the
 * machine's (machine.ts).
 *
 * Invariant: two runs with the same turns do the same.
 *
 * See also: ../search/subject.ts, thread.ts, time.ts.
 */
import { STOP, type Turns, Violation } from "../search/subject.js";
import { running } from "./promises.js";
import { VirtualThread } from "./thread.js";
import { Time, endless } from "./time.js";
import type { TracedWords } from "./traced-words.js";

export const operationsMaxDefault = 20_000;
export const diskBit = 4;
export const failBit = 12;
export const eventBit = 20;
export const killBit = 26;
/** In place of events, where there are store buffers. */
export const drainBit = 22;
export const clockBit = 30;

/** What an alternative is called: an actor's name, "disk-a", "clock". */
export function nameOfAlternative(alternative: number, actors: readonly string[], hasViews: boolean): string {
  const actor = actors[alternative];
  if (actor !== undefined) return actor;
  const letter = (at: number) => String.fromCharCode(97 + at);
  if (alternative === clockBit) return "clock";
  if (alternative >= killBit) return `end-${letter(alternative - killBit)}`;
  if (hasViews && alternative >= drainBit)
    return `drain-${actors[alternative - drainBit] ?? letter(alternative - drainBit)}`;
  if (alternative >= eventBit) return `event-${letter(alternative - eventBit)}`;
  if (alternative >= failBit) return `fail-${letter(alternative - failBit)}`;
  return `disk-${letter(alternative - diskBit)}`;
}

/** Something outside of all threads that can happen now. */
export interface Outside {
  /** Its number as an alternative. */
  readonly alternative: number;
  /** Which of all that could have this number. */
  readonly mark: number;
  happen(): void;
}

/** What was done, for people. */
export interface Traced {
  readonly thread: number;
  readonly site: number;
  readonly what: string;
}

export class Scheduler {
  readonly words: TracedWords;
  readonly time = new Time();
  threads: VirtualThread[] = [];
  current: VirtualThread | undefined;
  /** Above 0: nothing is a point. */
  quiet = 0;
  everyPoint = false;
  reads = 0;
  writes = 0;
  /** What can happen outside of threads. */
  outside: Outside[] = [];
  /** Set to be told of every operation. */
  onTrace: ((traced: Traced) => void) | undefined;
  /** What has gone wrong: the run ends with it, also where the sources catch what was thrown. */
  broken: Error | undefined;
  /** Points of one run, after which it is said to go on and on. */
  operationsMax = operationsMaxDefault;
  /** Moves of the clock while threads could go on, in one run. */
  movesMax = 0;
  #moves = 0;
  /** Where the function was called that does the next operation, for people; -1: the operation's own place. */
  callSite = -1;
  #isRunning = false;
  #turns: Turns | undefined;
  #next = -1;
  #isStopped = false;
  #operations = 0;

  constructor(words: TracedWords) {
    this.words = words;
  }

  /** Begins a run: nobody is there, the memory is as it was. */
  begin(blank: Uint32Array): void {
    this.words.words.set(blank);
    this.words.settle();
    this.words.isNoting = false;
    this.threads = [];
    this.current = undefined;
    this.time.begin();
    this.#moves = 0;
    this.broken = undefined;
    this.quiet = 0;
    this.outside = [];
    this.#next = -1;
    this.#isStopped = false;
    this.#operations = 0;
    this.reads = 0;
    this.writes = 0;
  }

  addThread(name: string): VirtualThread {
    const thread = new VirtualThread(this.threads.length, name);
    this.threads.push(thread);
    return thread;
  }

  enter(thread: VirtualThread): void {
    this.current = thread;
    running.loop = thread;
  }

  enabled(): number {
    let mask = 0;
    for (const thread of this.threads) if (thread.canGoOn) mask |= 1 << thread.number;
    for (const { alternative } of this.outside) mask |= 1 << alternative;
    if (mask === 0 || this.quiet > 0) return mask;
    // Where nobody can go on, an end is no other than it would have been before, and time passes by itself.
    for (const thread of this.threads) if (thread.isMortal) mask |= 1 << (killBit + thread.number);
    if (this.#moves < this.movesMax && this.time.isAwaited(this.threads)) mask |= 1 << clockBit;
    return mask;
  }

  /** Ends the run, whoever catches this. @throws the error */
  fail(error: Error): never {
    this.broken ??= error;
    throw error;
  }

  /** Runs until nothing can go on any more. False: the search has stopped it. @throws Violation */
  run(turns: Turns): boolean {
    this.#turns = turns;
    this.#isRunning = true;
    try {
      const isEnded = this.#go();
      if (this.broken === undefined) return isEnded;
    } catch (error) {
      throw this.broken ?? error;
    } finally {
      this.#isRunning = false;
    }
    throw this.broken;
  }

  #go(): boolean {
    for (;;) {
      let next = this.#next;
      this.#next = -1;
      if (next < 0) {
        const enabled = this.enabled();
        if (enabled === 0) {
          if (!this.time.advance(this.threads, this.#progress)) return true;
          continue;
        }
        if ((enabled & (enabled - 1)) === 0 && !this.everyPoint) next = 31 - Math.clz32(enabled);
        else next = this.#decide(enabled, -1);
      }
      if (next === STOP) return false;
      this.#perform(next);
      if (this.#isStopped || this.broken !== undefined) return false;
    }
  }

  /** Changes when anything that threads share does. */
  readonly #progress = (): number => this.words.one ^ this.words.two;

  #perform(alternative: number): void {
    const thread = this.threads[alternative];
    if (thread) {
      this.enter(thread);
      thread.advance();
      return;
    }
    this.reads = -1;
    this.writes = -1;
    if (alternative === clockBit) {
      this.#moves++;
      this.time.advance(this.threads, this.#progress);
      this.onTrace?.({ thread: clockBit, site: -1, what: `time passes: ${this.nowMs} ms` });
      return;
    }
    if (alternative >= killBit) {
      this.#kill(this.threads[alternative - killBit] as VirtualThread);
      return;
    }
    const at = this.outside.findIndex((one) => one.alternative === alternative);
    const [happening] = this.outside.splice(at, 1);
    happening?.happen();
  }

  /** Threads die one at a time: nobody else does in this run. */
  #kill(thread: VirtualThread): void {
    for (const one of this.threads) one.isMortal = false;
    thread.isDead = true;
    this.onTrace?.({ thread: killBit + thread.number, site: -1, what: `${thread.name} ends` });
  }

  /** Lets something happen in the current thread at any time from now on. */
  later(what: string, job: () => unknown): void {
    const thread = this.current as VirtualThread;
    const taken = new Set(this.outside.map((one) => one.alternative));
    let alternative = eventBit;
    while (taken.has(alternative)) alternative++;
    if (alternative >= killBit) this.fail(new Error("too many events at once"));
    const happen = () => {
      this.onTrace?.({ thread: alternative, site: -1, what });
      thread.post({ mark: 0x4000 + alternative, job });
    };
    this.outside.push({ alternative, mark: thread.number, happen });
  }

  #decide(enabled: number, current: number): number {
    // Where every point is asked there are many more of them.
    if (++this.#operations > (this.everyPoint ? this.operationsMax * 10 : this.operationsMax))
      this.fail(new Violation("livelock", endless));
    const next = (this.#turns as Turns).decide(enabled, current);
    this.reads = 0;
    this.writes = 0;
    return next;
  }

  /** Asks whether the current thread may go on; else remembers who does. */
  goesOn(): boolean {
    const { number } = this.current as VirtualThread;
    const enabled = this.enabled();
    if (enabled === 1 << number && !this.everyPoint) return true;
    const next = this.#decide(enabled, number);
    if (next === number) return true;
    if (next === STOP) this.#isStopped = true;
    else this.#next = next;
    (this.current as VirtualThread).callSite = this.callSite;
    this.callSite = -1;
    return false;
  }

  /** Something is to be done at once though it can be stopped: nobody may notice that. */
  hurry(): void {
    if (this.#isRunning && this.quiet === 0)
      this.fail(new Error("what can be stopped was to be done at once: the transform has to know it"));
  }

  get nowMs(): number {
    return this.time.nowMs;
  }
}
