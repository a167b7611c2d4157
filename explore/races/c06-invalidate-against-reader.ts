/**
 * C6: B drops a clean page, and has looked whether anybody holds it; A takes a long-term pin for reading; B locks the page, which a
 * long-term pin does not prevent, and removes it, which fails with the page locked for good.
 *
 * Guard: a pin becomes a long-term one only under the page's lock, so `invalidate` looks for pins again when it has that lock
 * (lifetime.ts), and says EBUSY.
 */
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "C6",
  title: "invalidate against a reader",
  frames: 1,
  pages: 1,
  bound: 4,
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
      original: "if (isCounted(words, page.frame)) {",
      mutated: "if (page.frame < 0) {",
    },
  ],
  found: "counted",
};
