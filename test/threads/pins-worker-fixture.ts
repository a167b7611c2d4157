/**
 * A cache with a file on disk, and threads that use it, each told what to do call by call (pins-worker.ts).
 */
import type { TestContext } from "node:test";
import { Worker } from "node:worker_threads";
import type { CachedFile, ErrorCode, PageCache, PageCacheOptions } from "../../src/index.js";
import { openDisk, pageSize } from "../api/fixture.js";

export interface Request {
  readonly id: number;
  readonly operation: string;
  readonly taken: readonly unknown[];
}

export interface Reply {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: { readonly code: string; readonly message: string };
}

/** What a call in the other thread was refused with. */
export class RemoteError extends Error {
  readonly code: ErrorCode;

  constructor(code: string, message: string) {
    super(message);
    this.code = code as ErrorCode;
  }
}

export class Thread {
  readonly #worker: Worker;
  readonly #calls = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  #last = 0;

  constructor(cache: PageCache, path: string | undefined) {
    const workerData = { share: cache.share(), path };
    this.#worker = new Worker(new URL("./pins-worker.js", import.meta.url), { workerData });
    this.#worker.on("message", ({ id, result, error }: Reply) => {
      const call = this.#calls.get(id);
      this.#calls.delete(id);
      if (error) call?.reject(new RemoteError(error.code, error.message));
      else call?.resolve(result);
    });
    const fail = (error: Error) => {
      for (const call of this.#calls.values()) call.reject(error);
    };
    this.#worker.on("error", fail);
    this.#worker.on("exit", () => fail(new Error("the thread has ended")));
  }

  /** Does one of the operations of pins-worker.ts there. */
  async call<T = void>(operation: string, ...taken: unknown[]): Promise<T> {
    const id = ++this.#last;
    const done = new Promise<unknown>((resolve, reject) => this.#calls.set(id, { resolve, reject }));
    this.#worker.postMessage({ id, operation, taken });
    return (await done) as T;
  }

  async terminate(): Promise<void> {
    await this.#worker.terminate();
  }
}

export interface Threads {
  readonly cache: PageCache;
  readonly file: CachedFile;
  readonly threads: readonly Thread[];
}

/** A cache, a file of `pages` pages of zeros in it, and `count` more threads that have attached it. All end with the test. */
export async function openThreads(
  t: TestContext,
  count: number,
  options: { pages?: number; cache?: PageCacheOptions; opensFile?: boolean } = {},
): Promise<Threads> {
  const threads: Thread[] = [];
  // Before the cache is closed: hooks run in this order.
  t.after(async () => Promise.all(threads.map(async (thread) => thread.terminate())));
  const { cache, file, path } = await openDisk(t, Buffer.alloc((options.pages ?? 16) * pageSize), {
    writebackIntervalMs: 86_400_000,
    ...options.cache,
  });
  // One after the other, so that thread n has slot n + 1.
  for (let at = 0; at < count; at++) {
    const thread = new Thread(cache, path);
    threads.push(thread);
    await (options.opensFile === false ? thread.call("slot") : thread.call("open"));
  }
  return { cache, file, threads };
}
