/**
 * The check over all scenarios, with few preemptions: each race is found where it is expected (under the bare reference, without its
 * guard), and nowhere else.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { check, readInterleaved, replayed } from "../../explore/check.js";
import { nameOf } from "../../explore/report/verdict.js";

const source = readInterleaved();
const clock = { nowMs: () => performance.now() };

describe("the check", () => {
  const report = check(source, { ...clock, boundMax: 1 });

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

  it("a schedule shows the same violation again when it is replayed", () => {
    const found = report.results.filter(({ violations }) => violations.length > 0);
    assert.ok(found.length > 0);
    for (const result of found) {
      const { violation, steps } = replayed(source, result);
      assert.equal(`${violation?.kind}: ${violation?.sentence}`, result.violations[0]);
      assert.deepEqual(steps, result.schedule);
    }
  });
});
