/**
 * Time in a run: timers, threads that sleep on a word, and the clock, which goes on only when nobody else can.
 *
 * Invariant: of what is due at once, the timer that was started first comes first.
 */
import { Violation } from "../search/subject.js";
import type { OwnPromise } from "./promises.js";
import type { VirtualThread } from "./thread.js";

const movesMax = 2_000;
const startMs = 1_000;
/** Marks of events, for histories. */
const timerMark = 0x7100;
const notifyMark = 0x51;

interface Timer {
  readonly dueMs: number;
  readonly order: number;
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
  #timers: Timer[] = [];
  #sleepers: Sleeper[] = [];
  #order = 0;
  #moves = 0;

  begin(): void {
    this.nowMs = startMs;
    this.#timers = [];
    this.#sleepers = [];
    this.#order = 0;
    this.#moves = 0;
  }

  after(thread: VirtualThread, delayMs: number, run: () => unknown, keepAlive: boolean): { cancel(): void } {
    const timer = { dueMs: this.nowMs + delayMs, order: this.#order++, thread, run, keepAlive };
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
      else thread.blocked = undefined;
    }
    return woken.length;
  }

  /** Ends a blocked thread's sleep. True: it was woken; false: its time is up. */
  wake(thread: VirtualThread): boolean {
    const isHers = (sleeper: Sleeper) => sleeper.thread === thread && sleeper.promise === undefined;
    const isWoken = !this.#sleepers.some(isHers);
    this.#sleepers = this.#sleepers.filter((sleeper) => !isHers(sleeper));
    return isWoken;
  }

  /** Nobody can go on: time passes until something is due. False: nobody waits for that. @throws Violation where it never ends */
  advance(threads: readonly VirtualThread[]): boolean {
    this.#timers = this.#timers.filter(({ thread }) => !thread.isDead);
    const blocked = threads.filter((thread) => thread.blocked !== undefined && !thread.isDead);
    if (blocked.length === 0 && !this.#timers.some(({ keepAlive }) => keepAlive)) return false;
    if (++this.#moves > movesMax) throw new Violation("livelock", "no end, however long it takes");
    const ends = blocked.map((thread) => thread.blocked?.untilMs ?? Infinity);
    const dueMs = Math.min(...this.#timers.map((timer) => timer.dueMs), ...ends);
    if (!Number.isFinite(dueMs)) return false;
    this.nowMs = Math.max(this.nowMs, dueMs);
    for (const thread of blocked) if ((thread.blocked?.untilMs ?? Infinity) <= this.nowMs) thread.blocked = undefined;
    const ready = this.#timers.filter((timer) => timer.dueMs <= this.nowMs);
    this.#timers = this.#timers.filter((timer) => timer.dueMs > this.nowMs);
    ready.sort((a, b) => a.dueMs - b.dueMs || a.order - b.order);
    for (const { thread, run, order } of ready) thread.post({ mark: timerMark + (order & 0xff), job: run });
    return true;
  }
}
