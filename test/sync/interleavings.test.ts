/**
 * All interleavings of the page words' scenarios (explore/words/scenarios/): none breaks an invariant, and each scenario finds
 * the defects that its mutants put in, so that it can fail.
 *
 * See also: explore/words/enumerator.ts.
 */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { mutate, readSources, stepsMaker } from "../../explore/words/builds.js";
import { explore, replay, Violation } from "../../explore/words/enumerator.js";
import type { Script } from "../../explore/words/actors.js";
import { allCases } from "../../explore/words/cases.js";
import { lockCases } from "../../explore/words/scenarios/locks.js";

const sources = readSources();
const make = stepsMaker(sources);

describe("interleavings of the page words", () => {
  let schedules = 0;
  let states = 0;
  let spentMs = 0;
  after(() =>
    console.log(
      `explored ${schedules} schedules, ${states} states, ${Math.round((schedules / spentMs) * 1000)} schedules a second`,
    ),
  );

  for (const scenario of allCases) {
    it(`${scenario.name}: nothing goes wrong in any order`, () => {
      const startMs = performance.now();
      try {
        const found = explore(scenario, make);
        schedules += found.schedules;
        states += found.states;
        assert.ok(found.schedules > 100, "the actors meet");
        assert.ok(found.ends > 0, "runs come to an end");
      } catch (error) {
        if (!(error instanceof Violation)) throw error;
        const { calls } = replay(scenario, make, error);
        assert.fail(`${error.message}\nschedule: ${error.schedule}\n${calls.join("\n")}`);
      }
      spentMs += performance.now() - startMs;
    });

    for (const { name, replacements, actors = scenario.actors } of scenario.mutants) {
      const played = { ...scenario, actors };
      it(`${scenario.name}: it is found when ${name}`, () => {
        const mutated = stepsMaker(mutate(sources, replacements));
        let violation: Violation | undefined;
        try {
          explore(played, mutated);
        } catch (error) {
          if (!(error instanceof Violation)) throw error;
          violation = error;
        }
        assert.ok(violation, "the mutant went unnoticed");
        assert.notEqual(violation.schedule, "");
        // A violation that spins for ever does not show at the end of its schedule.
        const { sentence } = replay(played, mutated, violation);
        if (!violation.message.endsWith("spin for ever"))
          assert.equal(sentence, violation.message, "its schedule shows it again");
      });
    }
  }

  it("every scenario has a mutant", () => {
    assert.deepEqual(
      allCases.filter(({ mutants }) => mutants.length === 0).map(({ name }) => name),
      [],
    );
  });
});

describe("the enumerator", () => {
  it("finds as many ends when every operation is a point of choice", () => {
    const small = allCases.filter(({ name }) =>
      /^(a late exclusive lock|a counted put|a hit|a wait is given up)/.test(name),
    );
    assert.equal(small.length, 4);
    for (const scenario of small) {
      const reduced = explore(scenario, make);
      const full = explore(scenario, make, { everyPoint: true, statesMax: 4_000_000 });
      assert.equal(reduced.ends, full.ends, scenario.name);
      assert.ok(full.states > reduced.states, "leaving points out spares states");
    }
  });

  it("notices actors that spin for ever", () => {
    const [scenario] = lockCases;
    assert.ok(scenario);
    // A latch that is never given back shows at once, as the end of a step that holds it.
    const latched = mutate(sources, [
      {
        file: "words/queues.ts",
        original:
          "appendLatched(frame, homeOf(word), u32(atomic.load<u16>(record + RECORD_MAPPING)));\n  unlatchLists();",
        mutated: "appendLatched(frame, homeOf(word), u32(atomic.load<u16>(record + RECORD_MAPPING)));",
      },
    ]);
    assert.throws(() => explore(scenario, stepsMaker(latched)), /latch/);
    const spin: Script = function* (actor) {
      const { one, two } = actor.track;
      for (;;) {
        yield* actor.store(actor.traced.memory.plan.scratch, actor.thread);
        actor.forget(one, two);
      }
    };
    assert.throws(
      () => explore({ name: "nobody ends", size: { frames: 1 }, actors: [spin, spin] }, make, { everyPoint: true }),
      /spin for ever/,
    );
    assert.throws(
      () => explore({ name: "somebody is alone", size: { frames: 1 }, actors: [spin] }, make),
      /goes on and on/,
    );
  });

  it("refuses a mutant whose text is not in the source exactly once", () => {
    assert.throws(() => mutate(sources, [{ file: "words/lock.ts", original: "no such text", mutated: "" }]), /0 times/);
    assert.throws(() => mutate(sources, [{ file: "words/lock.ts", original: "return OK;", mutated: "" }]), /times/);
  });
});
