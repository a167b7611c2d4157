/**
 * R14: B writes the page; A changes it meanwhile; the end of B's write marks it clean: A's change is lost.
 *
 * Guard: dirty is cleared before the write starts, never at its end (rule 5).
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "R14",
  title: "redirty in flight",
  frames: 2,
  pages: 1,
  bound: 2,
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
    },
    async B(actor) {
      await actor.writeBack();
    },
  },
  async check(_actor, stored) {
    assert(stored(0) === 77, "what A wrote last is in the storage after a sync");
  },
  underReference: "some",
  without: [],
};
