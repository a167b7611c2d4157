/** A thread that makes one call, and stops at the point of it that it was told. */
import { parentPort, workerData } from "node:worker_threads";
import { type PointsSay, arm, disarm } from "./sweep-points.js";
import { type CacheShare, PageCache, type PagesToken } from "../../src/index.js";
import { type Call, calls } from "./sweep-calls.js";

export interface SweepData {
  readonly share: CacheShare;
  readonly path: string;
  readonly call: string;
  /** 0: to the end. */
  readonly stopAt: number;
  readonly token: PagesToken | undefined;
}

export interface SweepSays extends PointsSay {
  /** Its slot, from when it begins. */
  readonly slot?: number;
  /** Points from the call's begin to its end. */
  readonly points?: number;
  readonly error?: string;
}

async function perform({ share, path, call: name, stopAt, token }: SweepData): Promise<void> {
  const say = (says: SweepSays) => parentPort?.postMessage(says);
  const call = calls[name] as Call;
  const cache = PageCache.attach(share);
  cache.core.recovery.look = () => {};
  setInterval(() => {}, 60_000);
  const file = await cache.open(path);
  const told = () => new Promise((resolve) => parentPort?.once("message", resolve));
  const scene = { cache, file, path, scope: cache.scope(), token, told };
  const prepared = await call.prepare?.(scene);
  say({ slot: cache.core.frames.thread });
  if (call.contended) await told();
  arm(stopAt);
  try {
    await call.run(scene, prepared as never);
    say({ points: disarm() });
  } catch (error) {
    say({ points: disarm(), error: String((error as Error).stack) });
  }
}

void perform(workerData as SweepData).catch((error: unknown) => parentPort?.postMessage({ error: String(error) }));
