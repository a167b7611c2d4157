/** What a reader may find, and what a crash may leave, of a value that many write at once. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Register } from "../../explore/simulation/register.js";

function sorted(values: readonly number[]): number[] {
  return [...new Set(values)].sort((a, b) => a - b);
}

test("a reader finds the last write that had ended, and any that is beside it", () => {
  const register = new Register(0);
  const first = register.begin(1, 10, 0);
  assert.deepEqual(sorted(register.possible(11)), [0, 1]);
  first.end = 12;
  assert.deepEqual(register.possible(13), [1]);
  assert.deepEqual(sorted(register.possible(12)), [0, 1], "who began before its end may have looked before it");
  register.begin(2, 14, 0);
  assert.deepEqual(sorted(register.possible(15)), [1, 2]);
});

test("of two writes beside each other either may be the last", () => {
  const register = new Register(0);
  const first = register.begin(1, 10, 0);
  const second = register.begin(2, 11, 0);
  first.end = 12;
  second.end = 13;
  assert.deepEqual(sorted(register.possible(20)), [1, 2]);
});

test("what was past when a sync began is not left by a crash, what came after the sync's beginning may be", () => {
  const register = new Register(0);
  register.begin(1, 10, 0).end = 11;
  register.begin(2, 12, 0).end = 13;
  const syncBegan = 14;
  register.begin(3, 15, 0).end = 16;
  assert.ok(!register.allows(0, syncBegan) && !register.allows(1, syncBegan));
  assert.ok(register.allows(2, syncBegan) && register.allows(3, syncBegan));
});

test("a doubtful write may be found and makes no other past; a dropped one was never there", () => {
  const register = new Register(0);
  const doubtful = register.begin(1, 10, 0);
  doubtful.end = 11;
  doubtful.isDoubtful = true;
  register.drop(register.begin(2, 12, 0));
  assert.deepEqual(sorted(register.possible(20)), [0, 1]);
  register.begin(3, 21, 0).end = 22;
  assert.deepEqual(register.possible(23), [3], "a later write makes the doubtful one past");
});

test("after a power cut what is left stays; after a kill the storage may lose it until it is made durable", () => {
  const register = new Register(0);
  register.begin(1, 10, 0).end = 11;
  register.settle(1, 20, 0, false);
  assert.deepEqual(register.possible(30), [1]);
  assert.ok(register.allows(0, 0), "the older value may come back with the power");
  register.lose();
  assert.deepEqual(sorted(register.possible(30)), [0, 1]);
  register.settle(1, 40, 0, true);
  register.lose();
  assert.deepEqual(register.possible(0), [1]);
});

test("what nobody can find any more is forgotten", () => {
  const register = new Register(0);
  for (let at = 1; at <= 10_000; at++) register.begin(at & 255, at * 2, at * 2).end = at * 2 + 1;
  assert.ok(register.length < 5);
});

test("more writes of one byte than can be told apart are an error", () => {
  const register = new Register(0);
  assert.throws(() => {
    for (let at = 1; at <= 10_000; at++) register.begin(1, at, 0);
  }, /more than 4096 writes/);
});
