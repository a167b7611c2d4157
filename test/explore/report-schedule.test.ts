/** A schedule for a terminal: lanes side by side. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { actorsOf } from "../../explore/report/page-flags.js";
import { visible } from "../../explore/report/plain-text.js";
import type { CheckResult, Step } from "../../explore/report/result.js";
import { scheduleText } from "../../explore/report/schedule-text.js";
import { badReport, lateDirty, longSchedule, resultOf, turnsOf } from "./report-fixtures.js";

const found = (schedule: readonly Step[], over: Partial<CheckResult> = {}): CheckResult =>
  resultOf({
    race: "R4",
    title: "late dirty through a pin",
    schedule,
    violations: ["check: lost"],
    expected: "some",
    ...over,
  });

const plain = (result: CheckResult, columns = 80): string => scheduleText(result, { columns, color: false });

/** What a step's lane has, spaces and lines between left out; pages are not in it. */
function laneTextOf(text: string, result: CheckResult): string[] {
  const lines = text.split("\n");
  const head = lines.findIndex((line) => line.endsWith("pages"));
  const pagesAt = lines[head]?.lastIndexOf("pages") ?? 0;
  const texts: string[] = [];
  for (const line of lines.slice(head + 1)) {
    const number = /^ *(\d+) {2}/.exec(line)?.[1];
    if (number !== undefined) texts.push("");
    const words = /┃ (.*)$/.exec(Array.from(line).slice(0, pagesAt).join(""))?.[1];
    if (words !== undefined && texts.length > 0) texts[texts.length - 1] += words.replaceAll(/ +│[ │]*$|\s/g, "");
  }
  assert.equal(texts.length, result.schedule.length);
  return texts;
}

test("every step is there, in order, whole, with its place in the sources, at any width", () => {
  const bad = badReport().results.filter((result) => result.schedule.length > 0);
  for (const result of [found(lateDirty()), found(longSchedule(60)), ...bad.slice(-6)]) {
    for (const columns of [80, 120, 160, 240]) {
      const text = plain(result, columns);
      const wanted = result.schedule.map((step) => (visible(step.what) + visible(step.at)).replaceAll(/\s/g, ""));
      assert.deepEqual(laneTextOf(text, result), wanted);
    }
  }
});

test("no line is wider than the terminal", () => {
  const results = [found(lateDirty()), ...badReport().results.filter((result) => result.violations.length > 0)];
  for (const result of results) {
    for (const columns of [40, 80, 81, 120, 160, 240]) {
      const widths = plain(result, columns)
        .split("\n")
        .map((line) => Array.from(line).length);
      assert.ok(Math.max(...widths) <= Math.max(80, columns), `${Math.max(...widths)} of ${columns}`);
    }
  }
});

test("each step begins in its actor's lane, lanes in the order of threads, disk and clock", () => {
  for (const columns of [80, 160, 240]) {
    const schedule = lateDirty();
    const lines = plain(found(schedule), columns).split("\n");
    const head = lines.find((line) => line.endsWith("pages")) ?? "";
    const lanes = actorsOf(schedule);
    assert.deepEqual(lanes, ["A", "B", "C", "disk", "clock"]);
    const places = lanes.map((actor) => head.search(new RegExp(`\\b${actor}\\b`)));
    assert.deepEqual(
      places,
      places.toSorted((a, b) => a - b),
    );
    const starts = lines.filter((line) => /^ *\d+ {2}/.test(line)).map((line) => places.indexOf(line.indexOf("┃")));
    assert.deepEqual(
      starts,
      schedule.map((step) => lanes.indexOf(step.actor)),
    );
  }
});

test("with room enough no text reaches into the next lane", () => {
  const lines = plain(found(lateDirty()), 240).split("\n");
  const head = lines.find((line) => line.endsWith("pages")) ?? "";
  const laneB = head.indexOf("B");
  const ofA = lines.filter((line) => line.includes("┃") && line.indexOf("┃") < laneB);
  assert.ok(ofA.length > 10);
  for (const line of ofA) assert.equal(line[laneB], "│", line);
});

test("pages stand beside the step that changed them, what it set with a plus, what it cleared with a minus", () => {
  const lines = plain(found(lateDirty()), 160).split("\n");
  const after = (what: string): string => {
    const at = lines.findIndex((line) => line.includes(what));
    return `${lines[at]?.split("  ").at(-1)?.trim()}: ${lines[at + 1]?.split("  ").at(-1)?.trim()}`;
  };
  assert.equal(after("lockExclusive(1, 0)"), "page 0:2 in frame 1: X(A) uptodate");
  assert.equal(after("beginWriteback"), "page 0:2 in frame 1: X(B) uptodate -dirty +writeback grant");
  assert.equal(after("remove(1)"), "frame 1, no page (was 0:2): -X(C) -uptodate -evicting +reserved");
  const bare = plain(found([{ actor: "A", at: "", what: "x", pages: [{ frame: 3, page: "0:1", flags: [] }] }]));
  assert.match(bare, /page 0:1 in frame 3\n.*no flags/);
});

test("another actor's turn begins after a line of its own", () => {
  const lines = plain(found(lateDirty())).split("\n");
  const bare = lines.filter((line) => /^ +│[ │]+$/.test(line)).length;
  const schedule = lateDirty();
  const switches = schedule.filter((step, at) => step.actor !== schedule[at - 1]?.actor).length;
  assert.equal(bare, switches);
});

test("violations and the turns for a replay stand at the end, also without a schedule", () => {
  const schedule = lateDirty();
  const turns = turnsOf(schedule);
  const text = plain(found(schedule, { violations: ["check: lost", "leak: 1"], turns }));
  assert.ok(text.endsWith(`\nVIOLATION: check: lost\nVIOLATION: leak: 1\nturns: ${turns}`), text.slice(-200));
  assert.match(text, /^R4 locked: late dirty through a pin; 23 steps, 2 preemptions\n/);
  assert.match(plain(resultOf({ violations: ["leak: 1"] })), /No schedule was recorded\.\nVIOLATION: leak: 1$/);
  assert.match(plain(resultOf()), /No violation was found\.$/);
});

test("colors change no width and no text", () => {
  const result = found(lateDirty());
  const colorful = scheduleText(result, { columns: 80, color: true });
  assert.ok(colorful.includes("\u001b[31mVIOLATION: check: lost\u001b[0m"));
  assert.ok(colorful.includes("\u001b[2msrc/mapping/fault.ts:88\u001b[0m"));
  // oxlint-disable-next-line no-control-regex
  assert.equal(colorful.replaceAll(/\u001b\[\d+m/g, ""), plain(result));
});
