/**
 * R5: A has a page pinned for writing, and it is clean; B lets go of what the store keeps for its blocks; A writes: there is nothing
 * to write to.
 *
 * Guard: a pin and dirty each hold the grant (rule 4): the page's blocks stay granted until nobody can make it dirty any more. The end of
 * a snapshot's write leaves them (endWriteback in sync/words/dirty.ts). A is a writer with a long-term pin, B somebody who syncs.
 * Where the page is locked from get to put there is no write meanwhile: so the race is found under `counted`. Under the reference the
 * page is cleaned under A's pin, and its grant ends with that.
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "R5",
  title: "metadata freed",
  frames: 2,
  pages: 1,
  bound: 8,
  async prepare(actor) {
    actor.put(await actor.pin(0, { write: false }));
  },
  actors: {
    async A(actor) {
      const pin = await actor.pin(0);
      actor.set(pin, 0, 76);
      actor.set(pin, 0, 77);
      actor.put(pin);
    },
    async B(actor) {
      await actor.sync();
    },
  },
  async check(_actor, stored) {
    assert(stored(0) === 77, "what A wrote is in the storage after a sync");
  },
  underReference: "some",
  without: [
    {
      file: "src/sync/words/dirty.ts",
      original: "if (outcome != OUTCOME_FAILED) atomic.and<u32>(blocksOf(frame), BLOCKS_GRANTED);",
      mutated: "if (outcome != OUTCOME_FAILED) atomic.store<u32>(blocksOf(frame), 0);",
    },
  ],
  found: "counted",
};
