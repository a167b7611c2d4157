/**
 * C32: A punches a page that is unstable, and the storage fails; B's sync makes the page clean at that moment.
 *
 * What must hold: A lets go of the page, whatever it is by now, and B can write it. Guard: `keep` in punch.ts looks at each page once; looking
 * twice, it took the page for unclean first and for clean then, and it was none of those that left, nor of those that stayed. Found by simulation.
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "C32",
  title: "failing punch beside a sync",
  frames: 2,
  pages: 1,
  failuresMax: 1,
  bound: 1,
  async prepare(actor) {
    await actor.write(0, 76);
  },
  actors: {
    async A(actor) {
      await actor.allow(["EIO"], actor.punch(0));
    },
    async B(actor) {
      await actor.allow(["EIO"], actor.sync());
      await actor.write(0, 77);
    },
  },
  async check(_actor, stored) {
    assert(stored(0) === 77 || stored(0) === 0, "B's write, or a hole after it");
  },
  underReference: "none",
  without: [
    {
      file: "src/mapping/punch.ts",
      original:
        "  for (const page of owned) {\n    if (isUnclean(core.frames.words, page.frame)) staying.push(page);\n    else removeOwned(core, page);\n  }\n",
      mutated:
        "  for (const page of owned) if (!isUnclean(core.frames.words, page.frame)) removeOwned(core, page);\n  for (const page of owned) if (isUnclean(core.frames.words, page.frame)) staying.push(page);\n",
    },
  ],
};
