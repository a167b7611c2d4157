/**
 * Time in a run: timers, threads that sleep on a word, and the clock, which goes on when nobody else can, or
 * where a scenario lets it.
 *
 * Invariant: of what is due at once, the timer that was started first comes first.
 */
import { Violation } from "../search/subject.js";
import type { OwnPromise } from "./promises.js";
import type { VirtualThread } from "./thread.js";

export const movesMaxDefault = 2_000;
/** Moves of the clock after which nobody gets on any more, if nothing that threads share has changed meanwhile. */
const idleMovesMax = 200;
/** Told of a run that goes on and on, however its points are counted. */
export const endless = "it goes on and on";
const startMs = 1_000;
/** Marks of events, for histories. */
const timerMark = 0x7100;
const notifyMark = 0x51;

interface Timer {
  readonly dueMs: number;
  readonly order: number;
  /** Among those of its thread. */
  readonly number: number;
  readonly thread: VirtualThread;
  readonly run: () => unknown;
  readonly keepAlive: boolean;
}

interface Sleeper {
  readonly word: number;
  readonly thread: VirtualThread;
  /** Undefined: the thread is blocked. */
  readonly promise: OwnPromise | undefined;
}

export class Time {
  nowMs = startMs;
  /** Moves of the clock of one run, after which it is said to go on and on. */
  movesMax = movesMaxDefault;
  #timers: Timer[] = [];
  #sleepers: Sleeper[] = [];
  #order = 0;
  #moves = 0;
  #idleMoves = 0;
  #progress = 0;
  /** Timers of each thread so far. */
  readonly #started: number[] = [];

  begin(): void {
    this.nowMs = startMs;
    this.#timers = [];
    this.#sleepers = [];
    this.#order = 0;
    this.#moves = 0;
    this.#idleMoves = 0;
    this.#started.length = 0;
  }

  after(thread: VirtualThread, delayMs: number, run: () => unknown, keepAlive: boolean): { cancel(): void } {
    const number = (this.#started[thread.number] = (this.#started[thread.number] ?? 0) + 1);
    const timer = { dueMs: this.nowMs + delayMs, order: this.#order++, number, thread, run, keepAlive };
    this.#timers.push(timer);
    return { cancel: () => void (this.#timers = this.#timers.filter((one) => one !== timer)) };
  }

  sleep(word: number, thread: VirtualThread, promise: OwnPromise | undefined): void {
    this.#sleepers.push({ word, thread, promise });
  }

  /** Wakes all who sleep on a word. How many. */
  notify(word: number): number {
    const woken = this.#sleepers.filter((sleeper) => sleeper.word === word);
    this.#sleepers = this.#sleepers.filter((sleeper) => sleeper.word !== word);
    for (const { thread, promise } of woken) {
      if (promise) thread.post({ mark: notifyMark + word, job: () => promise.resolve("ok") });
      else thread.wake(true);
    }
    return woken.length;
  }

  /** A blocked thread that goes on is not woken any more. */
  forget(thread: VirtualThread): void {
    this.#sleepers = this.#sleepers.filter((sleeper) => sleeper.thread !== thread || sleeper.promise !== undefined);
  }

  /** Whether somebody waits for time to pass. */
  isAwaited(threads: readonly VirtualThread[]): boolean {
    const isWaiting = (thread: VirtualThread) => thread.blocked !== undefined && !thread.isDead;
    return this.#timers.some(({ keepAlive, thread }) => keepAlive && !thread.isDead) || threads.some(isWaiting);
  }

  /**
   * Time passes until something is due. False: nobody waits for that. `progress` answers the same as long as nothing changes that
   * threads share. @throws Violation where it never ends
   */
  advance(threads: readonly VirtualThread[], progress: () => number): boolean {
    if (!this.isAwaited(threads)) return false;
    this.#timers = this.#timers.filter(({ thread }) => !thread.isDead);
    const blocked = threads.filter((thread) => thread.blocked !== undefined && !thread.isDead);
    if (++this.#moves > this.movesMax) throw new Violation("livelock", endless);
    const now = progress();
    this.#idleMoves = now === this.#progress ? this.#idleMoves + 1 : 0;
    this.#progress = now;
    if (this.#idleMoves > idleMovesMax) throw new Violation("deadlock", "nobody gets on, however much time passes");
    const ends = blocked.map((thread) => thread.blocked?.untilMs ?? Infinity);
    const dueMs = Math.min(...this.#timers.map((timer) => timer.dueMs), ...ends);
    if (!Number.isFinite(dueMs)) return false;
    this.nowMs = Math.max(this.nowMs, dueMs);
    for (const thread of blocked) if ((thread.blocked?.untilMs ?? Infinity) <= this.nowMs) thread.wake(false);
    const ready = this.#timers.filter((timer) => timer.dueMs <= this.nowMs);
    this.#timers = this.#timers.filter((timer) => timer.dueMs > this.nowMs);
    ready.sort((a, b) => a.dueMs - b.dueMs || a.order - b.order);
    for (const { thread, run, number } of ready) thread.post({ mark: timerMark + number, job: run });
    return true;
  }
}
