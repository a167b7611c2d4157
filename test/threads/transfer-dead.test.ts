/**
 * Threads that die with pages in transit: before each step of a hand-over, of an adoption, and of the clean-up itself.
 *
 * Most threads here are cores of their own in this thread, each with its slot: what a dead one leaves behind is what a core
 * leaves that stops before one of its steps.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../../src/base/clock.js";
import { Frames } from "../../src/frames/frames.js";
import { type PageCache, type PagesToken, UserPages } from "../../src/index.js";
import { Core } from "../../src/mapping/core.js";
import { adoptPin, cleanTransfersOf, transferPin } from "../../src/mapping/transfer.js";
import * as layout from "../../src/sync/layout.js";
import { failsWith, openMemory, pageSize } from "../api/fixture.js";
import { type Thread, openThreads } from "./pins-worker-fixture.js";

const counted = { write: true, longterm: true };
const stepsMax = 40;

/** One more user of the cache, in a slot of its own. */
function join(cache: PageCache): Core {
  const { frames, options } = cache.share();
  return new Core(options, systemClock, Frames.attach(frames), () => assert.fail("no store is attached here"));
}

/** Steps that only read: to die before one is to die before the next that changes something. */
const reads = /^(transferState|transitOf|mappingIdOf|indexOf|ledgerEntry)$/;

/** The core stops before its step number `step`, for ever. */
function dieBefore(core: Core, step: number): void {
  let left = step;
  const mortal = <T extends object>(target: T): T =>
    new Proxy({} as T, {
      get(_, name) {
        const value = Reflect.get(target, name, target) as unknown;
        if (typeof value !== "function" || reads.test(String(name))) return value;
        return (...taken: unknown[]): unknown => {
          if (left === 0) throw new Error("died");
          left -= 1;
          return value.apply(target, taken) as unknown;
        };
      },
    });
  Object.defineProperty(core.frames, "words", { value: mortal(core.frames.words) });
  Object.defineProperty(core, "locks", { value: mortal(core.locks) });
}

/** Runs `work` until it dies, or to its end. True where it died. */
function dies(work: () => void): boolean {
  try {
    work();
    return false;
  } catch (error) {
    assert.equal((error as Error).message, "died");
    return true;
  }
}

/** What recovery does about counted pins and credits of a dead thread. */
function cleanUp(core: Core, slot: number): void {
  const { words, shared, threads, count } = core.frames;
  cleanTransfersOf(core, slot);
  for (let frame = 0; frame < count; frame++) {
    const entry = words.ledgerEntry(frame, slot);
    assert.equal(entry & 0xfff, 0);
    for (let left = (entry >>> 12) & 0x3ff; left > 0; left--) words.putCountedRead(frame, slot);
    for (let left = entry >>> 22; left > 0; left--) words.putCountedWrite(frame, slot, 1);
  }
  words.giveCredits(slot, shared.load(threads.at(slot, layout.THREAD_CREDITS)));
  threads.release(slot);
}

/** Nothing is pinned or in transit any more, and what was written is dirty. */
function checkNothingLeft(cache: PageCache, dirtyPages: number): void {
  assert.equal(cache.pins().length, 0);
  assert.equal(cache.stats().dirtyPages, dirtyPages);
  assert.equal(cache.core.frames.counter(layout.HEADER_WRITE_PINNED), 0);
  cache.verify({ quiesce: true });
}

async function filledPages(t: Parameters<typeof openMemory>[0]) {
  const { cache, file } = await openMemory(t, 8);
  const pin = async () => file.getUserPages(0, 3 * pageSize, counted);
  return { cache, file, pin };
}

test("a thread that dies at any step of a hand-over leaves nothing pinned", async (t) => {
  const { cache, file, pin } = await filledPages(t);
  let deaths = 0;
  for (let step = 0; step < stepsMax; step++) {
    const core = join(cache);
    const held = adoptPin(core, (await pin()).transfer());
    dieBefore(core, step);
    if (dies(() => transferPin(core, held))) deaths += 1;
    cleanUp(cache.core, core.frames.thread);
    checkNothingLeft(cache, 3);
    await file.sync();
  }
  assert.ok(deaths >= 5 && deaths < stepsMax, `${deaths} steps`);
});

test("a thread that dies at any step of an adoption leaves the pages to their sender, or nothing pinned", async (t) => {
  const { cache, file, pin } = await filledPages(t);
  const outcomes = new Set<string>();
  for (let step = 0; step < stepsMax; step++) {
    const core = join(cache);
    const pages = await pin();
    const token = pages.transfer();
    dieBefore(core, step);
    const died = dies(() => void adoptPin(core, token));
    cleanUp(cache.core, core.frames.thread);
    if (cache.pins().length === 1) pages.put();
    else await failsWith("ESTALE", () => pages.put());
    outcomes.add(died ? "died" : "done");
    checkNothingLeft(cache, 3);
    await file.sync();
  }
  assert.deepEqual([...outcomes], ["died", "done"]);
});

test("whoever cleans up may die at any step: the next one goes on", async (t) => {
  const { cache, file, pin } = await filledPages(t);
  let deaths = 0;
  for (let step = 0; step < stepsMax; step++) {
    const dead = join(cache);
    const pages = await pin();
    transferPin(dead, adoptPin(dead, pages.transfer()));
    const reading = await file.getUserPages(pageSize, pageSize, { longterm: true });
    transferPin(dead, adoptPin(dead, reading.transfer()));
    const cleaner = join(cache);
    dieBefore(cleaner, step);
    if (dies(() => cleanTransfersOf(cleaner, dead.frames.thread))) deaths += 1;
    // In whichever order: both have died.
    const slots = [dead.frames.thread, cleaner.frames.thread];
    for (const slot of step % 2 === 0 ? slots : slots.toReversed()) cleanUp(cache.core, slot);
    checkNothingLeft(cache, 3);
    await file.sync();
  }
  assert.ok(deaths >= 10 && deaths < stepsMax * 2, `${deaths} steps`);
});

test("clean-up leaves the pages of other threads alone, and tells the next who pins for writing", async (t) => {
  const { cache, file, pin } = await filledPages(t);
  const dead = join(cache);
  const mine = (await pin()).transfer();
  const other = await file.getUserPages(3 * pageSize, 1, counted);
  transferPin(dead, adoptPin(dead, other.transfer()));
  cleanUp(cache.core, dead.frames.thread);
  const pages = UserPages.adopt(mine);
  assert.equal(pages.ownerDied, false);
  pages.put();
  const next = await file.getUserPages(3 * pageSize, 1, { write: true });
  assert.equal(next.ownerDied, true);
  next.put();
  checkNothingLeft(cache, 4);
});

test("pages whose sender was terminated are ESTALE, at once", async (t) => {
  const { cache, file, threads } = await openThreads(t, 1);
  const thread = threads[0] as Thread;
  const pin = await thread.call<number>("pin", 0, 2 * pageSize, counted);
  await thread.call("fill", pin, 5);
  const token = await thread.call<PagesToken>("transfer", pin);
  const slot = await thread.call<number>("slot");
  await thread.terminate();
  await failsWith("ESTALE", () => UserPages.adopt(token));
  cleanTransfersOf(cache.core, slot);
  await failsWith("ESTALE", () => UserPages.adopt(token));
  assert.equal(cache.stats().dirtyPages, 2);
  const target = Buffer.alloc(1);
  await file.read(target, 0, 1, pageSize);
  assert.equal(target[0], 5);
});
