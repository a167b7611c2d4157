/**
 * Background write-back, throttling of writers, errors that wait, and the flush at exit.
 */
import { deepStrictEqual, match, ok, strictEqual, throws } from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { setTimeout } from "node:timers/promises";
import { CachedFile } from "../../src/api/cached-file.js";
import { PinfoldError } from "../../src/base/errors.js";
import { limits } from "../../src/base/limits.js";
import { MemoryStore } from "../../src/index.js";
import { collectDirty } from "../../src/writeback/dirty-set.js";
import { codeOf, filled, open, page, storedAt, turns, until, writeAt } from "../mapping/fixture.js";

const quick = { writebackIntervalMs: 5, dirtyExpireMs: 1 };

test("a dirty page is written when it has been dirty for too long, and made durable", async (t) => {
  const { file, cache, memory } = await open(t, { cache: quick });
  await writeAt(file, 0, 5);
  await until(() => storedAt(memory, 0) === 5, "expiry");
  await until(() => cache.stats().unstablePages + cache.stats().dirtyPages === 0, "the store's sync");
});

test("above the background limit everything is written, below it nothing before its time", async (t) => {
  const { file, cache } = await open(t, { cache: { dirtyBackgroundBytes: 4 * page } });
  await file.write(filled(5, 4 * page), 0, 4 * page, 0);
  await cache.core.flusher.step(false);
  strictEqual(cache.stats().dirtyPages, 4);
  await writeAt(file, 9, 5);
  await cache.core.flusher.step(false);
  strictEqual(cache.stats().dirtyPages, 0);
});

test("a round writes more pages than it chooses at a time", async (t) => {
  const { file, cache, store } = await open(t, { pages: 1_024, cache: { memory: "4MiB" } });
  const pages = limits.sharedRoundPagesMax * 2 + 3;
  for (let index = 0; index < pages * 2; index += 2) await writeAt(file, index, 5);
  await cache.core.flusher.step(true, limits.sharedRoundPagesMax);
  strictEqual(cache.stats().dirtyPages + cache.stats().unstablePages, 0);
  strictEqual(store.count("writePages"), pages);
});

test("the pieces of a round are written side by side", async (t) => {
  const { file, cache, store } = await open(t, { pages: 1_024, cache: { memory: "8MiB" } });
  const pages = limits.sharedRoundPagesMax * limits.writesInFlight;
  await file.write(filled(5, pages * page), 0, pages * page, 0);
  let release = () => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  store.on("writePages", { before: () => released });
  const round = cache.core.flusher.step(true, limits.sharedRoundPagesMax);
  await until(() => store.count("writePages") === limits.writesInFlight, "all pieces are on their way");
  release();
  await round;
  strictEqual(cache.stats().dirtyPages, 0);
});

test("write-back that outlives its file writes no page of the next one in its slot", async (t) => {
  const { file, cache, store } = await open(t);
  const { writer, flusher, table } = cache.core;
  const space = CachedFile.spaceOf(file, cache.core);
  await file.close();
  const other = await cache.open(new MemoryStore({ sizeBytes: 8 * page }));
  await writeAt(other, 0, 6);
  strictEqual(CachedFile.spaceOf(other, cache.core).id, space.id, "the slot is used again");
  // What a round still has on its list, and what it finds on the list of its slot.
  await writer.writeNow(space, [{ frame: table.find(space.id, 0), index: 0 }]);
  await flusher.flushOne(space, true);
  strictEqual(store.count("writePages"), 0, "the closed file's store is left alone");
  strictEqual(cache.stats().dirtyPages, 1);
  await other.sync();
  cache.verify({ quiesce: true });
});

test("a round that may not wait for its walk ends, and the next one works", async (t) => {
  const { file, cache } = await open(t);
  await writeAt(file, 0, 5);
  t.mock.method(cache.core.locks, "acquire", () => {
    throw new PinfoldError("ERR_PINFOLD_TOO_MANY", "tasks wait for pages already");
  });
  await cache.core.flusher.step(false, 1);
  t.mock.restoreAll();
  await cache.core.flusher.step(true);
  strictEqual(cache.stats().dirtyPages, 0);
});

test("a look at some dirty pages goes on where the last one stopped, so that threads take different ones", async (t) => {
  const { file, cache } = await open(t);
  const space = CachedFile.spaceOf(file, cache.core);
  for (const index of [5, 3, 9, 1, 7, 11]) await writeAt(file, index, 5);
  const look = () => collectDirty(cache.core.frames, space, () => true, 4).map(({ index }) => index);
  deepStrictEqual(
    [look(), look(), look()],
    [
      [1, 3, 5, 9],
      [3, 5, 7, 11],
      [1, 7, 9, 11],
    ],
  );
});

test("unstable pages that hold half of the dirty limit make the flusher ask for a store sync", async (t) => {
  const { file, cache, store } = await open(t, { cache: { dirtyBackgroundBytes: page, dirtyBytesMax: 8 * page } });
  await file.write(filled(5, 3 * page), 0, 3 * page, 0);
  await cache.core.flusher.step(false);
  strictEqual(store.count("sync"), 0);
  await file.write(filled(5, 3 * page), 0, 3 * page, 10 * page);
  await cache.core.flusher.step(false);
  strictEqual(store.count("sync"), 1);
  strictEqual(cache.stats().unstablePages, 0);
});

test("a store that stalls makes no write fail: writers are delayed, each for a bounded time", async (t) => {
  const { file, store, cache } = await open(t);
  const held = store.hold("writePages");
  const write = async (from: number) => {
    for (let index = from; index < from + 20; index++) await writeAt(file, index, index + 1);
  };
  const written = Promise.all([write(0), write(20), write(40)]);
  await held.entered;
  await setTimeout(5000);
  held.release();
  await written;
  await file.sync();
  cache.verify({ quiesce: true });
});

test("a writer above the dirty limit goes on after its delay though the store still stalls", async (t) => {
  const { file, store } = await open(t, { cache: { dirtyBytesMax: 8 * page, dirtyBackgroundBytes: 4 * page } });
  await file.write(filled(1, 9 * page), 0, 9 * page, 0);
  const held = store.hold("writePages");
  strictEqual(file.tryWrite(filled(2), 0), false);
  const written = writeAt(file, 20, 2);
  await held.entered;
  await written;
  const pages = await file.getUserPages(21 * page, page, { write: true });
  pages.put();
  held.release();
});

test("a file whose storage stays broken keeps its pages up to the dirty limit, then refuses writes with the cause; others go on", async (t) => {
  const { file, store, cache } = await open(t, { cache: { dirtyBytesMax: 8 * page, dirtyBackgroundBytes: 4 * page } });
  const other = await cache.open(new MemoryStore({ sizeBytes: 64 * page }));
  const gone = new PinfoldError("EIO", "the disk has gone");
  const broken = [
    store.fail("writePages", gone, { times: Infinity }),
    store.fail("writePagesSync", gone, { times: Infinity }),
  ];
  let written = 0;
  const write = async () => {
    for (; written < 40; written++) await writeAt(file, written, written + 1);
  };
  const refused = await write().catch((error: unknown) => error as PinfoldError);
  ok(refused instanceof PinfoldError, "no more than the limit is kept");
  strictEqual(refused.code, "EIO");
  match(refused.message, /its storage fails, and \d+ pages wait for it already/);
  match((refused.cause as Error).message, /the disk has gone/);
  ok(written >= 8 && written <= 10, `${written} pages`);
  strictEqual(await codeOf(file.getUserPages(20 * page, page, { write: true })), "EIO");
  strictEqual(file.tryWrite(filled(1), 30 * page), false);
  throws(() => file.getUserPagesSync(20 * page, page, { write: true }), { code: "EIO" });
  const before = performance.now();
  for (let index = 0; index < 60; index++) await writeAt(other, index, index + 1);
  ok(performance.now() - before < limits.throttleMs * 20, "nobody else is delayed for each write");
  await other.sync();
  ok(cache.stats().dirtyPages <= 10);
  strictEqual(await codeOf(file.sync()), "EIO");
  for (const heal of broken) heal();
  await file.sync();
  await write();
  await file.sync();
  const found = await Promise.all(
    Array.from({ length: 40 }, (_, index) => file.read(Buffer.alloc(1), 0, 1, index * page)),
  );
  deepStrictEqual(
    found.map(({ buffer }) => buffer[0]),
    Array.from({ length: 40 }, (_, index) => index + 1),
  );
  cache.verify({ quiesce: true });
});

test("pages under counted write pins are written when they expire, not each time somebody writes", async (t) => {
  const { file, cache, store, memory } = await open(t, { cache: { dirtyBackgroundBytes: page } });
  const pages = await file.getUserPages(0, 20 * page, { write: true, longterm: true });
  for (let i = 0; i < 5; i++) await cache.core.flusher.step(true);
  strictEqual(store.count("writePages"), 0);
  pages.page(0).bytes.fill(4);
  await file.sync();
  strictEqual(storedAt(memory, 0), 4);
  pages.put();
});

test("background write-back backs off after an error, is tried again, and tells on its channel when it healed", async (t) => {
  const heard: string[] = [];
  const failed = (message: unknown) => heard.push(`failed ${(message as { index: number }).index}`);
  const healed = (message: unknown) => heard.push(`healed ${(message as { index: number }).index}`);
  subscribe("pinfold:write-error", failed);
  subscribe("pinfold:healed", healed);
  t.after(() => {
    unsubscribe("pinfold:write-error", failed);
    unsubscribe("pinfold:healed", healed);
  });
  const { file, cache, store } = await open(t);
  await writeAt(file, 3, 5);
  store.fail("writePages", "EIO");
  await cache.core.flusher.step(true);
  deepStrictEqual(heard, ["failed 3"]);
  await cache.core.flusher.step(false);
  await cache.core.flusher.step(true);
  strictEqual(store.count("writePages"), 1);
  const space = cache.core.spaces[0];
  ok(space && space.retryAtMs > cache.core.clock.nowMs());
  space.retryAtMs = 0;
  await cache.core.flusher.step(true);
  deepStrictEqual(heard, ["failed 3", "healed 3"]);
  strictEqual(space.retryDelayMs, 0);
});

test("what could not be written or made durable is tried again in the background, though nobody asks", async (t) => {
  const { file, cache, store, memory } = await open(t, { cache: quick });
  store.fail("writePages", "EIO");
  await writeAt(file, 3, 5);
  await until(() => cache.stats().files[0]?.writeErrors === 1, "the write's failure");
  await until(() => storedAt(memory, 3 * page) === 5, "the next try");
  strictEqual(cache.stats().files[0]?.healedErrors, 1);
  await until(() => cache.stats().unstablePages + cache.stats().dirtyPages === 0, "the store's sync");
  store.fail("sync", "EIO");
  await writeAt(file, 3, 6);
  await until(() => cache.stats().files[0]?.syncErrors === 1, "the sync's failure");
  await until(() => cache.stats().unstablePages + cache.stats().dirtyPages === 0, "the next try");
  strictEqual(storedAt(memory, 3 * page), 6);
});

test("a sync that worked ends the delay of background write-back", async (t) => {
  const { file, cache, store } = await open(t);
  await writeAt(file, 3, 5);
  store.fail("writePages", "EIO");
  await cache.core.flusher.step(true);
  await file.sync();
  await writeAt(file, 4, 5);
  await cache.core.flusher.step(true);
  strictEqual(cache.stats().dirtyPages, 0);
});

test("a miss that needs frames from a file with an error waits for the shortest delay, however long the file's is", async (t) => {
  const { file, cache, store } = await open(t);
  await file.write(filled(1, 63 * page), 0, 63 * page, 0);
  store.fail("writePages", "EIO", { times: 5 });
  const space = cache.core.spaces[0];
  ok(space);
  await cache.core.flusher.step(true);
  const nowMs = cache.core.clock.nowMs();
  space.retryDelayMs = 3_600_000;
  space.retryAtMs = nowMs - 10_000 + space.retryDelayMs;
  store.clear();
  (await file.getUserPages(100 * page, 1)).put();
});

/** Runs a program over a file of its own, and gives back what the file has afterwards, and the signal that ended it. */
async function runToExit(
  t: TestContext,
  program: string,
): Promise<{ bytes: Uint8Array; stderr: string; signal: unknown }> {
  const folder = mkdtempSync(join(tmpdir(), "pinfold-exit-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, "data");
  const source = `
    const entry = ${JSON.stringify(new URL("../../src/index.js", import.meta.url).href)};
    const { PageCache } = await import(entry);
    const cache = await PageCache.open({ memory: "1MiB" });
    const path = ${JSON.stringify(path)};
    const file = await cache.open(path, { create: true, size: 65536 });
    await file.write(Buffer.alloc(8192, 7), 0, 8192, 0);
    ${program}`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", source], { stdio: ["ignore", "ignore", "pipe"] });
  let stderr = "";
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const signal = await new Promise((resolve) => child.on("close", (_status, how) => resolve(how)));
  return { bytes: readFileSync(path), stderr, signal };
}

const endings = {
  "by process.exit": "process.exit(0);",
  "by an uncaught exception": "setImmediate(() => { throw new Error('on purpose'); });",
  "by an unhandled rejection": "Promise.reject(new Error('on purpose'));",
  "by an error in a worker": `
    const { Worker } = await import("node:worker_threads");
    new Worker("throw new Error('on purpose')", { eval: true });`,
  "by the end of a worker that alone has its cache": `
    await file.truncate(0);
    await file.truncate(65536);
    await cache.close();
    const { Worker } = await import("node:worker_threads");
    const inWorker = async ({ workerData: { entry, path } }) => {
      const { PageCache } = await import(entry);
      const cache = await PageCache.open({ memory: "1MiB" });
      const file = await cache.open(path);
      await file.write(Buffer.alloc(8192, 7), 0, 8192, 0);
      process.exit();
    };
    const source = "import('node:worker_threads').then(" + inWorker + ")";
    const worker = new Worker(source, { eval: true, workerData: { entry, path } });
    await new Promise((resolve) => worker.once("exit", resolve));
    process.kill(process.pid, "SIGKILL");`,
  "by a signal that a handler ends it for": `
    process.on("SIGTERM", () => process.exit(0));
    process.kill(process.pid, "SIGTERM");
    setInterval(() => {}, 1000);`,
  "with a write on its way to the store": `
    const space = cache.core.spaces[0];
    // It does not get there: what Node has begun might still be done while it ends.
    space.store.writePages = () => new Promise(() => {});
    void cache.core.writer.writeNow(space, [{ frame: cache.core.table.find(0, 0), index: 0 }, { frame: cache.core.table.find(0, 1), index: 1 }]);
    process.exit(0);`,
  "with a page pinned for writing":
    "await file.getUserPages(100, 10, { write: true, longterm: true }); process.exit(0);",
};

for (const [name, program] of Object.entries(endings)) {
  test(`what is dirty is written when the process ends ${name}`, async (t) => {
    const { bytes } = await runToExit(t, program);
    ok(bytes.subarray(0, 8192).every((byte) => byte === 7));
    ok(bytes.subarray(8192).every((byte) => byte === 0));
  });
}

test("what is written at exit is made durable", async (t) => {
  const { stderr } = await runToExit(
    t,
    `const { store } = cache.core.spaces[0];
    const [write, sync] = [store.writePagesSync.bind(store), store.syncSync.bind(store)];
    store.writePagesSync = (...args) => (write(...args), process.stderr.write("written "));
    store.syncSync = (...args) => (sync(...args), process.stderr.write("synced "));
    process.exit(0);`,
  );
  strictEqual(stderr, "written synced ");
});

for (const name of ["SIGTERM", "SIGINT", "SIGHUP"]) {
  // As README.md says: Node runs nothing of a program then. What was synced is there, and the file is whole.
  test(`what is dirty dies with a process that ${name} ends without a handler, and what was synced does not`, async (t) => {
    const { bytes, signal } = await runToExit(
      t,
      `await file.sync();
      await file.write(Buffer.alloc(4096, 9), 0, 4096, 0);
      process.kill(process.pid, "${name}");
      setInterval(() => {}, 1000);`,
    );
    strictEqual(signal, name);
    ok(bytes.subarray(0, 8192).every((byte) => byte === 7));
    strictEqual(bytes.length, 65_536);
  });
}

test("with writeThrough a signal without a handler loses no completed write", async (t) => {
  const { bytes, signal } = await runToExit(
    t,
    `const through = await PageCache.open({ memory: "1MiB", writeThrough: true });
    await file.close();
    const again = await through.open(path);
    await again.write(Buffer.alloc(4096, 9), 0, 4096, 0);
    process.kill(process.pid, "SIGTERM");
    setInterval(() => {}, 1000);`,
  );
  strictEqual(signal, "SIGTERM");
  ok(bytes.subarray(0, 4096).every((byte) => byte === 9));
});

test("an error at exit is told on standard error", async (t) => {
  const { stderr } = await runToExit(
    t,
    "cache.core.spaces[0].store.writePagesSync = () => { throw new Error('no'); }; process.exit(0);",
  );
  match(stderr, /not everything could be written at exit: .*no/);
});

test("a failing store does not stop the flusher for other files", async (t) => {
  const bad = await open(t);
  await writeAt(bad.file, 0, 1);
  bad.store.fail("writePages", "EIO", { times: 100 });
  const memory = new MemoryStore({ sizeBytes: 4 * page });
  const good = await bad.cache.open(memory);
  await writeAt(good, 0, 2);
  await bad.cache.core.flusher.step(true);
  await turns();
  strictEqual(storedAt(memory, 0), 2);
  strictEqual(await codeOf(bad.file.sync()), "EIO");
});
