/** A thread whose first write makes it load koffi, and which says so just before. */
import { workerData } from "node:worker_threads";
import { type CacheShare, PageCache } from "../../src/index.js";

export interface LoadData {
  readonly share: CacheShare;
  readonly path: string;
  readonly position: number;
  /** One word: 1 where the write begins, 2 where it is done. */
  readonly state: SharedArrayBuffer;
}

const { share, path, position, state } = workerData as LoadData;
const cache = PageCache.attach(share);
const file = await cache.open(path);
const bytes = Buffer.from(new ArrayBuffer(4096)).fill(7);
Atomics.store(new Int32Array(state), 0, 1);
file.writeSync(bytes, 0, bytes.length, position);
Atomics.store(new Int32Array(state), 0, 2);
setInterval(() => {}, 1_000);
