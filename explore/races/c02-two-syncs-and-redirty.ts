/**
 * C2: A writes and syncs, while B's sync of what was there before is on its way: A's sync must not take B's for its own, nor B's end
 * make A's page durable that is not.
 *
 * What must hold: what was written before a sync was called is durable when it resolves (rule 8). Under the reference A's page is
 * written under its pin (R13).
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "C2",
  title: "two syncs and a redirty",
  frames: 2,
  pages: 1,
  bound: 2,
  quickBound: 0,
  async prepare(actor) {
    const pin = await actor.pin(0);
    actor.set(pin, 0, 76);
    actor.put(pin);
  },
  actors: {
    async A(actor) {
      const pin = await actor.pin(0);
      actor.set(pin, 0, 77);
      actor.put(pin);
      await actor.sync();
      assert(actor.durable(0) === 77, "what A wrote before its sync is durable");
    },
    async B(actor) {
      await actor.sync();
      assert(actor.durable(0) >= 76, "what was written before B's sync is durable");
    },
  },
  async check(actor) {
    assert(actor.durable(0) === 77, "what A wrote is durable");
  },
  underReference: "some",
  without: [
    {
      file: "src/writeback/store-sync.ts",
      original: "space.noteDurable(covered, data);",
      mutated: "space.noteDurable(covered < 0 ? covered : space.changes, data);",
    },
  ],
};
