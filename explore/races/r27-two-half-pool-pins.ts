/**
 * R27: A and B each pin as many pages as there are frames, and each holds half of them: both wait for the other's for ever.
 *
 * Guard: credits before locks. A pin over several pages takes credits for all of them before it locks the first (`takeCredits` in
 * frame-supply.ts and sync/words/state.ts): the second pin waits while it has nothing. A and B are readers of two pages each, with two
 * frames. Pins of all protocols do the same here.
 */
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "R27",
  title: "two half-pool pins",
  frames: 2,
  pages: 4,
  bound: 2,
  actors: {
    async A(actor) {
      actor.put(await actor.pinToRead(0, 2));
    },
    async B(actor) {
      actor.put(await actor.pinToRead(2, 2));
    },
  },
  async check() {},
  underReference: "none",
  without: [
    {
      file: "src/sync/words/state.ts",
      original: "if (left < count) return BUSY;",
      mutated: "",
    },
  ],
};
