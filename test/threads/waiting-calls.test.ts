/** The blocking calls over two threads: they wait for what the other one holds, and are told where that would never end. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { Worker } from "node:worker_threads";
import {
  type CachedFile,
  type ErrorCode,
  MemoryStore,
  PageCache,
  type PageCacheOptions,
  PinfoldError,
} from "../../src/index.js";
import * as layout from "../../src/sync/layout.js";
import { failsWith, pageSize, pattern, scratchFolder, until } from "../api/fixture.js";
import type { Blocker, BlockerMessage, BlockerOp, BlockerReply } from "./sync-call-worker.js";

class BlockerThread {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  #last = 0;

  constructor(cache: PageCache) {
    this.#worker = new Worker(new URL("./sync-call-worker.js", import.meta.url), {
      workerData: { blocker: cache.share() },
    });
    this.#worker.on("message", ({ id, result, code, message }: BlockerReply) => {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (message === undefined) waiting?.resolve(result);
      else waiting?.reject(code === undefined ? new Error(message) : new PinfoldError(code as ErrorCode, message));
    });
  }

  /** @throws PinfoldError with the code of the error that the thread met */
  async tell<Op extends BlockerOp>(
    op: Op,
    ...args: Parameters<Blocker[Op]>
  ): Promise<Awaited<ReturnType<Blocker[Op]>>> {
    const id = ++this.#last;
    const answer = new Promise<unknown>((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    this.#worker.postMessage({ id, op, args } satisfies BlockerMessage);
    return (await answer) as Awaited<ReturnType<Blocker[Op]>>;
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }
}

interface Scene {
  readonly cache: PageCache;
  readonly file: CachedFile;
  readonly other: BlockerThread;
  /** What another thread opens. */
  readonly target: string | { readonly key: string };
  readonly isBlocked: () => boolean;
}

/** A file on disk, or in this thread's memory, that two threads have open. The cache must be as it should afterwards. */
async function scene(t: TestContext, pages: number, options: PageCacheOptions = {}, key = ""): Promise<Scene> {
  const cache = await PageCache.open({ memory: "1MiB", preTouch: false, ...options });
  const path = join(scratchFolder(t), "data.bin");
  writeFileSync(path, pattern(pages * pageSize));
  const file = await cache.open(key === "" ? path : new MemoryStore({ key, contents: pattern(pages * pageSize) }));
  const other = new BlockerThread(cache);
  const target = key === "" ? path : { key };
  const thread = await other.tell("open", target);
  t.after(async () => {
    await other.tell("close");
    await other.end();
    cache.verify({ quiesce: true });
    await cache.close();
  });
  const { shared, threads } = cache.core.frames;
  return { cache, file, other, target, isBlocked: () => shared.load(threads.at(thread, layout.THREAD_BLOCKED)) !== 0 };
}

test("a blocking call waits for another thread's pin, and sees what that one wrote", async (t) => {
  const { file, other, isBlocked } = await scene(t, 4);
  for (const [op, args] of [
    ["read", [4, 0]],
    ["write", ["text", 0]],
    ["pin", ["mine", 0, 2 * pageSize]],
  ] as const) {
    const pages = await file.getUserPages(0, 4, { write: true });
    const waiting = (other.tell as (...call: unknown[]) => Promise<unknown>).call(other, op, ...args);
    await until(isBlocked, `${op} blocks`);
    pages.copyFrom(Buffer.from("from"));
    pages.put();
    assert.equal(await waiting, op === "read" ? "from" : op === "write" ? 4 : undefined);
  }
  await other.tell("put", "mine", "pins");
  assert.equal(file.readSync(Buffer.alloc(4), 0, 4, 0), 4);
  // The other way round: this thread blocks.
  await other.tell("pin", "mine", pageSize, 10);
  await other.tell("putLater", "mine", 100, "later");
  const bytes = Buffer.alloc(5);
  file.readSync(bytes, 0, 5, pageSize);
  assert.equal(bytes.toString(), "later");
});

test("a read that fails in one thread is its own affair: the one that waits reads for itself", async (t) => {
  const { cache, other, isBlocked } = await scene(t, 4);
  const { core } = cache;
  const space = core.spaces.find((one) => one !== undefined);
  assert.ok(space);
  // Its page is being loaded by this thread, which then gives up.
  const frame = core.table.reserve();
  assert.ok(core.table.insert(frame, space.id, 2));
  const waiting = other.tell("read", 3, 2 * pageSize);
  await until(isBlocked, "it waits for the load");
  core.table.remove(frame);
  core.table.release(frame);
  assert.equal(await waiting, pattern(4 * pageSize).toString("latin1", 2 * pageSize, 2 * pageSize + 3));
});

test("a write past the end waits for another thread's size change", async (t) => {
  const { cache, file, other, isBlocked } = await scene(t, 2);
  const { locks, spaces } = cache.core;
  const space = spaces.find((one) => one !== undefined);
  assert.ok(space);
  assert.equal(locks.tryExclusive(space.resizeLock, space.id, layout.LOCK_RESIZE), layout.OK);
  const waiting = other.tell("write", "end", 2 * pageSize);
  await until(isBlocked, "it blocks");
  locks.unlockExclusive(space.resizeLock);
  assert.equal(await waiting, 3);
  assert.equal(file.size, 2 * pageSize + 3);
});

test("a load and a grant wait for another thread's punch", async (t) => {
  const { cache, other, isBlocked } = await scene(t, 4);
  const { locks, spaces } = cache.core;
  const space = spaces.find((one) => one !== undefined);
  assert.ok(space);
  for (const [op, args] of [
    ["read", [1, 0]],
    ["write", ["x", 0]],
  ] as const) {
    assert.equal(locks.tryExclusive(space.invalidateLock, space.id, layout.LOCK_INVALIDATE), layout.OK);
    const waiting = (other.tell as (...call: unknown[]) => Promise<unknown>).call(other, op, ...args);
    await until(isBlocked, `${op} blocks`);
    locks.unlockExclusive(space.invalidateLock);
    assert.equal(await waiting, op === "read" ? pattern(1).toString("latin1") : 1);
  }
});

test("syncSync waits for a write of the page that another thread has on its way, and writes it again where that fails", async (t) => {
  const { cache, file, other, isBlocked } = await scene(t, 4);
  const { locks, frames, table, spaces } = cache.core;
  const { words, thread } = frames;
  const space = spaces.find((one) => one !== undefined);
  assert.ok(space);
  for (const outcome of [layout.OUTCOME_UNSTABLE, layout.OUTCOME_FAILED]) {
    file.writeSync("on its way", 0);
    const frame = table.find(space.id, 0);
    assert.equal(locks.tryShared(frame, space.id, 0), layout.OK);
    while (words.beginWriteback(frame, thread) === layout.LOST);
    const syncing = other.tell("sync");
    await until(isBlocked, "it waits for the write");
    while (words.endWriteback(frame, outcome) === layout.LOST);
    locks.unlockShared(frame);
    locks.queues.wake(frame);
    await syncing;
    assert.equal(cache.stats().dirtyPages + cache.stats().unstablePages, 0);
  }
});

test("a size change that waits for a pin of the thread that blocks for it is EDEADLK there, at once", async (t) => {
  const { file, other, isBlocked } = await scene(t, 2);
  await other.tell("pin", "mine", 0, 1);
  const cutting = file.truncate(0);
  await until(() => file.size === 0, "the cut has begun");
  const startMs = performance.now();
  await failsWith("EDEADLK", () => other.tell("write", "end", 5 * pageSize));
  assert.ok(performance.now() - startMs < 3_000);
  assert.equal(isBlocked(), false);
  await other.tell("put", "mine");
  await cutting;
});

test("a miss waits for a frame that another thread gives back, and names the pins that keep all of them", async (t) => {
  const { cache, file, other, isBlocked } = await scene(t, 300, { frameWaitMs: 300 });
  const pins = [];
  for (let at = 0; at < cache.stats().frames; at++) pins.push(await file.getUserPages(at * pageSize, 1));
  const error = await failsWith("ERR_PINFOLD_NO_FRAMES", () => other.tell("read", 1, 290 * pageSize));
  assert.match(error.message, /read (pin|lock)/);
  const waiting = other.tell("read", 1, 290 * pageSize);
  await until(isBlocked, "it blocks");
  pins.pop()?.put();
  assert.equal((await waiting).length, 1);
  for (const pages of pins) pages.put();
});

test("a pin of many pages waits for what other threads' pins have of the frames, and not for its own thread's", async (t) => {
  const { file, other, isBlocked } = await scene(t, 300, { frameWaitMs: 300 });
  const mine = await file.getUserPages(0, 200 * pageSize);
  await failsWith("ERR_PINFOLD_NO_FRAMES", () => other.tell("pin", "many", 0, 100 * pageSize, false));
  const waiting = other.tell("pin", "many", 100 * pageSize, 200 * pageSize, false);
  await until(isBlocked, "it blocks");
  mine.put();
  await waiting;
  const startMs = performance.now();
  await failsWith("EDEADLK", () => other.tell("pin", "more", 0, 100 * pageSize, false));
  assert.ok(performance.now() - startMs < 250, "at once");
  await other.tell("put", "many");
});

test("a circle of two threads that block is EDEADLK for one, with the holders, and the other goes on", async (t) => {
  const { file, other, isBlocked } = await scene(t, 4);
  const mine = await file.getUserPages(0, 1, { write: true });
  await other.tell("pin", "theirs", pageSize, 1);
  const waiting = failsWith("EDEADLK", () => other.tell("pinOr", "both", 0, "theirs"));
  await until(isBlocked, "it blocks");
  file.getUserPagesSync(pageSize, 1, { write: true }).put();
  const error = await waiting;
  assert.match(error.message, /would never end: thread 0 blocks for what this thread holds: .*thread 0.*write lock/);
  mine.put();
});

test("a scope's circle through a blocking call of another thread is EDEADLK at once", async (t) => {
  const { cache, file, other } = await scene(t, 4);
  using scope = cache.scope();
  const mine = await file.getUserPages(0, 1, { write: true, scope });
  await other.tell("pin", "theirs", pageSize, 1, true, "theirs");
  const waiting = file.getUserPages(pageSize, 1, { write: true, scope });
  await until(() => cache.stats().waiters === 1, "it waits");
  await failsWith("EDEADLK", () => other.tell("pin", "both", 0, 1, true, "theirs"));
  await other.tell("put", "theirs");
  (await waiting).put();
  mine.put();
});

test("syncSync waits for another thread's write pin on a dirty page, and covers what its put left", async (t) => {
  const { file, other, cache } = await scene(t, 4);
  file.writeSync("dirty", 0);
  await other.tell("pin", "theirs", 0, 10);
  await other.tell("putLater", "theirs", 100, "theirs");
  file.syncSync();
  assert.equal(cache.stats().dirtyPages + cache.stats().unstablePages, 0);
  const bytes = Buffer.alloc(6);
  file.readSync(bytes, 0, 6, 0);
  assert.equal(bytes.toString(), "theirs");
  // And the other way round, with its own pin in the way.
  await other.tell("write", "again", 0);
  await other.tell("pin", "own", 0, 1);
  await failsWith("EDEADLK", () => other.tell("sync"));
  await other.tell("put", "own");
  await other.tell("sync");
  assert.equal(cache.stats().dirtyPages + cache.stats().unstablePages, 0);
});

test("a store of another thread is read, written, extended and synced with blocking calls", async (t) => {
  const { cache, file, other } = await scene(t, 4, {}, "memory:blocking");
  assert.equal(await other.tell("read", 8, 4090), pattern(4 * pageSize).toString("latin1", 4090, 4098));
  assert.equal(await other.tell("write", "inside", 10), 6);
  assert.equal(await other.tell("write", "past", 5 * pageSize), 4);
  assert.equal(file.size, 5 * pageSize + 4);
  await other.tell("pin", "mine", pageSize, 2 * pageSize);
  await other.tell("put", "mine", "put");
  await other.tell("pin", "mine", pageSize, 10);
  const startMs = performance.now();
  await failsWith("EDEADLK", () => other.tell("sync"));
  assert.ok(performance.now() - startMs < 3_000, "before it counts as stuck");
  await other.tell("put", "mine", "pins");
  await other.tell("sync");
  assert.equal(cache.stats().dirtyPages + cache.stats().unstablePages, 0);
  const bytes = Buffer.alloc(6);
  await file.read(bytes, 0, 6, 10);
  assert.equal(bytes.toString(), "inside");
});

test("a thread that blocks for the thread of a store, which blocks for its page, is a circle", async (t) => {
  const { file, other, isBlocked } = await scene(t, 4, {}, "memory:circle");
  await other.tell("pin", "theirs", 0, 1);
  // This thread blocks for the page just as the other one asks it for a load.
  const waiting = failsWith("EDEADLK", () => other.tell("pinOr", "next", 3 * pageSize, "theirs"));
  const pages = file.getUserPagesSync(0, 1, { write: true });
  pages.put();
  await waiting;
  assert.equal(isBlocked(), false);
});

test("a thread that is terminated just as it was woken lets the next one go on, blocking or not", async (t) => {
  const { cache, file, other, target } = await scene(t, 4);
  for (let round = 0; round < 8; round++) {
    const mine = await file.getUserPages(0, 1, { write: true });
    const mortal = new BlockerThread(cache);
    await mortal.tell("open", target);
    const { words } = cache.core.frames;
    const record = cache.core.table.find(0, 0);
    void mortal.tell(round % 2 === 0 ? "pin" : "pinWaiting", "never", 0, 1);
    await until(() => words.firstWaiter(record) >= 0, "it waits");
    const next = other.tell(round < 4 ? "pin" : "pinWaiting", "next", 0, 1);
    await until(() => words.nextWaiter(words.firstWaiter(record)) >= 0, "the next one waits");
    mine.put();
    await mortal.end();
    await next;
    await other.tell("put", "next");
  }
});
