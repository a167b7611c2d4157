/** Simulated voyages: that they repeat, that planted defects are found and told shortly, and that the code as it is comes through. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { newStop } from "../../explore/check/crew.js";
import { readInterleaved } from "../../explore/check/tasks.js";
import { defects, planted } from "../../explore/simulation/defects.js";
import { sailAll } from "../../explore/simulation/fleet.js";
import { replayVoyage } from "../../explore/simulation/replay.js";
import { voyageFrom } from "../../explore/simulation/script.js";
import { shorten } from "../../explore/simulation/shorten.js";
import { newPassage, sail } from "../../explore/simulation/voyage.js";
import { newNumber } from "../../src/base/random.js";

const source = readInterleaved();
/** Of the tests, which may take as long as this. */
const simulatedMs = 30_000;
const seedMost = 2 ** 31 - 1;

test("a seed makes the same voyage again, whatever was sailed before", () => {
  const told = (seed: number) => {
    const events: string[] = [];
    const passage = newPassage();
    const wreck = sail(source, voyageFrom(seed), { passage, watch: { onTask: (what) => void events.push(what) } });
    return { events, passage, wreck };
  };
  const first = told(7);
  told(8);
  assert.deepEqual(told(7), first);
  assert.ok(first.events.length > 100);
});

/** The first of some seeds that goes wrong. */
function firstWreck(mutant: string, from: number, count: number): number | undefined {
  for (let seed = from; seed < from + count; seed++) if (sail(source, voyageFrom(seed), { mutant })) return seed;
  return undefined;
}

// Those that are found soon; others take longer: `pinfold simulate --without` (docs/testing.md).
for (const name of ["written-is-clean", "failed-sync-is-durable", "page-past-the-end", "R2", "R15", "R19"]) {
  const what = defects.find((one) => one.name === name)?.what ?? "";
  test(`${name} is found: ${what}`, () => {
    assert.notEqual(firstWreck(name, 1, 150), undefined);
  });
}

test("defects have names of their own, and each can be planted", () => {
  const names = defects.map(({ name }) => name);
  assert.equal(new Set(names).size, names.length);
  for (const name of names) assert.ok(name in source.mutants, name);
  assert.ok(
    planted.every(({ name }) => !/^[RC]\d/.test(name)),
    "a race's name is its guard's",
  );
});

test("a voyage that goes wrong is made shorter, goes wrong in the same way, and is told with its steps", () => {
  const mutant = "written-is-clean";
  const tasks = (one: ReturnType<typeof voyageFrom>) => one.lives.flatMap(({ crew }) => crew.flat(2)).length;
  // How short it gets depends on the voyage: leaving a task out changes all turns after it.
  const found = [];
  for (let seed = 1; found.length < 3; seed++) {
    seed = firstWreck(mutant, seed, seed + 150) as number;
    const plan = voyageFrom(seed);
    const wreck = sail(source, plan, { mutant });
    assert.ok(wreck);
    const shortest = shorten(source, plan, wreck, mutant, { voyagesMax: 1_500 });
    assert.ok(tasks(shortest.plan) <= tasks(plan));
    found.push(shortest);
  }
  const [shorter] = found.toSorted((a, b) => tasks(a.plan) - tasks(b.plan)) as [(typeof found)[number]];
  assert.ok(tasks(shorter.plan) <= 12, `${tasks(shorter.plan)} tasks`);
  const copy = JSON.parse(JSON.stringify(shorter.plan)) as typeof shorter.plan;
  const { lines, wreck: again } = replayVoyage(source, copy, mutant, { columns: 120, color: false });
  assert.equal(again?.violation.message, shorter.wreck.violation.message);
  const text = lines.join("\n");
  assert.match(text, /VIOLATION: /);
  assert.match(text, /src\/[a-z-]+\/[a-z-]+\.ts:\d+/);
  assert.equal(sail(source, copy), undefined, "without the defect it goes well");
});

test("so many voyages are the same ones in one thread or in three", async () => {
  const passageOf = async (jobs: number) => (await sailAll({ seed: 40, voyages: 7, jobs, stop: newStop() })).passage;
  const one = await passageOf(1);
  assert.equal(one.voyages, 7);
  assert.deepEqual(await passageOf(3), one);
});

test("the lowest seed that goes wrong ends a fleet", async () => {
  const report = await sailAll({ seed: 1, voyages: 400, mutant: "R19", stop: newStop() });
  assert.notEqual(report.wrecked, undefined);
  assert.ok(report.passage.voyages < 400);
});

test("half a minute of faults, kills and power cuts loses nothing", async (t: TestContext) => {
  const seed = newNumber() % seedMost;
  t.diagnostic(`seed ${seed}: pinfold simulate --seed ${seed}`);
  const { passage, wrecked } = await sailAll({ seed, millisecondsMax: simulatedMs, stop: newStop() });
  assert.equal(wrecked, undefined, `pinfold simulate --seed ${wrecked} --voyages 1`);
  t.diagnostic(`${passage.tasks} tasks, ${passage.powerCuts} power cuts, ${passage.kills} kills`);
  assert.ok(passage.tasks > 1_000 && passage.powerCuts > 10 && passage.kills > 10);
});
