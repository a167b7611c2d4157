/**
 * A process that runs out of descriptors or of address space, and says what its calls came to: one line of JSON. Started with a limit
 * of the system on it (shortage.test.ts), and the name of what it does.
 */
import assert from "node:assert/strict";
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";
import { hasCLibrary, loadCLibrary } from "../../src/base/c-library.js";
import * as layout from "../../src/sync/layout.js";
import { type CacheShare, type CachedFile, PageCache, PinfoldError } from "../../src/index.js";

const page = 4096;

/** What a call came to: "done", or the code of its error. Other errors than the library's own are told with their text. */
async function outcome(call: () => unknown): Promise<string> {
  try {
    await call();
    return "done";
  } catch (error) {
    return error instanceof PinfoldError ? error.code : `not a PinfoldError: ${String(error)}`;
  }
}

/** Descriptors taken up by nothing. */
const taken: number[] = [];

/** Takes all descriptors but `left`. */
function useUp(left: number): void {
  try {
    for (;;) taken.push(openSync("/dev/null", "r"));
  } catch (error) {
    assert.equal((error as { code?: unknown }).code, "EMFILE");
  }
  for (const fd of taken.splice(taken.length - left)) closeSync(fd);
}

function giveBack(): void {
  for (const fd of taken.splice(0)) closeSync(fd);
}

interface Place {
  readonly folder: string;
  readonly cache: PageCache;
  readonly file: CachedFile;
}

async function openPlace(): Promise<Place> {
  const folder = mkdtempSync(join(tmpdir(), "pinfold-shortage-"));
  const cache = await PageCache.open({ memory: "1MiB" });
  return { folder, cache, file: await cache.open(join(folder, "first"), { create: true, size: 512 * page }) };
}

/** A file that is open can be read, pinned, written and made durable: pages that are there, and others. */
async function use(file: CachedFile, at: number): Promise<void> {
  const pages = await file.getUserPages(at * page, 2 * page, { write: true });
  for (const { bytes } of pages) bytes.fill(at);
  pages.put();
  await file.sync();
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, (at + 1) * page);
  assert.equal(buffer[0], at);
}

const acts: Record<string, () => Promise<unknown>> = {
  async open() {
    const { folder, cache, file } = await openPlace();
    const found: Record<string, unknown> = {};
    // With none the file cannot be opened; with one its folder cannot be, for its new name to be durable.
    for (const left of [0, 1]) {
      const path = join(folder, `second-${left}`);
      useUp(left);
      const opens = new Set<string>();
      // More often than there are places for files: a failed open gives its own back.
      for (let i = 0; i <= layout.MAPPINGS_MAX; i++)
        opens.add(await outcome(() => cache.open(path, { create: true, size: page })));
      found[`open with ${left}`] = [...opens].join();
      found[`there with ${left}`] = existsSync(path);
      found[`use with ${left}`] = await outcome(() => use(file, 100 * (left + 1)));
      found[`files with ${left}`] = cache.stats().files.length;
      found[`another cache with ${left}`] = await outcome(async () =>
        (await PageCache.open({ memory: "1MiB" })).close(),
      );
      cache.verify({ quiesce: true });
      giveBack();
      found[`open after ${left}`] = await outcome(async () => (await cache.open(path, { create: true })).close());
    }
    await cache.close();
    found["durable"] = [100, 200].every((at) => readFileSync(join(folder, "first"))[at * page] === at % 256);
    rmSync(folder, { recursive: true });
    return found;
  },

  async attach() {
    const { folder, cache, file } = await openPlace();
    const { threads } = cache.core.frames;
    const slots = () => [...threads.claimed()].length;
    const found: unknown[] = [];
    // A thread that has never attached a cache, and one that has: of that one's work less is left that needs a descriptor.
    for (const hasAttached of [false, true]) {
      const worker = new Worker(new URL(import.meta.url), { workerData: { share: cache.share(), folder } });
      await said(worker);
      if (hasAttached) await told(worker, "attach");
      useUp(0);
      for (let i = 0; i < 20; i++) found.push(await told(worker, "attach"), slots());
      found.push(await outcome(() => use(file, 10)));
      giveBack();
      found.push(await told(worker, "attach"), slots());
      await worker.terminate();
    }
    await cache.close();
    rmSync(folder, { recursive: true });
    return [...new Set(found.map(String))];
  },

  async died() {
    const { folder, cache, file } = await openPlace();
    const worker = new Worker(new URL(import.meta.url), { workerData: { share: cache.share(), folder } });
    await said(worker);
    await told(worker, "hold");
    // Nobody cleans up before there is nothing left to do it with.
    const { recovery } = cache.core;
    recovery.look = () => {};
    await worker.terminate();
    useUp(0);
    Reflect.deleteProperty(recovery, "look");
    const found = [await outcome(() => use(file, 0)), cache.stats().recoveredThreads];
    giveBack();
    await cache.close();
    rmSync(folder, { recursive: true });
    return found;
  },

  /** A worker that has never called the C library is the last to close a file, for which it has to. */
  async close() {
    const { folder, cache, file } = await openPlace();
    const worker = new Worker(new URL(import.meta.url), { workerData: { share: cache.share(), folder } });
    await said(worker);
    await told(worker, "open");
    await file.close();
    useUp(0);
    const found = [await told(worker, "close"), await told(worker, "read"), await told(worker, "close")];
    giveBack();
    found.push(await told(worker, "close"));
    found.push(await outcome(async () => (await cache.open(join(folder, "first"))).close()));
    await worker.terminate();
    await cache.close();
    rmSync(folder, { recursive: true });
    return found;
  },

  async koffi() {
    useUp(0);
    const found = await outcome(loadCLibrary);
    giveBack();
    return [found, hasCLibrary(), loadCLibrary() !== null];
  },

  async memory() {
    const { folder, cache, file } = await openPlace();
    const caches: PageCache[] = [];
    let refused = "done";
    while (refused === "done" && caches.length < 1_000)
      refused = await outcome(async () => caches.push(await PageCache.open({ memory: "64MiB", preTouch: false })));
    const found = [refused, caches.length > 0 && caches.length < 1_000, await outcome(() => use(file, 3))];
    const second = await caches[0]?.open(join(folder, "second"), { create: true, size: 8 * page });
    found.push(await outcome(() => use(second as CachedFile, 5)));
    for (const each of [cache, ...caches]) {
      each.verify({ quiesce: true });
      await each.close();
    }
    rmSync(folder, { recursive: true });
    return found;
  },
};

/** The next thing that a worker says. */
function said(worker: Worker): Promise<unknown> {
  return new Promise((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
}

/** What came of something that a worker is told to do. */
function told(worker: Worker, what: string): Promise<unknown> {
  const answer = said(worker);
  worker.postMessage(what);
  return answer;
}

interface AttachData {
  readonly share: CacheShare;
  readonly folder: string;
}

function beWorker({ share, folder }: AttachData): void {
  const path = join(folder, "first");
  let kept: CachedFile | undefined;
  const orders: Record<string, () => Promise<unknown>> = {
    async attach() {
      await using cache = PageCache.attach(share);
      assert.notEqual(cache.core.frames.threads.identity(cache.core.frames.thread).start, 0);
      await using file = await cache.open(path);
      await use(file, 20);
    },
    async hold() {
      const file = await PageCache.attach(share).open(path);
      await file.getUserPages(0, page, { write: true });
    },
    async open() {
      kept = await PageCache.attach(share).open(path);
    },
    read: async () => kept?.read(Buffer.alloc(page), 0, page, 5 * page),
    close: async () => kept?.close(),
  };
  parentPort?.on("message", (what: string) => {
    void outcome(async () => orders[what]?.()).then((result) => parentPort?.postMessage(result));
  });
  parentPort?.postMessage("ready");
}

if (isMainThread) console.log(JSON.stringify(await acts[process.argv[2] as string]?.()));
else beWorker(workerData as AttachData);
