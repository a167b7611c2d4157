/** A thread that makes a cache, opens a file in it, writes to it, gives the cache away, and waits to be terminated. */
import { parentPort, workerData } from "node:worker_threads";
import { type CacheShare, PageCache } from "../../src/index.js";
import { page } from "./mortal-worker.js";

export interface MakerReached {
  readonly share: CacheShare;
  readonly slot: number;
}

async function make(path: string): Promise<void> {
  const cache = await PageCache.open({ memory: 64 * page });
  const file = await cache.open(path, { create: true, size: 16 * page });
  await file.write(new Uint8Array(page).fill(2), 0, page, 0);
  await file.sync();
  await file.write(new Uint8Array(page).fill(2), 0, page, 0);
  parentPort?.postMessage({ share: cache.share(), slot: cache.core.frames.thread } satisfies MakerReached);
  setInterval(() => {}, 60_000);
}

void make((workerData as { path: string }).path);
