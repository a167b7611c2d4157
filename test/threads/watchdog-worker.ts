/**
 * Watches a thread that may hang in a call that blocks it, where its own timers would not tell: when it has given no sign for a while,
 * what everybody waits for goes to standard error.
 */
import { writeSync } from "node:fs";
import { workerData } from "node:worker_threads";
import { hangReport } from "./hang-report.js";

export interface WatchdogData {
  /** An Int32 that the watched thread counts up; below zero, the watch ends. */
  readonly signs: SharedArrayBuffer;
  readonly words: WebAssembly.Memory;
  readonly silenceMs: number;
}

const { signs, words, silenceMs } = workerData as WatchdogData;
const sign = new Int32Array(signs);
for (let seen = Atomics.load(sign, 0); seen >= 0; seen = Atomics.load(sign, 0)) {
  if (Atomics.wait(sign, 0, seen, silenceMs) === "timed-out")
    writeSync(2, `no sign of life for ${silenceMs} ms\n${hangReport(words)}\n`);
}
