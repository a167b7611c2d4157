/** Threads that die, a cache that goes on, and what has to be true of it then. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { setTimeout as after } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { type CachedFile, PageCache, type PageCacheOptions, channels } from "../../src/index.js";
import type { Recovered } from "../../src/mapping/recovery.js";
import * as layout from "../../src/sync/layout.js";
import { type ActName, type MortalData, type Reached, page } from "./mortal-worker.js";

export { page } from "./mortal-worker.js";
export const filePages = 256;
/** Others go on within a second of a thread's end; the rest is for a machine that is busy with something else. */
export const recoveryMs = 1_000;
const patienceMs = 20_000;

export interface Scene {
  readonly cache: PageCache;
  readonly file: CachedFile;
  readonly path: string;
  readonly recovered: Recovered[];
}

/** A file of which page n is filled with n modulo 251, and a cache of 64 frames over it. */
export async function open(t: TestContext, options: PageCacheOptions = {}): Promise<Scene> {
  const folder = mkdtempSync(join(tmpdir(), "pinfold-mortal-"));
  const path = join(folder, "file");
  writeFileSync(path, Buffer.concat(Array.from({ length: filePages }, (_, at) => Buffer.alloc(page, at % 251))));
  const cache = await PageCache.open({ memory: 64 * page, writebackIntervalMs: 86_400_000, ...options });
  const recovered: Recovered[] = [];
  const note = (event: unknown) => void recovered.push(event as Recovered);
  channels.recovered.subscribe(note);
  t.after(async () => {
    channels.recovered.unsubscribe(note);
    await cache.close({ discard: true });
    rmSync(folder, { recursive: true });
  });
  return { cache, file: await cache.open(path), path, recovered };
}

export interface Mortal {
  readonly worker: Worker;
  readonly slot: number;
  /** Terminates it, and waits until somebody has cleaned up after it. How long that took after its end. */
  kill(): Promise<number>;
}

/** Starts a thread that has come to the point of an act when this resolves. */
export async function start({ cache, path }: Scene, act: ActName): Promise<Mortal> {
  const data: MortalData = { share: cache.share(), path, act };
  const worker = new Worker(new URL("./mortal-worker.js", import.meta.url), { workerData: data });
  const reached = await new Promise<Reached>((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
  const { threads } = cache.core.frames;
  const generation = threads.generation(reached.slot);
  const kill = async () => {
    await worker.terminate();
    const startedMs = performance.now();
    await until(
      () => !threads.isClaimed(reached.slot) || threads.generation(reached.slot) !== generation,
      `slot ${reached.slot} is given back after ${act}`,
    );
    return performance.now() - startedMs;
  };
  return { worker, slot: reached.slot, kill };
}

export async function until(condition: () => boolean, what: string): Promise<void> {
  for (const untilMs = performance.now() + patienceMs; !condition(); ) {
    if (performance.now() > untilMs) assert.fail(`never: ${what}`);
    await after(2);
  }
}

/** Nothing is left of the dead: all other files are closed, nothing is under way, and every invariant holds. */
export async function verifyQuiet({ cache }: Scene): Promise<void> {
  const { recovery, directory } = cache.core;
  await until(() => recovery.unfinished === 0, "what dead threads had begun is finished");
  cache.verify({ quiesce: true });
  assert.equal([...directory.slots()].length, 1, "files of dead threads are closed");
  const { frames } = cache.core;
  assert.equal([...frames.threads.claimed()].length, 1, "no slot is taken");
  assert.equal(frames.counter(layout.HEADER_CREDITS), frames.count, "all credits are there");
  for (let entry = 0; entry < layout.SCOPE_HOLDS_MAX; entry++)
    assert.equal(
      frames.counter(frames.plan.scopeHolds + entry * layout.SCOPE_HOLD_BYTES),
      0,
      "no scope holds anything",
    );
}

export async function byteAt(file: CachedFile, position: number): Promise<number> {
  const target = new Uint8Array(1);
  assert.equal((await file.read(target, 0, 1, position)).bytesRead, 1);
  return target[0] as number;
}
