/**
 * A thread with locks over the memory that it was given: does what it is told, one message at a time, and answers. Its blocking
 * calls block it, so that what it is told meanwhile waits.
 */
import { parentPort, workerData } from "node:worker_threads";
import { type Clock, systemClock } from "../../src/base/clock.js";
import { type ErrorCode, PinfoldError } from "../../src/base/errors.js";
import { Frames, type FramesShare } from "../../src/frames/frames.js";
import { PageLocks } from "../../src/frames/locks.js";
import { type Scope, Scopes } from "../../src/frames/scopes.js";
import type { WaitMode } from "../../src/frames/wait-queues.js";
import * as layout from "../../src/sync/layout.js";

export interface LockWorkerData {
  readonly share: FramesShare;
  /** How much faster than others this thread's clock goes. */
  readonly rate: number;
}

/** Which lock, and what else a call needs. */
export interface LockCall {
  readonly lock: number;
  readonly mode?: WaitMode;
  readonly timeoutMs?: number;
  readonly code?: ErrorCode;
  /** A scope by number: made when it is first named. */
  readonly scope?: number;
  /** Where the call fails, this lock is let go next. */
  readonly orUnlock?: number;
}

/** A clock of which limits.stuckMs pass in a test. */
export function fastClock(rate: number): Clock {
  return { nowMs: () => systemClock.nowMs() * rate, after: (...args) => systemClock.after(...args) };
}

export class Locks {
  readonly frames: Frames;
  readonly locks: PageLocks;
  readonly scopes: Scopes;
  readonly #named = new Map<number, Scope>();

  constructor(frames: Frames, rate = 1) {
    this.frames = frames;
    this.scopes = new Scopes(frames);
    this.locks = new PageLocks(frames, rate === 1 ? systemClock : fastClock(rate), this.scopes);
  }

  record(lock: number): number {
    return this.frames.lockRecord(lock, layout.LOCK_RESIZE);
  }

  scope(number: number | undefined): Scope | undefined {
    if (number === undefined) return undefined;
    const scope = this.#named.get(number) ?? this.scopes.open();
    this.#named.set(number, scope);
    return scope;
  }

  try({ lock, mode = layout.MODE_EXCLUSIVE, scope }: LockCall): number {
    const key = [this.record(lock), lock, layout.LOCK_RESIZE] as const;
    const answer = mode === layout.MODE_SHARED ? this.locks.tryShared(...key) : this.locks.tryExclusive(...key);
    return this.#held(answer, lock, mode, scope);
  }

  async acquire({ lock, mode = layout.MODE_EXCLUSIVE, timeoutMs, scope: number }: LockCall): Promise<number> {
    const scope = this.scope(number);
    const signal = timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs);
    const answer = await this.locks.acquire(this.record(lock), lock, layout.LOCK_RESIZE, mode, { scope, signal });
    return this.#held(answer, lock, mode, number);
  }

  block({ lock, mode = layout.MODE_EXCLUSIVE, timeoutMs, scope: number, orUnlock }: LockCall): number {
    const owner = { timeoutMs, scope: this.scope(number) };
    try {
      const answer = this.locks.acquireBlocking(this.record(lock), lock, layout.LOCK_RESIZE, mode, owner);
      return this.#held(answer, lock, mode, number);
    } catch (error) {
      if (orUnlock !== undefined)
        this.unlock(number === undefined ? { lock: orUnlock } : { lock: orUnlock, scope: number });
      throw error;
    }
  }

  #held(answer: number, lock: number, mode: WaitMode, number: number | undefined): number {
    if (answer === layout.OK) this.scope(number)?.hold(this.record(lock), mode !== layout.MODE_SHARED);
    return answer;
  }

  unlock({ lock, mode = layout.MODE_EXCLUSIVE, scope }: LockCall): number {
    this.scope(scope)?.drop(this.record(lock));
    if (mode === layout.MODE_SHARED) this.locks.unlockShared(this.record(lock));
    else this.locks.unlockExclusive(this.record(lock));
    return layout.OK;
  }

  /** As a thread that dies just after it let go: nobody is woken. */
  unlockSilently({ lock }: LockCall): number {
    while (this.frames.words.unlockExclusive(this.record(lock), this.frames.thread, 0) === layout.LOST);
    return layout.OK;
  }

  /** As a thread that dies between its grant and the doorbell. */
  grantSilently({ lock }: LockCall): number {
    this.unlockSilently({ lock });
    const { words } = this.frames;
    let answer: number;
    do answer = words.grant(words.firstWaiter(this.record(lock)), this.record(lock));
    while (answer === layout.LOST);
    return answer;
  }

  dismiss({ lock, code = "EIO" }: LockCall): number {
    this.locks.queues.dismissAll(this.record(lock), new PinfoldError(code, "told so"));
    return layout.OK;
  }

  rescues(_call: LockCall): number {
    return this.locks.queues.rescues;
  }
}

export type LockOp = Exclude<keyof Locks, "frames" | "locks" | "scopes" | "scope" | "record">;

export interface LockMessage {
  readonly id: number;
  readonly op: LockOp;
  readonly call: LockCall;
}

export interface LockReply {
  readonly id: number;
  readonly answer: number | string;
}

function serve({ share, rate }: LockWorkerData): void {
  const locks = new Locks(Frames.attach(share), rate);
  parentPort?.on("message", ({ id, op, call }: LockMessage) => {
    const reply = (answer: number | string) => parentPort?.postMessage({ id, answer } satisfies LockReply);
    const run = async () => locks[op](call);
    run().then(reply, (error: unknown) => reply((error as PinfoldError).code ?? String(error)));
  });
}

if (parentPort !== null && (workerData as LockWorkerData | undefined)?.share) serve(workerData as LockWorkerData);
