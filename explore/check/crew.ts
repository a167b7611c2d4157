/**
 * Searches side by side: threads, each of which is given the next search when it has done one. Those with the highest bound go first, as
 * they take longest, those that are to find something last. A deep check goes the other way: who needs less time leaves it to the others.
 * What comes back is in the order of the tasks.
 *
 * Invariant: there is a result for each task, or an error. A thread that throws, or ends before it is told to, ends all of it.
 *
 * See also: search-thread.ts.
 */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import type { CheckResult } from "../report/result.js";
import { nameOf } from "../report/verdict.js";
import type { Answer, Order, ThreadData } from "./search-thread.js";
import type { SearchProgress } from "./searches.js";
import type { CheckTask } from "./tasks.js";

export interface CrewOptions {
  readonly url: URL;
  readonly nowMs: () => number;
  /** A word of shared memory: whoever makes it not 0 ends all searches, which are incomplete then. */
  readonly stop?: Int32Array;
  /** Threads; as many as there are processors without it. */
  readonly jobs?: number;
  /** Deep searches, which share this time. */
  readonly depth?: { readonly seed: number; readonly millisecondsMax: number };
  readonly onProgress?: (task: CheckTask, progress: SearchProgress) => void;
  readonly onResult?: (result: CheckResult) => void;
}

/** @throws Error with the search's name where its thread fails */
export async function searchAll(tasks: readonly CheckTask[], options: CrewOptions): Promise<CheckResult[]> {
  return tasks.length === 0 ? [] : new Crew(tasks, options).run();
}

/** What ends searches, when it is made another number than 0. */
export function newStop(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
}

class Crew {
  readonly #options: CrewOptions;
  readonly #tasks: readonly CheckTask[];
  readonly #results: CheckResult[] = [];
  /** Places in the list of tasks, those first that are to be begun first. */
  readonly #waiting: number[];
  readonly #threads: Worker[] = [];
  readonly #jobs: number;
  readonly #endMs: number;
  #done = 0;

  constructor(tasks: readonly CheckTask[], options: CrewOptions) {
    this.#options = options;
    this.#tasks = tasks;
    const weightOf = (at: number) => (tasks[at]?.expected === "none" ? 1 + (tasks[at]?.bound ?? 0) : 0);
    const sign = options.depth === undefined ? 1 : -1;
    this.#waiting = tasks.map((_, at) => at).toSorted((a, b) => sign * (weightOf(b) - weightOf(a)) || a - b);
    this.#jobs = Math.min(options.jobs ?? availableParallelism(), tasks.length);
    this.#endMs = options.nowMs() + (options.depth?.millisecondsMax ?? 0);
  }

  async run(): Promise<CheckResult[]> {
    try {
      await new Promise<void>((resolve, reject) => {
        for (let job = 0; job < this.#jobs; job++) this.#employ(resolve, reject);
      });
      return this.#results;
    } finally {
      await Promise.all(this.#threads.map((thread) => thread.terminate()));
    }
  }

  /** Another thread; `resolve` when the last search of all is done. */
  #employ(resolve: () => void, reject: (error: Error) => void): void {
    const { url, stop = newStop(), onProgress, onResult } = this.#options;
    const thread = new Worker(new URL("./search-thread.js", import.meta.url), {
      workerData: { url: url.href, stop } satisfies ThreadData,
    });
    this.#threads.push(thread);
    let at = this.#order(thread);
    const failed = (what: string, cause?: unknown): void => {
      const task = at === undefined ? undefined : this.#tasks[at];
      const name = task === undefined ? "a thread without a search" : nameOf(task);
      reject(new Error(`${name} could not be searched: ${what}`, { cause }));
    };
    thread.on("message", (answer: Answer) => {
      const task = at === undefined ? undefined : this.#tasks[at];
      if (at === undefined || task === undefined) return;
      if ("progress" in answer) {
        onProgress?.(task, answer.progress);
        return;
      }
      this.#results[at] = answer.result;
      onResult?.(answer.result);
      at = this.#order(thread);
      if (++this.#done === this.#tasks.length) resolve();
    });
    thread.on("messageerror", (error) => failed(error.message, error));
    thread.on("error", (error) => failed(error instanceof Error ? error.message : String(error), error));
    thread.on("exit", (status) => failed(`its thread ended with status ${status}`));
  }

  /** Gives the thread the next search, if there is one. */
  #order(thread: Worker): number | undefined {
    const at = this.#waiting.shift();
    if (at === undefined) return undefined;
    const task = this.#tasks[at] as CheckTask;
    thread.postMessage({ task, depth: this.#depth() } satisfies Order);
    this.#options.onProgress?.(task, { schedules: 0, bound: task.bound, isRandom: false });
    return at;
  }

  /** What is left of the time, for as many rounds as there have to be. */
  #depth(): Order["depth"] {
    const { depth, nowMs } = this.#options;
    if (depth === undefined) return undefined;
    const rounds = Math.ceil((this.#waiting.length + 1) / this.#jobs);
    return { seed: depth.seed, millisecondsMax: Math.max(0, (this.#endMs - nowMs()) / rounds) };
  }
}
