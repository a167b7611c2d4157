/**
 * C16: A's pin of two pages is aborted at any time: while it waits for credits that B has, for a frame, for the storage's bytes, or
 * with one page of the two.
 *
 * What must hold: the credits and both pages come back (rules 9 and 12), and B, who needs all frames too, goes on. Guard: `undo` in
 * `pinRange`, which gives back the credits of a pin that came to nothing. Pins of all protocols do the same here.
 */
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "C16",
  title: "abort of a pin that waits for credits",
  frames: 2,
  pages: 4,
  bound: 2,
  quickBound: 0,
  actors: {
    async A(actor) {
      await actor.untilAborted(async (signal) => actor.put(await actor.pinToRead(0, 2, signal)));
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
      file: "src/mapping/pin.ts",
      original: "    giveCredits(core, credits);\n  };",
      mutated: "  };",
    },
  ],
};
