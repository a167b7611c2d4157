/** Scopes, pins of several ranges, and waits that last: who is recognised, what is all or nothing, who is named. */
import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { test } from "node:test";
import { MemoryStore, PageCache, channels } from "../../src/index.js";
import { errorOf, failsWith, openCache, openMemory, pageSize, until } from "./fixture.js";

test("pins of one scope are re-entrant, and a read pin in it becomes stronger with a write pin", async (t) => {
  const { cache, file } = await openMemory(t, 8);
  using scope = cache.scope();
  const read = await file.getUserPages(0, 10, { scope });
  const write = await file.getUserPages(0, 10, { write: true, scope });
  const again = file.tryGetUserPages(0, 2 * pageSize, { scope });
  assert.equal(again, undefined, "the second page is not there yet");
  const both = await file.getUserPages(0, 2 * pageSize, { write: true, scope });
  write.bytes[0] = 1;
  assert.equal(read.bytes[0], 1);
  read.put();
  write.put();
  assert.equal(file.tryGetUserPages(0, 1), undefined, "the scope still holds the page");
  both.put();
  assert.equal(file.tryGetUserPages(0, 1)?.put(), undefined);
  assert.deepEqual(cache.pins(), []);
  cache.verify({ quiesce: true });
});

test("two tasks of a scope ask for one page at once: for writing, while it is not there, and while it becomes exclusive", async (t) => {
  const { cache, file } = await openMemory(t, 8);
  using scope = cache.scope();
  const ask = () => file.getUserPages(0, 10, { write: true, scope });
  for (const pages of await Promise.all([ask(), ask()])) pages.put();
  using other = cache.scope();
  const holder = await file.getUserPages(0, 10, { scope: other });
  const read = await file.getUserPages(0, 10, { scope });
  const both = [ask(), ask()];
  await until(() => cache.stats().waiters === 1, "one of them waits for the other scope");
  read.put();
  holder.put();
  for (const pages of await Promise.all(both)) pages.put();
  assert.deepEqual(cache.pins(), []);
  cache.verify({ quiesce: true });
});

test("an upgrade that is aborted leaves the scope's pins as they were", async (t) => {
  const { cache, file } = await openMemory(t, 8);
  using scope = cache.scope();
  const holder = await file.getUserPages(0, 10);
  const read = await file.getUserPages(0, 10, { scope });
  for (const isPutFirst of [false, true]) {
    const controller = new AbortController();
    const writing = file.getUserPages(0, 10, { write: true, scope, signal: controller.signal });
    await until(() => cache.stats().waiters === 1, "it waits");
    if (isPutFirst) read.put();
    controller.abort(new Error("enough"));
    await assert.rejects(writing, /enough/);
    await until(() => cache.stats().waiters === 0, "nobody waits any more");
  }
  holder.put();
  file.tryGetUserPages(0, 10, { write: true })?.put();
  assert.deepEqual(cache.pins(), []);
  cache.verify({ quiesce: true });
});

test("a scope with pins does not end, and an ended one takes no pins", async (t) => {
  const { cache, file } = await openMemory(t, 8);
  const scope = cache.scope();
  const pages = await file.getUserPages(0, 2 * pageSize, { scope });
  const error = await failsWith("EBUSY", () => scope.end());
  assert.match(error.message, /2 pages/);
  await failsWith("EBUSY", () => scope[Symbol.dispose]());
  pages.put();
  scope.end();
  scope.end();
  await failsWith("EINVAL", () => file.getUserPages(0, 10, { scope }));
  await failsWith("EINVAL", () => file.truncate(0, { scope }));
  await failsWith("EINVAL", () => file.sync({ scope }));
  await failsWith("EINVAL", () => file.punchHole(0, 1, { scope }));
  await failsWith("EINVAL", () => cache.sync({ scope }));
});

test("a scope that waits does not end", async (t) => {
  const { cache, file } = await openMemory(t, 8);
  const holder = await file.getUserPages(0, 10, { write: true });
  const scope = cache.scope();
  const waiting = file.getUserPages(0, 10, { scope });
  await until(() => cache.stats().waiters === 1, "it waits");
  await failsWith("EBUSY", () => scope.end());
  holder.put();
  (await waiting).put();
  scope.end();
});

test("a scope of another cache is EINVAL for every call that takes one", async (t) => {
  const { cache, file } = await openMemory(t, 8);
  const stranger = (await openCache(t)).scope();
  const calls: (() => unknown)[] = [
    () => file.getUserPages(0, 1, { scope: stranger }),
    () => file.tryGetUserPages(0, 1, { scope: stranger }),
    () => file.getUserPagesSync(0, 1, { scope: stranger }),
    () => file.truncate(1, { scope: stranger }),
    () => file.sync({ scope: stranger }),
    () => file.punchHole(0, 1, { scope: stranger }),
    () => cache.sync({ scope: stranger }),
    () => cache.pin([{ file, position: 0, length: 1 }], { scope: stranger }),
  ];
  for (const call of calls) await failsWith("EINVAL", call, call.toString());
});

test("a circle of two scopes is EDEADLK for the one that closes it", async (t) => {
  const { cache, file } = await openMemory(t, 8);
  const [one, two] = [cache.scope(), cache.scope()];
  const a = await file.getUserPages(0, 1, { write: true, scope: one });
  const b = await file.getUserPages(pageSize, 1, { write: true, scope: two });
  const waiting = file.getUserPages(pageSize, 1, { write: true, scope: one });
  await until(() => cache.stats().waiters === 1, "the first waits");
  await failsWith("EDEADLK", () => file.getUserPages(0, 1, { scope: two }));
  b.put();
  (await waiting).put();
  a.put();
});

test("a caller that would wait for its own pins is told EDEADLK", async (t) => {
  const { cache, file } = await openMemory(t, 8);
  using scope = cache.scope();
  using pages = await file.getUserPages(0, 10, { write: true, scope });
  assert.ok(pages.isPinned);
  await failsWith("EDEADLK", () => file.sync({ scope }));
  await failsWith("EDEADLK", () => file.truncate(0, { scope }));
  await failsWith("EDEADLK", () => file.punchHole(0, pageSize, { scope }));
  await file.sync({ scope, position: pageSize, length: pageSize });
});

test("with pinned: fail, sync and truncate name the holder and change nothing", async (t) => {
  const { cache, file } = await openMemory(t, 8, { pinSites: "all" });
  await file.write("dirty", 0);
  const pages = await file.getUserPages(0, 10, { write: true });
  for (const call of [
    () => file.sync({ pinned: "fail" }),
    () => file.truncate(0, { pinned: "fail" }),
    () => cache.sync({ pinned: "fail" }),
  ]) {
    const error = await failsWith("ERR_PINFOLD_PINNED", call);
    assert.match(error.message, /locked write pin of .* \[0, 10\) for .* from .*scopes\.test/);
  }
  assert.equal(file.size, 8 * pageSize);
  pages.put();
  await file.sync({ pinned: "fail" });
});

test("cache.pin takes several ranges of several files, overlapping ones too, each in the order asked for", async (t) => {
  const { cache, file } = await openMemory(t, 8);
  const other = await cache.open(new MemoryStore({ sizeBytes: 4 * pageSize }));
  {
    using pinned = await cache.pin([
      { file: other, position: pageSize, length: 10 },
      { file, position: 4090, length: 20, write: true },
      { file, position: 0, length: 3 * pageSize },
      { file, position: 4095, length: 1, write: true },
    ]);
    const [first, second, third, fourth] = [...pinned];
    assert.ok(first && second && third && fourth);
    assert.deepEqual(
      [first, second, third, fourth].map(({ position, length, writable }) => [position, length, writable]),
      [
        [pageSize, 1, false],
        [4090, 2, true],
        [0, 3, false],
        [4095, 1, true],
      ],
    );
    fourth.bytes[0] = 9;
    assert.equal(second.page(0).bytes[5], 9);
    assert.equal(third.page(0).bytes[4095], 9);
    second.put();
    assert.equal(fourth.isPinned, true);
    assert.equal(cache.pins().length, 3);
  }
  assert.deepEqual(cache.pins(), []);
  assert.equal(cache.stats().dirtyPages, 2);
  cache.verify({ quiesce: true });
});

test("cache.pin is all or nothing: a full store, a refused range, an abort leave nothing pinned", async (t) => {
  const { cache, file } = await openMemory(t, 8);
  const full = await cache.open(new MemoryStore({ sizeBytes: 4 * pageSize, capacityBytes: 0, name: "full" }));
  const before = cache.stats().dirtyPages;
  const good = { file, position: 0, length: 2 * pageSize, write: true };
  await failsWith("ENOSPC", () => cache.pin([good, { file: full, position: 0, length: 10, write: true }]));
  await failsWith("ERR_PINFOLD_OUT_OF_RANGE", () => cache.pin([good, { file, position: 8 * pageSize, length: 1 }]));
  const holder = await file.getUserPages(pageSize, 1, { write: true });
  const ended = new AbortController();
  const waiting = cache.pin([good], { signal: ended.signal });
  await until(() => cache.stats().waiters > 0, "it waits");
  ended.abort(new Error("enough"));
  await assert.rejects(waiting, /enough/);
  assert.equal(cache.pins().length, 1);
  holder.putUnmodified();
  assert.deepEqual(cache.pins(), []);
  assert.equal(cache.stats().dirtyPages, before);
  cache.verify({ quiesce: true });
});

test("cache.pin in a scope shares the scope's holds", async (t) => {
  const { cache, file } = await openMemory(t, 8);
  using scope = cache.scope();
  using own = await file.getUserPages(0, 10, { write: true, scope });
  using pinned = await cache.pin([{ file, position: 0, length: 2 * pageSize, write: true }], { scope });
  pinned.ranges[0]?.copyFrom(Buffer.from("shared"));
  assert.equal(Buffer.from(own.bytes).toString("latin1", 0, 6), "shared");
});

/** A clock that a test moves. */
class ManualClock {
  #nowMs = 0;
  #timers: { atMs: number; run: () => void }[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, run: () => void): { cancel(): void } {
    const timer = { atMs: this.#nowMs + delayMs, run };
    this.#timers.push(timer);
    return { cancel: () => this.#drop(timer) };
  }

  #drop(timer: { atMs: number; run: () => void }): void {
    this.#timers = this.#timers.filter((one) => one !== timer);
  }

  advance(ms: number): void {
    this.#nowMs += ms;
    for (const timer of this.#timers.filter(({ atMs }) => atMs <= this.#nowMs)) {
      this.#drop(timer);
      timer.run();
    }
  }
}

test("a wait of five seconds is told on pinfold:stuck, once, with the holder's pin and place", async (t) => {
  const clock = new ManualClock();
  const cache = await PageCache.open({ memory: "1MiB", preTouch: false, pinSites: "all" }, clock);
  t.after(() => cache.close({ discard: true }));
  const file = await cache.open(new MemoryStore({ sizeBytes: pageSize, name: "stuck file" }));
  const events: unknown[] = [];
  const listen = (event: unknown) => events.push(event);
  subscribe("pinfold:stuck", listen);
  t.after(() => unsubscribe("pinfold:stuck", listen));
  const holder = await file.getUserPages(0, 10, { write: true });
  const waiting = file.getUserPages(0, 10);
  await until(() => cache.stats().waiters === 1, "it waits");
  clock.advance(4_000);
  assert.deepEqual(events, []);
  clock.advance(1_100);
  clock.advance(5_000);
  assert.equal(events.length, 1);
  const [event] = events as { file: string; index: number; waitedMs: number; holders: string }[];
  assert.equal(event?.file, "stuck file");
  assert.equal(event?.index, 0);
  assert.ok((event?.waitedMs ?? 0) >= 5_000);
  assert.match(event?.holders ?? "", /locked write pin of stuck file \[0, 10\) for 5\.\d s from .*scopes\.test/);
  holder.put();
  (await waiting).put();
  assert.equal(channels.stuck.name, "pinfold:stuck");
});

test("errors name what was held, in the message and nowhere else", async (t) => {
  const { cache, file } = await openMemory(t, 300, { frameWaitMs: 50 });
  const { frames } = cache.stats();
  const pins = await Promise.all(Array.from({ length: frames }, (_, at) => file.getUserPages(at * pageSize, 1)));
  const error = await errorOf(() => file.getUserPages(280 * pageSize, 1));
  assert.equal(error.code, "ERR_PINFOLD_NO_FRAMES");
  assert.match(error.message, /pins .*frames.*: locked read pin .*; and \d+ more/);
  for (const pages of pins) pages.put();
  cache.verify({ quiesce: true });
});

test("asking again and again without waiting for a page that somebody holds leaves no waiters behind", async (t) => {
  const { cache, file } = await openMemory(t, 300);
  const holder = await file.getUserPages(0, 10, { write: true });
  for (let i = 0; i < 10_000; i++) assert.equal(file.tryGetUserPages(0, 3 * pageSize), undefined);
  assert.equal(cache.stats().waiters, 0);
  await until(
    () => file.tryGetUserPages(pageSize, 2 * pageSize)?.put() === undefined && cache.stats().hits > 0,
    "the others were loaded",
  );
  holder.put();
  cache.verify({ quiesce: true });
});
