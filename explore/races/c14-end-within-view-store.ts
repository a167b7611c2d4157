/**
 * C14: A ends in the midst of a store through a mapped view, with its hazard slot set: B's sync waits for a store that never ends.
 *
 * Guard: whoever cleans up after a dead thread clears its slots (mapping/recovery.ts, frames/threads.ts); each cache looks for dead
 * threads now and then.
 *
 * A is a worker that is terminated, B writes to the same page and syncs.
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "C14",
  title: "end within a view store",
  frames: 2,
  pages: 1,
  bound: 1,
  quickBound: 0,
  hasViews: true,
  mortal: ["A"],
  async prepare(actor) {
    actor.put(await actor.pin(0, { write: false }));
  },
  actors: {
    async A(actor) {
      actor.storeByView(0, 76);
    },
    async B(actor) {
      const pin = await actor.pin(0);
      actor.set(pin, 8, 9);
      actor.put(pin);
      actor.lookForDeadAfter(3);
      await actor.sync();
      assert(actor.stored(8) === 9, "what was put before a sync is in the storage after it");
    },
  },
  async check(_actor, stored) {
    assert(stored(0) === 76 || stored(0) === 1, "the store was made, or was not");
  },
  underReference: "none",
  without: [
    {
      file: "src/mapping/recovery.ts",
      original: "for (const field of [layout.THREAD_HAZARD_0, layout.THREAD_HAZARD_1, layout.THREAD_BLOCKED])",
      mutated: "for (const field of [layout.THREAD_BLOCKED])",
    },
    {
      file: "src/frames/threads.ts",
      original: "for (const field of [layout.THREAD_HAZARD_0, layout.THREAD_HAZARD_1, layout.THREAD_STORE_CALLS])",
      mutated: "for (const field of [layout.THREAD_STORE_CALLS])",
    },
  ],
};
