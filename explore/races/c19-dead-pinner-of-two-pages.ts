/**
 * C19: A ends anywhere in a pin of as many pages as there are frames: with credits for all of them, with one page of the two, with a
 * frame that holds no page yet. B needs all frames, too.
 *
 * What must hold: whoever notices gives back the credits with all else that A had (rule 17), and B goes on. Guard: `#settle` in
 * `Recovery` gives the credits of the dead one's slot back. Pins of all protocols do the same here.
 */
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "C19",
  title: "dead pinner of two pages",
  frames: 2,
  pages: 4,
  bound: 1,
  quickBound: 0,
  mortal: ["A"],
  actors: {
    async A(actor) {
      actor.put(await actor.pinToRead(0, 2));
    },
    async B(actor) {
      actor.put(await actor.pinToRead(2, 2));
    },
  },
  /** Would wait for ever if a credit were missing. */
  async check(actor) {
    actor.put(await actor.pinToRead(0, 2));
  },
  underReference: "none",
  without: [
    {
      file: "src/mapping/recovery.ts",
      original: "    core.frames.words.giveCredits(slot, found.credits);\n",
      mutated: "",
    },
  ],
};
