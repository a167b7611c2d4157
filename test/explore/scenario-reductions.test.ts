/**
 * What the searches leave out leads to nothing new, on the code that ships: with states matched the same ends are reached as without,
 * and random schedules that are asked at every point reach no end that the search did not.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type CheckTask, readInterleaved, tasksOf, worldOf } from "../../explore/check/tasks.js";
import type { World } from "../../explore/runtime/world.js";
import { search } from "../../explore/search/exhaustive.js";
import { RandomTurns, Walk } from "../../explore/search/random.js";
import type { Subject, Turns } from "../../explore/search/subject.js";

const source = readInterleaved();

/** A world that remembers how its runs ended, since it last forgot what it had learnt: in the last pass. */
class Ends implements Subject {
  readonly all = new Set<number>();
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  get everyPoint(): boolean {
    return this.#world.everyPoint;
  }

  set everyPoint(every: boolean) {
    this.#world.everyPoint = every;
  }

  get learnt(): boolean {
    return this.#world.learnt;
  }

  set learnt(learnt: boolean) {
    this.#world.learnt = learnt;
    if (!learnt) this.all.clear();
  }

  get reads(): number {
    return this.#world.reads;
  }

  get writes(): number {
    return this.#world.writes;
  }

  state(): number {
    return this.#world.state();
  }

  name(alternative: number): string {
    return this.#world.name(alternative);
  }

  run(turns: Turns): boolean {
    const isEnded = this.#world.run(turns);
    if (isEnded) this.all.add(this.#world.end);
    return isEnded;
  }
}

function tasksFor(races: readonly string[]): CheckTask[] {
  return tasksOf(source, { races, guardedOnly: true }).filter(({ protocol }) => protocol !== "reference");
}

describe("with states matched", () => {
  for (const task of tasksFor(["R4", "R6", "R9", "R14", "R18", "R21", "R23", "C5"])) {
    it(`${task.race} ${task.protocol} has the same ends as without`, () => {
      const world = worldOf(source, task, "not");
      const reached = (["states", "none"] as const).map((reduction) => {
        const ends = new Ends(world);
        const { complete } = search(ends, { reduction, bound: 1, warmUpRuns: 100 });
        assert.ok(complete);
        return [...ends.all].sort((a, b) => a - b);
      });
      assert.ok((reached[0] as number[]).length > 2);
      assert.deepEqual(reached[0], reached[1]);
    });
  }
});

describe("with points left out, and sleepers", () => {
  for (const task of tasksFor(["R4", "R6"])) {
    it(`${task.race} ${task.protocol} has all ends that random schedules of all points have`, () => {
      const world = worldOf(source, task, "not");
      const ends = new Ends(world);
      assert.ok(search(ends, { reduction: "sleep" }).complete);
      const turns = new RandomTurns(world, new Walk(), 100_000);
      world.everyPoint = true;
      let ended = 0;
      for (let seed = 1; seed <= 500; seed++) {
        turns.restart(seed);
        if (!world.run(turns)) continue;
        ended++;
        assert.ok(ends.all.has(world.end), `seed ${seed} ends as nothing else`);
      }
      assert.ok(ended > 400);
      assert.equal(world.learnt, false, "nothing was contended for that the search did not know of");
    });
  }
});
