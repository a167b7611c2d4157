/**
 * R1: A makes a page dirty, through access that it keeps; B writes the page and marks it clean; A goes on writing through the access it
 * still has, into another block of the page, and nobody is told: that is lost. (In Linux until 2.6.19 a file system cleaned blocks
 * of a page by itself, and the page with them, while programs had it mapped writable.)
 *
 * Guard: access is taken away before dirty is cleared, for the whole page, and the page is written whole (`#depart` in writer.ts), and
 * the step that clears dirty is refused while a view may store (beginWriteback). A is a program with a mapped view, B somebody who
 * syncs. No pin takes part, so the reference shows nothing.
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "R1",
  title: "clean sub-blocks",
  frames: 2,
  pages: 1,
  bound: 3,
  hasViews: true,
  async prepare(actor) {
    actor.put(await actor.pin(0, { write: false }));
  },
  actors: {
    async A(actor) {
      actor.storeByView(0, 76);
      actor.storeByView(8, 77);
    },
    async B(actor) {
      await actor.sync();
    },
  },
  async check(_actor, stored) {
    assert(stored(0) === 76 && stored(8) === 77, "what was stored through a view is in the storage after a sync");
  },
  underReference: "none",
  without: [
    {
      file: "src/writeback/writer.ts",
      original: "const busy = new Set(viewed.length === 0 ? viewed : this.#views.tryClose(viewed));",
      mutated: "const busy = new Set(viewed.length < 0 ? this.#views.tryClose(viewed) : []);",
    },
    {
      file: "src/sync/words/dirty.ts",
      original: "if ((word & DIRTY) == 0 || (word & (EXCLUSIVE | WRITEBACK | WRITES | VIEW)) != 0) {",
      mutated: "if ((word & DIRTY) == 0 || (word & (EXCLUSIVE | WRITEBACK | WRITES)) != 0) {",
    },
  ],
};
