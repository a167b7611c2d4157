/**
 * C12: A ends anywhere in a miss for which another page has to leave: with a frozen page, a reserved frame, a page half loaded. B needs
 * the same page.
 *
 * What must hold: frames come back (rule 17), and B reads the right bytes.
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "C12",
  title: "dead evicter",
  frames: 1,
  pages: 2,
  bound: 2,
  quickBound: 0,
  mortal: ["A"],
  async prepare(actor) {
    actor.put(await actor.pin(0, { write: false }));
  },
  actors: {
    async A(actor) {
      actor.put(await actor.pin(1, { write: false }));
    },
    async B(actor) {
      const second = await actor.pin(1, { write: false });
      assert(actor.get(second, 0) === 2, "the page has the bytes of its place in the file");
      actor.put(second);
    },
  },
  async check(actor) {
    const first = await actor.pin(0, { write: false });
    assert(actor.get(first, 0) === 1, "the other page, too");
    actor.put(first);
  },
  underReference: "none",
  without: [],
};
