/**
 * C9: A reads two bytes of a page without its lock; B writes both meanwhile: A has the one from before, the other from after.
 *
 * Guard: a version that every writer counts up before he changes a byte; what was read counts only if it is still the same
 * afterwards (mapping/optimistic.ts, sync/optimistic-words.ts).
 *
 * A is a reader that takes no lock (`withBytes`, mapped loads), B a writer under the page's lock. Plain stores are buffered, as on x86.
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "C9",
  title: "torn read",
  frames: 1,
  pages: 1,
  bound: 4,
  hasViews: true,
  async prepare(actor) {
    actor.put(await actor.pin(0, { write: false }));
  },
  actors: {
    async A(actor) {
      const [first, second] = actor.readTwo(0);
      assert(first === second, "two bytes that are always changed together are read as they were together");
    },
    async B(actor) {
      const pin = await actor.pin(0, { longterm: false });
      actor.set(pin, 0, 77);
      actor.set(pin, 1, 77);
      actor.put(pin);
    },
  },
  async check(_actor, stored) {
    assert(stored(0) === 77 && stored(1) === 77, "what B wrote is in the storage after a sync");
  },
  underReference: "none",
  without: [
    {
      file: "src/sync/optimistic-words.ts",
      original: "      return this.#words[at] === version;",
      mutated: "      return at > 0 || this.#words[at] === version;",
    },
  ],
};
