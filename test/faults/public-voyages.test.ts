/**
 * F1, F5 to F7, F10 to F13, F15, F16, F18, F22, F26: random faults and power cuts, with the public surface and real time, against the
 * oracle of the simulation. A seed chooses tasks and faults; what comes beside what is the event loop's.
 */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { publicVoyage } from "./public-voyage.js";

const voyages = 20;

test("faults and power cuts lose nothing that was synced, tear no sector, and bring nothing back", async (t: TestContext) => {
  const sum = { tasks: 0, faults: 0, powerCuts: 0 };
  for (let seed = 1; seed <= voyages; seed++) {
    const voyage = await publicVoyage(seed).catch((error: unknown) => {
      throw new Error(`seed ${seed}: ${String(error)}`, { cause: error });
    });
    sum.tasks += voyage.tasks;
    sum.faults += voyage.faults;
    sum.powerCuts += voyage.powerCuts;
  }
  t.diagnostic(`${sum.tasks} tasks, ${sum.faults} faults, ${sum.powerCuts} power cuts`);
  assert.ok(sum.faults > 100 && sum.powerCuts === voyages * 3);
});
