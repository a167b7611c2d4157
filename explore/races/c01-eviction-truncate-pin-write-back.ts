/**
 * C1: all at once. A writes to a page, or makes the file longer by it; B cuts the file before the page; C pins another page, for which
 * there is only A's frame, so that what is in the way is written back.
 *
 * What must hold: A's bytes are in the storage unless they were cut off, C reads its own page's bytes, and nothing is left over.
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "C1",
  title: "eviction, truncate, pin, write-back",
  frames: 1,
  pages: 3,
  bound: 1,
  quickBound: 0,
  async prepare(actor) {
    actor.put(await actor.pin(0, { write: false }));
  },
  actors: {
    async A(actor) {
      await actor.write(2, 77);
    },
    async B(actor) {
      await actor.allow(["EBUSY"], actor.truncate(2 * actor.space.pageSize));
    },
    async C(actor) {
      const pin = await actor.pin(1, { write: false });
      assert(actor.get(pin, 0) === 2, "the page has the bytes of its place in the file");
      actor.put(pin);
    },
  },
  async check(actor, stored) {
    const { pageSize } = actor.space;
    if (actor.space.size === 3 * pageSize) assert(stored(2 * pageSize) === 77, "what A wrote is in the storage");
    else assert(stored(2 * pageSize) === 0, "what was cut off is gone");
  },
  underReference: "none",
  without: [],
};
