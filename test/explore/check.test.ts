/**
 * The check over all scenarios, with few preemptions: each race is found where it is expected (under the bare reference, without its
 * guard), and nowhere else.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { check } from "../../explore/check.js";
import { replayed } from "../../explore/check/replays.js";
import { readInterleaved, tasksOf } from "../../explore/check/tasks.js";
import { nameOf } from "../../explore/report/verdict.js";

const source = readInterleaved();
const tasks = tasksOf(source, { quick: true });
const report = await check(tasks, { nowMs: () => performance.now() });

describe("the check", () => {
  for (const result of report.results) {
    it(`${nameOf(result)}: ${result.expected === "none" ? "nothing goes wrong" : "it is found"}`, () => {
      assert.equal(result.violations.length > 0, result.expected === "some", result.violations.join("; "));
      assert.ok(result.complete, "nothing was left out");
    });
  }

  it("covers races", () => {
    assert.ok(report.ok);
    assert.ok(report.results.length >= 10);
  });

  it("has a result for each search, in their order", () => {
    assert.deepEqual(report.results.map(nameOf), tasks.map(nameOf));
  });

  it("a schedule shows the same violation again when it is replayed", () => {
    const found = report.results.filter(({ violations }) => violations.length > 0);
    assert.ok(found.length > 0);
    for (const result of found) {
      const again = replayed(source, tasks, result);
      assert.deepEqual(again.violations, result.violations);
      assert.deepEqual(again.schedule, result.schedule);
    }
  });
});
