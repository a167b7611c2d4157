/**
 * Waits that block the thread: for the ...Sync calls.
 *
 * Invariants: THREAD_BLOCKED names the node for which the thread blocks, from before its first sleep to the end of the wait, so that
 * others can tell that nothing else of this thread goes on. It never sleeps longer than limits.waitLookMs, and before each sleep it
 * is asked whether the wait can ever end. Tasks of this thread that are granted something meanwhile find it when the event loop
 * runs again: the doorbell counts.
 *
 * Which thread of a circle gives up is the same for all who look, the one with the highest slot, so that one does and not two.
 */
import type { Clock } from "../base/clock.js";
import { PinfoldError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import * as layout from "../sync/layout.js";
import type { Blockage } from "./circles.js";
import type { Frames } from "./frames.js";
import type { Scope } from "./scopes.js";
import { type WaitQueues, dismissed, newWaiter } from "./wait-queues.js";

/** Who waits with its thread blocked. */
export interface BlockingOwner {
  readonly scope?: Scope | undefined;
  /** How long at most; then the answer is BUSY. */
  readonly timeoutMs?: number | undefined;
  readonly ignoresLoadErrors?: boolean | undefined;
  /** A circle that is only possible ends the wait at once: the caller knows that it is likely. */
  readonly suspicious?: boolean | undefined;
  /** The EDEADLK of a wait that would never end, with the names that the caller knows. */
  readonly describe?: ((blockage: Blockage) => PinfoldError) | undefined;
}

export class BlockedWaits {
  readonly #frames: Frames;
  readonly #clock: Clock;
  readonly #queues: WaitQueues;

  constructor(frames: Frames, clock: Clock, queues: WaitQueues) {
    this.#frames = frames;
    this.#clock = clock;
    this.#queues = queues;
  }

  /** Blocks for a moment, for something that ends by itself or with its thread. */
  pause(): void {
    const { shared, thread } = this.#frames;
    const doorbell = layout.THREADS + thread * layout.THREAD_BYTES + layout.THREAD_DOORBELL;
    this.#queues.lookForDead();
    shared.waitBlocking(doorbell, shared.load(doorbell), limits.leavingPauseMs);
  }

  /**
   * Blocks until the wait of a node that has just joined the queue of `record` ends. OK; GONE; BUSY after the time.
   * @throws what it was dismissed with; EDEADLK
   */
  wait(node: number, record: number, mode: number, owner: BlockingOwner): number {
    const { shared, thread } = this.#frames;
    const slot = layout.THREADS + thread * layout.THREAD_BYTES;
    const nodeState = layout.NODES + node * layout.NODE_BYTES + layout.NODE_STATE;
    const waiter = newWaiter(record, mode, owner.scope, this.#clock.nowMs(), () => {});
    const outer = shared.load(slot + layout.THREAD_BLOCKED);
    shared.store(slot + layout.THREAD_BLOCKED, node + 1);
    let isHeard = true;
    try {
      for (;;) {
        const seen = shared.load(slot + layout.THREAD_DOORBELL);
        const state = shared.load(nodeState);
        if (state !== layout.NODE_WAITING) {
          if (!isHeard) this.#queues.rescues += 1;
          return this.#end(node, state, owner);
        }
        const nowMs = this.#clock.nowMs();
        const leftMs = (owner.timeoutMs ?? Infinity) - (nowMs - waiter.sinceMs);
        isHeard = !this.#queues.lookWhileBlocked(waiter, nowMs);
        if (!isHeard && shared.load(nodeState) !== layout.NODE_WAITING) continue;
        const blockage = leftMs > 0 ? this.blockage(record, mode, owner, nowMs - waiter.sinceMs) : undefined;
        if (blockage || leftMs <= 0) {
          // Granted meanwhile: then that is what looked like a circle.
          if (!this.#queues.leave(node, record)) continue;
          if (blockage) throw refusal(blockage, owner, record);
          return layout.BUSY;
        }
        isHeard = shared.waitBlocking(slot + layout.THREAD_DOORBELL, seen, Math.min(limits.waitLookMs, leftMs));
      }
    } finally {
      shared.store(slot + layout.THREAD_BLOCKED, outer);
    }
  }

  #end(node: number, state: number, owner: BlockingOwner): number {
    const result = this.#queues.accept(node);
    if (state === layout.NODE_GRANTED) return layout.OK;
    if (result > 0 && !owner.ignoresLoadErrors) throw dismissed(result);
    return layout.GONE;
  }

  /** @throws PinfoldError EDEADLK where a wait that is about to begin depends on this thread's own event loop */
  refuseOwn(record: number, mode: number, owner: BlockingOwner): void {
    if (this.#isOwn(record, mode)) throw refusal({ kind: "own", threads: [] }, owner, record);
  }

  #isOwn(record: number, mode: number): boolean {
    const { thread } = this.#frames;
    const holders = this.#queues.circles.holdersOf(record, mode, thread);
    return (holders & (1 << thread)) !== 0 || this.#queues.waitsBefore(record, mode);
  }

  /** Why a wait that has lasted for `waitedMs` would never end, as far as this thread is the one to give up. */
  blockage(record: number, mode: number, owner: BlockingOwner, waitedMs: number): Blockage | undefined {
    if (this.#isOwn(record, mode)) return { kind: "own", threads: [] };
    return this.blockageBy(
      () => this.#queues.circles.holdersOf(record, mode, this.#frames.thread),
      owner.suspicious === true || waitedMs >= limits.stuckMs,
    );
  }

  /** As blockage, where `holders` tells which threads keep this one waiting. Guard of "never a hang" (rule 15). */
  blockageBy(holders: () => number, believesPossible: boolean): Blockage | undefined {
    const { circles } = this.#queues;
    const threads = circles.certain(holders()) && circles.certain(holders());
    if (threads) {
      const last = Math.max(...threads);
      if (last < this.#frames.thread) return { kind: "circle", threads };
      this.#queues.ring(last);
    }
    if (!believesPossible) return undefined;
    const suspects = circles.possible(holders()) && circles.possible(holders());
    return suspects && { kind: "stuck", threads: suspects };
  }
}

function refusal(blockage: Blockage, owner: BlockingOwner, record: number): PinfoldError {
  return owner.describe?.(blockage) ?? new PinfoldError("EDEADLK", `waiting for record ${record} ${explain(blockage)}`);
}

/** The end of a sentence about a wait. */
export function explain({ kind, threads }: Blockage): string {
  if (kind === "own") return "would wait for this thread's own event loop";
  const names = threads.map((thread) => `thread ${thread}`).join(", ");
  if (kind === "circle") return `would never end: ${names} blocks for what this thread holds`;
  return `seems never to end: ${names} waits for what this thread holds`;
}
