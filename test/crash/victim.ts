/**
 * A process that uses the library until it is killed: `node victim.js JSON`. The main thread opens the cache, others attach it.
 *
 * SIGUSR2 asks it to stop its operations, to sync (again and again, for 20 s at most, where the storage had no space), close, and
 * report that all is over. Any other end but a kill is a failure; standard error says which.
 *
 * See also: victim-tasks.ts (what its threads do), victim-process.ts (who starts and kills it).
 */
import { setTimeout } from "node:timers/promises";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { type CachedFile, type CacheShare, PageCache } from "../../src/index.js";
import { SeededRandom } from "../../src/testing/index.js";
import { reports, sendReport } from "./reports.js";
import { sectorBytes } from "./sector-words.js";
import { type VictimShape, VictimTask } from "./victim-tasks.js";

export interface VictimOptions extends VictimShape {
  readonly path: string;
  readonly pageSize: number;
  readonly memoryBytes: number;
  readonly direct: boolean;
  readonly checksums: boolean;
  readonly seed: number;
  /** Tasks of the main thread and of each other one run beside each other with sectors of their own; the first of them is number 0. */
  readonly tasksPerThread: number;
}

interface ThreadData {
  readonly share: CacheShare;
  readonly options: VictimOptions;
  /** The number of its first task. */
  readonly first: number;
  readonly stop: SharedArrayBuffer;
}

function isStopped(stop: SharedArrayBuffer): boolean {
  return Atomics.load(new Int32Array(stop), 0) !== 0;
}

/** The tasks of one thread, side by side until they are told to stop. */
async function work(file: CachedFile, { options, first, stop }: Omit<ThreadData, "share">): Promise<VictimTask[]> {
  const tasks = Array.from(
    { length: options.tasksPerThread },
    (_, at) => new VictimTask(file, options, first + at, new SeededRandom(options.seed * 64 + first + at)),
  );
  await Promise.all(
    tasks.map(async (task) => {
      while (!isStopped(stop)) await task.step();
    }),
  );
  return tasks;
}

async function main(options: VictimOptions): Promise<void> {
  const cache = await PageCache.open({
    memory: options.memoryBytes,
    pageSize: options.pageSize,
    writebackIntervalMs: 15,
    dirtyExpireMs: 60,
  });
  const file = await cache.open(options.path, {
    create: true,
    ...(options.direct ? { direct: true } : {}),
    ...(options.checksums ? { checksums: true } : {}),
  });
  if (file.size < options.bodySectors * sectorBytes) {
    // A first operation of its own: the file becomes large enough, as zeros.
    const number = options.lastNumber + 1;
    const [sizeMin, sizeMax] = [file.size / sectorBytes, options.bodySectors];
    sendReport(options.fd, { kind: reports.begin, number, flavour: 3, first: 0, count: 0, sizeMin, sizeMax });
    await file.truncate(options.bodySectors * sectorBytes);
    sendReport(options.fd, { kind: reports.end, number });
  }
  const stop = new SharedArrayBuffer(4);
  const workers: Promise<void>[] = [];
  for (let first = options.tasksPerThread; first < options.threads; first += options.tasksPerThread) {
    const data: ThreadData = { share: cache.share(), options, first, stop };
    const worker = new Worker(new URL(import.meta.url), { workerData: data });
    workers.push(
      new Promise((resolve, reject) => {
        worker.on("error", reject);
        worker.on("exit", () => resolve());
      }),
    );
    // Who asks for faults waits until all threads have the file.
    await new Promise<void>((resolve) => worker.once("message", () => resolve()));
  }
  process.on("SIGUSR2", () => Atomics.store(new Int32Array(stop), 0, 1));
  sendReport(options.fd, { kind: reports.ready });
  const [, tasks] = await Promise.all([Promise.all(workers), work(file, { options, first: 0, stop })]);
  for (let tries = 0; !(await (tasks[0] as VictimTask).sync(true)); tries++) {
    if (tries > 200) throw new Error("the last sync does not get better");
    await setTimeout(100);
  }
  cache.verify({ quiesce: true });
  await cache.close();
  sendReport(options.fd, { kind: reports.over });
}

async function thread(data: ThreadData): Promise<void> {
  const cache = PageCache.attach(data.share);
  const { path, direct } = data.options;
  const file = await cache.open(path, direct ? { direct } : {});
  parentPort?.postMessage("open");
  await work(file, data);
  await cache.close();
}

if (isMainThread) await main(JSON.parse(process.argv[2] as string) as VictimOptions);
else await thread(workerData as ThreadData);
