/**
 * R6: B sees a clean page; A dirties it and puts; B sees no references and frees it: A's write is lost.
 *
 * Guard: eviction freezes first, then tests dirty (rule 9): `freeze` makes the page unreachable in one swap that also sees that it
 * is clean.
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "R6",
  title: "references checked after dirty",
  frames: 2,
  pages: 1,
  bound: 8,
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
      actor.evict();
    },
  },
  async check(_actor, stored) {
    assert(stored(0) === 77, "what A wrote is in the storage after a sync");
  },
  underReference: "none",
  without: [
    {
      file: "src/sync/words/table.ts",
      original: "WAITERS | EVICTING | DIRTY | WRITEBACK | UNSTABLE)) != 0) return BUSY;",
      mutated: "WAITERS | EVICTING)) != 0) return BUSY;",
    },
  ],
};
