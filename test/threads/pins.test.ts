/** Who holds what, across threads: pins(), the holders that errors name, credits, limits and counters. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { MemoryStore, type PagesToken, type PinInfo, UserPages } from "../../src/index.js";
import { systemClock } from "../../src/base/clock.js";
import { Frames } from "../../src/frames/frames.js";
import { Core } from "../../src/mapping/core.js";
import type { AddressSpace } from "../../src/cache/space.js";
import { mayWriteNow } from "../../src/mapping/throttle.js";
import * as layout from "../../src/sync/layout.js";
import { errorOf, failsWith, openMemory, pageSize, until } from "../api/fixture.js";
import { type Thread, openThreads } from "./pins-worker-fixture.js";

const counted = { write: true, longterm: true };

function brief(pins: readonly PinInfo[]): unknown[] {
  return pins.map(({ thread, position, length, protocol, write, inTransit }) => [
    thread,
    position / pageSize,
    length / pageSize,
    `${protocol} ${write ? "write" : "read"}`,
    inTransit,
  ]);
}

test("pins() lists what other threads hold: by thread and kind, neighbouring pages together, in whole pages", async (t) => {
  const { cache, file, threads } = await openThreads(t, 2);
  const [first, second] = threads as [Thread, Thread];
  const pins = [
    await first.call<number>("pin", 0, 2 * pageSize, {}),
    await first.call<number>("pin", 2 * pageSize + 100, 8, {}),
    await first.call<number>("pin", 4 * pageSize, pageSize, { write: true }),
    await first.call<number>("pin", 6 * pageSize, pageSize, counted),
    await first.call<number>("pin", 6 * pageSize, 10, counted),
  ];
  const others = [
    await second.call<number>("pin", 0, 10, {}),
    await second.call<number>("pin", 6 * pageSize, 10, { longterm: true }),
    await second.call<number>("pin", 8 * pageSize, 10, { longterm: true }),
  ];
  const own = await file.getUserPages(6 * pageSize, 10, counted);
  const [mine, ...foreign] = cache.pins();
  assert.deepEqual(brief([mine as PinInfo]), [[0, 6, 10 / pageSize, "counted write", false]]);
  assert.deepEqual(brief(foreign), [
    [1, 0, 3, "locked read", false],
    [1, 4, 1, "locked write", false],
    [1, 6, 1, "counted write", false],
    [2, 0, 1, "locked read", false],
    [2, 6, 1, "counted read", false],
    [2, 8, 1, "counted read", false],
  ]);
  for (const pin of foreign) {
    assert.deepEqual(
      [pin.file, pin.ageMs, pin.site, pin.scope, pin.leaked],
      [file.name, undefined, undefined, 0, false],
    );
    assert.ok((pin.threadId as number) > 0 && pin.threadId !== mine?.threadId);
  }
  assert.equal((await second.call<PinInfo[]>("pins")).filter(({ thread }) => thread === 2).length, 3);
  cache.verify({ quiesce: true });
  own.put();
  for (const pin of pins) await first.call("put", pin);
  for (const pin of others) await second.call("put", pin);
  assert.deepEqual(cache.pins(), []);
  cache.verify({ quiesce: true });
});

test("pins() shows pages in transit in every thread, with whose they are, until they are adopted", async (t) => {
  const { cache, file, threads } = await openThreads(t, 2);
  const [sender, receiver] = threads as [Thread, Thread];
  const pin = await sender.call<number>("pin", 10, 2 * pageSize, counted);
  const token = await sender.call<PagesToken>("transfer", pin);
  const own = await sender.call<PinInfo[]>("pins");
  assert.deepEqual(brief(own), [[1, 10 / pageSize, 2, "counted write", true]]);
  assert.ok((own[0]?.ageMs as number) >= 0);
  for (const pins of [cache.pins(), await receiver.call<PinInfo[]>("pins")])
    assert.deepEqual(brief(pins), [[1, 0, 3, "counted write", true]]);
  const adopted = await receiver.call<number>("adopt", token);
  for (const pins of [cache.pins(), await sender.call<PinInfo[]>("pins")])
    assert.deepEqual(brief(pins), [[2, 0, 3, "counted write", false]]);
  assert.deepEqual(brief(await receiver.call<PinInfo[]>("pins")), [[2, 10 / pageSize, 2, "counted write", false]]);
  await receiver.call("put", adopted);
  assert.equal(file.size, 16 * pageSize);
  cache.verify({ quiesce: true });
});

test("loads and write-back of another thread are not taken for holds", async (t) => {
  const { cache, file } = await openMemory(t, 4);
  await file.write(new Uint8Array(pageSize), 0, pageSize, 0);
  const { frames, options } = cache.share();
  const other = new Core(options, systemClock, Frames.attach(frames), () => assert.fail("no store is attached here"));
  const page = cache.core.table.find(0, 0);
  assert.equal(other.locks.tryShared(page, 0, 0), 0);
  assert.deepEqual(brief(cache.pins()), [[1, 0, 1, "locked read", false]]);
  other.frames.words.beginWriteback(page, 1);
  assert.deepEqual(cache.pins(), []);
  assert.equal(other.locks.tryShared(page, 0, 0), 0);
  assert.deepEqual(brief(cache.pins()), [[1, 0, 1, "locked read", false]], "beside its write-back");
  other.locks.unlockShared(page);
  other.frames.words.endWriteback(page, layout.OUTCOME_STABLE);
  other.locks.unlockShared(page);
  const loading = other.table.reserve();
  assert.equal(other.table.insert(loading, 0, 1), true);
  assert.deepEqual(cache.pins(), []);
  other.frames.words.setUptodate(loading);
  assert.deepEqual(brief(cache.pins()), [[1, 1, 1, "locked write", false]]);
  other.locks.unlockExclusive(loading);
  other.frames.threads.release(1);
  cache.verify({ quiesce: true });
});

test("errors name the pins of other threads: truncate, punch, close, with their pages", async (t) => {
  const { cache, file, threads } = await openThreads(t, 1);
  const thread = threads[0] as Thread;
  const pin = await thread.call<number>("pin", pageSize + 5, 2 * pageSize, counted);
  const named = /EBUSY.*thread 1: counted write pin of .*data\.bin \[4096, 16384\)/;
  assert.match((await errorOf(() => file.truncate(0))).message, named);
  assert.match((await errorOf(() => file.punchHole(0, 4 * pageSize))).message, named);
  assert.equal(file.size, 16 * pageSize);
  await file.punchHole(8 * pageSize, pageSize);
  await thread.call("put", pin);
  const many: number[] = [];
  for (let at = 0; at < 5; at++) many.push(await thread.call<number>("pin", 2 * at * pageSize, 1, counted));
  assert.match((await errorOf(() => file.truncate(0))).message, /(thread 1: [^;]*; ){3}and 2 more$/);
  for (const one of many) await thread.call("put", one);
  await file.truncate(0);
  cache.verify({ quiesce: true });
});

test("`pinned: fail` names page locks that another thread keeps, and waits for those that it does not", async (t) => {
  const { cache, file, threads } = await openThreads(t, 1);
  const thread = threads[0] as Thread;
  const pin = await thread.call<number>("pin", pageSize, pageSize, { write: true });
  const truncated = await failsWith("ERR_PINFOLD_PINNED", () => file.truncate(0, { pinned: "fail" }));
  assert.match(truncated.message, /thread 1: write lock of .*data\.bin \[4096, 8192\)/);
  const dirty = await file.getUserPages(0, 1, { write: true });
  dirty.put();
  await thread.call("fill", pin, 1);
  await thread.call("write", 3 * pageSize, 8, 1);
  // The page was dirty before the pin came, so that the sync covers it.
  await thread.call("put", pin);
  const again = await thread.call<number>("pin", pageSize, pageSize, { write: true });
  const synced = await failsWith("ERR_PINFOLD_PINNED", () => file.sync({ pinned: "fail" }));
  assert.match(synced.message, /thread 1: write lock of .*data\.bin \[4096, 8192\)/);
  // What is let go soon is taken for an operation.
  const truncating = file.truncate(0, { pinned: "fail" });
  await sleep(20);
  await thread.call("put", again);
  await truncating;
  assert.equal(file.size, 0);
  cache.verify({ quiesce: true });
});

test("the error of a full limit of counted write pins names those of other threads", async (t) => {
  const { cache, file, threads } = await openThreads(t, 1, {
    cache: { memory: 64 * pageSize, pinnedBytesMax: 4 * pageSize },
  });
  const thread = threads[0] as Thread;
  const pin = await thread.call<number>("pin", 0, 3 * pageSize, counted);
  const locked = await thread.call<number>("pin", 4 * pageSize, pageSize, {});
  const error = await failsWith("ERR_PINFOLD_PIN_LIMIT", () => file.getUserPages(8 * pageSize, 2 * pageSize, counted));
  assert.match(error.message, /: thread 1: counted write pin of .* \[0, 12288\)$/);
  const token = await thread.call<PagesToken>("transfer", pin);
  const inTransit = await failsWith("ERR_PINFOLD_PIN_LIMIT", () =>
    file.getUserPages(8 * pageSize, 2 * pageSize, counted),
  );
  assert.match(inTransit.message, /: counted write pin in transit from thread 1 of .* \[0, 12288\)$/);
  UserPages.adopt(token).put();
  await thread.call("put", locked);
  cache.verify({ quiesce: true });
});

test("frames that pins of other threads hold, adopted ones too, are an error with their names after frameWaitMs, not a wait for ever", async (t) => {
  const { cache, file, threads } = await openThreads(t, 2, {
    pages: 100,
    cache: { memory: 64 * pageSize, frameWaitMs: 50 },
  });
  const [first, second] = threads as [Thread, Thread];
  const pin = await first.call<number>("pin", 0, 40 * pageSize, { longterm: true });
  const credits = async () => failsWith("ERR_PINFOLD_NO_FRAMES", () => file.getUserPages(50 * pageSize, 30 * pageSize));
  assert.match((await credits()).message, /thread 1: counted read pin of .* \[0, 163840\)/);
  const token = await first.call<PagesToken>("transfer", pin);
  assert.match((await credits()).message, /in transit from thread 1/);
  const adopted = await second.call<number>("adopt", token);
  assert.match((await credits()).message, /thread 2: counted read pin/);
  const rest = await second.call<number>("pin", 40 * pageSize, 23 * pageSize, { write: true });
  const frame = await failsWith("ERR_PINFOLD_NO_FRAMES", () => file.getUserPages(80 * pageSize, 1));
  assert.match(frame.message, /thread 2: write lock of .*; thread 2: counted read pin/);
  cache.verify({ quiesce: true });
  await second.call("put", rest);
  await second.call("put", adopted);
  (await file.getUserPages(0, 63 * pageSize)).put();
  cache.verify({ quiesce: true });
});

test("writers are not delayed for pages that write pins of another thread keep dirty", async (t) => {
  const { cache, file, threads } = await openThreads(t, 1, {
    pages: 64,
    cache: { memory: 256 * pageSize, dirtyBytesMax: 8 * pageSize, dirtyBackgroundBytes: 4 * pageSize },
  });
  const thread = threads[0] as Thread;
  const locked = await thread.call<number>("pin", 0, 10 * pageSize, { write: true });
  const long = await thread.call<number>("pin", 20 * pageSize, 10 * pageSize, counted);
  assert.equal(cache.stats().dirtyPages, 20);
  assert.equal(mayWriteNow(cache.core, cache.core.spaces[0] as AddressSpace), true);
  const token = await thread.call<PagesToken>("transfer", long);
  assert.equal(mayWriteNow(cache.core, cache.core.spaces[0] as AddressSpace), true);
  UserPages.adopt(token).put();
  assert.equal(mayWriteNow(cache.core, cache.core.spaces[0] as AddressSpace), false);
  await file.sync({ position: 20 * pageSize });
  assert.equal(mayWriteNow(cache.core, cache.core.spaces[0] as AddressSpace), true);
  await thread.call("put", locked);
  assert.equal(mayWriteNow(cache.core, cache.core.spaces[0] as AddressSpace), false);
  await file.sync();
  assert.equal(mayWriteNow(cache.core, cache.core.spaces[0] as AddressSpace), true);
  cache.verify({ quiesce: true });
});

test("counters are those of all threads, also of one that has ended, and begin anew with another file", async (t) => {
  const { cache, file, threads } = await openThreads(t, 2);
  const [first, second] = threads as [Thread, Thread];
  await first.call("read", 0, 4 * pageSize);
  await second.call("read", 0, 4 * pageSize);
  await file.read(Buffer.alloc(4 * pageSize), 0, 4 * pageSize, 0);
  await second.call("write", 0, pageSize, 1);
  await second.call("sync", {});
  const [stats] = cache.stats().files;
  assert.deepEqual([stats?.misses, stats?.hits, stats?.syncs], [4, 9, 1]);
  assert.equal(stats?.writtenBytes, pageSize);
  const there = await first.call<{ files: unknown[] }>("stats");
  assert.deepEqual(there.files, cache.stats().files);
  await second.call("close");
  assert.equal(cache.stats().hits, 9);
  await first.terminate();
  assert.equal(cache.stats().hits, 9);
});

test("a file that takes the slot of another one counts from 0", async (t) => {
  const { cache, file, threads } = await openThreads(t, 1);
  const thread = threads[0] as Thread;
  await thread.call("read", 0, pageSize);
  await thread.call("closeFile");
  assert.equal(cache.stats().files[0]?.readBytes, pageSize);
  await file.close();
  const other = await cache.open(new MemoryStore({ sizeBytes: pageSize }));
  assert.deepEqual([cache.stats().misses, cache.stats().files[0]?.readBytes], [0, 0]);
  await other.close();
});

test("a cache whose pages other threads have pinned is quiet, and its own lock that no pin has is still a breach", async (t) => {
  const { cache, file, threads } = await openThreads(t, 1);
  const thread = threads[0] as Thread;
  const pins = [
    await thread.call<number>("pin", 0, 2 * pageSize, { write: true }),
    await thread.call<number>("pin", 2 * pageSize, 2 * pageSize, {}),
    await thread.call<number>("pin", 4 * pageSize, 2 * pageSize, counted),
  ];
  cache.verify({ quiesce: true });
  const own = await file.getUserPages(8 * pageSize, 1);
  cache.core.pins.remove([...cache.core.pins][0] as never);
  assert.throws(() => cache.verify({ quiesce: true }), /held, and by no pin/);
  cache.core.locks.unlockShared(cache.core.table.find(0, 8));
  assert.equal(own.isPinned, false);
  for (const pin of pins) await thread.call("put", pin);
  cache.verify({ quiesce: true });
});

test("verify gives other threads time to come out of what they are in the middle of", async (t) => {
  const { cache, threads } = await openThreads(t, 1);
  const [thread] = threads as [Thread];
  await thread.call("read", 0, 1);
  const version = layout.RECORDS + cache.core.table.find(0, 0) * 2 ** layout.RECORD_SHIFT + layout.RECORD_VERSION;
  await thread.call("disturb", version, 1, 100);
  cache.verify();
  await thread.call("disturb", layout.HEADER_LISTS_LATCH, 1, 100);
  cache.verify({ quiesce: true });
});

test("verify finds no breach while other threads read and write", async (t) => {
  const { cache, file, threads } = await openThreads(t, 2, { pages: 200, cache: { memory: 64 * pageSize } });
  const state = { isDone: false };
  const busy = threads.map(async (thread, at) => {
    for (let round = 0; round < 30; round++) {
      await thread.call("read", ((at * 50 + round * 7) % 190) * pageSize, 8 * pageSize);
      await thread.call("write", ((at * 70 + round * 3) % 190) * pageSize, 3 * pageSize, round);
    }
  });
  const all = Promise.all(busy).finally(() => {
    state.isDone = true;
  });
  let checks = 0;
  for (; !state.isDone; checks++) {
    cache.verify();
    await sleep(1);
  }
  await all;
  assert.ok(checks > 0);
  await file.sync();
  await until(() => cache.stats().waiters === 0, "nobody waits");
  cache.verify({ quiesce: true });
});
