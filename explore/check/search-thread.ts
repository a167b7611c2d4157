/**
 * A thread of a check: does the searches that it is given, one after another. Whatever is thrown here ends the thread, and with it the check.
 *
 * See also: crew.ts (who gives them).
 */
import { parentPort, workerData } from "node:worker_threads";
import { systemClock } from "../../src/base/clock.js";
import type { CheckResult } from "../report/result.js";
import { type Depth, type SearchProgress, searchOne } from "./searches.js";
import { type CheckTask, readInterleaved } from "./tasks.js";

export interface ThreadData {
  /** Of what the build has made. */
  readonly url: string;
  /** A word of shared memory: not 0 ends all searches. */
  readonly stop: Int32Array;
}

export interface Order {
  readonly task: CheckTask;
  readonly depth: Depth | undefined;
}

export type Answer = { readonly progress: SearchProgress } | { readonly result: CheckResult };

if (parentPort !== null) {
  const port = parentPort;
  const { url, stop } = workerData as ThreadData;
  const source = readInterleaved(new URL(url));
  const answer = (message: Answer) => port.postMessage(message);
  port.on("message", ({ task, depth }: Order) => {
    const result = searchOne(source, task, {
      nowMs: () => systemClock.nowMs(),
      onProgress: (progress) => answer({ progress }),
      depth,
      isStopped: () => Atomics.load(stop, 0) !== 0,
    });
    answer({ result });
  });
}
