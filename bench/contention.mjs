/**
 * How long an event loop stands still in our calls while other threads hold the locks that it wants, beside a control in which the
 * other thread works as much on pages of its own.
 *
 * node bench/contention.mjs [seconds] [tasks]     (after npm run build)
 * Two rounds of each, in turn: a worker pins random pages with blocking calls and keeps each for up to 4 ms; `tasks` tasks of this
 * thread's event loop pin random pages, for reading and for writing, and keep them for a turn of the loop. Prints for each the time
 * of single calls up to their first await (and of puts), and of whole turns of the loop, in microseconds.
 */
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { Worker, isMainThread, workerData } from "node:worker_threads";
import { PageCache } from "../build/src/index.js";

const pageSize = 4096;
const pages = 16;

/** Pins pages [first, first + pages) at random until it is told to stop. */
async function holdLocks({ share, path, first, stop }) {
  const cache = PageCache.attach(share);
  const file = await cache.open(path);
  const flag = new Int32Array(stop);
  while (Atomics.load(flag, 0) === 0) {
    const page = first + Math.floor(Math.random() * pages);
    const pinned = file.getUserPagesSync(page * pageSize, pageSize, { write: Math.random() < 0.7 });
    Atomics.wait(flag, 0, 0, Math.random() * 4);
    pinned.put();
  }
  await cache.close();
}

/** Runs the tasks for a while; what each call and each turn took, in microseconds. */
async function measure(file, seconds, tasks) {
  const calls = [];
  const turns = [];
  let waited = 0;
  const endMs = performance.now() + seconds * 1000;
  const task = async () => {
    while (performance.now() < endMs) {
      const position = Math.floor(Math.random() * pages) * pageSize;
      const beganMs = performance.now();
      const promise = file.getUserPages(position, pageSize, { write: Math.random() < 0.5 });
      calls.push((performance.now() - beganMs) * 1000);
      const pinned = await promise;
      if (performance.now() - beganMs > 0.5) waited += 1;
      await nextTurn();
      const putMs = performance.now();
      pinned.put();
      calls.push((performance.now() - putMs) * 1000);
    }
  };
  const watch = async () => {
    for (let lastMs = performance.now(); lastMs < endMs; ) {
      await nextTurn();
      const nowMs = performance.now();
      turns.push((nowMs - lastMs) * 1000);
      lastMs = nowMs;
    }
  };
  await Promise.all([watch(), ...Array.from({ length: tasks }, task)]);
  return { calls, turns, waited };
}

const quantile = (values, share) =>
  values.length === 0 ? 0 : values[Math.min(values.length - 1, Math.floor(values.length * share))];

function report(name, values) {
  const sorted = Float64Array.from(values).sort();
  const shown = [0.5, 0.99, 0.999, 1].map((share) => quantile(sorted, share).toFixed(1).padStart(9));
  console.log(`${name.padEnd(34)} ${String(sorted.length).padStart(9)} ${shown.join(" ")}`);
}

async function main() {
  const seconds = Number(process.argv[2] ?? 5);
  const tasks = Number(process.argv[3] ?? 64);
  const path = join(tmpdir(), `pinfold-contention-${process.pid}.bin`);
  const cache = await PageCache.open({ memory: "4MiB" });
  const file = await cache.open(path, { create: true, size: 4 * pages * pageSize });
  await file.write(Buffer.alloc(4 * pages * pageSize, 1), 0, 4 * pages * pageSize, 0);
  console.log(`node ${process.version}, ${tasks} tasks on ${pages} pages, ${seconds} s a round; microseconds`);
  console.log(
    `${"".padEnd(34)} ${"count".padStart(9)} ${["p50", "p99", "p99.9", "most"].map((name) => name.padStart(9)).join(" ")}`,
  );
  for (let round = 1; round <= 2; round++) {
    for (const [name, first] of [
      ["locks held elsewhere", 0],
      ["control", 2 * pages],
    ]) {
      const stop = new SharedArrayBuffer(4);
      const worker = new Worker(new URL(import.meta.url), { workerData: { share: cache.share(), path, first, stop } });
      const ended = new Promise((resolve) => void worker.once("exit", resolve));
      const { calls, turns, waited } = await measure(file, seconds, tasks);
      Atomics.store(new Int32Array(stop), 0, 1);
      Atomics.notify(new Int32Array(stop), 0);
      await ended;
      report(`${name}: calls (${waited} waited)`, calls);
      report(`${name}: turns`, turns);
    }
  }
  cache.verify({ quiesce: true });
  await cache.close();
  rmSync(path);
}

if (isMainThread) await main();
else await holdLocks(workerData);
