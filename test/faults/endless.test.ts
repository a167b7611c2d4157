/**
 * F25: I/O that never ends, for as long as a test likes. Whoever waits for it can abort; its frame is nobody else's before it has ended,
 * since the storage may still write to it, or read from it; everything else goes on.
 */
import { ok, rejects, strictEqual } from "node:assert/strict";
import { test, type TestContext } from "node:test";
import type { CachedFile } from "../../src/index.js";
import { MemoryStore } from "../../src/index.js";
import { ScriptedStore, type StoreCallName } from "../../src/testing/index.js";
import { byteAt, codeOf, filled, open, page, storedAt, turns, watch, writeAt } from "../mapping/fixture.js";

const enough = new Error("enough");
const own = 1;
const others = 200;

/** What lets go of a test's calls, where it has failed: before the cache is closed, which would wait for them. */
function endsOf(t: TestContext): (() => void)[] {
  const ends: (() => void)[] = [];
  t.after(() => ends.forEach((end) => end()));
  return ends;
}

/** A file whose page n is filled with n + 1. */
function numbered(pages: number): MemoryStore {
  return new MemoryStore({ contents: Buffer.concat(Array.from({ length: pages }, (_, at) => filled(at + own))) });
}

/** Reads every page but the first, several times what the cache holds; each is right, and none has come into `frame`. */
async function churn(file: CachedFile, find: (index: number) => number, frame: number): Promise<void> {
  for (let index = 1; index < others; index++) {
    strictEqual(await byteAt(file, index * page + 17), index + own);
    ok(find(index) !== frame, `page ${index} has come into the frame`);
  }
}

test("a read that does not end: all who wait abort, and its frame is no other page's until it has ended", async (t) => {
  const ends = endsOf(t);
  const { cache } = await open(t);
  const store = new ScriptedStore(numbered(others), { syncCalls: false });
  const file = await cache.open(store);
  const { table } = cache.core;
  const find = (index: number) => table.find(1, index);
  let target: Uint8Array | undefined;
  const reading = store.hold("readPages", {
    when: ({ position, buffers }) => {
      if (position === 0) target = buffers[0];
      return position === 0;
    },
  });
  const controller = new AbortController();
  const { signal } = controller;
  ends.push(() => reading.release());
  const waiting: Promise<unknown>[] = [file.getUserPages(0, 1, { signal })];
  await reading.entered;
  waiting.push(
    file.getUserPages(0, page, { signal }),
    file.getUserPages(0, page, { write: true, signal }),
    file.truncate(page, { signal }),
  );
  await turns();
  const frame = find(0);
  ok(frame >= 0 && target !== undefined);
  controller.abort(enough);
  for (const one of waiting) await rejects(one, enough);
  strictEqual(file.size, others * page);
  await churn(file, find, frame);
  // As by a device that is still at it.
  target.fill(99);
  await churn(file, find, frame);
  strictEqual(find(0), frame);
  reading.release();
  strictEqual(await byteAt(file, 17), own, "its bytes are those that came with its end");
  for (let round = 0; round < 3; round++) for (let index = 1; index < others; index++) await byteAt(file, index * page);
  ok(find(0) < 0, "and its frame is used again");
  cache.verify({ quiesce: true });
});

test("a write that does not end: all who wait abort, its frame and its bytes stay what they are until it has ended", async (t) => {
  const ends = endsOf(t);
  const { cache } = await open(t);
  const memory = numbered(others);
  const store = new ScriptedStore(memory, { syncCalls: false });
  const file = await cache.open(store);
  const find = (index: number) => cache.core.table.find(1, index);
  await writeAt(file, 0, 77);
  let source: Uint8Array | undefined;
  const writing = store.hold("writePages", {
    when: ({ buffers }) => {
      source = buffers[0];
      return true;
    },
  });
  const controller = new AbortController();
  const { signal } = controller;
  ends.push(() => writing.release());
  const waiting: Promise<unknown>[] = [file.sync({ signal })];
  await writing.entered;
  waiting.push(
    file.sync({ signal }),
    file.getUserPages(0, page, { write: true, signal }),
    file.truncate(0, { signal }),
    file.punchHole(0, page, { signal }),
  );
  await turns();
  const frame = find(0);
  controller.abort(enough);
  for (const one of waiting) await rejects(one, enough);
  strictEqual(file.size, others * page);
  await churn(file, find, frame);
  strictEqual(await byteAt(file, 17), 77, "it can be read meanwhile");
  ok(source?.every((byte) => byte === 77));
  strictEqual(storedAt(memory, 0), own);
  writing.release();
  await file.sync();
  strictEqual(storedAt(memory, 0), 77);
  cache.verify({ quiesce: true });
});

const calls: readonly [StoreCallName, (file: CachedFile, options: { signal?: AbortSignal }) => Promise<unknown>][] = [
  ["pageMkwrite", async (file, options) => (await file.getUserPages(0, page, { write: true, ...options })).put()],
  ["sync", (file, options) => file.sync(options)],
];

for (const [name, call] of calls) {
  test(`a ${name} that does not end: whoever waits aborts, other files go on, and after its end all is well`, async (t) => {
    const ends = endsOf(t);
    const { file, cache, store } = await open(t, { store: { syncCalls: false } });
    const memory = new MemoryStore({ sizeBytes: 8 * page });
    const other = await cache.open(memory);
    await writeAt(file, 5, 1);
    const held = store.hold(name);
    ends.push(() => held.release());
    const controller = new AbortController();
    const waiting = call(file, { signal: controller.signal });
    await held.entered;
    const second = watch(call(file, {}).catch((error: unknown) => error));
    await turns();
    controller.abort(enough);
    await rejects(waiting, enough);
    await writeAt(other, 0, 6);
    await other.sync();
    strictEqual(storedAt(memory, 0), 6);
    ok(!second.isDone, "who does not abort waits");
    held.release();
    strictEqual(await second.promise, undefined);
    strictEqual(await codeOf(file.sync()), undefined);
    cache.verify({ quiesce: true });
  });
}
