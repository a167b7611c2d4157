/**
 * C3: A's pin is aborted at any time, whatever it waits for at that moment: the page's lock, a frame, the storage's bytes, its leave
 * to write. B uses the only frame meanwhile.
 *
 * What must hold: an aborted pin leaves nothing behind: no lock, no frame, no reservation, no dirty page (rule 14), and B goes on. Under the reference
 * A's page is written under its pin (R13).
 */
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "C3",
  title: "abort of a miss",
  frames: 1,
  pages: 2,
  grantsLater: true,
  bound: 2,
  quickBound: 0,
  async prepare(actor) {
    await actor.punch(0);
    await actor.sync();
  },
  actors: {
    async A(actor) {
      await actor.untilAborted(async (signal) => {
        const pin = await actor.pin(0, { signal });
        actor.set(pin, 0, 77);
        actor.put(pin);
      });
    },
    async B(actor) {
      actor.put(await actor.pin(1, { write: false }));
    },
  },
  /** Would wait for ever if anybody held it still. */
  async check(actor) {
    actor.put(await actor.pin(0));
    actor.put(await actor.pin(1));
  },
  underReference: "some",
  without: [
    {
      file: "src/mapping/pin.ts",
      original: "if (abandoned) undo();",
      mutated: "",
    },
  ],
};
