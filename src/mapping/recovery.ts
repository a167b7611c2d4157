/**
 * Recovery after dead threads (rule 17, R21): a worker that is terminated, throws or exits while it holds locks, pins, frames, waits or
 * places in queues leaves them in shared memory under its slot. Whoever notices cleans up after it, so that all others go on.
 *
 * `look` is called by each thread now and then, and by whoever waits. The proof of death is procfs: see base/thread-identity.ts.
 * THREAD_RECOVERER says who cleans up; if that thread dies too, the next one takes its place, since every step here may be done
 * again. What is in memory is done at once (milliseconds); what needs a store (the rest of a cut, the last close of a file) goes on
 * in the background, as this thread's own, so that the slot is free when `cleanUp` returns.
 *
 * Invariants: a slot is given back last, by the thread that its THREAD_RECOVERER names, and that word changes after that: two threads
 * never clean up after the same one, nor after one that has come into its slot.
 *
 * See also: recovery-pages.ts, recovery-files.ts; docs/access-rules.md, "When a thread dies".
 */
import { limits } from "../base/limits.js";
import { clearScopesOf } from "../frames/scopes.js";
import * as layout from "../sync/layout.js";
import type { Core } from "./core.js";
import { type Task, needsLoop, takeOverFiles, takeOverOpeners } from "./recovery-files.js";
import { type Findings, letGoOfAll, noFindings, settleWaits } from "./recovery-pages.js";
import { cleanTransfersOf } from "./transfer.js";

/** A thread that had ended without leaving the cache. */
export interface Recovered {
  /** Its slot, and the system's number of it (0: unknown). */
  readonly thread: number;
  readonly threadId: number;
  readonly found: Findings;
}

/** A task of the background, and its attempt that is on. */
interface Running {
  readonly task: Task;
  attempt: Promise<void> | undefined;
}

export class Recovery {
  readonly #core: Core;
  readonly #running = new Set<Running>();
  /** When a dead thread was first seen whose cleaning up takes an event loop that this thread does not have now. */
  readonly #seenMs = new Map<number, number>();
  #isCleaning = false;
  #closed = false;
  /** Threads that this one has cleaned up after. */
  recovered = 0;
  onRecovered: (recovered: Recovered) => void = () => {};
  /** Closes what an open that was not finished had opened, as its slot's cells tell. */
  abandonStore: (cells: Int32Array) => void = () => {};

  constructor(core: Core) {
    this.#core = core;
  }

  /** Cleans up after threads that have ended. While all live: one look into procfs for each of them. */
  look(): void {
    const { threads, thread } = this.#core.frames;
    if (this.#isCleaning || this.#closed) return;
    for (const slot of threads.claimed()) {
      if (slot === thread || !threads.isDead(slot) || this.#leavesToOthers(slot)) continue;
      this.cleanUp(slot);
    }
  }

  /**
   * A thread that blocks in a sync call has no event loop to finish a cut in: somebody else gets the time to take that over. Where
   * nobody does, it is this thread's, and its own sync call may end in EDEADLK, which lets the loop run.
   */
  #leavesToOthers(slot: number): boolean {
    const { shared, threads, thread } = this.#core.frames;
    if (shared.load(threads.at(thread, layout.THREAD_BLOCKED)) === 0 || !needsLoop(this.#core, slot)) {
      this.#seenMs.delete(slot);
      return false;
    }
    if (!this.#core.hasOthers()) return false;
    const nowMs = this.#core.clock.nowMs();
    const sinceMs = this.#seenMs.get(slot) ?? nowMs;
    this.#seenMs.set(slot, sinceMs);
    return nowMs - sinceMs < limits.recoveryDelayMs;
  }

  /** Cleans up after the dead thread that has this slot, unless another thread does. False: that one does, or it is alive. */
  cleanUp(slot: number, isDead: (slot: number) => boolean = (one) => this.#core.frames.threads.isDead(one)): boolean {
    if (!this.#claim(slot, isDead)) return false;
    this.#isCleaning = true;
    try {
      const found = noFindings();
      const threadId = this.#core.frames.threads.identity(slot).id;
      const tasks = this.#settle(slot, found);
      this.#release(slot);
      this.recovered += 1;
      for (const task of tasks) this.#start(task);
      this.onRecovered({ thread: slot, threadId, found });
    } finally {
      this.#isCleaning = false;
    }
    return true;
  }

  /** Makes this thread the one that cleans up. Looked at again afterwards: the slot may be another thread's by now. */
  #claim(slot: number, isDead: (slot: number) => boolean): boolean {
    const { shared, threads, thread } = this.#core.frames;
    const at = threads.at(slot, layout.THREAD_RECOVERER);
    const holder = shared.load(at) - 1;
    if (holder !== thread) {
      if (holder >= 0 && threads.isClaimed(holder) && !threads.isDead(holder)) return false;
      if (!shared.swap(at, holder + 1, thread + 1)) return false;
    }
    if (isDead(slot)) return true;
    shared.swap(at, thread + 1, 0);
    return false;
  }

  #settle(slot: number, found: Findings): Task[] {
    const core = this.#core;
    const { shared, threads } = core.frames;
    shared.store(threads.at(slot, layout.THREAD_STATE), layout.THREAD_DEAD);
    for (const field of [layout.THREAD_HAZARD_0, layout.THREAD_HAZARD_1, layout.THREAD_BLOCKED])
      shared.store(threads.at(slot, field), 0);
    settleWaits(core, slot, found);
    const taken = takeOverFiles(core, slot, found, this.abandonStore);
    letGoOfAll(core, slot, found, taken.keeps);
    found.credits = shared.load(threads.at(slot, layout.THREAD_CREDITS));
    core.frames.words.giveCredits(slot, found.credits);
    cleanTransfersOf(core, slot);
    clearScopesOf(core.frames, slot);
    return [...taken.tasks, ...takeOverOpeners(core, slot, found)];
  }

  /** The slot can be another thread's from now on. */
  #release(slot: number): void {
    const { shared, threads, thread } = this.#core.frames;
    // Those that it was cleaning up after itself: a new thread in its slot is not.
    for (let other = 0; other < layout.THREADS_MAX; other++)
      shared.swap(threads.at(other, layout.THREAD_RECOVERER), slot + 1, 0);
    threads.release(slot);
    shared.swap(threads.at(slot, layout.THREAD_RECOVERER), thread + 1, 0);
    shared.add(layout.HEADER_RECOVERED, 1);
    this.#core.locks.notifyPool();
  }

  #start(task: Task): void {
    const running: Running = { task, attempt: undefined };
    this.#running.add(running);
    void this.#run(running);
  }

  /** Tries until it is done, less and less often. Never rejects. */
  async #run(running: Running): Promise<void> {
    for (let delayMs: number = limits.retryDelayMs; this.#running.has(running); ) {
      // What fails is tried again: the file stays open here, and who syncs it is told what is wrong.
      if (!this.#closed) await this.#attempt(running, false).catch(() => {});
      if (!this.#running.has(running)) return;
      await this.#sleep(delayMs);
      delayMs = Math.min(limits.retryDelayMaxMs, delayMs * 2);
    }
  }

  /** Once; or what is on already. */
  #attempt(running: Running, discard: boolean): Promise<void> {
    running.attempt ??= this.#once(running, discard);
    return running.attempt;
  }

  async #once(running: Running, discard: boolean): Promise<void> {
    try {
      await running.task.attempt(discard);
      this.#running.delete(running);
    } finally {
      running.attempt = undefined;
    }
  }

  /** Keeps no process alive. */
  #sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#core.clock.after(delayMs, resolve);
    });
  }

  /** Files that this thread cuts, punches or closes in place of dead ones. */
  get unfinished(): number {
    return this.#running.size;
  }

  /** Resolves when all that is on at present has been done, or has failed for now. */
  async settled(): Promise<void> {
    await Promise.allSettled([...this.#running].map((running) => Promise.resolve(running.attempt)));
  }

  /**
   * This thread leaves: it finishes what it does in place of dead threads, and closes the files that it has taken over from them.
   * From here on it cleans up after nobody.
   * @throws PinfoldError as closeFile; the cache stays in use then
   */
  async close(discard: boolean): Promise<void> {
    this.#closed = true;
    try {
      for (const running of [...this.#running]) {
        await running.attempt?.catch(() => {});
        if (this.#running.has(running)) await this.#attempt(running, discard);
      }
    } catch (error) {
      this.#closed = false;
      throw error;
    }
  }
}
