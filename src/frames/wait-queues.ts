/**
 * Waiting: who waits for which record, how they are woken, aborted, dismissed, and reported when they wait for long.
 *
 * Invariants: a wait is one node of the shared table, and one entry of `#waiters` or the one wait that blocks the thread; it ends
 * exactly once, by grant, dismissal, abort or refusal, and leaves nothing behind. While anybody waits, a timer runs that keeps the
 * process alive; a blocked thread does the timer's work itself.
 * A thread may die between letting go of a lock and waking who waits for it, and between a grant and the doorbell: so each waiter
 * looks for itself every limits.waitLookMs, at its node and for whether the record can be granted.
 *
 * See also: words/waiters.ts (R22, R23), locks.ts (the only user), blocked-waits.ts, gate.ts, circles.ts (waits that would never end).
 */
import type { Clock } from "../base/clock.js";
import { PinfoldError, codeNumber, codeOf } from "../base/errors.js";
import { limits } from "../base/limits.js";
import * as layout from "../sync/layout.js";
import type { Words } from "../sync/words.js";
import { ThreadCircles, slotsIn } from "./circles.js";
import type { Frames } from "./frames.js";
import { type GateWaiter, workGate } from "./gate.js";
import type { Scope } from "./scopes.js";

export type WaitMode =
  | typeof layout.MODE_SHARED
  | typeof layout.MODE_EXCLUSIVE
  | typeof layout.MODE_UPGRADE
  | typeof layout.MODE_WRITEBACK;

/** Who waits. */
export interface WaitOwner {
  readonly signal?: AbortSignal | undefined;
  readonly scope?: Scope | undefined;
  /** Whoever only wants the page out of the way does not care that it could not be read: GONE instead of its error. */
  readonly ignoresLoadErrors?: boolean | undefined;
}

/** A wait that has lasted for limits.stuckMs. */
export interface StuckWait {
  readonly record: number;
  readonly mapping: number;
  readonly index: number;
  readonly mode: WaitMode | typeof layout.MODE_NOTIFY;
  readonly sinceMs: number;
  readonly scope: number;
  /** Slots of the threads that hold it. */
  readonly threads: readonly number[];
  /** The waiter's whole thread waits. */
  readonly blocking: boolean;
}

export interface Waiter extends GateWaiter {
  readonly scope: Scope | undefined;
  readonly settle: (state: number) => void;
  lookedMs: number;
  reported: boolean;
  /** What its page's load failed with, where that happened in this thread; other threads get the code alone. */
  error?: PinfoldError | undefined;
}

/** Within this time a grant and its doorbell certainly belong together. */
const ringMs = 1;

export class WaitQueues {
  readonly #frames: Frames;
  readonly #words: Words;
  readonly #clock: Clock;
  readonly #waiters = new Map<number, Waiter>();
  readonly #doorbell: number;
  #isTiming = false;
  #listening = false;
  #watchedMs = 0;
  /** The doorbell as it was when it was last answered. */
  #bell = 0;
  /** Waits that ended by the waiter's own look: nobody had rung for them (or had not yet). */
  rescues = 0;
  readonly circles: ThreadCircles;
  /** Called for waits that last. */
  onStuck: (wait: StuckWait) => void = () => {};
  /** Called every limits.threadWatchWaitingMs while anybody of this thread waits: to look for dead threads. Throws nothing. */
  onWaiting: () => void = () => {};
  /** Called every limits.waitLookMs while this thread is blocked: what others ask of it can be done here. Throws nothing. */
  onBlocked: () => void = () => {};

  constructor(frames: Frames, clock: Clock) {
    this.#frames = frames;
    this.#words = frames.words;
    this.#clock = clock;
    this.#doorbell = layout.THREADS + frames.thread * layout.THREAD_BYTES + layout.THREAD_DOORBELL;
    this.circles = new ThreadCircles(frames);
  }

  /** Waits as the node that has just joined the queue of `record`. OK, or GONE. @throws what it was dismissed with; the signal's reason */
  wait(node: number, record: number, mode: number, owner: WaitOwner): Promise<number> {
    const { signal, scope } = owner;
    return new Promise<number>((resolve, reject) => {
      const onAbort = () => this.#abort(node);
      const settle = (state: number) => {
        signal?.removeEventListener("abort", onAbort);
        scope?.endWait(record);
        this.#waiters.delete(node);
        const result = this.accept(node);
        if (state === layout.NODE_CANCELLED) reject(signal?.reason as Error);
        else if (state === layout.NODE_GRANTED) resolve(layout.OK);
        else if (result > 0 && !owner.ignoresLoadErrors) reject(waiter.error ?? dismissed(result));
        else resolve(layout.GONE);
      };
      const waiter = newWaiter(record, mode, scope, this.#clock.nowMs(), settle);
      this.#waiters.set(node, waiter);
      scope?.startWait(record);
      // Before the doorbell is answered, which may end this very wait.
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#listen();
      this.#startTimer();
    });
  }

  /** Guard of R23: a waiter that was granted meanwhile takes what it got; its caller lets go of it. */
  #abort(node: number): void {
    const waiter = this.#waiters.get(node);
    if (!waiter || !this.#withdraw(node, layout.NODE_CANCELLED)) return;
    waiter.settle(layout.NODE_CANCELLED);
    // Whoever stood behind this one may be able to go on.
    this.wake(waiter.record, true);
  }

  /** Takes a node of this thread out of its queue. False: its wait has ended otherwise. */
  #withdraw(node: number, state: number): boolean {
    for (let i = 0; i < limits.swapRetriesMax; i++) {
      const answer = this.#words.withdraw(node, state, 0);
      if (answer !== layout.LOST) return answer === layout.OK;
    }
    throw tooManyRetries();
  }

  /** Frees a node whose wait has ended; what it was granted is this thread's own then. The result it was dismissed with. */
  accept(node: number): number {
    const result = this.#frames.shared.load(layout.NODES + node * layout.NODE_BYTES + layout.NODE_RESULT);
    while (this.#words.accept(node) === layout.LOST);
    return result;
  }

  /** Leaves the queue again: for who has just joined it and finds that the wait must not be. False: it has ended otherwise. */
  leave(node: number, record: number): boolean {
    if (!this.#withdraw(node, layout.NODE_CANCELLED)) return false;
    this.accept(node);
    this.wake(record, true);
    return true;
  }

  /**
   * Grants to who waits for `record`, first come first served, until the first that has to go on waiting. Those that wait
   * for the end of write-back, and sharers where the gate has just opened (`sharers`), are looked for behind it too.
   */
  wake(record: number, sharers = false): void {
    // Where the queue looked empty and is not any more, somebody has just joined it and was not tried: from the start.
    for (let i = 0; i < limits.swapRetriesMax; i++)
      if (this.#grantAll(record, sharers) || this.#clearWaiters(record)) return;
    throw tooManyRetries();
  }

  /** True where it was stopped by a waiter that has to go on waiting; false where the queue looked empty in the end. */
  #grantAll(record: number, sharers: boolean): boolean {
    const words = this.#words;
    let isStopped = false;
    let node = words.firstWaiter(record);
    // Who waits for a sign waits until somebody gives one.
    if (node >= 0 && this.#load(node, layout.NODE_MODE) === layout.MODE_NOTIFY) return true;
    for (let i = 0; node >= 0 && i < limits.waitersMax * 4; i++) {
      const next = words.nextWaiter(node);
      const answer = words.grant(node, record);
      isStopped = answer === layout.BUSY;
      if (answer === layout.OK) this.#deliver(node, layout.NODE_GRANTED);
      node = isStopped ? this.#nextToTry(next, sharers) : words.firstWaiter(record);
    }
    return isStopped;
  }

  /** False: somebody waits after all. */
  #clearWaiters(record: number): boolean {
    let answer: number;
    do answer = this.#words.clearWaiters(record);
    while (answer === layout.LOST);
    return answer === layout.OK;
  }

  #nextToTry(from: number, sharers: boolean): number {
    let node = from;
    for (let i = 0; node >= 0 && i < limits.waitersMax; i++) {
      const mode = this.#load(node, layout.NODE_MODE);
      if (mode === layout.MODE_WRITEBACK || (sharers && mode === layout.MODE_SHARED)) return node;
      node = this.#words.nextWaiter(node);
    }
    return layout.NONE;
  }

  /** Ends all waits on a record without a grant: with `error`, or, without one, to look the page up again. */
  dismissAll(record: number, error?: PinfoldError): void {
    const result = error ? codeNumber(error.code) : 0;
    for (let i = 0; i < limits.swapRetriesMax; i++) {
      const node = this.#words.firstWaiter(record);
      if (node < 0) {
        if (this.#clearWaiters(record)) return;
        continue;
      }
      if (this.#words.dismiss(node, record, result) !== layout.OK) continue;
      const waiter = this.#waiters.get(node);
      if (waiter) waiter.error = error;
      this.#deliver(node, layout.NODE_DISMISSED);
    }
    throw tooManyRetries();
  }

  /** A node of this thread is settled here and now; another thread's doorbell is rung. */
  #deliver(node: number, state: number): void {
    const waiter = this.#waiters.get(node);
    if (waiter) waiter.settle(state);
    else {
      this.ring(this.#load(node, layout.NODE_THREAD));
    }
  }

  /** Lets a waiting thread look again now. */
  ring(thread: number): void {
    this.#frames.shared.ring(layout.THREADS + thread * layout.THREAD_BYTES + layout.THREAD_DOORBELL);
  }

  #load(node: number, field: number): number {
    return this.#frames.shared.load(layout.NODES + node * layout.NODE_BYTES + field);
  }

  /** Rule 18: one wait on this thread's doorbell, from its first waiter on, for whatever other threads grant to it. */
  #listen(): void {
    if (this.#listening) return;
    this.#listening = true;
    const seen = this.#frames.shared.load(this.#doorbell);
    // What was granted between joining the queue and looking at the doorbell.
    this.#answerDoorbell();
    void this.#frames.shared.heard(this.#doorbell, seen).then(() => {
      this.#listening = false;
      this.#answerDoorbell();
      if (this.#waiters.size > 0) this.#listen();
    });
  }

  /** Settles what other threads have granted to this one. */
  #answerDoorbell(unaskedMs = 0): void {
    const bell = this.#frames.shared.load(this.#doorbell);
    for (const [node, waiter] of [...this.#waiters]) {
      const state = this.#load(node, layout.NODE_STATE);
      if (state === layout.NODE_WAITING) continue;
      // The bell comes just after the grant: that one was on its way is no loss.
      if (unaskedMs - waiter.sinceMs > ringMs && bell === this.#bell) this.rescues += 1;
      waiter.settle(state);
    }
    this.#bell = bell;
  }

  /** Waits for a moment, for something that ends by itself or with its thread. */
  async pause(): Promise<void> {
    this.#watch(this.#clock.nowMs());
    await new Promise<void>((resolve) => {
      this.#clock.after(limits.leavingPauseMs, resolve, true);
    });
  }

  /** What a pause of a blocked thread does beside waiting. */
  lookForDead(): void {
    this.#watch(this.#clock.nowMs());
  }

  /** Tasks of this thread that wait at present. */
  get waiting(): number {
    return this.#waiters.size;
  }

  /** While anybody waits, a timer runs that keeps the process alive, works the gates and reports waits that last. */
  #startTimer(): void {
    if (this.#isTiming) return;
    this.#isTiming = true;
    this.#clock.after(limits.gateDelayMs, () => this.#tick(), true);
  }

  #tick(): void {
    this.#isTiming = false;
    const nowMs = this.#clock.nowMs();
    this.#answerDoorbell(nowMs);
    this.#lookAfterWaiters(nowMs);
    for (const waiter of this.#waiters.values()) this.#reportOnce(waiter, nowMs, false);
    this.#watch(nowMs);
    if (this.#waiters.size > 0) this.#startTimer();
  }

  /** Works the gates, and wakes the records that were not looked at for a while, some in each round. */
  #lookAfterWaiters(nowMs: number): void {
    const looked = new Set<number>();
    for (const [node, waiter] of [...this.#waiters]) {
      if (!this.#waiters.has(node)) continue;
      this.#workGate(waiter, nowMs);
      if (nowMs - waiter.lookedMs < limits.waitLookMs || looked.size >= limits.waitLooksMax) continue;
      if (waiter.mode === layout.MODE_NOTIFY) {
        this.#lookAtPool(node, waiter, nowMs);
        continue;
      }
      waiter.lookedMs = nowMs;
      if (looked.has(waiter.record)) continue;
      looked.add(waiter.record);
      this.wake(waiter.record);
      if (!this.#waiters.has(node)) this.rescues += 1;
    }
  }

  /** Who changed the pool may have died before it said so: the waiter gets a sign that it can do without. */
  #lookAtPool(node: number, waiter: Waiter, nowMs: number): void {
    if (waiter.record !== this.#frames.plan.poolRecord || nowMs - waiter.lookedMs < limits.poolLookMs) return;
    waiter.lookedMs = nowMs;
    if (this.#withdraw(node, layout.NODE_DISMISSED)) waiter.settle(layout.NODE_DISMISSED);
  }

  #workGate(waiter: Waiter, nowMs: number): void {
    if (workGate(this.#words, waiter, nowMs)) this.wake(waiter.record, true);
  }

  /** What the timer would do: for a thread that blocks, and for the wait it blocks for. True where it has woken the record. */
  lookWhileBlocked(waiter: Waiter, nowMs: number): boolean {
    this.#workGate(waiter, nowMs);
    this.#reportOnce(waiter, nowMs, true);
    this.#watch(nowMs);
    if (nowMs - waiter.lookedMs < limits.waitLookMs) return false;
    waiter.lookedMs = nowMs;
    this.wake(waiter.record);
    for (const other of this.#waiters.values()) this.#workGate(other, nowMs);
    this.onBlocked();
    return true;
  }

  #watch(nowMs: number): void {
    if (nowMs - this.#watchedMs < limits.threadWatchWaitingMs) return;
    this.#watchedMs = nowMs;
    this.onWaiting();
  }

  #reportOnce(waiter: Waiter, nowMs: number, blocking: boolean): void {
    if (waiter.reported || nowMs - waiter.sinceMs < limits.stuckMs) return;
    waiter.reported = true;
    const { record, mode, sinceMs, scope } = waiter;
    this.onStuck({
      record,
      mapping: this.#words.mappingIdOf(record),
      index: this.#words.indexOf(record) >>> 0,
      mode: mode as StuckWait["mode"],
      sinceMs,
      scope: scope?.id ?? 0,
      threads: slotsIn(this.circles.holdersOf(record, mode, this.#frames.thread)),
      blocking,
    });
  }

  /** True where a task of this thread stands before a new waiter of `mode` in a record's queue, and would keep it from its way. */
  waitsBefore(record: number, mode: number): boolean {
    if (mode !== layout.MODE_EXCLUSIVE) return false;
    for (const waiter of this.#waiters.values())
      if (waiter.record === record && waiter.mode <= layout.MODE_UPGRADE) return true;
    return false;
  }
}

export function newWaiter(
  record: number,
  mode: number,
  scope: Scope | undefined,
  sinceMs: number,
  settle: (state: number) => void,
): Waiter {
  return { record, mode, scope, sinceMs, settle, gateMs: 0, lookedMs: sinceMs, reported: false };
}

/** What a waiter is told whose page could not be read: an error's number went through shared memory, no more. */
export function dismissed(result: number): PinfoldError {
  return new PinfoldError(codeOf(result) ?? "EIO", "the page could not be read");
}

export function tooManyRetries(): Error {
  return new Error("a shared word kept changing: another thread is stuck in a latch");
}
