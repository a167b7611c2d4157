/**
 * Reductions and bounds against plain depth-first search, on random programs (random-programs.ts): whatever can happen is met with
 * each of them.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { search, type SearchOptions } from "../../explore/search/exhaustive.js";
import type { SearchResult } from "../../explore/search/findings.js";
import { replay } from "../../explore/search/schedule.js";
import {
  loopingProgram,
  type Program,
  type ProgramOptions,
  ProgramSubject,
  randomProgram,
  reachableOutcomes,
} from "./random-programs.js";

const programs = 1_000;
const reductions = ["none", "states", "sleep"] as const;
const kinds: readonly ProgramOptions[] = [{ everyPoint: true }, {}, { asksAlone: true }];

/** Looping programs, few among thousands, in which a state is left out if it is not noted with who slept when it was met. */
const needsSleepersOfStates = [8172, 17_079, 18_687];

interface Explored {
  readonly result: SearchResult;
  readonly outcomes: string;
  readonly runs: number;
}

/** All outcomes, with no violation asked for. */
function explore(program: Program, options: ProgramOptions, searchOptions: SearchOptions): Explored {
  const subject = new ProgramSubject(program, options);
  const result = search(subject, { warmUpRuns: 2, ...searchOptions, wanted: () => false });
  assert.ok(result.complete, `cut by ${result.cutBy}`);
  return { result, outcomes: [...subject.outcomes].toSorted().join("\n"), runs: result.schedules };
}

function plain(program: Program, options: SearchOptions = {}): Explored {
  return explore(program, { everyPoint: true }, { reduction: "none", ...options });
}

function listing(seed: number, program: Program): string {
  return `program ${seed}: ${JSON.stringify(program)}`;
}

describe("reductions", () => {
  test("every reduction meets the same outcomes as plain depth-first search", (t) => {
    const runs = new Map<string, number>();
    for (let seed = 1; seed <= programs; seed++) {
      const program = randomProgram(seed, { interleavingsMax: 1_000 });
      const expected = plain(program);
      for (const options of kinds) {
        let states = 0;
        for (const reduction of reductions) {
          const got = explore(program, options, { reduction });
          const name = `${reduction} ${JSON.stringify(options)}`;
          assert.equal(got.outcomes, expected.outcomes, `${name}, ${listing(seed, program)}`);
          if (reduction === "sleep") assert.equal(got.result.states, states, listing(seed, program));
          states = got.result.states;
          runs.set(name, (runs.get(name) ?? 0) + got.runs);
        }
      }
    }
    for (const [name, count] of runs) t.diagnostic(`${name}: ${count} runs`);
  });

  test("the outcomes are those that are found by going from state to state", (t) => {
    let states = 0;
    for (let seed = 1; seed <= programs / 4; seed++) {
      const program = randomProgram(seed, { interleavingsMax: 20_000, spins: true });
      const expected = reachableOutcomes(program, 2_000);
      if (expected === undefined) continue;
      const outcomes = [...expected].toSorted().join("\n");
      for (const options of kinds) {
        for (const reduction of ["states", "sleep"] as const) {
          const got = explore(program, options, { reduction });
          assert.equal(got.outcomes, outcomes, `${reduction} ${JSON.stringify(options)}, ${listing(seed, program)}`);
          states += got.result.states;
        }
      }
    }
    t.diagnostic(`${states} states`);
  });

  test("sleep sets miss no state either where actors come back to a state that they have been in", () => {
    const seeds = Array.from({ length: 300 }, (_, at) => at + 1);
    let compared = 0;
    for (const seed of [...seeds, ...needsSleepersOfStates]) {
      const program = loopingProgram(seed);
      const subjects = [0, 1].map(() => new ProgramSubject(program, { everyPoint: true, forgets: true }));
      const options = { schedulesMax: 1_000, warmUpRuns: 0, wanted: () => false };
      const [all, got] = subjects.map((subject, at) =>
        search(subject, { ...options, reduction: at === 0 ? "states" : "sleep" }),
      ) as [SearchResult, SearchResult];
      if (!all.complete || !got.complete) continue;
      assert.equal(got.states, all.states, listing(seed, program));
      assert.deepEqual(subjects[0]?.outcomes, subjects[1]?.outcomes, listing(seed, program));
      compared++;
    }
    assert.ok(compared > 200);
  });

  test("a bounded search meets the same outcomes as a plain one with that bound", (t) => {
    let closed = 0;
    for (let seed = 1; seed <= programs / 2; seed++) {
      const program = randomProgram(seed, { interleavingsMax: 5_000 });
      const all = plain(program, { reduction: "states" });
      for (let bound = 0; bound <= 3; bound++) {
        const expected = plain(program, { bound });
        for (const options of kinds) {
          for (const reduction of ["none", "states"] as const) {
            const got = explore(program, options, { reduction, bound });
            const name = `${reduction} ${JSON.stringify(options)} bound ${bound}`;
            assert.equal(got.outcomes, expected.outcomes, `${name}, ${listing(seed, program)}`);
            if (got.result.bound !== null) continue;
            closed++;
            assert.equal(got.outcomes, all.outcomes, `${name} said that this is all, ${listing(seed, program)}`);
          }
        }
      }
    }
    t.diagnostic(`${closed} bounded searches that found that a higher bound finds no more`);
    assert.ok(closed > programs);
  });

  test("where a violation can happen, every reduction finds one, and a bounded search with the same fewest preemptions", (t) => {
    let wrong = 0;
    for (let seed = 1; seed <= programs / 4; seed++) {
      const program = randomProgram(seed, { interleavingsMax: 500 });
      const sentences = violations(program, { everyPoint: true }, { reduction: "none", violationsMax: 100 });
      if (sentences.length > 0) wrong++;
      const fewest = fewestPreemptions(program, { everyPoint: true }, "none");
      for (const options of kinds) {
        for (const reduction of reductions) {
          const name = `${reduction} ${JSON.stringify(options)}, ${listing(seed, program)}`;
          const got = violations(program, options, { reduction, violationsMax: 100 });
          assert.equal(got.length > 0, sentences.length > 0, name);
          assert.deepEqual(
            got.filter((sentence) => !sentences.includes(sentence)),
            [],
            name,
          );
          if (reduction !== "sleep") assert.equal(fewestPreemptions(program, options, reduction), fewest, name);
        }
      }
    }
    t.diagnostic(`${wrong} of ${programs / 4} programs can go wrong`);
    assert.ok(wrong > programs / 20 && wrong < programs / 5);
  });
});

/** What can go wrong; each with a schedule that was run again. */
function violations(program: Program, options: ProgramOptions, searchOptions: SearchOptions): string[] {
  const subject = new ProgramSubject(program, { ...options, throws: true });
  const result = search(subject, { warmUpRuns: 0, ...searchOptions });
  assert.ok(result.complete);
  for (const violation of result.violations) {
    const again = replay(new ProgramSubject(program, { throws: true }), violation.schedule);
    assert.deepEqual(again, violation);
  }
  return result.violations.map((violation) => violation.sentence);
}

/** The lowest bound with which something goes wrong; -1: none. */
function fewestPreemptions(program: Program, options: ProgramOptions, reduction: "none" | "states"): number {
  for (let bound = 0; ; bound++) {
    const result = search(new ProgramSubject(program, { ...options, throws: true }), { reduction, bound });
    const [violation] = result.violations;
    if (violation !== undefined) {
      assert.equal(violation.preemptions, bound);
      return bound;
    }
    assert.ok(result.complete);
    if (result.bound === null) return -1;
  }
}
