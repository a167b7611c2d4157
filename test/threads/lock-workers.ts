/** Threads with locks over one memory, of which the test's own is one. */
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { Worker } from "node:worker_threads";
import { Frames } from "../../src/frames/frames.js";
import * as layout from "../../src/sync/layout.js";
import {
  type LockCall,
  type LockMessage,
  type LockOp,
  type LockReply,
  type LockWorkerData,
  Locks,
} from "./lock-worker.js";

const memoryBytes = 64 * 4096;

export class LockWorker {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, (answer: number | string) => void>();
  #last = 0;

  constructor(data: LockWorkerData) {
    this.#worker = new Worker(new URL("./lock-worker.js", import.meta.url), { workerData: data });
    this.#worker.on("message", ({ id, answer }: LockReply) => {
      this.#waiting.get(id)?.(answer);
      this.#waiting.delete(id);
    });
  }

  /** What the thread answers, or the code of the error it met. */
  tell(op: LockOp, call: LockCall): Promise<number | string> {
    const id = ++this.#last;
    const answer = new Promise<number | string>((resolve) => this.#waiting.set(id, resolve));
    this.#worker.postMessage({ id, op, call } satisfies LockMessage);
    return answer;
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }
}

/** Locks of this thread, in slot 0, and of `count` others, in the slots after it. They end with the test, which must leave no waiter. */
export async function threads(t: TestContext, count: number, rate = 1): Promise<{ own: Locks; others: LockWorker[] }> {
  const frames = Frames.create(memoryBytes, 4096, false);
  const own = new Locks(frames, rate);
  const others: LockWorker[] = [];
  for (let i = 0; i < count; i++) {
    const worker = new LockWorker({ share: frames.share(memoryBytes), rate });
    others.push(worker);
    // One after the other, so that each has the slot that is told.
    assert.equal(await worker.tell("rescues", { lock: 0 }), 0);
    assert.ok(frames.threads.isClaimed(i + 1));
  }
  t.after(async () => {
    for (const worker of others) await worker.end();
    assert.equal(frames.shared.load(layout.HEADER_NODES_USED), 0, "nobody is left waiting");
  });
  return { own, others };
}

/** True once a thread blocks in a call. */
export function isBlocked({ frames }: Locks, thread: number): boolean {
  return frames.shared.load(frames.threads.at(thread, layout.THREAD_BLOCKED)) !== 0;
}

export async function until(condition: () => boolean, what: string): Promise<void> {
  for (let left = 5_000; !condition(); left--) {
    if (left === 0) assert.fail(`never: ${what}`);
    await new Promise((resolve) => void setTimeout(resolve, 1));
  }
}
