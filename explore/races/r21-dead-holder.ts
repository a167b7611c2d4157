/**
 * R21: a worker dies with a lock: everybody waits for it for ever.
 *
 * Guard: the word and the dead thread's ledger say what it held; whoever waits looks for dead threads and lets go of it in their name
 * (rule 17, mapping/recovery.ts).
 *
 * A writes to the page and ends anywhere; B wants it.
 */
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "R21",
  title: "dead holder",
  frames: 2,
  pages: 1,
  bound: 3,
  mortal: ["A"],
  async prepare(actor) {
    actor.put(await actor.pin(0, { write: false }));
  },
  actors: {
    async A(actor) {
      const pin = await actor.pin(0);
      actor.set(pin, 0, 77);
      actor.put(pin);
    },
    async B(actor) {
      actor.put(await actor.pin(0));
      actor.lookForDead();
    },
  },
  async check() {},
  underReference: "none",
  without: [
    {
      file: "src/mapping/core.ts",
      original: "this.locks.queues.onWaiting = () => this.recovery.look();",
      mutated: "this.locks.queues.onWaiting = () => {};",
    },
  ],
};
