/** Threads beside the test's own that use its cache. They end with the test. */
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { Worker } from "node:worker_threads";
import { type PageCache, PinfoldError, type ErrorCode } from "../../src/index.js";
import type { Peer, PeerMessage, PeerOp, PeerReply, SharingWorkerData } from "./sharing-worker.js";

export class Thread {
  readonly #worker: Worker;
  readonly #signal = new SharedArrayBuffer(4);
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  #last = 0;

  constructor(cache: PageCache) {
    const workerData: SharingWorkerData = { share: cache.share(), signal: this.#signal };
    this.#worker = new Worker(new URL("./sharing-worker.js", import.meta.url), { workerData });
    this.#worker.on("message", ({ id, result, code, message }: PeerReply) => {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (code === undefined) waiting?.resolve(result);
      else waiting?.reject(new PinfoldError(code as ErrorCode, message ?? ""));
    });
    this.#worker.on("error", (error) => {
      for (const { reject } of this.#waiting.values()) reject(error);
    });
  }

  /** What the thread answers. @throws PinfoldError with the code of the error that it met */
  async tell<Op extends PeerOp>(op: Op, ...args: Parameters<Peer[Op]>): Promise<Awaited<ReturnType<Peer[Op]>>> {
    const id = ++this.#last;
    const answer = new Promise<unknown>((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    this.#worker.postMessage({ id, op, args } satisfies PeerMessage);
    return (await answer) as Awaited<ReturnType<Peer[Op]>>;
  }

  /** As tell, with this thread's event loop standing still until the other one has done it. */
  async tellBlocking<Op extends PeerOp>(op: Op, ...args: Parameters<Peer[Op]>): Promise<Awaited<ReturnType<Peer[Op]>>> {
    const done = new Int32Array(this.#signal);
    Atomics.store(done, 0, 0);
    const answer = this.tell(op, ...args);
    const waited = Atomics.wait(done, 0, 0, 10_000);
    assert.notEqual(waited, "timed-out", `${op} needs this thread`);
    return answer;
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }
}

/** Threads that have attached the cache. */
export async function startThreads(t: TestContext, cache: PageCache, count: number): Promise<Thread[]> {
  const threads = Array.from({ length: count }, () => new Thread(cache));
  t.after(async () => {
    for (const thread of threads) await thread.end();
  });
  for (const thread of threads) await thread.tell("rounds");
  return threads;
}
