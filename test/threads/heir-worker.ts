/**
 * A thread that cleans up after a dead one, and stops before the nth change of shared memory that it makes, to be terminated itself.
 */
import { parentPort, workerData } from "node:worker_threads";
import { hook } from "./words-hook.js";
import { type CacheShare, PageCache } from "../../src/index.js";
import { SharedIntegers } from "../../src/sync/shared.js";

export interface HeirData {
  readonly share: CacheShare;
  readonly path: string;
  /** Before which change it stops; 0: before none. */
  readonly stopBefore: number;
}

/** `slot` at first; then how many changes there were, up to where it stopped. */
export interface HeirSays {
  readonly slot?: number;
  readonly changes?: number;
}

const reading = new Set(
  "lowWord highWord linkWord ledgerEntry mappingIdOf indexOf blockWord find nextResident transferState transitOf firstWaiter sizeOf".split(
    " ",
  ),
);

async function wait({ share, path, stopBefore }: HeirData): Promise<void> {
  const cache = PageCache.attach(share);
  await cache.open(path);
  const { recovery, frames } = cache.core;
  recovery.look = () => {};
  let changes = 0;
  let isCleaning = false;
  const note = (): void => {
    if (!isCleaning || ++changes !== stopBefore) return;
    parentPort?.postMessage({ changes } satisfies HeirSays);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  };
  hook.seen = (name) => {
    if (!reading.has(name)) note();
  };
  for (const name of ["store", "add", "swap"] as const) {
    const original = SharedIntegers.prototype[name] as (...given: unknown[]) => unknown;
    Object.defineProperty(SharedIntegers.prototype, name, {
      value(this: SharedIntegers, ...given: unknown[]) {
        note();
        return original.apply(this, given);
      },
    });
  }
  parentPort?.on("message", (dead: number) => {
    isCleaning = true;
    recovery.cleanUp(dead);
    isCleaning = false;
    parentPort?.postMessage({ changes } satisfies HeirSays);
  });
  parentPort?.postMessage({ slot: frames.thread } satisfies HeirSays);
}

void wait(workerData as HeirData);
