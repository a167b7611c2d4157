/**
 * R24: A has checked that its mapped view may store to the page, and stops; B takes the access away, clears dirty and writes; then the
 * store lands, in a page that is clean: it is lost.
 *
 * Guard: A names the frame in its hazard slot before it looks whether it may store, and B looks at the slots after it has taken the
 * access away; a barrier in between makes A's slot seen, or its look come later (sync/view-window.ts, frames/views.ts).
 *
 * A is a program with a mapped view, B is the flusher or somebody's sync. Plain stores are buffered, as on x86: without the barrier A's
 * slot may still be in its buffer when B looks.
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "R24",
  title: "view store against revoke",
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
      actor.storeByView(1, 77);
    },
    async B(actor) {
      await actor.sync();
    },
  },
  async check(_actor, stored) {
    assert(stored(0) === 76 && stored(1) === 77, "what was stored through a view is in the storage after a sync");
  },
  underReference: "none",
  without: [
    {
      file: "src/frames/views.ts",
      original: "    barrier();\n",
      mutated: "    void barrier;\n",
    },
  ],
};
