/** Who cleans up after whom: one thread at a time, never after a living one; and what a dead one may have owed to all. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { MemoryStore, PageCache } from "../../src/index.js";
import type { Core } from "../../src/mapping/core.js";
import * as layout from "../../src/sync/layout.js";

const page = 4096;
const dead = (): boolean => true;
const alive = (): boolean => false;

/** Three users of one cache, all in this thread, so that none of them ever dies: their ends are only said. */
async function three(t: TestContext): Promise<[Core, Core, Core]> {
  const cache = await PageCache.open({ memory: 64 * page });
  const caches = [cache, PageCache.attach(cache.share()), PageCache.attach(cache.share())] as const;
  t.after(async () => {
    for (const one of caches) if (one.core.frames.threads.isClaimed(one.core.frames.thread)) await one.close();
  });
  return [caches[0].core, caches[1].core, caches[2].core];
}

function recovererOf(core: Core, slot: number): number {
  return core.frames.shared.load(core.frames.threads.at(slot, layout.THREAD_RECOVERER)) - 1;
}

test("nobody cleans up after a thread that lives", async (t) => {
  const [one, two] = await three(t);
  one.recovery.look();
  assert.equal(one.recovery.cleanUp(two.frames.thread), false);
  assert.equal(one.recovery.cleanUp(two.frames.thread, alive), false);
  assert.equal(recovererOf(one, two.frames.thread), -1, "nothing is left of the attempt");
  assert.ok(one.frames.threads.isClaimed(two.frames.thread));
  assert.equal(one.recovery.recovered, 0);
});

test("while a living thread cleans up after a dead one, nobody else does", async (t) => {
  const [one, two, three_] = await three(t);
  const at = one.frames.threads.at(two.frames.thread, layout.THREAD_RECOVERER);
  one.frames.shared.store(at, three_.frames.thread + 1);
  assert.equal(one.recovery.cleanUp(two.frames.thread, dead), false);
  assert.ok(one.frames.threads.isClaimed(two.frames.thread));
  assert.equal(three_.recovery.cleanUp(two.frames.thread, dead), true, "it goes on with what it began");
  assert.equal(recovererOf(one, two.frames.thread), -1);
  assert.equal(one.frames.threads.isClaimed(two.frames.thread), false);
});

test("a thread that comes into the slot of one that was cleaning up is not taken for it", async (t) => {
  const [one, two, three_] = await three(t);
  const at = one.frames.threads.at(two.frames.thread, layout.THREAD_RECOVERER);
  one.frames.shared.store(at, three_.frames.thread + 1);
  assert.equal(one.recovery.cleanUp(three_.frames.thread, dead), true);
  const fourth = PageCache.attach({
    kind: "pinfold-cache",
    frames: one.frames.share(64 * page),
    options: one.options as never,
  });
  assert.equal(fourth.core.frames.thread, three_.frames.thread);
  assert.equal(one.recovery.cleanUp(two.frames.thread, dead), true);
  await fourth.close();
});

test("whoever has cleaned up is named until the slot is free, and not after", async (t) => {
  const [one, two] = await three(t);
  const seen: boolean[] = [];
  const release = one.frames.threads.release.bind(one.frames.threads);
  one.frames.threads.release = (slot) => {
    seen.push(recovererOf(one, slot) === one.frames.thread);
    release(slot);
    seen.push(recovererOf(one, slot) === one.frames.thread);
  };
  one.recovery.cleanUp(two.frames.thread, dead);
  assert.deepEqual(seen, [true, true]);
  assert.equal(recovererOf(one, two.frames.thread), -1);
});

test("a page that a dead thread let go of, but put on no queue, is put there; waiters that it left asleep are woken", async (t) => {
  const [one, two] = await three(t);
  const cache = PageCache.attach({
    kind: "pinfold-cache",
    frames: one.frames.share(64 * page),
    options: one.options as never,
  });
  const file = await cache.open(new MemoryStore({ sizeBytes: 8 * page }));
  (await file.getUserPages(0, page)).put();
  const { words } = two.frames;
  const frame = words.nextResident(0, 0, 8, 0);
  // As a thread that dies between its last release and what that has to be followed by.
  assert.equal(words.lockExclusive(frame, 0, 0, two.frames.thread), layout.OK);
  const waiting = file.getUserPages(0, page);
  assert.equal(words.setAside(frame, layout.LIST_SMALL), layout.OK);
  assert.equal(words.unlockExclusive(frame, two.frames.thread, 0), layout.WAKE | layout.IDLE);
  const { queues } = cache.core.locks;
  assert.equal(queues.rescues, 0);
  one.recovery.cleanUp(two.frames.thread, dead);
  assert.notEqual(words.firstWaiter(frame), 0);
  (await waiting).put();
  assert.equal(queues.rescues, 0, "not by its own look");
  await file.close();
  await cache.close();
  one.recovery.look();
});

test("what was found is told: who died, and what it had", async (t) => {
  const [one, two] = await three(t);
  const { words, thread } = two.frames;
  words.reserve(thread);
  words.takeSnapshot(thread);
  words.takeCredits(thread, 5);
  let told: unknown;
  one.recovery.onRecovered = (recovered) => (told = recovered);
  one.recovery.cleanUp(thread, dead);
  const { found, ...who } = told as { found: Record<string, number> };
  assert.deepEqual(who, { thread, threadId: one.frames.threads.identity(one.frames.thread).id });
  assert.deepEqual(
    Object.entries(found).filter(([, count]) => count > 0),
    [
      ["frames", 2],
      ["credits", 5],
    ],
  );
  assert.equal(one.frames.counter(layout.HEADER_RECOVERED), 1);
});
