/** Pages handed from thread to thread: transfer, adopt, and what becomes of them on the way. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type CachedFile, PageCache, type PagesToken, UserPages } from "../../src/index.js";
import { errorOf, failsWith, openMemory, pageSize, runProgram } from "../api/fixture.js";
import { type Thread, openThreads } from "./pins-worker-fixture.js";

const counted = { write: true, longterm: true };

/** A thread's pages, filled and handed over. */
async function handOver(thread: Thread, position: number, length: number, value: number) {
  const pin = await thread.call<number>("pin", position, length, counted);
  await thread.call("fill", pin, value);
  return { pin, token: await thread.call<PagesToken>("transfer", pin) };
}

async function counts(file: CachedFile, position: number): Promise<number> {
  const target = Buffer.alloc(1);
  await file.read(target, 0, 1, position);
  return target[0] as number;
}

test("a filled buffer goes to another thread without a copy, and back", async (t) => {
  const { cache, file, threads } = await openThreads(t, 1);
  const thread = threads[0] as Thread;
  const { pin, token } = await handOver(thread, 100, 2 * pageSize, 7);
  const pages = UserPages.adopt(token);
  assert.deepEqual([pages.position, pages.byteLength, pages.length, pages.writable], [100, 2 * pageSize, 3, true]);
  assert.equal(pages.isPinned, true);
  for (const page of pages) assert.ok(page.bytes.every((byte) => byte === 7));
  pages.page(1).bytes.fill(8);
  const back = await thread.call<number>("adopt", pages.transfer());
  assert.deepEqual(await thread.call("bytes", back), [7, 8, 7]);
  assert.equal((await thread.call<{ isPinned: boolean }>("facts", pin)).isPinned, false);
  await thread.call("put", back);
  await file.sync();
  assert.equal(cache.stats().dirtyPages, 0);
  cache.verify({ quiesce: true });
  assert.deepEqual([await counts(file, 99), await counts(file, 100), await counts(file, pageSize)], [0, 7, 8]);
});

test("a thread that does not have the file open adopts its pages, and puts them", async (t) => {
  const { cache, file, threads } = await openThreads(t, 1, { opensFile: false });
  const thread = threads[0] as Thread;
  const pages = await file.getUserPages(0, pageSize, counted);
  pages.bytes.fill(3);
  const pin = await thread.call<number>("adopt", pages.transfer());
  assert.deepEqual(await thread.call("bytes", pin), [3]);
  await thread.call("fill", pin, 4);
  const error = await errorOf(() => file.close());
  assert.match(error.message, /EBUSY.*thread 1: counted write pin of /);
  await thread.call("put", pin);
  await file.sync();
  assert.equal(await counts(file, 0), 4);
  cache.verify({ quiesce: true });
});

test("read pins are handed over too, and stay shared", async (t) => {
  const { cache, file, threads } = await openThreads(t, 1);
  const pages = await file.getUserPages(0, 3 * pageSize, { longterm: true });
  const other = await file.getUserPages(0, 3 * pageSize, { longterm: true });
  const pin = await (threads[0] as Thread).call<number>("adopt", pages.transfer());
  assert.deepEqual(await (threads[0] as Thread).call("facts", pin), {
    position: 0,
    byteLength: 3 * pageSize,
    writable: false,
    isPinned: true,
    length: 3,
  });
  other.put();
  cache.verify({ quiesce: true });
  await (threads[0] as Thread).call("put", pin);
  assert.equal(cache.stats().dirtyPages, 0);
  cache.verify({ quiesce: true });
});

test("pages in transit stay pinned, dirty, and in the way of truncate and punch, whose errors say from which thread", async (t) => {
  const { cache, file, threads } = await openThreads(t, 1);
  const thread = threads[0] as Thread;
  const { token } = await handOver(thread, 4 * pageSize, 2 * pageSize, 5);
  await file.sync();
  assert.equal(cache.stats().dirtyPages, 2, "write-back writes a snapshot, and they stay dirty");
  const inTransit = /EBUSY.*counted write pin in transit from thread 1 of .*data\.bin \[16384, 24576\)/;
  assert.match((await errorOf(() => file.truncate(0))).message, inTransit);
  assert.match((await errorOf(() => file.punchHole(0, 8 * pageSize))).message, inTransit);
  await assert.rejects(thread.call("truncate", 0, {}), inTransit);
  assert.throws(() => file.invalidate(), { code: "EBUSY" });
  cache.verify({ quiesce: true });
  UserPages.adopt(token).put();
  await file.sync();
  assert.equal(cache.stats().dirtyPages, 0);
  await file.truncate(0);
  cache.verify({ quiesce: true });
});

test("pages are adopted once, by whoever comes first", async (t) => {
  const { cache, threads } = await openThreads(t, 2);
  const [sender, other] = threads as [Thread, Thread];
  const { token } = await handOver(sender, 0, 3 * pageSize, 1);
  const outcomes = await Promise.all([
    other.call<number>("adopt", token).catch((error: { code: string }) => error.code),
    sender.call<number>("adopt", token).catch((error: { code: string }) => error.code),
  ]);
  assert.equal(outcomes.filter((outcome) => outcome === "ESTALE").length, 1);
  await failsWith("ESTALE", () => UserPages.adopt(token));
  const [winner, pin] = typeof outcomes[0] === "number" ? [other, outcomes[0]] : [sender, outcomes[1]];
  await winner.call("put", pin);
  await failsWith("ESTALE", () => UserPages.adopt(token));
  cache.verify({ quiesce: true });
});

test("until the adopt the sender's put takes the pages back; afterwards it is ESTALE, and the end of a using block does nothing", async (t) => {
  const { cache, file, threads } = await openThreads(t, 1);
  const thread = threads[0] as Thread;
  const pages = await file.getUserPages(0, 2 * pageSize, counted);
  const token = pages.transfer();
  pages[Symbol.dispose]();
  assert.equal(cache.pins().length, 1, "still in transit");
  pages.put();
  await assert.rejects(thread.call("adopt", token), { code: "ESTALE" });
  await failsWith("ERR_PINFOLD_ALREADY_PUT", () => pages.put());
  cache.verify({ quiesce: true });

  const second = await file.getUserPages(0, 2 * pageSize, counted);
  const pin = await thread.call<number>("adopt", second.transfer());
  await failsWith("ESTALE", () => second.put());
  await failsWith("ESTALE", () => second.putUnmodified());
  second[Symbol.dispose]();
  cache.verify({ quiesce: true });
  await thread.call("put", pin);
  cache.verify({ quiesce: true });
  assert.equal(cache.pins().length, 0);
});

test("what was taken back and put unmodified is clean again", async (t) => {
  const { cache, file } = await openMemory(t, 4);
  const pages = await file.getUserPages(0, 2 * pageSize, counted);
  pages.transfer();
  pages.putUnmodified();
  assert.equal(cache.stats().dirtyPages, 0);
  cache.verify({ quiesce: true });
});

test("a handle whose pages were handed over gives no bytes and changes nothing", async (t) => {
  const { cache, file } = await openMemory(t, 4);
  const pages = await file.getUserPages(0, 2 * pageSize, counted);
  const page = pages.page(0);
  pages.transfer();
  assert.equal(pages.isPinned, false);
  for (const use of [
    () => pages.page(0),
    () => [...pages],
    () => pages.copyTo(new Uint8Array(1)),
    () => pages.copyFrom(new Uint8Array(1)),
    () => pages.transfer(),
    () => pages.flush(),
    () => pages.upgrade(),
    () => pages.downgrade(),
    () => pages.ownerDied,
    () => pages.putSingle(page),
  ])
    await failsWith("ESTALE", use, String(use));
  pages.put();
  cache.verify({ quiesce: true });
});

test("only long-term pins that nothing else is done to are handed over", async (t) => {
  const { cache, file } = await openMemory(t, 4);
  const locked = await file.getUserPages(0, 2 * pageSize, { write: true });
  const error = await failsWith("EINVAL", () => locked.transfer());
  assert.match(error.message, /longterm: true/);
  locked.put();
  const pages = await file.getUserPages(0, 2 * pageSize, counted);
  const flushed = pages.flush();
  await failsWith("EBUSY", () => pages.transfer());
  await flushed;
  pages.putSingle(pages.page(0));
  await failsWith("EINVAL", () => pages.transfer());
  pages.put();
  await failsWith("ERR_PINFOLD_ALREADY_PUT", () => pages.transfer());
  cache.verify({ quiesce: true });
});

test("a token that is none, of another cache, or changed on the way is EINVAL and takes nothing", async (t) => {
  const { cache, file } = await openMemory(t, 8);
  const pages = await file.getUserPages(pageSize, 2 * pageSize, counted);
  const token = pages.transfer();
  const changed = [
    undefined,
    7,
    {},
    { ...token, kind: "pages" },
    { ...token, cache: token.cache + 1 },
    { ...token, mapping: -1 },
    { ...token, mapping: 1024 },
    { ...token, transfer: 1024 },
    { ...token, transfer: Number.NaN },
    { ...token, state: "1" },
    { ...token, position: 0 },
    { ...token, position: -pageSize },
    { ...token, length: 0 },
    { ...token, length: 3 * pageSize },
    { ...token, length: 1e300 },
    { ...token, firstIndex: 2 },
    { ...token, write: false },
    { ...token, write: 1 },
    { ...token, entries: undefined },
    { ...token, entries: [] },
    { ...token, entries: [token.entries[0], 4096] },
    { ...token, entries: [token.entries[0], token.entries[0]] },
    { ...token, entries: [token.entries[1], token.entries[0]] },
  ];
  for (const [at, wrong] of changed.entries())
    await failsWith("EINVAL", () => UserPages.adopt(wrong as PagesToken), `number ${at}`);
  for (const gone of [
    { ...token, generation: token.generation + 1 },
    { ...token, state: token.state + 64 },
  ])
    await failsWith("ESTALE", () => UserPages.adopt(gone));
  cache.verify({ quiesce: true });
  UserPages.adopt(token).put();
  cache.verify({ quiesce: true });
});

test("a cache that this thread has closed, or never had, has no pages to adopt", async (t) => {
  const { cache, file } = await openMemory(t, 4);
  const attached = PageCache.attach(cache.share());
  const pages = await file.getUserPages(0, 10, counted);
  const token = pages.transfer();
  const error = await errorOf(() => cache.close());
  assert.match(error.message, /EBUSY.*in transit from thread 0/);
  pages.put();
  await attached.close();
  await cache.close();
  await failsWith("EINVAL", () => UserPages.adopt(token));
});

test("pages that come while a thread leaves the cache keep it from leaving", async (t) => {
  const { cache, file, threads } = await openThreads(t, 1);
  const thread = threads[0] as Thread;
  await thread.call("write", 4 * pageSize, 4 * pageSize, 1);
  const token = (await file.getUserPages(0, 1, counted)).transfer();
  const leaving = thread.call("close").then(
    () => "left",
    ({ code }: { code: string }) => code,
  );
  const pin = await thread.call<number>("adopt", token);
  assert.equal(await leaving, "EBUSY");
  await thread.call("put", pin);
  await thread.call("close");
  cache.verify({ quiesce: true });
});

test("where the tables of pages in transit are full, the pin stays what it was", async (t) => {
  const { cache, file } = await openMemory(t, 5_000, {
    memory: "64MiB",
    dirtyBytesMax: "4MiB",
    dirtyBackgroundBytes: "2MiB",
    pinnedBytesMax: "32MiB",
  });
  const big = await file.getUserPages(0, 4_097 * pageSize, counted);
  big.page(4_096).bytes.fill(1);
  const error = await failsWith("ERR_PINFOLD_TOO_MANY", () => big.transfer());
  assert.match(error.message, /4096 pages/);
  assert.equal(big.isPinned, true);
  cache.verify({ quiesce: true });
  big.put();
  const most = await file.getUserPages(0, 4_096 * pageSize, { longterm: true });
  most.transfer();
  const one = await file.getUserPages(0, 1, { longterm: true });
  await failsWith("ERR_PINFOLD_TOO_MANY", () => one.transfer());
  most.put();
  UserPages.adopt(one.transfer()).put();
  cache.verify({ quiesce: true });
  const pins: UserPages[] = [];
  // A page has at most 1,022 counted pins of a kind.
  for (let at = 0; at < 1_024; at++) pins.push(await file.getUserPages((at % 2) * pageSize, 1, { longterm: true }));
  const last = await file.getUserPages(0, 1, { longterm: true });
  for (const pin of pins) pin.transfer();
  const full = await failsWith("ERR_PINFOLD_TOO_MANY", () => last.transfer());
  assert.match(full.message, /1024 hand-overs/);
  cache.verify({ quiesce: true });
  for (const pin of [...pins, last]) pin.put();
  cache.verify({ quiesce: true });
});

test("a token is ESTALE also where its place in the tables has come round again", async (t) => {
  const { cache, file } = await openMemory(t, 4);
  const old = (await file.getUserPages(0, 1, counted)).transfer();
  UserPages.adopt(old).put();
  for (let at = 1; at < 4 * 1_024; at++) UserPages.adopt((await file.getUserPages(0, 1, counted)).transfer()).put();
  const pages = await file.getUserPages(0, 1, counted);
  const token = pages.transfer();
  assert.deepEqual([token.transfer, token.entries], [old.transfer, old.entries]);
  await failsWith("ESTALE", () => UserPages.adopt(old));
  pages.put();
  cache.verify({ quiesce: true });
});

test("with debug the changes go along, and a changed read pin is refused", async (t) => {
  const { cache, file } = await openMemory(t, 4, { debug: true });
  const pages = await file.getUserPages(0, 10, counted);
  const { bytes } = pages;
  bytes.fill(6);
  const adopted = UserPages.adopt(pages.transfer());
  assert.equal(bytes.length, 0, "detached");
  assert.deepEqual([...adopted.bytes], new Array(10).fill(6));
  adopted.put();
  const read = await file.getUserPages(0, 10, { longterm: true });
  read.bytes.fill(1);
  await failsWith("EROFS", () => read.transfer());
  await failsWith("EROFS", () => read.put());
  const back = await file.getUserPages(0, 10, counted);
  back.bytes.fill(9);
  back.transfer();
  await failsWith("EINVAL", () => back.putUnmodified());
  assert.equal(await counts(file, 9), 9);
  cache.verify({ quiesce: true });
});

test("a handle that is lost after its pages were handed over is no leak: they wait for whoever adopts them", () => {
  const { status, stdout, stderr } = runProgram(
    `
    import { setTimeout as sleep } from "node:timers/promises";
    const { PageCache, MemoryStore, UserPages } = pinfold;
    const cache = await PageCache.open({ memory: "1MiB" });
    const file = await cache.open(new MemoryStore({ sizeBytes: 4096 * 8 }));
    const take = async (ageMs) => {
      const pages = await file.getUserPages(0, 4096, { write: true, longterm: true });
      await sleep(ageMs);
      return pages.transfer();
    };
    // One is handed over before leaks are watched for, one after.
    const tokens = [await take(0), await take(2200)];
    await sleep(1100);
    for (let i = 0; i < 20; i++) { globalThis.gc(); await sleep(5); }
    const result = { leaked: cache.stats().leakedPages, inTransit: cache.pins().map((pin) => pin.inTransit) };
    for (const token of tokens) UserPages.adopt(token).put();
    cache.verify({ quiesce: true });
    await cache.close();
    process.stdout.write(JSON.stringify(result));
    `,
    { nodeOptions: ["--expose-gc"] },
  );
  assert.equal(status, 0, stderr);
  assert.deepEqual(JSON.parse(stdout), { leaked: 0, inTransit: [true, true] });
  assert.equal(stderr, "");
});
