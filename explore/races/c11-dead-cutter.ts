/**
 * C11: A ends anywhere in a truncate, or in the punch after it: with the resize mutex, the invalidate lock, pages that it owns, a cut half
 * done. B reads and writes the page that is cut off.
 *
 * What must hold: somebody finishes or takes back what A has begun, and B gets through; what was cut off does not come back.
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "C11",
  title: "dead cutter",
  frames: 2,
  pages: 2,
  bound: 2,
  quickBound: 0,
  mortal: ["A"],
  async prepare(actor) {
    actor.put(await actor.pin(1, { write: false }));
  },
  actors: {
    async A(actor) {
      await actor.truncate(actor.space.pageSize);
      await actor.punch(0);
    },
    async B(actor) {
      await actor.write(1, 77);
      actor.lookForDead();
    },
  },
  async check(actor, stored) {
    const { pageSize } = actor.space;
    assert(stored(0) === 1 || stored(0) === 0, "the first page is as it was, or a hole");
    if (actor.space.size === pageSize) return;
    assert(stored(pageSize) === 77 || stored(pageSize) === 0, "the page has what B wrote");
  },
  underReference: "none",
  without: [],
};
