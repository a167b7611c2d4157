/** What comes for a wait that has ended already must not end the next one, which may have its place in the table of waiters. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Frames } from "../../src/frames/frames.js";
import * as layout from "../../src/sync/layout.js";
import { MemoryStore } from "../../src/index.js";
import { ScriptedStore } from "../../src/testing/index.js";
import { openCache, pageSize } from "../api/fixture.js";
import { Locks } from "./lock-worker.js";
import { type Thread, startThreads } from "./sharing-threads.js";

function enqueue({ frames }: Locks): number {
  const { words, thread, plan } = frames;
  let node: number;
  const { poolRecord } = plan;
  const [mapping, index] = [words.mappingIdOf(poolRecord), words.indexOf(poolRecord)];
  do node = words.enqueue(poolRecord, mapping, index, layout.MODE_NOTIFY, thread, 0);
  while (node === layout.LOST);
  assert.ok(node >= 0);
  return node;
}

test("an abort that comes after its wait has ended, however early it ended, ends no other wait", async () => {
  const locks = new Locks(Frames.create(64 * 4096, 4096, false));
  const { poolRecord } = locks.frames.plan;
  const wait = (node: number, signal?: AbortSignal) =>
    locks.locks.queues.wait(node, poolRecord, layout.MODE_NOTIFY, { signal });
  const early = new AbortController();
  const first = enqueue(locks);
  // As by another thread, between joining the queue and the wait itself.
  while (locks.frames.words.dismiss(first, poolRecord, 0) === layout.LOST);
  assert.equal(await wait(first, early.signal), layout.GONE);
  const second = enqueue(locks);
  assert.equal(second, first, "the same place");
  let ended = false;
  const other = wait(second).finally(() => {
    ended = true;
  });
  early.abort(new Error("late"));
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(ended, false);
  locks.locks.notifyPool();
  await other;
});

test("a store's answer to a call that was given up is nobody else's answer", async (t) => {
  const memory = new MemoryStore({ sizeBytes: 8 * pageSize });
  const store = new ScriptedStore(memory);
  const cache = await openCache(t);
  await cache.open(store);
  const [one, other] = (await startThreads(t, cache, 2)) as [Thread, Thread];
  for (const [at, thread] of [one, other].entries()) {
    await thread.tell("open", "a", { key: store.key });
    await thread.tell("read", "a", 1, at * pageSize);
  }
  const hold = store.hold("pageMkwrite");
  // This thread, which has the store, answers neither call before both were made, and the first one given up.
  const givenUp = one.tellBlocking("readFor", "a", 5 * pageSize, 20);
  let isWritten = false;
  const written = other.tell("write", "a", "granted", pageSize).finally(() => {
    isWritten = true;
  });
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
  try {
    assert.equal(await givenUp, "TimeoutError");
    await Promise.race([hold.entered, written]);
    await sleep(50);
    assert.equal(isWritten, false, "its leave to write was not given yet");
  } finally {
    hold.release();
  }
  assert.equal(await written, 7);
  await other.tell("sync", "a");
  assert.equal(Buffer.from(memory.snapshot()).toString("latin1", pageSize, pageSize + 7), "granted");
});
