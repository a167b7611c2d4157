/**
 * Waiting: who waits for which record, how they are woken, aborted, dismissed, and reported when they wait for long.
 *
 * Invariants: a wait is one node of the shared table and one entry of `#waiters`; it ends exactly once, by grant, dismissal
 * or abort, and leaves nothing behind. While anybody waits, a timer runs that keeps the process alive.
 * Gate: an exclusive waiter of limits.gateDelayMs keeps new sharers out, for limits.gateClosedMs at most at a time, so that
 * nested read pins cannot lock up (rule 14).
 *
 * See also: words/waiters.ts (R22, R23), locks.ts (the only user).
 */
import type { Clock } from "../base/clock.js";
import { PinfoldError, type ErrorCode } from "../base/errors.js";
import { limits } from "../base/limits.js";
import * as layout from "../sync/layout.js";
import type { Words } from "../sync/words.js";
import type { Frames } from "./frames.js";
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
}

interface Waiter {
  readonly record: number;
  readonly mode: number;
  readonly scope: Scope | undefined;
  readonly sinceMs: number;
  readonly settle: (state: number) => void;
  gateMs: number;
  reported: boolean;
  /** What its page's load failed with, where that happened in this thread; other threads get the code alone. */
  error?: PinfoldError | undefined;
}

const dismissalCodes: readonly ErrorCode[] = ["EIO", "ENOSPC", "ENOMEM", "EBADF", "EMFILE", "EACCES"];

/** A waiter's result: an index into dismissalCodes + 1, since words hold integers; 0 means "look it up again". */
function dismissalOf(error: PinfoldError): number {
  const at = dismissalCodes.indexOf(error.code);
  return at < 0 ? 1 : at + 1;
}

export class WaitQueues {
  readonly #frames: Frames;
  readonly #words: Words;
  readonly #clock: Clock;
  readonly #waiters = new Map<number, Waiter>();
  #isTiming = false;
  #listening = false;
  /** Called for waits that last. */
  onStuck: (wait: StuckWait) => void = () => {};

  constructor(frames: Frames, clock: Clock) {
    this.#frames = frames;
    this.#words = frames.words;
    this.#clock = clock;
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
        const result = this.#accept(node);
        if (state === layout.NODE_CANCELLED) reject(signal?.reason as Error);
        else if (state === layout.NODE_GRANTED) resolve(layout.OK);
        else if (result > 0 && !owner.ignoresLoadErrors) reject(waiter.error ?? dismissed(result));
        else resolve(layout.GONE);
      };
      const waiter: Waiter = { record, mode, scope, sinceMs: this.#clock.nowMs(), settle, gateMs: 0, reported: false };
      this.#waiters.set(node, waiter);
      scope?.startWait(record);
      this.#listen();
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#startTimer();
    });
  }

  /** Guard of R23: a waiter that was granted meanwhile takes what it got; its caller lets go of it. */
  #abort(node: number): void {
    const record = this.#waiters.get(node)?.record;
    if (record === undefined) return;
    for (let i = 0; i < limits.swapRetriesMax; i++) {
      const answer = this.#words.withdraw(node, layout.NODE_CANCELLED, 0);
      if (answer === layout.LOST) continue;
      if (answer === layout.OK) {
        this.#waiters.get(node)?.settle(layout.NODE_CANCELLED);
        // Whoever stood behind this one may be able to go on.
        this.wake(record, true);
      }
      return;
    }
    throw tooManyRetries();
  }

  #accept(node: number): number {
    const result = this.#frames.shared.load(layout.NODES + node * layout.NODE_BYTES + layout.NODE_RESULT);
    while (this.#words.accept(node) === layout.LOST);
    return result;
  }

  /**
   * Grants to who waits for `record`, first come first served, until the first that has to go on waiting. Those that wait
   * for the end of write-back, and sharers where the gate has just opened (`sharers`), are looked for behind it too.
   */
  wake(record: number, sharers = false): void {
    // Where the queue looks empty and is not any more, somebody has just joined it: from the start.
    for (let i = 0; i < limits.swapRetriesMax; i++) {
      this.#grantAll(record, sharers);
      if (this.#words.firstWaiter(record) >= 0 || this.#clearWaiters(record)) return;
    }
    throw tooManyRetries();
  }

  #grantAll(record: number, sharers: boolean): void {
    const words = this.#words;
    let node = words.firstWaiter(record);
    for (let i = 0; node >= 0 && i < limits.waitersMax * 4; i++) {
      const next = words.nextWaiter(node);
      const answer = words.grant(node, record);
      if (answer === layout.OK) {
        this.#deliver(node, layout.NODE_GRANTED);
        node = words.firstWaiter(record);
      } else if (answer === layout.BUSY) {
        node = this.#nextToTry(next, sharers);
      } else {
        node = words.firstWaiter(record);
      }
    }
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
      const mode = this.#frames.shared.load(layout.NODES + node * layout.NODE_BYTES + layout.NODE_MODE);
      if (mode === layout.MODE_WRITEBACK || (sharers && mode === layout.MODE_SHARED)) return node;
      node = this.#words.nextWaiter(node);
    }
    return layout.NONE;
  }

  /** Ends all waits on a record without a grant: with `error`, or, without one, to look the page up again. */
  dismissAll(record: number, error?: PinfoldError): void {
    const result = error ? dismissalOf(error) : 0;
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
      const thread = this.#frames.shared.load(layout.NODES + node * layout.NODE_BYTES + layout.NODE_THREAD);
      this.#frames.shared.ring(layout.THREADS + thread * layout.THREAD_BYTES + layout.THREAD_DOORBELL);
    }
  }

  /** Rule 18: one wait on this thread's doorbell, from its first waiter on, for whatever other threads grant to it. */
  #listen(): void {
    if (this.#listening) return;
    this.#listening = true;
    const doorbell = layout.THREADS + this.#frames.thread * layout.THREAD_BYTES + layout.THREAD_DOORBELL;
    const seen = this.#frames.shared.load(doorbell);
    // What was granted between joining the queue and looking at the doorbell.
    this.#answerDoorbell();
    void this.#frames.shared.heard(doorbell, seen).then(() => {
      this.#listening = false;
      this.#answerDoorbell();
      if (this.#waiters.size > 0) this.#listen();
    });
  }

  /** Settles what other threads have granted to this one. */
  #answerDoorbell(): void {
    for (const [node, waiter] of [...this.#waiters]) {
      const state = this.#frames.shared.load(layout.NODES + node * layout.NODE_BYTES + layout.NODE_STATE);
      if (state !== layout.NODE_WAITING) waiter.settle(state);
    }
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
    for (const [node, waiter] of [...this.#waiters]) {
      if (!this.#waiters.has(node)) continue;
      if (waiter.mode === layout.MODE_EXCLUSIVE || waiter.mode === layout.MODE_UPGRADE) this.#workGate(waiter, nowMs);
      if (!waiter.reported && nowMs - waiter.sinceMs >= limits.stuckMs) {
        waiter.reported = true;
        this.onStuck({
          record: waiter.record,
          mapping: this.#words.mappingIdOf(waiter.record),
          index: this.#words.indexOf(waiter.record) >>> 0,
          mode: waiter.mode as StuckWait["mode"],
          sinceMs: waiter.sinceMs,
          scope: waiter.scope?.id ?? 0,
        });
      }
    }
    if (this.#waiters.size > 0) this.#startTimer();
  }

  /** Closes the gate after gateDelayMs of waiting, opens it after gateClosedMs, and so on in turn. */
  #workGate(waiter: Waiter, nowMs: number): void {
    const closed = (this.#words.lowWord(waiter.record) & (1 << layout.GATE_BIT)) !== 0;
    if (!closed && nowMs - Math.max(waiter.sinceMs, waiter.gateMs) >= limits.gateDelayMs) {
      if (this.#words.setGate(waiter.record, 1) === layout.OK) waiter.gateMs = nowMs;
    } else if (closed && waiter.gateMs === 0) {
      // Who closed it may have gone (aborted): from now on this one looks after it.
      waiter.gateMs = nowMs;
    } else if (closed && nowMs - waiter.gateMs >= limits.gateClosedMs) {
      while (this.#words.setGate(waiter.record, 0) === layout.LOST);
      waiter.gateMs = nowMs;
      this.wake(waiter.record, true);
    }
  }
}

function dismissed(result: number): PinfoldError {
  const code = dismissalCodes[result - 1] ?? "EIO";
  return new PinfoldError(code, "the page could not be read");
}

export function tooManyRetries(): Error {
  return new Error("a shared word kept changing: another thread is stuck in a latch");
}
