/**
 * C8: A has looked whether its mapped view may store to the page, and stops; B takes the access away, writes the page and drops it,
 * and the frame gets another page; then A's store lands in that one.
 *
 * Guard: A names the frame in its hazard slot before the look, and whoever takes the access away waits until no slot names it
 * (sync/view-window.ts). Here the slot is what is taken out, in R24 the barrier.
 *
 * A is a program with a mapped view whose page was opened to stores before; B is somebody's sync, then a miss that takes the frame.
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "C8",
  title: "view store into another page",
  frames: 1,
  pages: 2,
  bound: 2,
  quickBound: 0,
  hasViews: true,
  async prepare(actor) {
    actor.put(await actor.pin(0, { write: false }));
  },
  actors: {
    async A(actor) {
      actor.storeByView(0, 76);
      actor.storeByView(1, 77);
    },
    async B(actor) {
      await actor.sync();
      actor.put(await actor.pin(1));
    },
  },
  async check(_actor, stored) {
    assert(stored(0) === 76 && stored(1) === 77, "what was stored through a view is in the storage after a sync");
    assert(stored(16) === 2 && stored(17) === 2, "and not in another page");
  },
  underReference: "none",
  without: [
    {
      file: "src/sync/view-window.ts",
      original: "    this.words[this.hazard0] = frame + 1;\n    return this",
      mutated: "    return this",
    },
  ],
};
