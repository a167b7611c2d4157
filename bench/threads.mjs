/**
 * Resident random pages read by one worker and by two at once: pin + 8-byte load + put, and the same without a lock.
 *
 * node bench/threads.mjs [MiB] [rounds] [ms]     (after npm run build)
 * Sets of pages: "disjoint" (each worker has half of the file), "same" (both have the first half), "one page". In each round each way of reading
 * runs in worker A alone, in worker B alone, and in both, `ms` each, in turn. Prints million operations a second (median; one: the mean of A
 * and B alone; two: both together), and two / one, round by round (median, least, most); at last all of it as one line of JSON.
 * "typed array" reads the same amount of plain shared memory: what this machine gives two threads at all.
 */
import { rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";
import { PageCache } from "../build/src/index.js";
import { memory, offset, optimisticBegin, optimisticValidate, rawFile, tryPin, unpin } from "../build/src/api/raw.js";

const pageSize = 4096;
const words = pageSize / 8;
const batch = 1_000;
const orderMask = 65_535;
const sets = ["disjoint", "same", "one page"];

/**
 * The ways to read pages, in a worker. Each reads `count` pages of an order and answers how many were wrong: the first number of a
 * page is its index. Each has a loop of its own, so that V8 compiles each for itself.
 */
async function readersOf({ share, path, plain }) {
  const cache = PageCache.attach(share);
  const file = await cache.open(path);
  const raw = rawFile(file);
  const segment = new Float64Array(memory(raw, 0).buffer);
  const first = (_bytes, start) => segment[start >> 3];
  const array = new Float64Array(plain);
  const pinned = (index) => {
    const frame = tryPin(raw, index, false);
    const value = segment[offset(raw, frame) >> 3];
    unpin(raw, frame);
    return value;
  };
  const readers = {
    "raw pin": (order, from, count) => {
      let wrong = 0;
      for (let i = from; i < from + count; i++) {
        const index = order[i & orderMask];
        const frame = tryPin(raw, index, false);
        if (segment[offset(raw, frame) >> 3] !== index) wrong++;
        unpin(raw, frame);
      }
      return wrong;
    },
    "raw optimistic": (order, from, count) => {
      let wrong = 0;
      for (let i = from; i < from + count; i++) {
        const index = order[i & orderMask];
        const read = optimisticBegin(raw, index);
        let value = read < 0 ? -1 : segment[offset(raw, read) >> 3];
        if (read < 0 || !optimisticValidate(raw, read)) value = pinned(index);
        if (value !== index) wrong++;
      }
      return wrong;
    },
    tryGetUserPages: (order, from, count) => {
      let wrong = 0;
      for (let i = from; i < from + count; i++) {
        const index = order[i & orderMask];
        const pages = file.tryGetUserPages(index * pageSize, 8);
        if (segment[pages.bytes.byteOffset >> 3] !== index) wrong++;
        pages.put();
      }
      return wrong;
    },
    readOptimistic: (order, from, count) => {
      let wrong = 0;
      for (let i = from; i < from + count; i++) {
        const index = order[i & orderMask];
        if (file.readOptimistic(index * pageSize, 8, first) !== index) wrong++;
      }
      return wrong;
    },
    "typed array": (order, from, count) => {
      let wrong = 0;
      for (let i = from; i < from + count; i++) {
        const index = order[i & orderMask];
        if (array[index * words] !== index) wrong++;
      }
      return wrong;
    },
  };
  return { cache, readers };
}

async function work() {
  const { pages, second, gate } = workerData;
  const { cache, readers: loops } = await readersOf(workerData);
  const half = pages / 2;
  const orderOf = (set) =>
    new Uint32Array(orderMask + 1).map(() => {
      if (set === "one page") return 0;
      return Math.floor(Math.random() * half) + (second && set === "disjoint" ? half : 0);
    });
  const orders = Object.fromEntries(sets.map((set) => [set, orderOf(set)]));
  for (const set of sets) for (const loop of Object.values(loops)) loop(orders[set], 0, 200_000);
  parentPort.on("message", ({ name, set, ms, ticket }) => {
    if (name === "end") return void cache.close().then(() => parentPort.close());
    const loop = loops[name];
    const order = orders[set];
    let done = 0;
    let wrong = 0;
    Atomics.add(gate, 0, 1);
    while (Atomics.load(gate, 0) < ticket);
    const start = performance.now();
    let ended = start;
    while (ended - start < ms) {
      wrong += loop(order, done, batch);
      done += batch;
      ended = performance.now();
    }
    if (wrong > 0) throw new Error(`${name}: ${wrong} of ${done} reads were wrong`);
    parentPort.postMessage(done / (ended - start) / 1000);
  });
  parentPort.postMessage("ready");
}

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

async function measure(workers, gate, rounds, ms) {
  const heard = (worker) => new Promise((resolve) => void worker.once("message", resolve));
  let ticket = 0;
  const run = async (names, chosen) => {
    ticket += chosen.length;
    const rates = chosen.map(heard);
    for (const worker of chosen) worker.postMessage({ ...names, ms, ticket });
    return (await Promise.all(rates)).reduce((sum, rate) => sum + rate, 0);
  };
  const results = [];
  for (const set of sets)
    for (const name of ["raw pin", "raw optimistic", "tryGetUserPages", "readOptimistic", "typed array"])
      results.push({ set, name, one: [], two: [], ratio: [] });
  for (let round = 0; round < rounds; round++) {
    for (const { set, name, one, two, ratio } of results) {
      const [a, b] = workers;
      const alone = ((await run({ name, set }, [a])) + (await run({ name, set }, [b]))) / 2;
      const both = await run({ name, set }, [a, b]);
      one.push(alone);
      two.push(both);
      ratio.push(both / alone);
    }
  }
  return results;
}

async function main() {
  const mebibytes = Number(process.argv[2] ?? 64);
  const rounds = Number(process.argv[3] ?? 9);
  const ms = Number(process.argv[4] ?? 200);
  const pages = (mebibytes * 1024 * 1024) / pageSize;
  const path = join(tmpdir(), `pinfold-threads-${process.pid}.bin`);
  process.on("exit", () => rmSync(path, { force: true }));
  const cache = await PageCache.open({ memory: `${Math.ceil(mebibytes * 1.25)}MiB` });
  const file = await cache.open(path, { create: true, size: pages * pageSize });
  const plain = new SharedArrayBuffer(pages * pageSize);
  const block = new Float64Array(words);
  for (let page = 0; page < pages; page++) {
    block.fill(page);
    new Float64Array(plain).set(block, page * words);
    await file.write(block, 0, pageSize, page * pageSize);
  }
  await file.sync();
  const gate = new Int32Array(new SharedArrayBuffer(4));
  const workers = [false, true].map(
    (second) =>
      new Worker(new URL(import.meta.url), { workerData: { share: cache.share(), path, plain, pages, second, gate } }),
  );
  for (const worker of workers) {
    worker.on("error", (error) => {
      throw error;
    });
  }
  await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once("message", resolve))));
  const results = await measure(workers, gate, rounds, ms);
  for (const worker of workers) worker.postMessage({ name: "end" });
  await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once("exit", resolve))));

  const cores = availableParallelism();
  console.log(
    `node ${process.version}, ${cores} cores, ${mebibytes} MiB resident, ${rounds} rounds of ${ms} ms; million/s`,
  );
  console.log(`${"".padEnd(28)}    one    two   two / one (least to most)`);
  const figures = results.map(({ set, name, one, two, ratio }) => {
    const row = { set, name, one: median(one), two: median(two), ratio: median(ratio) };
    const spread = [Math.min(...ratio), Math.max(...ratio)];
    const [least, most] = spread.map((value) => value.toFixed(2));
    const rates = [row.one, row.two].map((rate) => rate.toFixed(1).padStart(7)).join("");
    console.log(`${`${set}: ${name}`.padEnd(28)}${rates}   ${row.ratio.toFixed(2)} (${least} to ${most})`);
    return { ...row, spread };
  });
  console.log(JSON.stringify({ node: process.version, cores, mebibytes, rounds, ms, figures }));
  await file.close();
  await cache.close();
}

await (isMainThread ? main() : work());
