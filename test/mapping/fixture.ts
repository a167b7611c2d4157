/**
 * A small cache over a scripted memory store, and waits that end with what they wait for.
 *
 * See also: ../../src/testing/scripted-store.ts, which holds and fails store calls.
 */
import { fail } from "node:assert/strict";
import type { TestContext } from "node:test";
import { setImmediate, setTimeout } from "node:timers/promises";
import { type CachedFile, MemoryStore, PageCache, type PageCacheOptions, UserPages } from "../../src/index.js";
import { ScriptedStore, type ScriptedStoreOptions } from "../../src/testing/index.js";

export const page = 4096;
/** Background write-back does nothing by itself. */
const never = 86_400_000;
export const generousMs = 30_000;

export interface Fixture {
  readonly cache: PageCache;
  readonly file: CachedFile;
  readonly store: ScriptedStore;
  readonly memory: MemoryStore;
}

export interface FixtureOptions {
  /** Pages of the file. */
  readonly pages?: number;
  readonly frames?: number;
  readonly cache?: PageCacheOptions;
  readonly store?: ScriptedStoreOptions;
  readonly capacityBytes?: number;
}

/** A cache of 64 frames (63 for pages, one for snapshots) and a file of 256 pages, all zero, unless asked otherwise. */
export async function open(t: TestContext, options: FixtureOptions = {}): Promise<Fixture> {
  const pageSize = options.cache?.pageSize ?? page;
  const capacity = options.capacityBytes === undefined ? {} : { capacityBytes: options.capacityBytes };
  const memory = new MemoryStore({ sizeBytes: (options.pages ?? 256) * pageSize, ...capacity });
  const store = new ScriptedStore(memory, options.store ?? {});
  const cache = await PageCache.open({
    memory: (options.frames ?? 64) * pageSize,
    writebackIntervalMs: never,
    ...options.cache,
  });
  t.after(async () => {
    store.clear();
    for (const pin of cache.core.pins) putIfHandled(pin.handle);
    await cache.close({ discard: true }).catch(() => {});
  });
  return { cache, file: await cache.open(store), store, memory };
}

/** Pins that a failed test has left. */
function putIfHandled(handle: object | undefined): void {
  if (handle instanceof UserPages && handle.isPinned) handle.put();
}

export function filled(value: number, length = page): Uint8Array {
  return new Uint8Array(length).fill(value);
}

/** The code that a promise rejects with; undefined where it resolves. */
export async function codeOf(promise: Promise<unknown>): Promise<string | undefined> {
  try {
    await promise;
    return undefined;
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

/** Lets everything happen that does not wait for anything. */
export async function turns(count = 20): Promise<void> {
  for (let i = 0; i < count; i++) await setImmediate();
}

/** Waits until `condition` holds. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  for (const untilMs = Date.now() + generousMs; !condition(); ) {
    if (Date.now() > untilMs) fail(`waited in vain: ${what}`);
    await setTimeout(2);
  }
}

/** Tells whether a promise has settled, without waiting for it. */
export function watch<T>(promise: Promise<T>): { readonly isDone: boolean; readonly promise: Promise<T> } {
  const state = { isDone: false, promise };
  const done = () => {
    state.isDone = true;
  };
  promise.then(done, done);
  return state;
}

export async function writeAt(file: CachedFile, index: number, value: number, length = page): Promise<void> {
  await file.write(filled(value, length), 0, length, index * file.pageSize);
}

export async function byteAt(file: CachedFile, position: number): Promise<number | undefined> {
  const target = new Uint8Array(1);
  const { bytesRead } = await file.read(target, 0, 1, position);
  return bytesRead === 1 ? target[0] : undefined;
}

/** What the storage itself has at `position`. */
export function storedAt(memory: MemoryStore, position: number): number | undefined {
  const target = new Uint8Array(1);
  memory.readPagesSync(position, [target]);
  return target[0];
}

/** All clean pages leave the cache. */
export function dropCaches(file: CachedFile): void {
  file.invalidate();
}
