/**
 * R22: the last holder of a page lets go between a waiter's look and its sleep: nobody wakes the waiter any more.
 *
 * Guard: the wait is for a change of a value that was read before the last look (`#listen` in wait-queues.ts: the doorbell is read, then the
 * grants are looked at, then it waits for the doorbell to be another than it was). Without it the doorbell is read after the look.
 * A and B write to a page one after the other. A waiter that looks for itself after a while finds the grant in any case: that it
 * took any time at all, which passes only where nobody can go on, is the violation. Pins have no part in it.
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "R22",
  title: "lost wake-up",
  frames: 1,
  pages: 1,
  bound: 3,
  async prepare(actor) {
    actor.put(await actor.pin(0, { write: false }));
  },
  actors: {
    async A(actor) {
      const pin = await actor.within(1, actor.pin(0));
      actor.set(pin, 0, 77);
      actor.put(pin);
    },
    async B(actor) {
      const pin = await actor.within(1, actor.pin(0));
      actor.set(pin, 1, 78);
      actor.put(pin);
    },
  },
  async check(_actor, stored) {
    assert(stored(0) === 77 && stored(1) === 78, "what A and B wrote is in the storage after a sync");
  },
  underReference: "none",
  without: [
    {
      file: "src/frames/wait-queues.ts",
      original: "void this.#frames.shared.heard(this.#doorbell, seen).then(() => {",
      mutated:
        "void this.#frames.shared.heard(this.#doorbell, this.#frames.shared.load(this.#doorbell) + 0 * seen).then(() => {",
    },
  ],
};
