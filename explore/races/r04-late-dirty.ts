/**
 * R4: A pins for writing; B cleans the page; A writes and puts: the page holds bytes that the store was never told of, and that
 * nobody writes back.
 *
 * Guard: the pin keeps the grant, and keeps the page dirty (rule 4): nothing clears dirty under a write pin.
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "R4",
  title: "late dirty through a pin",
  frames: 2,
  pages: 1,
  bound: 2,
  actors: {
    async A(actor) {
      const pin = await actor.pin(0);
      actor.set(pin, 0, 77);
      actor.put(pin);
    },
    async B(actor) {
      await actor.sync();
    },
  },
  async check(_actor, stored) {
    assert(stored(0) === 77, "what A wrote is in the storage after a sync");
  },
  underReference: "some",
  without: [],
};
