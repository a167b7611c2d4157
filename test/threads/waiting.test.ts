/** Waits over threads, blocking and not: granted, dismissed, timed out, refused, and what nobody wakes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { errorAdvice, type ErrorCode, codeNumber, codeOf } from "../../src/base/errors.js";
import { systemClock } from "../../src/base/clock.js";
import type { Frames } from "../../src/frames/frames.js";
import { PageLocks } from "../../src/frames/locks.js";
import type { StuckWait } from "../../src/frames/wait-queues.js";
import * as layout from "../../src/sync/layout.js";
import type { Words } from "../../src/sync/words.js";
import type { Locks } from "./lock-worker.js";
import { isBlocked, threads, until } from "./lock-workers.js";

const { OK, BUSY, GONE, MODE_SHARED, MODE_EXCLUSIVE, MODE_UPGRADE, MODE_WRITEBACK } = layout;

function codeOfThrown(call: () => unknown): string {
  try {
    return `no error: ${String(call())}`;
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

test("a thread that blocks for a lock goes on when another thread lets go of it", async (t) => {
  const { own, others } = await threads(t, 1);
  const [other] = others;
  assert.ok(other);
  for (const mode of [MODE_EXCLUSIVE, MODE_SHARED] as const) {
    own.try({ lock: 0 });
    const blocked = other.tell("block", { lock: 0, mode });
    await until(() => isBlocked(own, 1), "it blocks");
    own.unlock({ lock: 0 });
    assert.equal(await blocked, OK);
    assert.equal(isBlocked(own, 1), false);
    await other.tell("unlock", { lock: 0, mode });
  }
  assert.equal(await other.tell("rescues", { lock: 0 }), 0);
});

test("the main thread blocks for a lock too, and its tasks that were granted one meanwhile find it afterwards", async (t) => {
  const { own, others } = await threads(t, 1);
  const [other] = others;
  assert.ok(other);
  await other.tell("try", { lock: 0 });
  await other.tell("try", { lock: 1 });
  const task = own.acquire({ lock: 1 });
  // The first is let go at once; the second when this thread has entered its wait, as far as anybody can tell.
  const first = other.tell("unlock", { lock: 1 });
  const second = other.tell("unlock", { lock: 0 });
  assert.equal(own.block({ lock: 0 }), OK);
  assert.equal(own.locks.queues.waiting, 1, "the task has not run yet");
  assert.equal(await task, OK);
  assert.deepEqual(await Promise.all([first, second]), [OK, OK]);
  own.unlock({ lock: 0 });
  own.unlock({ lock: 1 });
});

test("every error code travels to a waiter of another thread, blocking or not", async (t) => {
  const { own, others } = await threads(t, 2);
  const [blocking, waiting] = others;
  assert.ok(blocking && waiting);
  for (const code of Object.keys(errorAdvice) as ErrorCode[]) {
    assert.equal(codeOf(codeNumber(code)), code);
    own.try({ lock: 0 });
    const answers: Promise<number | string>[] = [
      blocking.tell("block", { lock: 0 }),
      waiting.tell("acquire", { lock: 0, mode: MODE_SHARED }),
    ];
    await until(() => own.frames.shared.load(layout.HEADER_NODES_USED) === 2, "both wait");
    own.dismiss({ lock: 0, code });
    assert.deepEqual(await Promise.all(answers), [code, code]);
    own.unlock({ lock: 0 });
  }
});

test("a blocking wait ends after its time, and leaves nothing behind", async (t) => {
  const { own, others } = await threads(t, 1);
  await others[0]?.tell("try", { lock: 0 });
  assert.equal(own.block({ lock: 0, timeoutMs: 20 }), BUSY);
  assert.equal(own.frames.shared.load(layout.HEADER_NODES_USED), 0);
  assert.equal(isBlocked(own, 0), false);
  await others[0]?.tell("unlock", { lock: 0 });
  assert.equal(own.block({ lock: 0, timeoutMs: 20 }), OK);
});

test("a waiter goes on though whoever let go of the lock died before it woke anybody", async (t) => {
  const { own, others } = await threads(t, 1);
  const [other] = others;
  assert.ok(other);
  for (const how of ["unlockSilently", "grantSilently"] as const) {
    for (const wait of ["block", "acquire"] as const) {
      own.try({ lock: 0 });
      const answer = other.tell(wait, { lock: 0 });
      await until(() => own.frames.words.firstWaiter(own.record(0)) >= 0, "it waits");
      own[how]({ lock: 0 });
      assert.equal(await answer, OK, `${wait} after ${how}`);
      await other.tell("unlock", { lock: 0 });
    }
  }
  assert.equal(await other.tell("rescues", { lock: 0 }), 4, "each was the waiter's own look");
});

test("who waits for the pool looks for itself, and who waits for an answer is woken by nothing else", async (t) => {
  const { own } = await threads(t, 0);
  await own.locks.waitForPool(() => false);
  const { words } = own.frames;
  const record = own.frames.lockRecord(0, layout.LOCK_CALLS);
  const node = words.enqueue(record, 0, layout.LOCK_CALLS, layout.MODE_NOTIFY, 0, 7);
  const answered = own.locks.queues.wait(node, record, layout.MODE_NOTIFY, {});
  let isAnswered = false;
  void answered.then(() => (isAnswered = true));
  own.locks.queues.wake(record, true);
  await new Promise((resolve) => void setTimeout(resolve, 400));
  assert.equal(isAnswered, false);
  own.locks.queues.dismissAll(record);
  assert.equal(await answered, GONE);
});

test("while somebody waits the hook for dead threads is called, at most ten times a second, blocked or not", async (t) => {
  const { own, others } = await threads(t, 1);
  let calls = 0;
  own.locks.queues.onWaiting = () => void calls++;
  await others[0]?.tell("try", { lock: 0 });
  assert.equal(own.block({ lock: 0, timeoutMs: 450 }), BUSY);
  assert.ok(calls >= 2 && calls <= 5, `${calls} calls in 450 ms`);
  calls = 0;
  const waiting = own.acquire({ lock: 0 });
  await new Promise((resolve) => void setTimeout(resolve, 450));
  assert.ok(calls >= 2 && calls <= 6, `${calls} calls in 450 ms or little more`);
  await others[0]?.tell("unlock", { lock: 0 });
  await waiting;
});

/** A page of file 0 that is there, in `frame`; all its locks free. */
function page(own: Locks, index: number): number {
  const { words, thread } = own.frames;
  const frame = words.reserve(thread);
  assert.equal(words.find(0, index, thread), layout.NONE);
  assert.equal(words.insert(frame, 0, index, thread), OK);
  words.setUptodate(frame);
  while (words.unlockExclusive(frame, thread, 0) === layout.LOST);
  return frame;
}

test("a blocking wait that depends on the caller's own event loop is EDEADLK at once, in whatever form it holds the page", async (t) => {
  const { own, others } = await threads(t, 1);
  const { words, thread } = own.frames;
  const startMs = performance.now();
  const cases: [string, Parameters<Locks["block"]>[0], () => void][] = [
    ["its exclusive lock", { lock: 1 }, () => own.try({ lock: 1 })],
    ["for a sharer too", { lock: 2, mode: MODE_SHARED }, () => own.try({ lock: 2 })],
    ["its shared hold", { lock: 3 }, () => own.try({ lock: 3, mode: MODE_SHARED })],
  ];
  for (const [name, call, hold] of cases) {
    hold();
    assert.equal(
      codeOfThrown(() => own.block(call)),
      "EDEADLK",
      name,
    );
  }
  // An upgrade of one of two holds of this thread.
  own.try({ lock: 4, mode: MODE_SHARED });
  own.try({ lock: 4, mode: MODE_SHARED });
  assert.equal(
    codeOfThrown(() => own.block({ lock: 4, mode: MODE_UPGRADE })),
    "EDEADLK",
  );
  // Its own write-back.
  const frame = page(own, 5);
  assert.equal(own.locks.tryExclusive(frame, 0, 5), OK);
  while (words.markDirty(frame, thread, 1, 0) === layout.LOST);
  own.locks.unlockExclusive(frame);
  assert.equal(own.locks.tryShared(frame, 0, 5), OK);
  while (words.beginWriteback(frame, thread) === layout.LOST);
  assert.equal(
    codeOfThrown(() => own.locks.acquireBlocking(frame, 0, 5, MODE_WRITEBACK)),
    "EDEADLK",
  );
  // A task of its own that stands before it.
  await others[0]?.tell("try", { lock: 6 });
  const task = own.acquire({ lock: 6 });
  assert.equal(
    codeOfThrown(() => own.block({ lock: 6 })),
    "EDEADLK",
  );
  assert.ok(performance.now() - startMs < 2_000, "none of them waited for long");
  await others[0]?.tell("unlock", { lock: 6 });
  await task;
});

test("a sharer behind a task of its own thread is had when the gate opens", async (t) => {
  const { own, others } = await threads(t, 1);
  const [other] = others;
  assert.ok(other);
  await other.tell("try", { lock: 0, mode: MODE_SHARED });
  const task = own.acquire({ lock: 0 });
  await until(() => (own.frames.words.lowWord(own.record(0)) & (1 << layout.GATE_BIT)) !== 0, "the gate closes");
  assert.equal(own.block({ lock: 0, mode: MODE_SHARED }), OK);
  own.unlock({ lock: 0, mode: MODE_SHARED });
  await other.tell("unlock", { lock: 0, mode: MODE_SHARED });
  await task;
});

test("a thread that has a share waits for the gate too, and not for itself", async (t) => {
  const { own, others } = await threads(t, 1);
  own.try({ lock: 0, mode: MODE_SHARED });
  const writer = others[0]?.tell("acquire", { lock: 0 });
  await until(() => (own.frames.words.lowWord(own.record(0)) & (1 << layout.GATE_BIT)) !== 0, "the gate closes");
  assert.equal(own.block({ lock: 0, mode: MODE_SHARED }), OK);
  own.unlock({ lock: 0, mode: MODE_SHARED });
  own.unlock({ lock: 0, mode: MODE_SHARED });
  assert.equal(await writer, OK);
});

/** A slot that no thread has. */
const ghost = 5;

test("a blocking upgrade waits for the sharers of other threads", async (t) => {
  const { own, others } = await threads(t, 1);
  const [other] = others;
  assert.ok(other);
  own.try({ lock: 0, mode: MODE_SHARED });
  await other.tell("try", { lock: 0, mode: MODE_SHARED });
  assert.equal(own.frames.words.lockExclusive(own.record(1), 1, layout.LOCK_RESIZE, ghost), OK);
  const letGo = [
    other.tell("block", { lock: 1, timeoutMs: 50 }),
    other.tell("unlock", { lock: 0, mode: MODE_SHARED }),
  ] as const;
  assert.equal(own.block({ lock: 0, mode: MODE_UPGRADE }), OK);
  assert.deepEqual(await Promise.all(letGo), [BUSY, OK]);
  own.unlock({ lock: 0 });
});

test("a wait that is granted just as it is given up is had", async (t) => {
  const { own } = await threads(t, 0);
  const { words } = own.frames;
  const record = own.record(0);
  assert.equal(words.lockExclusive(record, 0, layout.LOCK_RESIZE, ghost), OK);
  const withdraw: Words["withdraw"] = (node, ...rest) => {
    words.unlockExclusive(record, ghost, 0);
    assert.equal(words.grant(node, record), OK);
    return words.withdraw(node, ...rest);
  };
  const frames = Object.create(own.frames, { words: { value: { ...words, withdraw } } }) as Frames;
  const locks = new PageLocks(frames, systemClock, own.scopes);
  assert.equal(locks.acquireBlocking(record, 0, layout.LOCK_RESIZE, MODE_EXCLUSIVE, { timeoutMs: 10 }), OK);
  own.unlock({ lock: 0 });
});

test("a task that is granted what its blocked thread waits for turns the wait into EDEADLK", async (t) => {
  const { own, others } = await threads(t, 1);
  const [other] = others;
  assert.ok(other);
  await other.tell("try", { lock: 0 });
  const task = own.acquire({ lock: 0 });
  const letGo = other.tell("unlock", { lock: 0 });
  assert.equal(
    codeOfThrown(() => own.block({ lock: 0, mode: MODE_SHARED })),
    "EDEADLK",
  );
  await letGo;
  assert.equal(await task, OK);
});

test("a circle of two blocked threads is EDEADLK for one of them, and the other goes on", async (t) => {
  const { own, others } = await threads(t, 1);
  const [other] = others;
  assert.ok(other);
  for (let round = 0; round < 20; round++) {
    own.try({ lock: 0 });
    await other.tell("try", { lock: 1 });
    const answer: Promise<number | string> = other.tell("block", { lock: 0, orUnlock: 1 });
    // Half of the rounds close the circle at about the same moment.
    if (round % 2 === 0) await until(() => isBlocked(own, 1), "it blocks");
    assert.equal(own.block({ lock: 1 }), OK, "this one has the lower slot");
    own.unlock({ lock: 0 });
    own.unlock({ lock: 1 });
    assert.equal(await answer, "EDEADLK");
  }
});

test("a circle of three blocked threads is found, also through shared holds", async (t) => {
  const { own, others } = await threads(t, 2);
  const [one, two] = others;
  assert.ok(one && two);
  own.try({ lock: 0, mode: MODE_SHARED });
  await one.tell("try", { lock: 1 });
  await two.tell("try", { lock: 2 });
  await two.tell("try", { lock: 0, mode: MODE_SHARED });
  const answers = [one.tell("block", { lock: 2 }), two.tell("block", { lock: 1, orUnlock: 2 })];
  assert.deepEqual(await Promise.all(answers), [OK, "EDEADLK"]);
  await one.tell("unlock", { lock: 1 });
  // Now through three: 1 waits for 2's lock, 2 for this thread's, this one for 1's.
  await two.tell("try", { lock: 1 });
  own.try({ lock: 3 });
  const last = [one.tell("block", { lock: 1 }), two.tell("block", { lock: 3, orUnlock: 1 })];
  await until(() => isBlocked(own, 1) && isBlocked(own, 2), "both block");
  const held = one.tell("unlock", { lock: 2 });
  assert.equal(own.block({ lock: 2 }), OK);
  own.unlock({ lock: 3 });
  assert.deepEqual(await Promise.all([...last, held]), [OK, "EDEADLK", OK]);
});

test("a task of another thread that waits for what a blocked thread holds is reported, and never a hang", async (t) => {
  // 100 times as fast: limits.stuckMs are 50 ms.
  const { own, others } = await threads(t, 1, 100);
  const [other] = others;
  assert.ok(other);
  const reports: StuckWait[] = [];
  own.locks.queues.onStuck = (wait) => reports.push(wait);
  own.try({ lock: 0 });
  await other.tell("try", { lock: 1 });
  const task = other.tell("acquire", { lock: 0 });
  await until(() => own.frames.words.firstWaiter(own.record(0)) >= 0, "the task waits");
  assert.equal(
    codeOfThrown(() => own.block({ lock: 1 })),
    "EDEADLK",
  );
  assert.deepEqual(
    reports.map(({ record, threads: holders, blocking }) => ({ record, holders, blocking })),
    [{ record: own.record(1), holders: [1], blocking: true }],
  );
  own.unlock({ lock: 0 });
  assert.equal(await task, OK);
});

test("a holder that waits for nothing of the caller's is waited for as long as it takes", async (t) => {
  const { own, others } = await threads(t, 1, 100);
  const [other] = others;
  assert.ok(other);
  own.try({ lock: 0 });
  await other.tell("try", { lock: 1 });
  assert.equal(own.block({ lock: 1, timeoutMs: 40_000 }), BUSY, "for 400 ms, eight times what counts as stuck");
});
