/**
 * Page locks as callers meet them: gates, scopes, upgrades, aborts.
 */
import { ok, rejects, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { SeededRandom } from "../../src/testing/index.js";
import { codeOf, open, page, turns, until, watch } from "./fixture.js";

test("a nested read pin is had though a writer waits between", async (t) => {
  const { file } = await open(t);
  const outer = await file.getUserPages(0, 1);
  const writer = watch(file.getUserPages(0, 1, { write: true }));
  await turns();
  const inner = await file.getUserPages(0, 1);
  strictEqual(writer.isDone, false);
  inner.put();
  outer.put();
  (await writer.promise).put();
});

test("a nested read pin is had after the writer's gate has closed", async (t) => {
  const { file, cache } = await open(t);
  const outer = await file.getUserPages(0, 1);
  const writer = file.getUserPages(0, 1, { write: true });
  const frame = cache.core.table.find(0, 0);
  await until(() => (cache.core.frames.words.lowWord(frame) & 16) !== 0, "the gate closes");
  strictEqual(file.tryGetUserPages(0, 1), undefined);
  const inner = await file.getUserPages(0, 1);
  inner.put();
  outer.put();
  (await writer).put();
});

test("the gate opens though the writer that closed it was aborted and another one waits", async (t) => {
  const { file, cache } = await open(t);
  const outer = await file.getUserPages(0, 1);
  const controller = new AbortController();
  const first = codeOf(file.getUserPages(0, 1, { write: true, signal: controller.signal }));
  const frame = cache.core.table.find(0, 0);
  const isClosed = () => (cache.core.frames.words.lowWord(frame) & 16) !== 0;
  await until(isClosed, "the gate closes");
  const second = file.getUserPages(0, 1, { write: true });
  await turns(3);
  controller.abort();
  await first;
  const inner = await file.getUserPages(0, 1);
  inner.put();
  outer.put();
  (await second).put();
});

test("a writer gets its turn under constant readers", async (t) => {
  const { file } = await open(t);
  const run = { goOn: true };
  const reader = async () => {
    while (run.goOn) {
      const pages = await file.getUserPages(0, 1);
      await setImmediate();
      await setImmediate();
      pages.put();
    }
  };
  const readers = Promise.all([reader(), reader(), reader(), reader()]);
  await turns();
  (await file.getUserPages(0, 1, { write: true })).put();
  const upgraded = await file.getUserPages(0, 1);
  await upgraded.upgrade();
  upgraded.put();
  run.goOn = false;
  await readers;
});

test("ABBA through two scopes gives EDEADLK to the newest waiter", async (t) => {
  const { file, cache } = await open(t);
  const [a, b] = [cache.scope(), cache.scope()];
  const a0 = await file.getUserPages(0, 1, { write: true, scope: a });
  const b1 = await file.getUserPages(page, 1, { write: true, scope: b });
  const a1 = watch(file.getUserPages(page, 1, { write: true, scope: a }));
  await turns();
  strictEqual(await codeOf(file.getUserPages(0, 1, { write: true, scope: b })), "EDEADLK");
  strictEqual(a1.isDone, false);
  b1.put();
  (await a1.promise).put();
  a0.put();
  cache.verify({ quiesce: true });
});

test("sync under the scope's own write pin gives EDEADLK", async (t) => {
  const { file, cache } = await open(t);
  const scope = cache.scope();
  const pages = await file.getUserPages(0, 1, { write: true, scope });
  strictEqual(await codeOf(file.sync({ scope })), "EDEADLK");
  await file.sync({ scope, position: 5 * page, length: page });
  pages.put();
  await file.sync({ scope });
});

test("pins of a scope are re-entrant, and keep the lock until the last put", async (t) => {
  const { file, cache } = await open(t);
  const scope = cache.scope();
  const outer = await file.getUserPages(0, 1, { write: true, scope });
  const inner = await file.getUserPages(0, 1, { scope });
  outer.put();
  const other = watch(file.getUserPages(0, 1));
  await turns();
  strictEqual(other.isDone, false);
  inner.put();
  (await other.promise).put();
  scope.end();
});

test("a scoped upgrade waits for another reader, and is no deadlock", async (t) => {
  const { file, cache } = await open(t);
  const other = await file.getUserPages(0, 1);
  const scope = cache.scope();
  const pages = await file.getUserPages(0, 1, { scope });
  const upgraded = watch(pages.upgrade());
  await turns();
  strictEqual(upgraded.isDone, false);
  other.put();
  await upgraded.promise;
  pages.put();
  scope.end();
});

test("two tasks of one scope may miss the same page at once", async (t) => {
  const { file, cache, store } = await open(t);
  const scope = cache.scope();
  const held = store.hold("readPages");
  const both = [file.getUserPages(0, 1, { scope }), file.getUserPages(0, 1, { scope })];
  await held.entered;
  await turns();
  held.release();
  for (const pages of await Promise.all(both)) pages.put();
  scope.end();
  cache.verify({ quiesce: true });
});

test("the second upgrader of a page gets EDEADLK at once, and the first goes on when it lets go", async (t) => {
  const { file, cache } = await open(t);
  const [first, second] = [await file.getUserPages(0, 1), await file.getUserPages(0, 1)];
  const upgraded = watch(first.upgrade());
  await turns();
  strictEqual(await codeOf(second.upgrade()), "EDEADLK");
  strictEqual(upgraded.isDone, false);
  second.put();
  await upgraded.promise;
  ok(first.writable);
  first.downgrade();
  const reader = await file.getUserPages(0, 1);
  reader.put();
  first.put();
  cache.verify({ quiesce: true });
});

test("an upgrade that the store refuses leaves a read pin", async (t) => {
  const { file, cache, store } = await open(t);
  const pages = await file.getUserPages(0, 1);
  store.fail("pageMkwrite", "ENOSPC");
  strictEqual(await codeOf(pages.upgrade()), "ENOSPC");
  strictEqual(pages.writable, false);
  (await file.getUserPages(0, 1)).put();
  pages.put();
  strictEqual(cache.stats().dirtyPages, 0);
});

test("1,000 aborts that race with grants leave nothing behind: the next waiter goes on each time", async (t) => {
  const { file, cache } = await open(t);
  const random = new SeededRandom(7);
  const enough = new Error("enough");
  for (let i = 0; i < 1000; i++) {
    const holder = await file.getUserPages(0, 1, { write: true });
    const controller = new AbortController();
    const racing = file.getUserPages(0, 1, { write: true, signal: controller.signal }).then(
      (pages) => pages.put(),
      (error: unknown) => strictEqual(error, enough),
    );
    const next = file.getUserPages(0, 1, { write: random.below(2) === 0 });
    const order = [() => controller.abort(enough), () => holder.put()];
    if (random.below(2) === 0) order.reverse();
    for (const act of order) {
      act();
      if (random.below(2) === 0) await Promise.resolve();
    }
    (await next).put();
    await racing;
  }
  cache.verify({ quiesce: true });
});

test("an aborted wait for a page throws the signal's reason and takes the waiter away", async (t) => {
  const { file, cache } = await open(t);
  const holder = await file.getUserPages(0, 1, { write: true });
  const controller = new AbortController();
  const waiting = file.getUserPages(0, 1, { signal: controller.signal });
  await turns();
  strictEqual(cache.stats().waiters, 1);
  controller.abort(new Error("enough"));
  await rejects(waiting, /enough/);
  strictEqual(cache.stats().waiters, 0);
  holder.put();
});

test("whoever waits for the store's read can abort; the frame is used again only after the read has ended", async (t) => {
  const { file, cache, store } = await open(t, { store: { syncCalls: false } });
  const held = store.hold("readPages");
  const controller = new AbortController();
  const reading = file.getUserPages(0, page, { write: true, signal: controller.signal });
  await held.entered;
  controller.abort(new Error("enough"));
  await rejects(reading, /enough/);
  const free = cache.stats().freeFrames;
  held.release();
  await until(() => store.calls("pageMkwrite").every((call) => call.outcome === "ok"), "the store answers");
  await turns();
  strictEqual(cache.stats().freeFrames, free);
  strictEqual(cache.stats().dirtyPages, 0);
  cache.verify({ quiesce: true });
});
