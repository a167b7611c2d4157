/**
 * Peak memory of a process with several workers that share one cache, beside a process whose workers do the same work on plain fs,
 * each into a buffer of its own.
 *
 * node bench/thread-memory.mjs [workers] [seconds] [cache MiB]     (default 8, 10, 64; after npm run build)
 * Prints the resident peaks (VmHWM), what of the difference are pages and metadata, and what is left for each worker: first with
 * V8's own limits, then with small young generations, on both sides. `--json`: the figures of the second, to be compared.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";

const MiB = 1024 * 1024;
const pageSize = 4096;
const lanes = 8;
/** How many times the cache the file is. */
const fileShare = 4;
/** What a worker may take beyond what it takes without a cache. */
const allowedPerWorker = 8 * MiB;

function peakBytes() {
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync("/proc/self/status", "latin1"))[1]) * 1024;
}

/** Random numbers below `below`, the same for both sides (mulberry32). */
function randomOf(seed) {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

/** Several tasks at once: ranges of 1 to 8 pages, every fourth one written, the others summed up. */
async function work({ seed, seconds, fileBytes }, read, write) {
  const untilMs = performance.now() + seconds * 1000;
  let operations = 0;
  const lane = async (number) => {
    const random = randomOf(seed * 64 + number);
    while (performance.now() < untilMs) {
      const length = pageSize * (1 + random(8));
      const position = pageSize * random((fileBytes - length) / pageSize);
      if (random(4) === 0) await write(position, length, number);
      else await read(position, length, number);
      operations += 1;
    }
  };
  await Promise.all(Array.from({ length: lanes }, (_, number) => lane(number)));
  return operations;
}

function sumOf(bytes) {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 64) sum += bytes[at];
  return sum;
}

async function onPlainFiles(data) {
  const buffers = Array.from({ length: lanes }, () => new Uint8Array(8 * pageSize));
  const file = await open(data.path, "r+");
  const operations = await work(
    data,
    async (position, length, lane) => {
      await file.read(buffers[lane], 0, length, position);
      sumOf(buffers[lane].subarray(0, length));
    },
    async (position, length, lane) => {
      buffers[lane].fill(position & 0xff);
      await file.write(buffers[lane], 0, length, position);
    },
  );
  await file.close();
  return operations;
}

async function onCache(data) {
  const { PageCache } = await import("../build/src/index.js");
  const cache = PageCache.attach(data.share);
  const file = await cache.open(data.path);
  const operations = await work(
    data,
    async (position, length) => {
      const pages = await file.getUserPages(position, length);
      for (const page of pages) sumOf(page.bytes);
      pages.put();
    },
    async (position, length) => {
      const pages = await file.getUserPages(position, length, { write: true });
      for (const page of pages) page.bytes.fill(position & 0xff);
      pages.put();
    },
  );
  await cache.close();
  return operations;
}

/** One side, in a process of its own: its peak, and what the cache's memories take. */
async function measure({ side, workers, seconds, cacheMiB, path }) {
  let cache;
  if (side === "cache") {
    const { PageCache } = await import("../build/src/index.js");
    // As plain files do it: what is written need not be durable before its memory is used for something else.
    const durability = "kernel";
    cache = await PageCache.open({
      memory: `${cacheMiB}MiB`,
      writebackIntervalMs: 500,
      dirtyExpireMs: 1_000,
      durability,
    });
    await cache.open(path);
  }
  const data = { side, seconds, path, fileBytes: cacheMiB * fileShare * MiB, share: cache?.share() };
  const done = await Promise.all(
    Array.from({ length: workers }, (_, seed) => {
      const worker = new Worker(new URL(import.meta.url), { workerData: { ...data, seed } });
      return new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
    }),
  );
  const frames = cache?.core.frames;
  console.log(
    JSON.stringify({
      peak: peakBytes(),
      operations: done.reduce((sum, count) => sum + count, 0),
      pages: frames ? frames.segments.reduce((sum, { buffer }) => sum + buffer.byteLength, 0) : 0,
      metadata: frames?.wordsMemory.buffer.byteLength ?? 0,
    }),
  );
  await cache?.close();
}

function inMiB(bytes) {
  return `${(bytes / MiB).toFixed(1)} MiB`;
}

/** Both sides, in processes with these flags. */
function compare({ workers, seconds, cacheMiB, flags }) {
  const folder = mkdtempSync(join(tmpdir(), "pinfold-memory-"));
  const path = join(folder, "data");
  const run = (side) => {
    writeFileSync(path, "");
    truncateSync(path, cacheMiB * fileShare * MiB);
    const options = JSON.stringify({ side, workers, seconds, cacheMiB, path });
    return JSON.parse(execFileSync(process.execPath, [...flags, import.meta.filename, options], { encoding: "utf8" }));
  };
  try {
    const bare = run("files");
    const cached = run("cache");
    const perWorker = (cached.peak - bare.peak - cached.pages - cached.metadata) / workers;
    return { bare, cached, perWorker };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function print(options, { bare, cached, perWorker }) {
  const { workers, seconds, cacheMiB, flags } = options;
  const allowed = bare.peak + cached.pages + cached.metadata + workers * allowedPerWorker;
  const how = flags.length === 0 ? "" : `, ${flags.join(" ")}`;
  console.log(
    `node ${process.version}, ${workers} workers of ${lanes} tasks, ${seconds} s, file of ${cacheMiB * fileShare} MiB${how}`,
  );
  console.log(`  plain files    peak ${inMiB(bare.peak)}, ${bare.operations} operations`);
  console.log(`  shared cache   peak ${inMiB(cached.peak)}, ${cached.operations} operations`);
  console.log(`  pages ${inMiB(cached.pages)}, metadata ${inMiB(cached.metadata)}`);
  console.log(`  a worker more  ${inMiB(perWorker)} (at most ${inMiB(allowedPerWorker)})`);
  console.log(`  of what it may take: ${(cached.peak / allowed).toFixed(3)}`);
}

/** V8 lets a young generation grow to 48 MiB in each thread where there is much short-lived garbage. */
const smallYoung = ["--max-semi-space-size=2"];

function main(args) {
  const [workers = 8, seconds = 10, cacheMiB = 64] = args.filter((arg) => !arg.startsWith("--")).map(Number);
  if (args.includes("--json")) {
    console.log(JSON.stringify(compare({ workers, seconds, cacheMiB, flags: smallYoung })));
    return;
  }
  for (const flags of [[], smallYoung]) {
    const options = { workers, seconds, cacheMiB, flags };
    print(options, compare(options));
  }
}

if (!isMainThread) {
  const { side } = workerData;
  parentPort.postMessage(await (side === "cache" ? onCache : onPlainFiles)(workerData));
} else if (process.argv[2]?.startsWith("{")) {
  await measure(JSON.parse(process.argv[2]));
} else {
  main(process.argv.slice(2));
}
