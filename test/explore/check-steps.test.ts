/** The search inside of the steps of the page words as a part of a check, and how it is reported. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { pathToFileURL } from "node:url";
import { check } from "../../explore/check.js";
import { readInterleaved, tasksOf } from "../../explore/check/tasks.js";
import { htmlText } from "../../explore/report/html.js";
import { jsonText } from "../../explore/report/json.js";
import type { StepsResult } from "../../explore/report/result.js";
import { tableText } from "../../explore/report/table.js";
import { mutate, readSources } from "../../explore/words/builds.js";
import { allCases } from "../../explore/words/cases.js";
import { transform } from "../../explore/words/transform.js";
import { reportOf, resultOf } from "./report-fixtures.js";

const source = readInterleaved();
const nowMs = () => performance.now();
const folder = mkdtempSync(join(tmpdir(), "pinfold-steps-"));
after(() => rmSync(folder, { recursive: true }));

const good: StepsResult = {
  scenarios: 43,
  complete: true,
  leftOut: 0,
  schedules: 1_234_567,
  states: 5,
  violations: [],
  seconds: 14.2,
};
const bad: StepsResult = {
  ...good,
  violations: [
    { scenario: "two <misses>", sentence: "frame 0 is lost", turns: "A12 B3", calls: ["A reserve() = 0", "B <i>"] },
  ],
};

test("a check looks inside of steps too; a quick one leaves the long scenarios out", async () => {
  const tasks = tasksOf(source, { races: ["R9"], protocol: "locked", guardedOnly: true, bound: 0 });
  const told: StepsResult[] = [];
  const report = await check(tasks, { nowMs, jobs: 1, steps: "quick", onSteps: (result) => told.push(result) });
  assert.ok(report.ok);
  const { steps } = report;
  assert.ok(steps);
  assert.deepEqual(told, [steps]);
  assert.deepEqual(steps.violations, []);
  assert.ok(steps.leftOut > 0 && steps.scenarios > steps.leftOut);
  assert.equal(steps.scenarios + steps.leftOut, allCases.length);
  assert.ok(steps.schedules > 100_000, `${steps.schedules} schedules`);
  assert.equal((await check(tasks, { nowMs })).steps, null, "only where it is asked for");
});

test("a step that is not one operation any more makes the check fail", async () => {
  const mutant = allCases.flatMap(({ mutants }) => mutants).find(({ replacements }) => replacements.length === 1);
  assert.ok(mutant);
  const steps = transform(mutate(readSources(), mutant.replacements), "steps");
  const file = join(folder, "interleaved.json");
  writeFileSync(file, JSON.stringify({ ...source, steps }));
  const report = await check([], { nowMs, steps: "quick", url: pathToFileURL(file) });
  assert.ok(!report.ok);
  const [first] = report.steps?.violations ?? [];
  assert.ok(first);
  assert.match(first.turns, /^[A-C]\d+( [A-C]\d+)*$/);
  assert.ok(first.sentence !== "" && first.calls.length > 0);
});

test("steps that cannot be searched are an error", async () => {
  const file = join(folder, "none.json");
  writeFileSync(file, JSON.stringify({ ...source, steps: "no program" }));
  await assert.rejects(
    check([], { nowMs, steps: "quick", url: pathToFileURL(file) }),
    /the steps could not be searched/,
  );
});

test("the table says what was searched inside of steps, and what was found", () => {
  const style = { color: false, columns: 200 };
  const text = tableText(reportOf([resultOf()], { steps: { ...good, leftOut: 7 } }), style);
  assert.match(
    text,
    /✓ steps of the page words: none found; 43 scenarios, 1,234,567 schedules, every interleaving; 7 longer scenarios left out\n/,
  );
  assert.match(text, /, ok$/);
  const wrong = tableText(reportOf([resultOf()], { steps: bad, ok: false }), style);
  assert.match(wrong, /✗ steps of the page words: 1 found, none expected/);
  assert.match(wrong, / two <misses>: frame 0 is lost\n {2}turns: A12 B3\n {2}A reserve\(\) = 0\n/);
  assert.match(wrong, /NOT OK: 1 inside of steps$/);
  assert.match(tableText(reportOf([], { steps: good }), style), /, ok$/, "steps alone are a check");
  const short = tableText(reportOf([], { steps: { ...good, complete: false }, ok: false }), style);
  assert.match(short, /\? steps of the page words: cut short, none found so far; /);
  assert.match(short, /NOT OK: steps incomplete$/);
  assert.doesNotMatch(tableText(reportOf([resultOf()]), style), /steps of/);
});

test("the page and the JSON have it too", () => {
  const versions = { pinfold: "1.0.0" };
  const page = htmlText(reportOf([resultOf()], { steps: bad, ok: false }), { command: "pinfold check", versions });
  assert.match(page, /Inside the steps of the page words: 1 found, none expected/);
  assert.match(
    page,
    /two &lt;misses&gt;<\/b>: frame 0 is lost. Turns: <code>A12 B3<.*\n.*A reserve\(\) = 0<.*<code>B &lt;i&gt;</,
  );
  assert.match(page, /Not ok: 1 inside of steps/);
  assert.deepEqual((JSON.parse(jsonText(reportOf([], { steps: bad }))) as { steps: unknown }).steps, bad);
});
