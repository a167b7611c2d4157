/**
 * The thread of a search inside of the steps. Whatever is thrown here ends it, and with it the check.
 *
 * See also: steps.ts (who starts it).
 */
import { parentPort, workerData } from "node:worker_threads";
import { systemClock } from "../../src/base/clock.js";
import { searchSteps, type StepsOrder } from "./steps.js";
import { readInterleaved } from "./tasks.js";

if (parentPort !== null) {
  const { url, quick, stop } = workerData as StepsOrder;
  const nowMs = () => systemClock.nowMs();
  const isStopped = () => Atomics.load(stop, 0) !== 0;
  parentPort.postMessage(searchSteps(readInterleaved(new URL(url)).steps, { quick, nowMs, isStopped }));
}
