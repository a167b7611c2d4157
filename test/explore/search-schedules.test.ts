/** Schedules: as text, run again, made simpler. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { search } from "../../explore/search/exhaustive.js";
import { searchAtRandom } from "../../explore/search/random.js";
import { type FoundViolation, readSchedule, replay, scheduleText, segmentsOf } from "../../explore/search/schedule.js";
import { shrink } from "../../explore/search/shrink.js";
import { Violation } from "../../explore/search/subject.js";
import { type Operation, type Program, ProgramSubject, randomProgram } from "./random-programs.js";

const load: Operation = { kind: "load", word: 0, register: 0 };
const increase: Operation = { kind: "copy", word: 0, register: 0, plus: 1 };
/** Two actors that each add 1 to word 0, in two steps, between steps on words of their own. */
const lostUpdate: Program = {
  words: 4,
  actors: [
    [...own(2), load, ...own(2), increase, { kind: "store", word: 1, value: 1 }],
    [...own(3), load, increase, ...own(3), { kind: "await", word: 1 }, load, { kind: "assert", register: 0, value: 1 }],
  ],
};

function own(word: number): Operation[] {
  return Array.from({ length: 4 }, () => ({ kind: "add", word, value: 1, register: -1 }));
}

function subjectOf(program: Program): ProgramSubject {
  return new ProgramSubject(program, { throws: true });
}

function violationOf(program: Program, seed: number): FoundViolation | undefined {
  return searchAtRandom(subjectOf(program), { seed, schedulesMax: 50 }).violations[0];
}

describe("schedules", () => {
  test("a violation comes with a schedule of every point, that a subject that has learnt nothing runs again", () => {
    const subject = subjectOf(lostUpdate);
    const violation = search(subject).violations[0] as FoundViolation;
    assert.equal(subject.everyPoint, false);
    assert.ok(violation.schedule.length > 15, "also points where nobody contends");
    assert.deepEqual(replay(subjectOf(lostUpdate), violation.schedule), violation);
  });

  test("text and back", () => {
    const subject = subjectOf(lostUpdate);
    const schedule = [0, 0, 0, 1, 0, 2, 2];
    assert.equal(scheduleText(subject, schedule), "A3 B1 A1 C2");
    assert.deepEqual(readSchedule(subject, " A3 B1\n A1  C2 "), schedule);
    assert.deepEqual([scheduleText(subject, []), readSchedule(subject, "")], ["", []]);
  });

  test("text that is no schedule is refused", () => {
    const subject = subjectOf(lostUpdate);
    for (const text of ["A", "12", "A0", "A-1", "a1", "disk1", "A1B2", "A1 B"]) {
      assert.throws(() => readSchedule(subject, text), /in a schedule/, text);
    }
    assert.throws(() => readSchedule(subject, "A99999999999"), /a schedule has at most/);
  });

  test("a schedule that does not fit the code is told of, and how", () => {
    const violation = search(subjectOf(lostUpdate)).violations[0] as FoundViolation;
    const changed: Program = { ...lostUpdate, actors: [[], lostUpdate.actors[1] ?? []] };
    const shorter = violation.schedule.slice(0, -3);
    const longer = [...violation.schedule, 0];
    assert.throws(
      () => replay(subjectOf(changed), violation.schedule),
      /the code has changed: at turn \d+ of the schedule, A cannot go on/,
    );
    assert.throws(() => replay(subjectOf(lostUpdate), shorter), /has changed: the run goes on after the \d+ turns/);
    assert.throws(() => replay(subjectOf(lostUpdate), longer), /has changed: the run ends after \d+ of \d+ turns/);
  });

  test("a violation that does not come again is told of", () => {
    class Fickle extends ProgramSubject {
      override run(...turns: Parameters<ProgramSubject["run"]>): boolean {
        if (this.everyPoint) throw new Violation("assertion", "another one");
        return super.run(...turns);
      }
    }
    assert.throws(
      () => search(new Fickle(lostUpdate, { throws: true })),
      /a run was not the same again: "B fails .*", then: another one/,
    );
  });

  test("a schedule that ends well is run again without complaint", () => {
    const program: Program = { words: 1, actors: [[load], [load]] };
    assert.equal(replay(subjectOf(program), [1, 0]), undefined);
    assert.throws(() => shrink(subjectOf(program), [1, 0]), /ends in no violation/);
  });
});

describe("shrinking", () => {
  test("a schedule of many preemptions becomes one with the fewest", () => {
    const violation = violationOf(lostUpdate, 1) as FoundViolation;
    assert.ok(violation.preemptions > 3);
    const simple = shrink(subjectOf(lostUpdate), violation.schedule);
    assert.deepEqual([simple.kind, simple.sentence], [violation.kind, violation.sentence]);
    assert.equal(simple.preemptions, 1);
    assert.ok(scheduleText(subjectOf(lostUpdate), simple.schedule).split(" ").length <= 4);
    assert.deepEqual(replay(subjectOf(lostUpdate), simple.schedule), simple);
  });

  test("so it does where there are too few runs to search", () => {
    const violation = violationOf(lostUpdate, 1) as FoundViolation;
    const subject = subjectOf(lostUpdate);
    const simple = shrink(subject, violation.schedule, { runsMax: 60 });
    assert.equal(simple.sentence, violation.sentence);
    assert.ok(simple.preemptions <= 2);
    assert.deepEqual(replay(subjectOf(lostUpdate), simple.schedule), simple);
  });

  test("uses no more runs than it may", () => {
    const violation = violationOf(lostUpdate, 1) as FoundViolation;
    class Counting extends ProgramSubject {
      runs = 0;

      override run(...turns: Parameters<ProgramSubject["run"]>): boolean {
        this.runs++;
        return super.run(...turns);
      }
    }
    const subject = new Counting(lostUpdate, { throws: true });
    shrink(subject, violation.schedule, { runsMax: 20 });
    // The first replay, and a recording.
    assert.ok(subject.runs <= 22);
  });

  test("whatever random programs do wrong is made as simple as a bounded search finds it", () => {
    let simpler = 0;
    for (let seed = 1; seed <= 600; seed++) {
      const program = randomProgram(seed, { interleavingsMax: 1_000 });
      const violation = violationOf(program, seed);
      if (violation === undefined) continue;
      const simple = shrink(subjectOf(program), violation.schedule);
      assert.deepEqual([simple.kind, simple.sentence], [violation.kind, violation.sentence]);
      assert.equal(simple.preemptions, fewest(program, violation), `program ${seed}`);
      assert.deepEqual(replay(subjectOf(program), simple.schedule), simple);
      if (simple.preemptions < violation.preemptions) simpler++;
    }
    assert.ok(simpler > 20, `${simpler}`);
  });
});

/** Random programs of a seed, and how simple a violation of theirs gets: preemptions, segments, turns. */
const simplest: readonly (readonly [string, Readonly<Record<number, string>>])[] = [
  ["by moving a segment up", { 83: "1 2 10", 137: "1 3 10", 1053: "1 2 12" }],
  ["by moving a segment down", { 945: "1 3 11", 5834: "1 3 11", 7226: "1 3 10" }],
  ["by search", { 2784: "1 3 4", 4943: "0 2 7", 5512: "0 3 10" }],
];

describe("what is simplest is found", () => {
  for (const [how, expected] of simplest) {
    test(how, () => {
      for (const [seed, numbers] of Object.entries(expected)) {
        const program = randomProgram(Number(seed), { interleavingsMax: 50_000 });
        const violation = violationOf(program, Number(seed)) as FoundViolation;
        const { preemptions, schedule } = shrink(subjectOf(program), violation.schedule);
        assert.equal(`${preemptions} ${segmentsOf(schedule).length} ${schedule.length}`, numbers, `program ${seed}`);
      }
    });
  }
});

function fewest(program: Program, like: FoundViolation): number {
  for (let bound = 0; bound < 20; bound++) {
    const result = search(subjectOf(program), { bound, violationsMax: 100 });
    if (result.violations.some(({ kind, sentence }) => kind === like.kind && sentence === like.sentence)) return bound;
  }
  return -1;
}
