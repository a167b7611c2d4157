/** Which searches a selection has, and how far they go. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { readInterleaved, type Selection, tasksOf } from "../../explore/check/tasks.js";
import { nameOf } from "../../explore/report/verdict.js";
import { PinfoldError } from "../../src/base/errors.js";

const source = readInterleaved();
const namesOf = (selection: Selection) => tasksOf(source, selection).map(nameOf);
const boundsOf = (selection: Selection) => tasksOf(source, { races: ["R9"], ...selection }).map(({ bound }) => bound);

function refuses(selection: Selection, message: RegExp): void {
  assert.throws(
    () => tasksOf(source, selection),
    (error) => {
      assert.ok(error instanceof PinfoldError && error.code === "EINVAL", String(error));
      assert.match(error.message, message);
      return true;
    },
  );
}

test("a race has a search under each protocol, and one without its guard", () => {
  assert.deepEqual(namesOf({ races: ["R9"] }), ["R9 reference", "R9 locked", "R9 counted", "R9 locked without R9"]);
  assert.ok(namesOf({}).length > namesOf({ races: ["R9"] }).length);
});

test("guards that are named select the searches without them alone", () => {
  assert.deepEqual(namesOf({ without: ["R9"] }), ["R9 locked without R9"]);
  assert.deepEqual(namesOf({ without: ["R9", "R6"] }), ["R6 locked without R6", "R9 locked without R9"]);
  assert.deepEqual(namesOf({ races: ["R9"], protocol: "counted" }), ["R9 counted"]);
});

test("a deep check has all where nothing is expected in the code as it is", () => {
  assert.deepEqual(namesOf({ races: ["R4", "R9"], guardedOnly: true }), [
    "R4 locked",
    "R4 counted",
    "R9 reference",
    "R9 locked",
    "R9 counted",
  ]);
});

test("a bound that is given stands for the scenario's own; what is to be found may always go as far as that", () => {
  const own = boundsOf({});
  const [first = 0] = own;
  assert.ok(first > 1);
  assert.deepEqual(boundsOf({ bound: 1 }), [1, 1, 1, first]);
  assert.deepEqual(boundsOf({ bound: first + 2 }), [first + 2, first + 2, first + 2, first + 2]);
  assert.deepEqual(boundsOf({ quick: true }), [1, 1, 1, first]);
});

test("races and guards that are not there are refused, with those that are", () => {
  refuses({ races: ["R9", "R99", "X"] }, /there is no scenario R99, X; there are C1, .*R9, /);
  refuses({ races: ["R16"] }, /there is no scenario R16 \(R16: there are no snapshots of files yet\); there are /);
  refuses({ without: ["R99"] }, /there is no guard to be taken out for R99; there are .*R9, /);
  refuses({ races: ["R9"], without: ["R6"] }, /no search is all of what was asked for/);
});
