/** Deep searches: bounds that rise, then random schedules, as long as a clock says. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { check } from "../../explore/check.js";
import { replayed } from "../../explore/check/replays.js";
import { type Depth, searchOne } from "../../explore/check/searches.js";
import { type CheckTask, readInterleaved, tasksOf } from "../../explore/check/tasks.js";
import type { CheckResult } from "../../explore/report/result.js";
import { verdictOf } from "../../explore/report/verdict.js";

const source = readInterleaved();
const tasks = tasksOf(source, {});

function taskOf(race: string, over: Partial<CheckTask> = {}): CheckTask {
  const task = tasks.find((one) => one.race === race && one.protocol === "locked" && one.without === null);
  assert.ok(task);
  return { ...task, ...over };
}

/** Each look at this clock takes a millisecond: so a search ends after the same runs, however fast the machine is. */
function searched(task: CheckTask, depth: Depth): CheckResult {
  let nowMs = 0;
  return searchOne(source, task, { nowMs: () => nowMs++, onProgress: () => {}, depth });
}

test("a space that is searched whole is done before the time is over, with no random schedules", () => {
  const result = searched(taskOf("R4"), { seed: 1, millisecondsMax: 100_000 });
  assert.equal(result.bound, null);
  assert.ok(result.complete);
  assert.ok(result.beyond !== null && result.beyond.walks + result.beyond.priorities === 0);
});

test("the highest bound that was completed is reported, apart from what was cut short and what was random", () => {
  const result = searched(taskOf("R9", { bound: 0 }), { seed: 1, millisecondsMax: 200 });
  assert.ok(result.complete);
  assert.ok(result.bound !== null && result.bound >= 1, `${result.bound}`);
  const { beyond } = result;
  assert.ok(beyond !== null);
  assert.equal(beyond.bound, result.bound + 1);
  assert.ok(beyond.schedules > 0);
  assert.ok(beyond.walks >= 1_000 && beyond.priorities >= 500, `${beyond.walks}, ${beyond.priorities}`);
  assert.equal(verdictOf(result), "expected");
});

test("what could not even complete its own bound is incomplete, however many random schedules ran", () => {
  const result = searched(taskOf("R9", { bound: 5 }), { seed: 1, millisecondsMax: 60 });
  assert.equal(result.complete, false);
  assert.equal(result.bound, 5);
  assert.ok(result.beyond !== null && result.beyond.walks > 0 && result.beyond.bound === null);
  assert.equal(verdictOf(result), "incomplete");
});

// Without its guard R18 needs a preemption. Searched without any first, ...
const open = taskOf("R18", { without: "R18", bound: 0 });

/** ... by a clock of which half is over after so many looks: so that random schedules have to find it. */
function searchedAtRandom(seed: number, looksBefore = 6, task = open): CheckResult {
  const millisecondsMax = 2_000;
  let looks = 0;
  const nowMs = () => (looks++ < looksBefore ? 0 : millisecondsMax / 2 + looks);
  return searchOne(source, task, { nowMs, onProgress: () => {}, depth: { seed, millisecondsMax } });
}

test("a violation of a random schedule is made simple, can be replayed, and is not expected", () => {
  const result = searchedAtRandom(5);
  assert.equal(result.violations.length, 1);
  assert.equal(verdictOf(result), "unexpected");
  assert.ok(result.beyond !== null && result.beyond.walks > 0, "it was a random one");
  assert.equal(result.preemptions, 1);
  const again = replayed(source, tasks, result);
  assert.deepEqual(again.violations, result.violations);
  assert.deepEqual(again.schedule, result.schedule);
});

test("the same seed does the same again, another one something else", () => {
  const runs = [5, 5, 6, 7].map((seed) => searchedAtRandom(seed));
  assert.deepEqual(runs[1], runs[0]);
  const until = runs.slice(1).map(({ beyond }) => (beyond?.walks ?? 0) + (beyond?.priorities ?? 0));
  assert.ok(
    until.some((runsUntil, at) => Math.abs(runsUntil - (until[0] as number)) > at),
    `${until.join(", ")}: not the same runs with a few left out`,
  );
});

test("random schedules are the same whatever was searched before them", () => {
  const task = taskOf("R26", { without: "R26", bound: 0 });
  for (let seed = 1; seed <= 3; seed++) {
    const one = searchedAtRandom(seed, 6, task);
    const other = searchedAtRandom(seed, 2, task);
    assert.deepEqual([one.complete, other.complete], [true, false]);
    assert.equal(other.schedules, 0);
    assert.deepEqual(other.beyond?.walks, one.beyond?.walks);
    assert.equal(other.turns, one.turns);
  }
});

test("a violation with more preemptions than the bound is found by a higher one", () => {
  const result = searched(open, { seed: 1, millisecondsMax: 100_000 });
  assert.equal(result.violations.length, 1);
  assert.equal(result.complete, true, "of bound 0");
  assert.equal(result.bound, 0);
  assert.deepEqual({ ...result.beyond, schedules: 0 }, { bound: 1, schedules: 0, walks: 0, priorities: 0 });
});

test("searches share the time; who needs less begins first, and leaves the rest to others", async () => {
  const [r4, r9] = [taskOf("R4", { bound: 8 }), taskOf("R9", { bound: 9 })];
  const depth = { seed: 3, millisecondsMax: 4_000 };
  const report = await check([r9, r4], { nowMs: () => performance.now(), jobs: 1, depth });
  const [long, short] = report.results;
  assert.equal(report.seed, 3);
  assert.ok(short?.complete && short.bound === null);
  assert.ok(long && long.seconds > 2 && long.seconds < 20, `${long?.seconds} s`);
});
