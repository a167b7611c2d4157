/** What cuts a search short, what it says then; contention that is learnt on the way; random numbers; the table of states. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { search, type SearchOptions } from "../../explore/search/exhaustive.js";
import type { SearchResult } from "../../explore/search/findings.js";
import type { Progress } from "../../explore/search/limits.js";
import { Numbers } from "../../explore/search/numbers.js";
import { searchAtRandom } from "../../explore/search/random.js";
import { StateTable } from "../../explore/search/states.js";
import type { Subject, Turns } from "../../explore/search/subject.js";
import { type Operation, type Program, ProgramSubject, randomProgram } from "./random-programs.js";

const add: Operation = { kind: "add", word: 0, value: 1, register: 0 };
/** 20 choose 10 schedules. */
const large: Program = { words: 1, actors: [0, 1].map(() => Array.from({ length: 10 }, () => add)) };

function searchLarge(options: SearchOptions): SearchResult {
  return search(new ProgramSubject(large), { reduction: "none", ...options });
}

describe("limits", () => {
  test("whatever ends a search too early is told, and the search is not complete", () => {
    const nowMs = (): number => nowMs.count++;
    nowMs.count = 0;
    const cases: [SearchOptions, string][] = [
      [{ schedulesMax: 100 }, "schedules"],
      [{ schedulesMax: 10 }, "schedules"],
      [{ statesMax: 20, reduction: "states" }, "states"],
      [{ statesMax: 20, reduction: "sleep" }, "states"],
      [{ statesMax: 20, bound: 2, reduction: "states" }, "states"],
      [{ pointsMax: 10, schedulesMax: 50_000 }, "points"],
      [{ millisecondsMax: 20, nowMs }, "milliseconds"],
      [{ isStopped: () => true }, "stopped"],
      [{ passesMax: 1, warmUpRuns: 0 }, "passes"],
    ];
    for (const [options, cutBy] of cases) {
      const result = searchLarge(options);
      assert.deepEqual([result.complete, result.cutBy], [false, cutBy], JSON.stringify(options));
      assert.ok(result.runs <= (options.schedulesMax ?? 2_000));
      assert.ok(result.states <= (options.statesMax ?? Infinity));
    }
  });

  test("a search with just enough is complete", () => {
    const small: Program = { words: 1, actors: large.actors.map((operations) => operations.slice(5)) };
    const { states, runs } = search(new ProgramSubject(small));
    const result = search(new ProgramSubject(small), { statesMax: states, schedulesMax: runs });
    assert.deepEqual([result.complete, result.cutBy, result.states], [true, null, states]);
  });

  test("a time limit wants a clock, and a bound is a whole number", () => {
    assert.throws(() => searchLarge({ millisecondsMax: 5 }), /millisecondsMax needs nowMs/);
    for (const bound of [-1, 1.5, 1_000, Number.NaN]) assert.throws(() => searchLarge({ bound }), /whole number/);
    assert.throws(() => searchAtRandom(new ProgramSubject(large), { depth: 0 }), /whole number/);
  });

  test("progress is told now and then", () => {
    const told: Progress[] = [];
    const result = searchLarge({ schedulesMax: 10_000, progress: (progress) => told.push(progress) });
    assert.equal(result.runs, 10_000);
    assert.ok(told.length >= 5 && told.length <= 20);
    assert.ok(told.every((progress, at) => progress.schedules > (told[at - 1]?.schedules ?? 0)));
  });

  test("a random search does its runs and is never complete", () => {
    const result = searchAtRandom(new ProgramSubject(large), { schedulesMax: 200 });
    assert.deepEqual([result.schedules, result.complete, result.cutBy], [200, false, null]);
    const nowMs = (): number => nowMs.count++;
    nowMs.count = 0;
    const timed = searchAtRandom(new ProgramSubject(large), { millisecondsMax: 5, nowMs });
    assert.equal(timed.cutBy, "milliseconds");
    assert.equal(searchAtRandom(new ProgramSubject(large), { isStopped: () => true }).cutBy, "stopped");
    assert.equal(searchAtRandom(new ProgramSubject(large), { schedulesMax: 5, pointsMax: 3 }).cutBy, "points");
  });

  test("distinct violations are counted up to a limit", () => {
    const fails: Operation[] = [1, 2, 3].map((value) => ({ kind: "assert", register: 0, value }));
    const operations: Operation[] = [add, add, { kind: "load", word: 0, register: 0 }, ...fails];
    const wrong: Program = { words: 1, actors: [operations, operations] };
    const all = search(new ProgramSubject(wrong, { throws: true }), { violationsMax: 100 });
    assert.equal(all.complete, true);
    assert.equal(new Set(all.violations.map(({ sentence }) => sentence)).size, 4);
    const two = search(new ProgramSubject(wrong, { throws: true }), { violationsMax: 2 });
    assert.deepEqual([two.violations.length, two.cutBy], [2, "violation"]);
  });

  test("what ended in a violation is not taken for something that commutes", () => {
    // A fails at its operation 2 where it goes first, and at 3 after B; the violation leaves no footprint.
    const wrong: Program = {
      words: 1,
      actors: [
        [
          { kind: "load", word: 0, register: 0 },
          { kind: "assert", register: 0, value: 0 },
          { kind: "assert", register: 0, value: 1 },
        ],
        [{ kind: "store", word: 0, value: 1 }],
      ],
    };
    const subject = new ProgramSubject(wrong, { throws: true, everyPoint: true });
    search(subject);
    const result = search(subject, { violationsMax: 100, warmUpRuns: 0 });
    assert.deepEqual([result.passes, result.violations.length], [1, 2]);
  });
});

/** Says that it learnt something in a run, until it has done so some times. */
class Learner implements Subject {
  everyPoint = false;
  learnt = false;
  reads = 0;
  writes = 0;
  runs = 0;
  #lessons: number;

  constructor(lessons: number) {
    this.#lessons = lessons;
  }

  run(turns: Turns): boolean {
    this.runs++;
    if (turns.decide(3, -1) !== 1) return true;
    if (this.#lessons === 0) return true;
    this.#lessons--;
    this.learnt = true;
    return true;
  }

  state(): number {
    return 1;
  }

  name(): string {
    return "A";
  }
}

describe("learning", () => {
  test("a pass that learnt something is begun again", () => {
    const result = search(new Learner(3), { warmUpRuns: 0 });
    assert.equal(result.complete, true);
    assert.ok(result.passes > 1);
    assert.equal(result.schedules, 2);
    assert.equal(search(new Learner(0), { warmUpRuns: 0 }).passes, 1);
  });

  test("what random runs learn is known before the first pass", () => {
    assert.equal(search(new Learner(1), { warmUpRuns: 20 }).passes, 1);
  });

  test("after a pass that learnt something random runs learn more", () => {
    assert.ok(search(new Learner(10), { warmUpRuns: 0 }).passes < 10);
  });

  test("a subject that never stops learning is not searched for ever", () => {
    const subject = new Learner(Infinity);
    const result = search(subject, { passesMax: 7 });
    assert.deepEqual([result.passes, result.complete, result.cutBy], [7, false, "passes"]);
    assert.equal(subject.runs, result.runs);
  });

  test("a subject that does not do the same again is told of", () => {
    class Fickle extends Learner {
      override run(turns: Turns): boolean {
        this.runs++;
        turns.decide(this.runs === 1 ? 3 : 5, -1);
        return turns.decide(3, -1) >= 0;
      }
    }
    class Hasty extends Learner {
      override run(turns: Turns): boolean {
        return ++this.runs > 1 || (turns.decide(1, 0) >= 0 && turns.decide(3, -1) >= 0);
      }
    }
    for (const subject of [new Fickle(0), new Hasty(0)]) {
      assert.throws(() => search(subject, { reduction: "none", warmUpRuns: 0 }), /did not do the same again/);
    }
  });
});

describe("random numbers", () => {
  test("the same seed gives the same search, another one another", () => {
    const points = (seed: number): number[] =>
      [1, 2, 3].map((schedulesMax) => {
        const program = randomProgram(4, { interleavingsMax: 5_000 });
        return searchAtRandom(new ProgramSubject(program), { seed, schedulesMax, wanted: () => false }).points;
      });
    assert.deepEqual(points(7), points(7));
    assert.ok(Array.from({ length: 10 }, (_, at) => points(at)).some((other) => String(other) !== String(points(7))));
  });

  test("numbers are even, also the first ones of seeds that lie together", () => {
    const counts = [0, 0, 0, 0, 0];
    for (let seed = 0; seed < 10_000; seed++) {
      const first = new Numbers(seed).below(counts.length);
      counts[first] = (counts[first] as number) + 1;
    }
    for (const count of counts) assert.ok(Math.abs(count - 2_000) < 200, String(counts));
  });
});

describe("table of states", () => {
  test("holds every state once, with its numbers, however far it grows", () => {
    const table = new StateTable(100_000);
    const hashOf = (at: number): number => (at % 2 === 0 ? at * 2 ** 33 : 2 ** 53 - 1 - at);
    for (let at = 0; at < 50_000; at++) {
      const slot = table.slotOf(hashOf(at));
      assert.ok(table.fresh);
      table.masks[slot] = -at;
      table.levels[slot] = at % 250;
    }
    for (let at = 0; at < 50_000; at++) {
      const slot = table.slotOf(hashOf(at));
      assert.ok(!table.fresh);
      assert.ok(table.masks[slot] === (-at | 0) && table.levels[slot] === at % 250);
    }
    assert.deepEqual([table.size, table.full], [50_000, false]);
  });

  test("is full where it may hold no more, and then still knows what it holds", () => {
    const table = new StateTable(2);
    assert.ok(table.slotOf(0) >= 0 && table.slotOf(1) >= 0);
    assert.equal(table.full, false);
    assert.equal(table.slotOf(2), -1);
    assert.equal(table.full, true);
    assert.ok(table.slotOf(0) >= 0 && !table.fresh);
  });
});
