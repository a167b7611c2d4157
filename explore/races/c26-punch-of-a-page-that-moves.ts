/**
 * C26: A punches from the one page into the next; while it looks which frames have them, B reads another page, which comes into one of
 * these frames.
 *
 * What must hold: the punch touches no byte of that page, and B's pin of it is nobody's hindrance. Guards: `residents` in page-table.ts
 * looks at the index once more where it has found a frame by the file's range, and leaves it out where that has changed;
 * `isUnderCounted` in truncate.ts looks whether the page is still there whose frame is pinned. Found by simulation.
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "C26",
  title: "punch of a page that moves",
  frames: 2,
  pages: 3,
  bound: 2,
  quickBound: 0,
  async prepare(actor) {
    actor.put(await actor.pin(0, { write: false }));
    actor.put(await actor.pin(1, { write: false }));
  },
  actors: {
    async A(actor) {
      await actor.punchBytes(12, 8);
    },
    async B(actor) {
      const pin = await actor.pin(2, { write: false });
      assert(actor.get(pin, 0) === 3, "a punch leaves other pages alone");
      actor.put(pin);
    },
  },
  async check(actor, stored) {
    assert(stored(11) === 1 && stored(12) === 0, "page 0 has the first part of the hole");
    assert(stored(19) === 0 && stored(20) === 2, "page 1 has the rest of it");
    assert(stored(32) === 3, "page 2 has none");
    const pin = await actor.pin(2);
    assert(actor.get(pin, 0) === 3, "a punch leaves other pages alone");
    actor.put(pin);
  },
  underReference: "none",
  without: [
    {
      file: "src/cache/page-table.ts",
      original: "if (index >= first && index <= last) found.push({ frame, index });",
      mutated: "found.push({ frame, index });",
    },
  ],
};
