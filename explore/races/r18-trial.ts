/** trial */
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "R18",
  title: "invalidate against reader",
  frames: 1,
  pages: 1,
  bound: 3,
  async prepare(actor) {
    actor.put(await actor.pin(0, { write: false }));
  },
  actors: {
    async A(actor) {
      const pin = await actor.pin(0, { write: false });
      actor.get(pin, 0);
      actor.put(pin);
    },
    async B(actor) {
      await actor.allow(["EBUSY"], actor.invalidate(0));
    },
  },
  async check() {},
  underReference: "none",
  without: [
    {
      file: "src/mapping/lifetime.ts",
      original: "if (isUnclean(words, page.frame)) {",
      mutated: "if (isUnclean(words, page.frame) || ((words.lowWord(page.frame) >>> layout.READS_SHIFT) & layout.READS_MASK) !== 0) {",
    },
  ],
};
