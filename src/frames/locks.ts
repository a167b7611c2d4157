/**
 * Page locks as the rest of the cache uses them: the words' steps with their retries, and waiting where they say BUSY.
 *
 * Invariants: a release wakes who can go on now, and puts an idle frame back on its queue, before it returns. Locks are never
 * broken. The invariants of waiting stand in wait-queues.ts.
 *
 * See also: words/lock.ts (the steps), scopes.ts (EDEADLK), blocked-waits.ts (waits that block the thread).
 */
import { assert } from "../base/assert.js";
import type { Clock } from "../base/clock.js";
import { PinfoldError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import * as layout from "../sync/layout.js";
import type { Words } from "../sync/words.js";
import { BlockedWaits, type BlockingOwner } from "./blocked-waits.js";
import type { Frames } from "./frames.js";
import type { Scope, Scopes } from "./scopes.js";
import { type WaitMode, type WaitOwner, WaitQueues, tooManyRetries } from "./wait-queues.js";

export class PageLocks {
  readonly #frames: Frames;
  readonly #words: Words;
  readonly #scopes: Scopes;
  readonly #thread: number;
  /** Who waits, and how they are woken. */
  readonly queues: WaitQueues;
  /** The waits of calls that block the thread. */
  readonly blocked: BlockedWaits;

  constructor(frames: Frames, clock: Clock, scopes: Scopes) {
    this.#frames = frames;
    this.#words = frames.words;
    this.queues = new WaitQueues(frames, clock);
    this.blocked = new BlockedWaits(frames, clock, this.queues);
    this.#scopes = scopes;
    this.#thread = frames.thread;
  }

  /** Tries to take the page lock shared. OK, BUSY, GONE or FULL. */
  tryShared(record: number, mapping: number, index: number): number {
    for (let i = 0; i < limits.swapRetriesMax; i++) {
      const answer = this.#words.lockShared(record, mapping, index, this.#thread);
      if (answer === layout.LOST_WAKE) this.#settle(record, layout.WAKE | layout.IDLE);
      else if (answer !== layout.LOST) return answer;
      else if (i >= limits.leavingSpins && this.#isLeaving(record)) return layout.BUSY;
    }
    throw tooManyRetries();
  }

  /** Tries to take the page lock exclusive. OK, BUSY or GONE. */
  tryExclusive(record: number, mapping: number, index: number): number {
    for (let i = 0; i < limits.swapRetriesMax; i++) {
      const answer = this.#words.lockExclusive(record, mapping, index, this.#thread);
      if (answer === layout.LOST_WAKE) this.#settle(record, layout.WAKE | layout.IDLE);
      else if (answer !== layout.LOST) return answer;
      else if (i >= limits.leavingSpins && this.#isLeaving(record)) return layout.BUSY;
    }
    throw tooManyRetries();
  }

  /**
   * A page on its way out of its frame: nobody can join its queue any more. That takes a moment, unless the thread that does it was
   * stopped just then, or has died: whoever wants the page looks again after a while.
   */
  #isLeaving(record: number): boolean {
    return (this.#words.lowWord(record) & (1 << layout.EVICTING_BIT)) !== 0;
  }

  /** Tries to turn the only shared hold into an exclusive one. OK or BUSY. */
  tryUpgrade(record: number): number {
    return this.#retry(() => this.#words.upgrade(record, this.#thread));
  }

  unlockShared(record: number): void {
    this.#settle(record, this.#words.unlockShared(record, this.#thread));
  }

  /** `modified`: bytes of the page were changed under the lock. */
  unlockExclusive(record: number, modified = false): void {
    this.#settle(
      record,
      this.#retry(() => this.#words.unlockExclusive(record, this.#thread, modified ? 1 : 0)),
    );
  }

  downgrade(record: number, modified = false): void {
    this.#settle(
      record,
      this.#retry(() => this.#words.downgrade(record, this.#thread, modified ? 1 : 0)),
    );
  }

  /** The exclusive hold becomes a counted write pin. */
  exclusiveToCounted(record: number): boolean {
    return this.#counted(
      record,
      this.#retry(() => this.#words.exclusiveToCounted(record, this.#thread)),
    );
  }

  /** The shared hold becomes a counted read pin. */
  sharedToCounted(record: number): boolean {
    return this.#counted(
      record,
      this.#retry(() => this.#words.sharedToCounted(record, this.#thread)),
    );
  }

  putCountedRead(record: number): void {
    this.#settle(record, this.#words.putCountedRead(record, this.#thread));
  }

  putCountedWrite(record: number, modified: boolean): void {
    this.#settle(
      record,
      this.#retry(() => this.#words.putCountedWrite(record, this.#thread, modified ? 1 : 0)),
    );
  }

  #counted(record: number, answer: number): boolean {
    if (answer === layout.FULL) return false;
    this.#settle(record, answer);
    return true;
  }

  #retry(step: () => number): number {
    for (let i = 0; i < limits.swapRetriesMax; i++) {
      const answer = step();
      if (answer !== layout.LOST) {
        assert(answer !== layout.GONE, "whoever lets go of a lock holds it");
        return answer;
      }
    }
    throw tooManyRetries();
  }

  /** Does what the release of a hold asks for. */
  #settle(record: number, bits: number): void {
    if (bits <= 0) return;
    if ((bits & layout.WAKE) !== 0) this.queues.wake(record);
    if ((bits & layout.IDLE) !== 0) {
      while (this.#words.requeue(record) === layout.LOST);
      this.notifyPool();
    }
  }

  /**
   * Waits until the caller has the lock in `mode` (or, for MODE_WRITEBACK, until the page is not under write-back).
   * OK; or GONE: the page left its frame, look it up again. Where that is known at once, the answer itself and no promise of it; an error
   * may be thrown at once too.
   * @throws PinfoldError EDEADLK, ERR_PINFOLD_TOO_MANY; what a failed load was dismissed with; the signal's reason
   */
  acquire(record: number, mapping: number, index: number, mode: WaitMode, owner: WaitOwner): number | Promise<number> {
    owner.signal?.throwIfAborted();
    const tried = this.#try(record, mapping, index, mode);
    if (tried !== layout.BUSY && tried !== layout.FULL) return tried;
    return this.#acquireLater(record, mapping, index, mode, owner);
  }

  async #acquireLater(
    record: number,
    mapping: number,
    index: number,
    mode: WaitMode,
    owner: WaitOwner,
  ): Promise<number> {
    for (let i = 0; i < limits.swapRetriesMax; i++) {
      owner.signal?.throwIfAborted();
      const tried = this.#try(record, mapping, index, mode);
      if (tried !== layout.BUSY && tried !== layout.FULL) return tried;
      const node = this.#join(record, mapping, index, mode, owner.scope);
      if (node === layout.GONE) return node;
      if (node >= 0) return this.queues.wait(node, record, mode, owner);
      if (this.#isLeaving(record)) await this.queues.pause();
    }
    throw tooManyRetries();
  }

  /**
   * As acquire, blocking this thread. OK; GONE; BUSY where `timeoutMs` was not enough.
   * @throws PinfoldError EDEADLK where the wait depends on this thread's own event loop, or on threads that block for what this
   * one holds (or, after limits.stuckMs, seem to); ERR_PINFOLD_TOO_MANY; what a failed load was dismissed with
   */
  acquireBlocking(record: number, mapping: number, index: number, mode: WaitMode, owner: BlockingOwner = {}): number {
    for (let i = 0; i < limits.swapRetriesMax; i++) {
      const tried = this.#try(record, mapping, index, mode);
      if (tried !== layout.BUSY && tried !== layout.FULL) return tried;
      this.blocked.refuseOwn(record, mode, owner);
      const node = this.#join(record, mapping, index, mode, owner.scope);
      if (node === layout.GONE) return node;
      if (node >= 0) return this.blocked.wait(node, record, mode, owner);
      if (this.#isLeaving(record)) this.blocked.pause();
    }
    throw tooManyRetries();
  }

  /**
   * Joins the queue of a record. The node; GONE; LOST: try again, it may be free by now.
   * @throws PinfoldError EDEADLK for a second upgrader, and where the wait closes a circle of scopes; ERR_PINFOLD_TOO_MANY
   */
  #join(record: number, mapping: number, index: number, mode: WaitMode, scope: Scope | undefined): number {
    const upgrading = mode === layout.MODE_UPGRADE;
    if (scope && this.#scopes.closesCircle(scope, record, upgrading)) throw deadlock(mapping, index);
    const node = this.#words.enqueue(record, mapping, index, mode, this.#thread, scope?.id ?? 0);
    if (node === layout.DEADLOCK) throw deadlock(mapping, index);
    if (node === layout.FULL) throw tooManyWaiters();
    // Another thread may have entered its half of a circle since it was looked for.
    const circle = node >= 0 && scope !== undefined && this.#scopes.closesCircle(scope, record, upgrading);
    if (circle && this.queues.leave(node, record)) throw deadlock(mapping, index);
    return node;
  }

  /**
   * For a scope that holds `record` since a moment ago: waits that were entered before that could not see it.
   * @throws PinfoldError EDEADLK where another task of the scope waits for who waits for `record`
   */
  refuseCircle(scope: Scope, record: number): void {
    for (const awaited of scope.waiting.keys()) {
      if (!this.#scopes.closesCircle(scope, awaited, scope.held.has(awaited))) continue;
      throw deadlock(this.#words.mappingIdOf(record), this.#words.indexOf(record) >>> 0);
    }
  }

  #try(record: number, mapping: number, index: number, mode: WaitMode): number {
    if (mode === layout.MODE_SHARED) return this.tryShared(record, mapping, index);
    if (mode === layout.MODE_EXCLUSIVE) return this.tryExclusive(record, mapping, index);
    if (mode === layout.MODE_UPGRADE) return this.tryUpgrade(record);
    const writing = (this.#words.highWord(record) & (1 << (layout.WRITEBACK_BIT - 32))) !== 0;
    return writing ? layout.BUSY : layout.OK;
  }

  /**
   * Waits for a sign that the pool has changed: a frame became free, clean or unheld, or credits came back. Guard of R22: `isOver` is asked
   * once the caller is in the queue, so that what came between his own look and the queue is not missed. A change first, then a
   * look for waiters, on the other side (notifyPool).
   */
  async waitForPool(isOver: () => boolean, signal?: AbortSignal): Promise<void> {
    const node = this.#joinPool();
    if (!isOver()) await this.queues.wait(node, this.#frames.plan.poolRecord, layout.MODE_NOTIFY, { signal });
    else this.#leavePool(node);
  }

  /** As waitForPool, blocking this thread for `timeoutMs` at most. */
  waitForPoolBlocking(timeoutMs: number, isOver: () => boolean): void {
    const node = this.#joinPool();
    if (!isOver()) this.blocked.wait(node, this.#frames.plan.poolRecord, layout.MODE_NOTIFY, { timeoutMs });
    else this.#leavePool(node);
  }

  #leavePool(node: number): void {
    // Signed to already: it is out of the queue, and only has to be freed.
    if (!this.queues.leave(node, this.#frames.plan.poolRecord)) this.queues.accept(node);
  }

  #joinPool(): number {
    const record = this.#frames.plan.poolRecord;
    const mapping = this.#words.mappingIdOf(record);
    const index = this.#words.indexOf(record);
    const node = this.#retry(() => this.#words.enqueue(record, mapping, index, layout.MODE_NOTIFY, this.#thread, 0));
    if (node === layout.FULL) throw tooManyWaiters();
    assert(node >= 0, "the pool's record is always there");
    return node;
  }

  /** Wakes everybody who waits for the pool. */
  notifyPool(): void {
    const record = this.#frames.plan.poolRecord;
    if ((this.#words.lowWord(record) & (1 << layout.WAITERS_BIT)) !== 0) this.queues.dismissAll(record);
  }

  /**
   * Takes a resident page's lock shared with one short look-up. The frame; GONE (look it up), BUSY, FULL.
   */
  tryResident(mapping: number, index: number): number {
    for (let i = 0; i < limits.swapRetriesMax; i++) {
      const answer = this.#words.tryPinShared(mapping, index, this.#thread);
      if (answer === layout.LOST_WAKE) this.#settle(this.#racedFrame(), layout.WAKE | layout.IDLE);
      else if (answer !== layout.LOST) return answer;
      // The page may be leaving: the whole look-up, and its lock, say what becomes of it.
      else if (i >= limits.leavingSpins) return layout.GONE;
    }
    throw tooManyRetries();
  }

  /** The frame that this thread's last look-up took and gave back, since another page had come into it. */
  #racedFrame(): number {
    return this.#frames.shared.load(layout.THREADS + this.#thread * layout.THREAD_BYTES + layout.THREAD_RACED);
  }
}

function tooManyWaiters(): PinfoldError {
  return new PinfoldError("ERR_PINFOLD_TOO_MANY", `${limits.waitersMax} tasks wait for pages already`);
}

function deadlock(mapping: number, index: number): PinfoldError {
  return new PinfoldError(
    "EDEADLK",
    `waiting for page ${index} of file ${mapping} would never end: its holder waits for the caller`,
  );
}
