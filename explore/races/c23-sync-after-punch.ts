/**
 * C23: A punches a hole and syncs; B syncs at the same time, and its sync of the storage may have begun before the hole was there.
 *
 * What must hold: when A's sync is done, the hole is durable (rule 7). Guard: `punchOwned` counts its change when it is done, and a sync
 * is served by somebody else's only where that has begun after the count (`isDurable`).
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "C23",
  title: "sync after a punch",
  frames: 2,
  pages: 2,
  bound: 1,
  quickBound: 0,
  async prepare(actor) {
    actor.put(await actor.pin(1));
    await actor.sync();
  },
  actors: {
    async A(actor) {
      await actor.punch(0);
      await actor.sync();
      assert(actor.durable(0) === 0, "a hole that was punched before a good sync is durable after it");
    },
    async B(actor) {
      const pin = await actor.pin(1);
      actor.set(pin, 0, 77);
      actor.put(pin);
      await actor.sync();
    },
  },
  async check(actor, stored) {
    assert(stored(0) === 0 && stored(actor.space.pageSize) === 77, "the hole and the write are in the storage");
  },
  underReference: "some",
  without: [
    {
      file: "src/mapping/punch.ts",
      original:
        "    // Counted when it is done, or may be done in part: a store sync that began before that does not cover it.\n    space.noteChange();",
      mutated: "",
    },
  ],
};
