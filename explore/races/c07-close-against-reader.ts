/**
 * C7: as C6, for a file that is closed for all: B has seen that nothing is pinned; A takes a long-term pin; B removes the page.
 *
 * Guard: `dropAll` looks for pins again when it has the page's lock (lifetime.ts).
 */
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "C7",
  title: "close against a reader",
  frames: 1,
  pages: 1,
  bound: 3,
  async prepare(actor) {
    actor.put(await actor.pin(0, { write: false }));
  },
  actors: {
    async A(actor) {
      await actor.allow(
        ["EBADF"],
        (async () => {
          const pin = await actor.pin(0, { write: false });
          actor.get(pin, 0);
          actor.put(pin);
        })(),
      );
    },
    async B(actor) {
      await actor.allow(["EBUSY"], actor.closeForAll());
    },
  },
  async check() {},
  underReference: "none",
  without: [
    {
      file: "src/mapping/lifetime.ts",
      original: "if (isCounted(core.frames.words, page.frame)) {",
      mutated: "if (page.frame < 0) {",
    },
  ],
  found: "counted",
};
