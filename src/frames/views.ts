/**
 * Taking store access away from mapped views, in every thread (R24): what write-back, truncate and punch do before they rely on
 * a page's bytes.
 *
 * For a batch: bit 0 of each frame's view word goes (no store that looks from now on finds leave); one barrier makes every
 * thread see that, or shows us that it had looked before; then the hazard slots of all threads are read. A frame that no slot
 * names is stored to by nobody any more, and its VIEW bit goes. One that is named is *busy*: its store has passed its look
 * and ends within a few instructions, unless its thread was stopped there. Whoever may pass such a page over does; others poll.
 *
 * Invariants: the caller holds the lock of each frame, shared or exclusive, so that nobody gives access again meanwhile. This
 * thread itself is in no window while it runs this. A dead thread's slots are cleared by who cleans up after it.
 *
 * See also: words/views.ts (the steps), sync/view-window.ts (the storer's side), sync/barrier.ts.
 */
import { assert } from "../base/assert.js";
import type { Clock } from "../base/clock.js";
import { limits } from "../base/limits.js";
import { type Barrier, requireBarrier } from "../sync/barrier.js";
import * as layout from "../sync/layout.js";
import type { Frames } from "./frames.js";
import { tooManyRetries } from "./wait-queues.js";

const viewBit = 1 << (layout.VIEW_BIT - 32);
const betweenLooksMs = 1;

export class Views {
  readonly #frames: Frames;
  readonly #clock: Clock;
  /** Loaded when it is first needed: see base/c-library.ts. */
  #barrier: Barrier | undefined;

  /** `barrier`: a seam. */
  constructor(frames: Frames, clock: Clock, barrier?: Barrier) {
    this.#frames = frames;
    this.#clock = clock;
    this.#barrier = frames.hasPlainViews ? barrier : () => {};
  }

  /** True where views may be storing to the frame's page. */
  isOpen(frame: number): boolean {
    return (this.#frames.words.highWord(frame) & viewBit) !== 0;
  }

  /**
   * Takes the access to these frames away, as far as that can be done now. Those that somebody is storing to at this moment.
   * @throws PinfoldError ENOTSUP where this thread cannot call the barrier after all. Nothing has changed then.
   */
  tryClose(frames: readonly number[]): number[] {
    const { words } = this.#frames;
    const open = frames.filter((frame) => this.isOpen(frame));
    if (open.length === 0) return open;
    const barrier = (this.#barrier ??= requireBarrier());
    for (const frame of open) words.revokeView(frame);
    barrier();
    const stored = this.#storedTo();
    const busy: number[] = [];
    for (const frame of open) {
      if (stored.has(frame)) busy.push(frame);
      else this.#close(frame);
    }
    return busy;
  }

  /** Frames that stores are on their way to. */
  #storedTo(): Set<number> {
    const { shared, threads, thread } = this.#frames;
    const stored = new Set<number>();
    // Slots of threads that are not there are 0: to ask who is would cost more than to read them.
    for (let slot = 0; slot < layout.THREADS_MAX; slot++) {
      if (slot === thread) continue;
      for (const field of [layout.THREAD_HAZARD_0, layout.THREAD_HAZARD_1]) {
        const hazard = shared.load(threads.at(slot, field));
        if (hazard !== 0) stored.add(hazard - 1);
      }
    }
    return stored;
  }

  #close(frame: number): void {
    for (let i = 0; i < limits.swapRetriesMax; i++) {
      const answer = this.#frames.words.closeView(frame);
      if (answer === layout.LOST) continue;
      assert(answer === layout.OK, "whoever takes access away holds the page's lock");
      return;
    }
    throw tooManyRetries();
  }

  /** As tryClose, until nobody stores any more. */
  async close(frames: readonly number[]): Promise<void> {
    let busy = this.tryClose(frames);
    for (let looks = 1; busy.length > 0; looks++) {
      if (looks > limits.lookupRetriesMax) throw new Error("a store to a mapped page does not end");
      await this.pause();
      busy = this.tryClose(busy);
    }
  }

  /**
   * As close, blocking the thread, for a bounded time. `lookForDead`: called now and then; whoever was stopped may have ended.
   * False: somebody was stopped in the midst of a store, and has not gone on yet.
   */
  closeBlocking(frames: readonly number[], lookForDead: () => void): boolean {
    const { shared, threads, thread } = this.#frames;
    const untilMs = this.#clock.nowMs() + limits.stuckMs;
    for (let busy = this.tryClose(frames); busy.length > 0; busy = this.tryClose(busy)) {
      if (this.#clock.nowMs() > untilMs) return false;
      lookForDead();
      // Nobody rings it for this: it is how a thread that may not go on sleeps for a moment.
      const doorbell = threads.at(thread, layout.THREAD_DOORBELL);
      shared.waitBlocking(doorbell, shared.load(doorbell), betweenLooksMs);
    }
    return true;
  }

  /**
   * This thread's slots name nothing any more. Where this is called, no store of it is on its way; one may have been cut short by a
   * stack that was full, between a caller's own try and catch.
   */
  settleOwn(): void {
    const { shared, threads, thread } = this.#frames;
    for (const field of [layout.THREAD_HAZARD_0, layout.THREAD_HAZARD_1]) {
      if (shared.peek(threads.at(thread, field)) !== 0) shared.store(threads.at(thread, field), 0);
    }
  }

  /** How long it takes until it is worth looking again. */
  pause(): Promise<void> {
    return new Promise((resolve) => {
      this.#clock.after(betweenLooksMs, resolve, true);
    });
  }
}
