/** The handle of a pin: its bytes, its one put, what becomes of it, and what pins() and legacyCallers() tell. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type PageCache, UserPages, putPage, putUserPages } from "../../src/index.js";
import { failsWith, openDisk, openMemory, pageSize, pattern, until } from "./fixture.js";

const size = 4 * pageSize;

function isFree(cache: PageCache): void {
  assert.deepEqual(cache.pins(), []);
  cache.verify({ quiesce: true });
}

test("pages come in order, each with the part of it inside the range", async (t) => {
  const { cache, file } = await openDisk(t, pattern(size));
  const ranges = [
    [0, 1],
    [0, size],
    [4095, 2],
    [5, 4091],
    [5, 4092],
    [100, 3 * pageSize],
    [pageSize, pageSize],
    [size - 1, 1],
  ] as const;
  for (const [position, length] of ranges) {
    using pages = await file.getUserPages(position, length);
    const first = Math.floor(position / pageSize);
    const last = Math.floor((position + length - 1) / pageSize);
    assert.equal(pages.length, last - first + 1);
    assert.equal(pages.position, position);
    assert.equal(pages.byteLength, length);
    let at = position;
    let index = first;
    for (const page of pages) {
      assert.equal(page.index, index++);
      assert.equal(page.position, at);
      assert.deepEqual(Buffer.from(page.bytes), pattern(size).subarray(at, at + page.bytes.length));
      assert.equal(page.view.byteLength, page.bytes.length);
      assert.equal(page.view.getUint8(0), page.bytes[0]);
      at += page.bytes.length;
    }
    assert.equal(at, position + length);
    assert.equal([...pages][0], pages.page(0), "the same pages each time");
    if (pages.length === 1) assert.equal(pages.bytes, pages.page(0).bytes);
    else await failsWith("EINVAL", () => pages.bytes);
    for (const none of [-1, pages.length, 0.5, Number.NaN]) await failsWith("EINVAL", () => pages.page(none));
  }
  isFree(cache);
});

test("bytes are the cache itself: what is written through them is what everybody reads, and is dirty", async (t) => {
  const { cache, file } = await openDisk(t, pattern(size));
  const pages = await file.getUserPages(4090, 20, { write: true });
  assert.equal(cache.stats().dirtyPages, 2, "dirty from the moment it is handed out");
  for (const page of pages) page.bytes.fill(0xee);
  pages.page(1).view.setUint32(0, 0x01020304);
  putUserPages(pages);
  const read = Buffer.alloc(20);
  await file.read(read, 0, 20, 4090);
  assert.equal(read.toString("hex"), "eeeeeeeeeeee01020304eeeeeeeeeeeeeeeeeeee");
  assert.ok(pages.length === 2 && !pages.isPinned);
  isFree(cache);
});

test("copyTo and copyFrom begin at an offset and end with the shorter of the two", async (t) => {
  const { file } = await openDisk(t, pattern(size));
  using pages = await file.getUserPages(4000, 5000, { write: true });
  const expected = pattern(size).subarray(4000, 9000);
  for (const [offset, length] of [
    [0, 5000],
    [0, 6000],
    [96, 10],
    [90, 20],
    [4999, 10],
    [5000, 10],
    [0, 0],
    [2500, 2500],
  ] as const) {
    const target = Buffer.alloc(length);
    const copied = pages.copyTo(target, offset);
    assert.equal(copied, Math.min(length, 5000 - offset));
    assert.deepEqual(target.subarray(0, copied), expected.subarray(offset, offset + copied));
  }
  assert.equal(pages.copyFrom(Buffer.alloc(300, 1), 4900), 100);
  assert.equal(pages.copyFrom(Buffer.alloc(20, 2), 90), 20);
  assert.equal(pages.copyFrom(Buffer.alloc(0)), 0);
  const all = Buffer.alloc(5000);
  pages.copyTo(all);
  expected.fill(1, 4900).fill(2, 90, 110);
  assert.deepEqual(all, expected);
  for (const offset of [-1, 5001, 0.5, Number.NaN]) {
    await failsWith("EINVAL", () => pages.copyTo(Buffer.alloc(1), offset));
    await failsWith("EINVAL", () => pages.copyFrom(Buffer.alloc(1), offset));
  }
  for (const wrong of [undefined, null, [1], new Uint16Array(1), "a"]) {
    await failsWith("EINVAL", () => pages.copyTo(wrong as never));
    await failsWith("EINVAL", () => pages.copyFrom(wrong as never));
  }
});

test("after the put everything about the bytes is ERR_PINFOLD_ALREADY_PUT, and a second dispose is nothing", async (t) => {
  const { cache, file } = await openMemory(t, 4);
  for (const end of [
    (p: UserPages) => p.put(),
    (p: UserPages) => p.putUnmodified(),
    (p: UserPages) => p[Symbol.dispose](),
    putUserPages,
  ]) {
    const pages = await file.getUserPages(0, 10, { write: true });
    end(pages);
    const calls: Record<string, () => unknown> = {
      put: () => pages.put(),
      putUnmodified: () => pages.putUnmodified(),
      putUserPages: () => putUserPages(pages),
      bytes: () => pages.bytes,
      page: () => pages.page(0),
      iterate: () => [...pages],
      copyTo: () => pages.copyTo(Buffer.alloc(1)),
      copyFrom: () => pages.copyFrom(Buffer.alloc(1)),
      upgrade: () => pages.upgrade(),
      downgrade: () => pages.downgrade(),
      flush: () => pages.flush(),
      ownerDied: () => pages.ownerDied,
    };
    for (const [name, call] of Object.entries(calls)) await failsWith("ERR_PINFOLD_ALREADY_PUT", call, name);
    pages[Symbol.dispose]();
  }
  isFree(cache);
});

test("using puts at the end of its block, also when that ends with an error", async (t) => {
  const { cache, file } = await openMemory(t, 4);
  await assert.rejects(async () => {
    using pages = await file.getUserPages(0, 10, { write: true });
    pages.bytes[0] = 1;
    throw new Error("on the way");
  }, /on the way/);
  isFree(cache);
});

test("putUserPages of many puts them all even where one was put before", async (t) => {
  const { cache, file } = await openMemory(t, 4);
  const pins = await Promise.all([0, 1, 2].map((page) => file.getUserPages(page * pageSize, 1)));
  pins[1]?.put();
  await failsWith("ERR_PINFOLD_ALREADY_PUT", () => putUserPages(pins));
  isFree(cache);
  putUserPages([]);
  putUserPages(new Set([await file.getUserPages(0, 1), await file.getUserPages(0, 1)]));
  isFree(cache);
});

test("putUnmodified leaves a clean page clean, and a dirty one dirty", async (t) => {
  const { cache, file } = await openMemory(t, 4);
  const clean = await file.getUserPages(0, 10, { write: true });
  clean.putUnmodified();
  assert.equal(cache.stats().dirtyPages, 0);
  await file.write("dirty", pageSize);
  const dirty = await file.getUserPages(pageSize, 10, { write: true });
  dirty.putUnmodified();
  assert.equal(cache.stats().dirtyPages, 1);
  const counted = await file.getUserPages(0, 10, { write: true, longterm: true });
  counted.putUnmodified();
  assert.equal(cache.stats().dirtyPages, 1);
  isFree(cache);
});

function oldCaller(pages: UserPages): void {
  for (const page of pages) putPage(page);
}

test("putPage, the old way, ends the pin with its last page and is listed with its place and count", async (t) => {
  const { cache, file } = await openMemory(t, 8);
  assert.deepEqual(cache.legacyCallers(), []);
  const pages = await file.getUserPages(0, 3 * pageSize);
  const [first, second, third] = [...pages];
  assert.ok(first && second && third);
  putPage(first);
  await failsWith("ERR_PINFOLD_ALREADY_PUT", () => putPage(first));
  putPage(second);
  assert.equal(pages.isPinned, true);
  putPage(third);
  assert.equal(pages.isPinned, false);
  await failsWith("ERR_PINFOLD_ALREADY_PUT", () => putPage(third));
  oldCaller(await file.getUserPages(0, 5 * pageSize));
  oldCaller(await file.getUserPages(0, 2 * pageSize));
  const callers = cache.legacyCallers();
  assert.equal(callers[0]?.calls, 7);
  assert.match(callers[0]?.site ?? "", /oldCaller .*user-pages\.test\.[jt]s:\d+:\d+/);
  assert.ok(callers.length >= 5, "each place has a line of its own");
  isFree(cache);
});

test("pins() says who has what, since when and from where; without pinSites it has no place", async (t) => {
  for (const pinSites of ["all", "off"] as const) {
    const { cache, file } = await openMemory(t, 8, { pinSites });
    const scope = cache.scope();
    const read = await file.getUserPages(10, 20);
    const counted = await file.getUserPages(pageSize, 2 * pageSize, { write: true, longterm: true });
    const scoped = await file.getUserPages(4 * pageSize, 5, { write: true, scope });
    const pins = cache.pins().toReversed();
    assert.deepEqual(
      pins.map(({ ageMs: _age, site: _site, thread, threadId, inTransit, ...facts }) => {
        assert.deepEqual([thread, inTransit], [0, false]);
        assert.ok(threadId !== undefined && threadId > 0);
        return facts;
      }),
      [
        { file: file.name, position: 10, length: 20, write: false, protocol: "locked", scope: 0, leaked: false },
        {
          file: file.name,
          position: pageSize,
          length: 2 * pageSize,
          write: true,
          protocol: "counted",
          scope: 0,
          leaked: false,
        },
        {
          file: file.name,
          position: 4 * pageSize,
          length: 5,
          write: true,
          protocol: "locked",
          scope: scope.id,
          leaked: false,
        },
      ],
    );
    for (const pin of pins) {
      assert.ok(pin.ageMs !== undefined && pin.ageMs >= 0 && pin.ageMs < 5_000, `${pin.ageMs} ms`);
      if (pinSites === "off") assert.equal(pin.site, undefined);
      else assert.match(pin.site ?? "", /user-pages\.test\.[jt]s:\d+:\d+/);
    }
    assert.equal(cache.stats().pins, 3);
    assert.equal(cache.stats().pinnedPages, 4);
    putUserPages([read, counted, scoped]);
    scope.end();
    isFree(cache);
  }
});

test("the place of a pin that had to wait is still the caller's", async (t) => {
  const { cache, file } = await openMemory(t, 8, { pinSites: "all" });
  const first = await file.getUserPages(0, 10, { write: true });
  const waiting = file.getUserPages(0, 10, { write: true });
  await until(() => cache.stats().waiters === 1, "it waits");
  first.put();
  using second = await waiting;
  assert.equal(second.length, 1);
  assert.equal(cache.pins().length, 1);
});

test("a read pin is upgraded once it is alone; the second upgrader is told EDEADLK at once", async (t) => {
  const { cache, file } = await openMemory(t, 4);
  const [one, two] = [await file.getUserPages(0, 10), await file.getUserPages(0, 10)];
  const upgrading = one.upgrade();
  await until(() => cache.stats().waiters === 1, "the first waits for the second");
  await failsWith("EDEADLK", () => two.upgrade());
  assert.equal(two.writable, false);
  two.put();
  await upgrading;
  assert.equal(one.writable, true);
  one.bytes[0] = 7;
  await one.upgrade();
  one.downgrade();
  assert.equal(one.writable, false);
  using beside = await file.getUserPages(0, 1);
  assert.equal(beside.bytes[0], 7);
  await failsWith("EROFS", () => one.copyFrom(Buffer.alloc(1)));
  one.put();
  assert.equal(cache.stats().dirtyPages, 1);
});

test("a handle is not put under its own upgrade or flush, and using puts it at their end", async (t) => {
  const { cache, file } = await openMemory(t, 4);
  const other = await file.getUserPages(0, 10);
  const one = await file.getUserPages(0, 10);
  const upgrading = one.upgrade();
  for (const call of [
    () => one.put(),
    () => one.putUnmodified(),
    () => one.downgrade(),
    () => one.upgrade(),
    () => one.flush(),
  ]) {
    await failsWith("EBUSY", call);
  }
  one[Symbol.dispose]();
  assert.equal(one.isPinned, true);
  other.put();
  await upgrading;
  await until(() => !one.isPinned, "put after the upgrade");
  const flushed = await file.getUserPages(0, 10, { write: true });
  const flushing = flushed.flush();
  await failsWith("EBUSY", () => flushed.put());
  await flushing;
  flushed.put();
  isFree(cache);
});

test("an aborted upgrade leaves the read pin as it was", async (t) => {
  const { cache, file } = await openMemory(t, 4);
  const [one, two] = [await file.getUserPages(0, 10), await file.getUserPages(0, 10)];
  const ended = new AbortController();
  const upgrading = one.upgrade({ signal: ended.signal });
  ended.abort(new Error("no longer"));
  await assert.rejects(upgrading, /no longer/);
  assert.equal(one.writable, false);
  for (const wrong of [null, 5, { signal: {} }]) await failsWith("EINVAL", () => one.upgrade(wrong as never));
  putUserPages([one, two]);
  assert.equal(cache.stats().dirtyPages, 0);
  isFree(cache);
});

test("long-term pins can be neither upgraded nor downgraded, and read pins not flushed", async (t) => {
  const { file } = await openMemory(t, 4);
  using read = await file.getUserPages(0, 10, { longterm: true });
  using write = await file.getUserPages(pageSize, 10, { longterm: true, write: true });
  await failsWith("EINVAL", () => read.upgrade());
  await failsWith("EINVAL", () => write.downgrade());
  await failsWith("EINVAL", () => read.flush());
});

test("flush writes the pages as they are while the pin goes on", async (t) => {
  const { cache, file, store } = await openMemory(t, 4);
  using pages = await file.getUserPages(0, 2 * pageSize, { write: true });
  pages.copyFrom(Buffer.from("first"));
  await pages.flush();
  const stored = Buffer.alloc(pageSize);
  await store.readPages(0, [stored]);
  assert.equal(stored.toString("latin1", 0, 5), "first");
  pages.copyFrom(Buffer.from("other"));
  assert.equal(cache.stats().dirtyPages, 2, "they stay dirty");
});
