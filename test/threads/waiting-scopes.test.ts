/** Scopes over threads: numbers that are one's own, circles of waits that run through two threads, holds of the dead. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { systemClock } from "../../src/base/clock.js";
import type { Frames } from "../../src/frames/frames.js";
import { PageLocks } from "../../src/frames/locks.js";
import { clearScopesOf } from "../../src/frames/scopes.js";
import * as layout from "../../src/sync/layout.js";
import type { Words } from "../../src/sync/words.js";
import type { Locks } from "./lock-worker.js";
import { type LockWorker, isBlocked, threads, until } from "./lock-workers.js";

const { OK, MODE_SHARED, MODE_UPGRADE } = layout;

async function two(t: TestContext): Promise<{ own: Locks; other: LockWorker }> {
  const { own, others } = await threads(t, 1);
  const [other] = others;
  assert.ok(other);
  return { own, other };
}

function isAwaited(own: Locks, lock: number): boolean {
  return own.frames.words.firstWaiter(own.record(lock)) >= 0;
}

/** The scopes that the table has for a record. */
function holdersOf({ frames }: Locks, record: number): number[] {
  const holders: number[] = [];
  for (let entry = 0; entry < layout.SCOPE_HOLDS_MAX; entry++) {
    const at = frames.plan.scopeHolds + entry * layout.SCOPE_HOLD_BYTES;
    if (frames.shared.load(at + 4) === record + 1) holders.push(frames.shared.load(at));
  }
  return holders;
}

test("scopes of two threads never have the same number, which tells the thread", async (t) => {
  const { own, other } = await two(t);
  const mine = [own.scope(1), own.scope(2)].map((scope) => scope?.id);
  own.try({ lock: 0, scope: 1 });
  await other.tell("try", { lock: 1, scope: 1 });
  const [theirs] = holdersOf(own, own.record(1));
  assert.deepEqual(holdersOf(own, own.record(0)), [mine[0]]);
  assert.equal(new Set([...mine, theirs]).size, 3);
  assert.deepEqual(
    [mine[0], mine[1], theirs].map((id = 0) => id % layout.THREADS_MAX),
    [0, 0, 1],
  );
});

test("a wait that closes a circle through a scope of another thread is EDEADLK, the other waits on", async (t) => {
  const { own, other } = await two(t);
  for (const how of ["acquire", "block"] as const) {
    own.try({ lock: 0, scope: 1 });
    await other.tell("try", { lock: 1, scope: 1 });
    const waiting = other.tell(how, { lock: 0, scope: 1 });
    await until(() => isAwaited(own, 0), "the other waits");
    await assert.rejects(own.acquire({ lock: 1, scope: 1 }), { code: "EDEADLK" });
    assert.throws(() => own.block({ lock: 1, scope: 1 }), { code: "EDEADLK" });
    own.unlock({ lock: 0, scope: 1 });
    assert.equal(await waiting, OK);
    await other.tell("unlock", { lock: 0, scope: 1 });
    await other.tell("unlock", { lock: 1, scope: 1 });
    assert.deepEqual([...holdersOf(own, own.record(0)), ...holdersOf(own, own.record(1))], []);
  }
});

test("a circle through three scopes of two threads is found, one without a circle is not", async (t) => {
  const { own, other } = await two(t);
  own.try({ lock: 0, scope: 1 });
  own.try({ lock: 1, scope: 2 });
  await other.tell("try", { lock: 2, scope: 1 });
  const first = own.acquire({ lock: 1, scope: 1 });
  const second = other.tell("acquire", { lock: 0, scope: 1 });
  await until(() => isAwaited(own, 0), "the other waits");
  await assert.rejects(own.acquire({ lock: 2, scope: 2 }), { code: "EDEADLK" });
  const free = own.acquire({ lock: 2, scope: 3 });
  await until(() => isAwaited(own, 2), "a scope that holds nothing waits");
  own.unlock({ lock: 1, scope: 2 });
  assert.equal(await first, OK);
  own.unlock({ lock: 1, scope: 1 });
  own.unlock({ lock: 0, scope: 1 });
  assert.equal(await second, OK);
  await other.tell("unlock", { lock: 2, scope: 1 });
  assert.equal(await free, OK);
});

test("a wait that another one overtakes between its look and its place in the queue is EDEADLK all the same", async (t) => {
  const { own, other } = await two(t);
  own.try({ lock: 0, scope: 1 });
  await other.tell("try", { lock: 1, scope: 1 });
  let theirs: Promise<number | string> | undefined;
  const { words } = own.frames;
  const enqueue: Words["enqueue"] = (...call) => {
    theirs ??= other.tell("block", { lock: 0, scope: 1 });
    // Not only in its queue: it has looked for a circle from there too, and found none.
    for (let spin = 0; !isBlocked(own, 1); spin++) assert.ok(spin < 1e9, "the other blocks");
    return words.enqueue(...call);
  };
  const frames = Object.create(own.frames, { words: { value: { ...words, enqueue } } }) as Frames;
  const locks = new PageLocks(frames, systemClock, own.scopes);
  const owner = { scope: own.scope(1), signal: AbortSignal.timeout(2_000) };
  const waiting = async () => locks.acquire(own.record(1), 1, layout.LOCK_RESIZE, layout.MODE_EXCLUSIVE, owner);
  await assert.rejects(waiting(), { code: "EDEADLK" });
  own.unlock({ lock: 0, scope: 1 });
  assert.equal(await theirs, OK);
});

test("two threads that close a circle at the same moment never both wait", async (t) => {
  const { own, other } = await two(t);
  let refused = 0;
  for (let round = 0; round < 100; round++) {
    own.try({ lock: 0, scope: 1 });
    await other.tell("try", { lock: 1, scope: 1 });
    // The other thread lets go where it is refused, so that this one can go on.
    const theirs = other.tell("block", { lock: 0, scope: 1, orUnlock: 1, timeoutMs: 2_000 });
    for (let spin = 0; spin < (round % 20) * 2_000; spin++) if (isAwaited(own, 0)) break;
    const mine = await own
      .acquire({ lock: 1, scope: 1, timeoutMs: 2_000 })
      .catch((error: { code: string }) => error.code);
    own.unlock({ lock: 0, scope: 1 });
    const answer = await theirs;
    refused += Number(mine === "EDEADLK") + Number(answer === "EDEADLK");
    assert.ok(mine === "EDEADLK" || answer === "EDEADLK", `round ${round}: ${mine} and ${answer}`);
    if (mine === OK) own.unlock({ lock: 1, scope: 1 });
    if (answer === OK) {
      await other.tell("unlock", { lock: 0, scope: 1 });
      await other.tell("unlock", { lock: 1, scope: 1 });
    }
  }
  assert.ok(refused >= 100);
});

test("the scope's own hold is no circle for its upgrade", async (t) => {
  const { own, other } = await two(t);
  own.try({ lock: 0, mode: MODE_SHARED, scope: 1 });
  await other.tell("try", { lock: 0, mode: MODE_SHARED, scope: 1 });
  const upgraded = own.locks.acquire(own.record(0), 0, layout.LOCK_RESIZE, MODE_UPGRADE, { scope: own.scope(1) });
  await until(() => isAwaited(own, 0), "it waits for the other sharer");
  await other.tell("unlock", { lock: 0, mode: MODE_SHARED, scope: 1 });
  assert.equal(await upgraded, OK);
});

test("a full table of holds is an error that takes nothing, and room again when a hold ends", async (t) => {
  const { own } = await threads(t, 0);
  const scope = own.scope(1);
  assert.ok(scope);
  for (let record = 0; record < layout.SCOPE_HOLDS_MAX; record++) scope.hold(record, false);
  assert.throws(() => scope.hold(10_000, false), { code: "ERR_PINFOLD_TOO_MANY" });
  assert.equal(scope.held.size, layout.SCOPE_HOLDS_MAX);
  scope.drop(17);
  scope.hold(10_000, true);
  assert.deepEqual(holdersOf(own, 10_000), [scope.id]);
});

test("what is cleared of a dead thread's holds is all of them and nobody else's", async (t) => {
  const { own, other } = await two(t);
  own.try({ lock: 0, scope: 1 });
  await other.tell("try", { lock: 1, scope: 1 });
  await other.tell("try", { lock: 2, scope: 2 });
  await other.end();
  clearScopesOf(own.frames, 1);
  assert.deepEqual(
    [1, 2].flatMap((lock) => holdersOf(own, own.record(lock))),
    [],
  );
  assert.deepEqual(holdersOf(own, own.record(0)), [own.scope(1)?.id]);
});
