/**
 * Programs with one well-known fault each: every search has to find it, the bounded one with the fewest preemptions, and the same
 * program without the fault has to be found right.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { search } from "../../explore/search/exhaustive.js";
import { searchAtRandom } from "../../explore/search/random.js";
import type { FoundViolation } from "../../explore/search/schedule.js";
import { type Operation, type Program, ProgramSubject } from "./random-programs.js";

const load = (word: number, register = 0): Operation => ({ kind: "load", word, register });
const store = (word: number, value = 1): Operation => ({ kind: "store", word, value });
const copy = (word: number, plus: number): Operation => ({ kind: "copy", word, register: 0, plus });
const add = (word: number): Operation => ({ kind: "add", word, value: 1, register: -1 });
const swap = (word: number, expected: number, value: number): Operation => ({
  kind: "swap",
  word,
  expected,
  value,
  register: 0,
});
const lock = (word: number): Operation => ({ kind: "lock", word });
const unlock = (word: number): Operation => ({ kind: "unlock", word });
const wait = (word: number): Operation => ({ kind: "await", word });
const skipIf = (value: number, count: number, register = 0): Operation => ({ kind: "skip", register, value, count });
const failIf = (value: number, register = 0): Operation => ({ kind: "assert", register, value });

interface Fault {
  readonly name: string;
  readonly kind: string;
  readonly preemptions: number;
  readonly wrong: Program;
  readonly right: Program;
}

/** Words 0 and 1 are data or locks, word 2 says that A is done. */
function program(...actors: Operation[][]): Program {
  return { words: 4, actors };
}

const faults: readonly Fault[] = [
  {
    name: "lost update",
    kind: "assertion",
    preemptions: 1,
    wrong: program([load(0), copy(0, 1), store(2)], [load(0), copy(0, 1), wait(2), load(0), failIf(1)]),
    right: program([add(0), store(2)], [add(0), wait(2), load(0), failIf(1)]),
  },
  {
    name: "deadlock by lock order",
    kind: "deadlock",
    preemptions: 1,
    wrong: program([lock(0), lock(1), unlock(1), unlock(0)], [lock(1), lock(0), unlock(0), unlock(1)]),
    right: program([lock(0), lock(1), unlock(1), unlock(0)], [lock(0), lock(1), unlock(1), unlock(0)]),
  },
  {
    name: "check, then act",
    kind: "assertion",
    preemptions: 1,
    wrong: program([load(0), skipIf(1, 2), load(0), failIf(1)], [store(0)]),
    right: program([lock(1), load(0), skipIf(1, 2), load(0), failIf(1), unlock(1)], [lock(1), store(0), unlock(1)]),
  },
  {
    // A takes the top of a stack, word 0, whose next is word 1; meanwhile B takes it, changes the next, and puts the same top back.
    name: "ABA",
    kind: "assertion",
    preemptions: 1,
    wrong: program(
      [load(0), skipIf(1, 6), load(1, 1), skipIf(1, 4, 1), swap(0, 0, 2), skipIf(1, 2), load(1), failIf(1)],
      [swap(0, 0, 1), skipIf(2, 2), store(1), store(0, 0)],
    ),
    // B puts something else on top, as a stack does that counts.
    right: program(
      [
        load(0),
        skipIf(1, 7),
        load(1, 1),
        skipIf(1, 5, 1),
        swap(0, 0, 2),
        skipIf(1, 3),
        skipIf(3, 2),
        load(1),
        failIf(1),
      ],
      [swap(0, 0, 1), skipIf(2, 2), store(1), store(0, 3)],
    ),
  },
  {
    // A looks, announces itself, sleeps; B sets the flag and wakes whoever is announced.
    name: "lost wake-up",
    kind: "deadlock",
    preemptions: 1,
    wrong: program([load(0), skipIf(1, 2), store(1), wait(2)], [store(0), load(1), skipIf(0, 1), store(2)]),
    right: program([store(1), load(0), skipIf(1, 1), wait(2)], [store(0), load(1), skipIf(0, 1), store(2)]),
  },
  {
    // Between the two stores, and again after both.
    name: "two preemptions",
    kind: "assertion",
    preemptions: 2,
    wrong: program([store(0, 1), store(0, 2)], [load(0), skipIf(0, 3), skipIf(2, 2), load(0), failIf(2)]),
    right: program([store(0, 1), store(0, 2)], [load(0), skipIf(0, 3), skipIf(2, 2), load(0), failIf(0)]),
  },
];

function subjectOf(faulty: Program): ProgramSubject {
  return new ProgramSubject(faulty, { throws: true });
}

function only(violations: readonly FoundViolation[]): FoundViolation {
  assert.equal(violations.length, 1);
  return violations[0] as FoundViolation;
}

describe("seeded faults", () => {
  for (const { name, kind, preemptions, wrong, right } of faults) {
    test(`${name} is found by every exhaustive search, and nothing where it is mended`, () => {
      for (const reduction of ["none", "states", "sleep"] as const) {
        const result = search(subjectOf(wrong), { reduction, warmUpRuns: 0 });
        assert.equal(only(result.violations).kind, kind);
        assert.deepEqual([result.complete, result.cutBy], [false, "violation"]);
        const fine = search(subjectOf(right), { reduction });
        assert.deepEqual([fine.violations, fine.complete, fine.bound], [[], true, null]);
      }
    });

    test(`${name} takes ${preemptions} preemptions and no fewer`, () => {
      for (let bound = 0; bound < preemptions; bound++) {
        const result = search(subjectOf(wrong), { bound });
        assert.deepEqual([result.violations, result.complete, result.bound], [[], true, bound]);
      }
      const result = search(subjectOf(wrong), { bound: preemptions });
      assert.equal(only(result.violations).preemptions, preemptions);
    });

    test(`${name} is found by random walks and by PCT, never where it is mended`, () => {
      for (const depth of [undefined, preemptions + 1]) {
        const options = depth === undefined ? { seed: 5 } : { seed: 5, depth };
        const result = searchAtRandom(subjectOf(wrong), { ...options, schedulesMax: 500 });
        assert.equal(only(result.violations).kind, kind);
        assert.equal(result.seed, 5);
        const fine = searchAtRandom(subjectOf(right), { ...options, schedulesMax: 500 });
        assert.deepEqual([fine.violations, fine.complete, fine.schedules], [[], false, 500]);
      }
    });
  }
});

describe("PCT", () => {
  const operations = 12;
  const noise = Array.from({ length: operations }, () => add(3));
  // Three events in an order, each somewhere in a long program: walks seldom find it.
  const deep = program(
    [...noise, store(0, 1), ...noise, store(0, 2), ...noise],
    [...noise, load(0), skipIf(0, 3), skipIf(2, 2), load(0), failIf(2)],
  );

  function rate(runs: number, depth?: number): number {
    let count = 0;
    const wanted = (): boolean => {
      count++;
      return false;
    };
    const options = { schedulesMax: runs, seed: 3, wanted, violationsMax: 1 };
    searchAtRandom(new ProgramSubject(deep, { throws: true }), depth === undefined ? options : { ...options, depth });
    return count / runs;
  }

  test("finds a violation of depth 3 at least as often as is promised, and none of less depth", () => {
    const points = deep.actors.reduce((sum, actor) => sum + actor.length, 0);
    const promised = 1 / (deep.actors.length * points ** 2);
    assert.ok(rate(10_000, 3) >= promised);
    assert.equal(rate(10_000, 1), 0);
    assert.equal(rate(10_000, 2), 0);
  });
});
