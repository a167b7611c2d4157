/**
 * A parallel job over one large file: four workers count how often each byte occurs. They share one cache of 64 MiB, which is all
 * the memory that the file's pages take, however large the file is and however many workers there are.
 *
 *     node parallel-job.mjs [MiB]      (a file of that size, default 256, in a folder that goes away at the end)
 */
import { open, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";
import { type CacheShare, PageCache } from "pinfold";

const MiB = 1024 * 1024;
const workers = 4;

/** What a worker is given: the cache, the file, and which stripe of it is next, for all of them. */
interface Job {
  share: CacheShare;
  path: string;
  nextStripe: Int32Array;
}

/** In a worker: counts stripe after stripe, until there is none left. */
async function count({ share, path, nextStripe }: Job): Promise<Float64Array> {
  await using cache = PageCache.attach(share); // the same memory, not a copy
  await using file = await cache.open(path, { readOnly: true }); // the same file as in the other threads
  const counts = new Float64Array(256);
  for (;;) {
    const position = Atomics.add(nextStripe, 0, 1) * MiB;
    if (position >= file.size) return counts;
    using pages = await file.getUserPages(position, Math.min(MiB, file.size - position));
    for (const page of pages) for (const byte of page.bytes) counts[byte]! += 1;
  }
}

/** Starts a worker. Resolves to what it has counted. */
function countInWorker(job: Job): Promise<Float64Array> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: job });
    worker.once("message", resolve);
    worker.once("error", reject);
  });
}

/** The same in one thread, with plain reads, to compare. */
async function countAlone(path: string): Promise<Float64Array> {
  const counts = new Float64Array(256);
  const buffer = new Uint8Array(MiB);
  await using file = await open(path);
  for (;;) {
    const { bytesRead } = await file.read(buffer, 0, MiB);
    if (bytesRead === 0) return counts;
    for (const byte of buffer.subarray(0, bytesRead)) counts[byte]! += 1;
  }
}

/** Bytes that are not all alike. */
async function makeFile(path: string, mebibytes: number): Promise<void> {
  const bytes = Uint8Array.from({ length: MiB }, (_, at) => (at * at) >> 7);
  await using file = await open(path, "w");
  for (let stripe = 0; stripe < mebibytes; stripe++) {
    bytes.fill(stripe, 0, 4096);
    await file.write(bytes);
  }
}

async function main(mebibytes: number): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "pinfold-parallel-"));
  try {
    const path = join(folder, "data.bin");
    await makeFile(path, mebibytes);

    await using cache = await PageCache.open({ memory: "64MiB", pageSize: 65_536 });
    const job: Job = { share: cache.share(), path, nextStripe: new Int32Array(new SharedArrayBuffer(4)) };
    const startMs = performance.now();
    const parts = await Promise.all(Array.from({ length: workers }, () => countInWorker(job)));
    const counts = new Float64Array(256).map((_, byte) => parts.reduce((sum, part) => sum + part[byte]!, 0));
    console.log(`${workers} workers counted ${mebibytes} MiB in ${Math.round(performance.now() - startMs)} ms`);

    const expected = await countAlone(path);
    if (counts.some((times, byte) => times !== expected[byte])) throw new Error("the workers have miscounted");
    console.log(`byte 0 occurs ${counts[0]} times, as counted by one thread`);
  } finally {
    await rm(folder, { recursive: true });
  }
}

if (isMainThread) await main(Number(process.argv[2] ?? 256));
else parentPort?.postMessage(await count(workerData as Job));
