/**
 * Caches, files and folders that end with their test, and the comparison behind "nothing changed".
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import {
  type CachedFile,
  type ErrorCode,
  MemoryStore,
  PageCache,
  type PageCacheOptions,
  PinfoldError,
  type Store,
} from "../../src/index.js";

export const pageSize = 4096;

/** A folder that goes away with the test. */
export function scratchFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "pinfold-api-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export async function openCache(t: TestContext, options: PageCacheOptions = {}): Promise<PageCache> {
  const cache = await PageCache.open({ memory: "1MiB", preTouch: false, ...options });
  t.after(() => cache.close({ discard: true }));
  return cache;
}

/** Bytes in which each position is told from its neighbours and from the same place in other pages. */
export function pattern(length: number, seed = 0): Buffer {
  return Buffer.from(Uint8Array.from({ length }, (_, at) => (at * 31 + (at >> 12) * 7 + seed) & 0xff));
}

/** A cache with one file on disk of `contents`. */
export async function openDisk(
  t: TestContext,
  contents: Uint8Array,
  options: PageCacheOptions = {},
): Promise<{ cache: PageCache; file: CachedFile; path: string }> {
  const path = join(scratchFolder(t), "data.bin");
  writeFileSync(path, contents);
  const cache = await openCache(t, options);
  return { cache, file: await cache.open(path), path };
}

/** A cache with one file in memory of `pages` pages of zeros. */
export async function openMemory(
  t: TestContext,
  pages: number,
  options: PageCacheOptions = {},
): Promise<{ cache: PageCache; file: CachedFile; store: MemoryStore }> {
  const store = new MemoryStore({ sizeBytes: pages * pageSize });
  const cache = await openCache(t, options);
  return { cache, file: await cache.open(store), store };
}

/** A store in memory with nothing but the calls that every store has. */
export function withoutSyncCalls(store: MemoryStore): Store {
  const dropped = ["readPagesSync", "writePagesSync", "pageMkwriteSync", "syncSync"];
  return new Proxy(store, {
    get(target, name) {
      if (name === "capabilities") return { ...target.capabilities, syncCalls: false };
      if (dropped.includes(String(name))) return undefined;
      const value = Reflect.get(target, name, target) as unknown;
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
}

/** Runs `call`, which may throw or reject, and answers the error. */
export async function errorOf(call: () => unknown): Promise<PinfoldError> {
  try {
    await call();
  } catch (error) {
    assert.ok(error instanceof PinfoldError, `not a PinfoldError: ${String(error)}`);
    return error;
  }
  return assert.fail("nothing was thrown");
}

export async function failsWith(code: ErrorCode, call: () => unknown, label = ""): Promise<PinfoldError> {
  let error: unknown = "nothing was thrown";
  try {
    await call();
  } catch (thrown) {
    error = thrown;
  }
  assert.ok(error instanceof PinfoldError, `${label}: ${String(error)}`);
  assert.equal(error.code, code, `${label}: ${error.message}`);
  assert.ok(error.message.startsWith(`${code}: `) && error.advice.length > 0, label);
  return error;
}

/** What a refused call must leave as it was. The invariants are executed on the way. */
export async function stateOf(cache: PageCache, file: CachedFile): Promise<unknown> {
  cache.verify({ quiesce: true });
  const { dirtyPages, writebackPages, unstablePages, pins, pinnedPages, leakedPages, waiters } = cache.stats();
  const contents = Buffer.alloc(file.size);
  await file.read(contents, 0, contents.length, 0);
  return {
    stats: { dirtyPages, writebackPages, unstablePages, pins, pinnedPages, leakedPages, waiters },
    size: file.size,
    contents: contents.toString("base64"),
  };
}

/** Waits until `holds`, looking every few milliseconds. */
export async function until(holds: () => boolean, what: string, timeoutMs = 5_000): Promise<void> {
  for (let leftMs = timeoutMs; !holds(); leftMs -= 5) {
    if (leftMs <= 0) assert.fail(`never: ${what}`);
    await sleep(5);
  }
}

/** A program in a process of its own, with `pinfold` as `../src/index.js` of the build. Its standard output and error. */
export function runProgram(
  source: string,
  options: { nodeOptions?: string[]; uid?: number } = {},
): { status: number | null; stdout: string; stderr: string } {
  const entry = new URL("../../src/index.js", import.meta.url).href;
  const program = `import * as pinfold from ${JSON.stringify(entry)};\n${source}`;
  const args = [...(options.nodeOptions ?? []), "--input-type=module", "--eval", program];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    encoding: "utf8",
    timeout: 60_000,
    ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }),
  });
  return { status, stdout, stderr };
}
