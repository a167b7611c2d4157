/** The table of a check for a terminal. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { secondsText, shortCount, styleOf, visible, wrap } from "../../explore/report/plain-text.js";
import type { CheckReport } from "../../explore/report/result.js";
import { tableText } from "../../explore/report/table.js";
import { allExpected, columnNames, rowsOf, verdictOf } from "../../explore/report/verdict.js";
import { badReport, goodReport, raceTitles, reportOf, resultOf } from "./report-fixtures.js";

const plain = (report: CheckReport, columns = 80): string => tableText(report, { columns, color: false });

function rowOf(text: string, race: string): string {
  return text.split("\n").find((line) => line.startsWith(`${race} `)) ?? "";
}

test("no line is wider than the terminal, at 80 and at 160 columns, and 80 is the least", () => {
  for (const report of [goodReport(), badReport()]) {
    for (const columns of [80, 100, 140, 160, 300]) {
      const widths = plain(report, columns)
        .split("\n")
        .map((line) => Array.from(line).length);
      assert.ok(Math.max(...widths) <= columns, `${Math.max(...widths)} of ${columns}`);
    }
    assert.equal(plain(report, 20), plain(report, 80));
  }
});

test("each race has one row, in the order of the table of races, compound scenarios after them", () => {
  const shuffled = badReport().results.toReversed();
  const ids = plain(reportOf(shuffled, { notApplicable: [{ race: "R16", why: "no" }] }))
    .split("\n")
    .flatMap((line) => /^[RC]\d+ /.exec(line)?.[0].trim() ?? []);
  assert.deepEqual(ids, [...raceTitles.map((_, at) => `R${at + 1}`), "C2", "C10"]);
});

test("cells stand under their protocol: schedules, bound, violations, and a mark that needs no color", () => {
  const text = plain(badReport());
  const [head = ""] = text.split("\n");
  assert.deepEqual(
    columnNames.map((name) => rowOf(text, "R8").charAt(head.indexOf(name))),
    ["✓", "✗", "✓", "✓"],
  );
  assert.match(rowOf(text, "R8"), /✓ {2}159k all {3}1 ✗ {2}477k all {3}3 ✓ {2}796k all {3}0 ✓ {3}320 all {3}1$/);
  assert.match(rowOf(text, "R7"), /✓ {2}106k 2 {5}1 ✓ {2}320k 2 {5}0/);
  assert.match(rowOf(text, "R21"), /✗ {3}840 2 {5}0$/);
  const wide = plain(badReport(), 160);
  assert.match(rowOf(wide, "R8"), /truncate against pin +✓ +159,329 all complete +1 ✗ +477,987 all complete +3 ✓/);
});

const beyond = { bound: 3, schedules: 1_234, walks: 5_000, priorities: 678 };

test("what a deep check did past its bound stands apart, and is not among the schedules", () => {
  const report = reportOf([resultOf({ beyond }), resultOf({ race: "R2", beyond: { ...beyond, bound: null } })]);
  const text = plain(report, 200);
  assert.match(
    text,
    /^R1 locked: up to 2 preemptions complete, then 1,234 schedules with up to 3 preemptions, cut short, and 5,678 random schedules$/m,
  );
  assert.match(text, /^R2 locked: up to 2 preemptions complete, then 5,678 random schedules$/m);
  assert.match(text, /^24,690 schedules, 13,824 random or unfinished ones in /m);
  const whole = resultOf({ beyond: { bound: null, schedules: 0, walks: 0, priorities: 0 } });
  assert.doesNotMatch(plain(reportOf([resultOf(), whole])), /then|random/);
});

test("a cell of several results has a line for each", () => {
  const lines = plain(badReport()).split("\n");
  const at = lines.findIndex((line) => line.startsWith("C10"));
  assert.match(lines[at] ?? "", /- not run +✓ 1\.23G all {3}0 - not run +✓ 12\.3k 2 {5}1$/);
  assert.match(lines[at + 1] ?? "", /^ +✓ 12\.3k 2 {5}1$/);
  assert.equal(lines[at + 2], "");
});

test("titles that do not fit end in an ellipsis", () => {
  assert.match(rowOf(plain(goodReport()), "R4"), /^R4 {2}late dirty … ✓/);
  assert.match(rowOf(plain(goodReport(), 200), "R26"), /truncate against fault of the same holder +✓/);
});

test("a search that was cut short is never shown as passed", () => {
  const text = plain(badReport());
  assert.match(rowOf(text, "R14"), /\? {2}250k 2\? {4}0/);
  assert.match(rowOf(text, "R26"), /\? 5\.46M 2\? {4}1/);
  assert.match(rowOf(plain(badReport(), 160), "R14"), /\? +250,000 2 {3}cut short {2}0/);
  assert.match(text, /\? R14 counted: none found so far; cut short after 250,000 schedules, up to 2\s+preemptions/);
  for (const expected of ["none", "some"] as const) {
    for (const violations of [[], ["check: wrong"]]) {
      const result = resultOf({ complete: false, expected, violations });
      const isBad = expected === "none" && violations.length > 0;
      assert.equal(verdictOf(result), isBad ? "unexpected" : "incomplete");
      assert.ok(!allExpected(reportOf([resultOf(), result])));
      const shown = plain(reportOf([result], { ok: true }));
      assert.match(shown, isBad ? /NOT OK: 1 not as expected$/ : /NOT OK: 1 incomplete$/);
      assert.doesNotMatch(rowOf(shown, "R1"), /✓/);
    }
  }
});

test("races that cannot be checked are listed with the reason, not as passed", () => {
  const text = plain(goodReport());
  assert.match(rowOf(text, "R16"), /^R16 not applicable: snapshots of a file do not exist yet$/);
  assert.match(text, /1 not applicable, ok$/);
  const both = plain(reportOf([resultOf({ race: "R16" })], { notApplicable: [{ race: "R16", why: "half of it" }] }));
  assert.match(both, /R16 clean sub-b….*\n {4}not applicable: half of it/);
});

test("the last line has schedules, seconds, seed, and ok or what is not", () => {
  const last = (report: CheckReport): string => plain(report, 160).split("\n").at(-1) ?? "";
  assert.equal(
    last(reportOf([resultOf(), resultOf({ race: "R2" })], { seed: 7 })),
    "24,690 schedules in 12.3 s, seed 7, ok",
  );
  assert.match(last(badReport()), /, seed 4072, 1 not applicable, NOT OK: 3 not as expected, 2 incomplete$/);
  assert.match(last(reportOf([])), /^0 schedules in 12\.3 s, NOT OK: nothing was checked$/);
  assert.match(last(reportOf([resultOf()], { ok: false })), /NOT OK: the check itself says so$/);
  assert.ok(allExpected(goodReport()) && !allExpected(badReport()) && !allExpected(reportOf([])));
});

test("what is not as expected is told below the table, with what was found first", () => {
  const text = plain(badReport()).replaceAll(/\n {2}/g, " ");
  assert.match(text, /\n✗ R8 locked: 3 found, none expected: check: the second half of page 0:2 is not what/);
  assert.match(text, /\n✗ R21 locked without R21: none found, some expected\n/);
  assert.equal(plain(goodReport()).match(/\n[✗?] /g), null);
});

test("colors mark verdicts on terminals only, and not with NO_COLOR or on a dumb one", () => {
  const style = (out: { isTTY?: boolean; columns?: number }, environment: Record<string, string>) =>
    styleOf(out, environment);
  const terminal = { isTTY: true, columns: 132 };
  assert.deepEqual(style(terminal, { TERM: "xterm" }), { columns: 132, color: true });
  assert.deepEqual(style(terminal, { NO_COLOR: "1" }), { columns: 132, color: false });
  assert.deepEqual(style(terminal, { NO_COLOR: "" }), { columns: 132, color: true });
  assert.deepEqual(style(terminal, { TERM: "dumb" }), { columns: 132, color: false });
  assert.deepEqual(style({ columns: 132 }, {}), { columns: 80, color: false });
  assert.deepEqual(style({ isTTY: true, columns: 40 }, {}), { columns: 80, color: true });
  const colorful = tableText(badReport(), { columns: 80, color: true });
  assert.ok(colorful.includes("\u001b[31m✗\u001b[0m") && colorful.includes("\u001b[33m?\u001b[0m"));
  assert.ok(colorful.includes("\u001b[32m✓\u001b[0m"));
  // oxlint-disable-next-line no-control-regex
  assert.equal(colorful.replaceAll(/\u001b\[\d+m/g, ""), plain(badReport()));
  assert.ok(!plain(badReport()).includes("\u001b"));
});

test("text that would move the cursor or reorder what stands beside it is shown as numbers", () => {
  assert.equal(visible("a\u001b[2Jb\u202Ec\u0000\u200Bd\ne\r\nf\u2028g"), "a\\u001b[2Jb\\u202ec\\u0000\\u200bd e f g");
  assert.equal(visible("Grün \u00E9 ✓ page 0:3"), "Grün \u00E9 ✓ page 0:3");
  const report = reportOf([resultOf({ race: "R\u001b1", title: "x\n\u001by", violations: ["\u009B31m"] })], {
    notApplicable: [{ race: "R2", why: "\u001b]0;title\u0007" }],
  });
  // oxlint-disable-next-line no-control-regex
  assert.doesNotMatch(plain(report).replaceAll("\n", ""), /[\u0000-\u001f\u007f-\u009f]/);
});

test("numbers are short, never rounded up, and times are in the unit that fits", () => {
  const shorts = [0, 9_999, 12_345, 99_999, 999_999, 1_999_999, 999_999_999_999].map(shortCount);
  assert.deepEqual(shorts, ["0", "9,999", "12.3k", "99.9k", "999k", "1.99M", "999G"]);
  assert.deepEqual([0.5, 9.99, 12.34, 119.6, 3_599, 7_380].map(secondsText), [
    "0.50 s",
    "9.99 s",
    "12.3 s",
    "2 min 0 s",
    "59 min 59 s",
    "2 h 3 min",
  ]);
});

test("text is broken at spaces, then after slashes, then anywhere, and nothing is lost", () => {
  assert.deepEqual(wrap("one two three", 8), ["one two", "three"]);
  assert.deepEqual(wrap("src/mapping/truncate.ts:120", 16), ["src/mapping/", "truncate.ts:120"]);
  assert.deepEqual(wrap("wwwwwwwww w", 4), ["wwww", "wwww", "w w"]);
  assert.deepEqual(wrap("", 4), [""]);
  const title = "a".repeat(50);
  assert.equal(rowsOf(reportOf([resultOf({ title })]))[0]?.title, title);
});
