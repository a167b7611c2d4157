/**
 * C10: A has found by its mapped view where the page is; B takes the frame for another page; A loads that one's byte.
 *
 * Guard: whoever takes a frame changes its view word, and A looks, after the load, whether it is still what it was when the page was
 * looked up (`holds`, sync/view-window.ts).
 *
 * A is a program with a mapped view, and a reader that takes no lock (the same by the page's version); B is a miss that takes the only
 * frame.
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "C10",
  title: "view load of another page",
  frames: 1,
  pages: 2,
  bound: 3,
  hasViews: true,
  async prepare(actor) {
    actor.put(await actor.pin(0, { write: false }));
  },
  actors: {
    async A(actor) {
      assert(actor.loadByView(0) === 1, "a load through a view is of the page that it is for");
      assert(actor.loadByView(0) === 1, "and so is the next one");
      assert(actor.readTwo(0)[0] === 1, "and a read without a lock");
      assert(actor.loadByView(16) === 2, "and a load of the page that B is having read");
    },
    async B(actor) {
      actor.put(await actor.pin(1, { write: false }));
    },
  },
  async check() {},
  underReference: "none",
  without: [
    {
      file: "src/sync/view-window.ts",
      original:
        "    this.settled[0] = value;\n    return ((this.words[viewWord0 + (frame << recordShift)] as number) | writable) === stamp;",
      mutated: "    this.settled[0] = value;\n    return frame + stamp >= 0;",
    },
  ],
};
