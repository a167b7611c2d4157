/** A report as JSON, and a replay read from it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { jsonText, readReplays } from "../../explore/report/json.js";
import { PinfoldError } from "../../src/base/errors.js";
import { badReport, goodReport, lateDirty, reportOf, resultOf, turnsOf } from "./report-fixtures.js";

const r4 = resultOf({
  race: "R4",
  protocol: "reference",
  schedule: lateDirty(),
  violations: ["lost"],
  expected: "some",
});
const turns = turnsOf(lateDirty());
const replay = { race: "R4", protocol: "reference", without: null, turns, violations: ["lost"] };

function refuses(text: string, message: RegExp, choice = {}): void {
  assert.throws(
    () => readReplays(text, choice),
    (error) => {
      assert.ok(error instanceof PinfoldError && error.code === "EINVAL", String(error));
      assert.match(error.message, message);
      // oxlint-disable-next-line no-control-regex
      assert.doesNotMatch(error.message, /[\u0000-\u001f\u007f-\u009f\u202e]/);
      assert.ok(error.message.length < 800, `${error.message.length} characters`);
      return true;
    },
  );
}

test("the report has results and ok, and each result the fields that are promised, as they are", () => {
  const text = jsonText(badReport());
  assert.ok(text.endsWith("}\n"));
  const read = JSON.parse(text) as ReturnType<typeof badReport>;
  assert.deepEqual(read, badReport());
  assert.deepEqual(Object.keys(read).slice(0, 2), ["results", "ok"]);
  for (const result of read.results)
    for (const field of ["race", "protocol", "without", "schedules", "complete", "violations", "expected", "schedule"])
      assert.ok(field in result, field);
});

test("replays are read from one result, from a list, and from a report: each in which something was found", () => {
  assert.deepEqual(readReplays(JSON.stringify(r4)), [replay]);
  assert.deepEqual(readReplays(JSON.stringify([resultOf(), r4])), [replay]);
  assert.deepEqual(readReplays(jsonText(reportOf([resultOf(), r4, r4]))), [replay, replay]);
  assert.deepEqual(readReplays(JSON.stringify({ results: r4 })), [replay]);
  const few = { race: "R4", protocol: "reference", turns: `  ${turns}\n` };
  assert.deepEqual(readReplays(JSON.stringify(few)), [{ ...replay, violations: null }]);
  const all = readReplays(jsonText(goodReport()));
  assert.equal(all.length, goodReport().results.filter(({ violations }) => violations.length > 0).length);
});

test("races, a protocol and guards choose among them", () => {
  const text = jsonText(goodReport());
  const names = (choice: object) =>
    readReplays(text, choice).map(({ race, protocol, without }) => `${race} ${protocol} ${without}`);
  assert.deepEqual(names({ races: ["R4"] }), ["R4 reference null", "R4 counted R4"]);
  assert.deepEqual(names({ races: ["R28", "R4"], protocol: "counted" }), ["R28 counted R28", "R4 counted R4"]);
  assert.deepEqual(names({ without: ["R4"] }), ["R4 counted R4"]);
});

test("a choice that fits none is refused, with what there is", () => {
  const text = jsonText(goodReport());
  refuses(text, /no result is "R16"; there are R1 reference, .* and \d+ more$/, { races: ["R16"] });
  refuses(text, /no result is "R16"; there are R1 reference, /, { races: ["R4", "R16"] });
  refuses(text, /no result is "R4" "locked" without "R4"; /, { races: ["R4"], protocol: "locked", without: ["R4"] });
  refuses(text, /nothing was found under R4 locked: no turns to replay$/, { races: ["R4"], protocol: "locked" });
  refuses(jsonText(reportOf([])), /it has no results$/);
  refuses(JSON.stringify(Array.from({ length: 1_001 }, () => 7)), /it has 1001 results, at most 1000$/);
});

test("what is not a result is refused with what is wrong and where", () => {
  const without = (field: string): string => JSON.stringify([r4, { ...r4, [field]: undefined }]);
  refuses("", /^EINVAL: replay: not JSON: /);
  refuses("\u001b[2J{", /not JSON: /);
  refuses("7", /expected one result of a check, a list of them, or/);
  refuses("null", /expected one result/);
  refuses("[7]", /results\[0\] is 7, not an object$/);
  refuses(without("race"), /results\[1\]: "race" is missing, not a name$/);
  refuses(without("protocol"), /results\[1\]: "protocol" is missing, not one of reference, locked, counted$/);
  refuses(without("turns"), /results\[1\]: "turns" is missing, not text$/);
  refuses(JSON.stringify({ ...r4, protocol: "toString" }), /"protocol" is "toString", not one of/);
  refuses(JSON.stringify({ ...r4, without: 4 }), /"without" is 4, not null or a guard$/);
  refuses(JSON.stringify({ ...r4, violations: "lost" }), /"violations" is "lost", not a list of sentences$/);
  refuses(JSON.stringify({ ...r4, race: "" }), /"race" is "", not a name$/);
  refuses(JSON.stringify({ ...r4, turns: "A12 12B" }), /"turns" has "12B", not an actor and a count such as A12$/);
  refuses(JSON.stringify({ ...r4, turns: "A" }), /"turns" has "A"/);
  refuses(JSON.stringify({ ...r4, turns: "A1 ".repeat(400_000) }), /"turns" has 1200000 characters, at most 1048576$/);
});

test("what a message quotes is short, and nothing that a terminal would obey", () => {
  refuses(
    JSON.stringify({ ...r4, protocol: `\u009b31m\u202e${"x".repeat(5_000)}` }),
    /"protocol" is "\\u009b31m\\u202exx+…, not/,
  );
  refuses(
    JSON.stringify({ ...r4, race: `R\u001b${"x".repeat(5_000)}`, turns: "" }),
    /found under R\\u001bxx+…: no turns/,
  );
});
