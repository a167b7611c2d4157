/**
 * C22: A's store through a mapped view crosses from the first page to the second, and A stops when it has looked at both; B writes both
 * back and punches the first: A's store lands in a page that was made clean, or in one that has left its frame.
 *
 * Guard: a store that crosses names both frames, each in a hazard slot of its own, before it looks at either; whoever takes the access
 * away reads both slots of each thread (frames/views.ts), and waits until none names the page (sync/view-window.ts `enterBoth`).
 *
 * A is a program with a mapped view (view-tlb.ts `#storeAcross`), B the flusher, then somebody who punches a hole.
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "C22",
  title: "view store across pages",
  frames: 2,
  pages: 2,
  bound: 1,
  quickBound: 0,
  hasViews: true,
  async prepare(actor) {
    actor.put(await actor.pin(0, { write: false }));
    actor.put(await actor.pin(1, { write: false }));
  },
  actors: {
    async A(actor) {
      actor.storeAcrossByView(0, 77);
    },
    async B(actor) {
      await actor.writeBack();
      await actor.punch(0);
    },
  },
  async check({ space: { pageSize } }, stored) {
    assert(stored(pageSize) === 77, "what was stored through a view is in the storage after a sync");
    assert(stored(pageSize - 1) === 77 || stored(pageSize - 1) === 0, "before that, too, or there is a hole");
    for (let at = 0; at < pageSize - 1; at++) assert(stored(at) === 0, "which is all of the first page else");
  },
  underReference: "none",
  without: [
    {
      file: "src/frames/views.ts",
      original: "        if (hazard !== 0) stored.add(hazard - 1);",
      mutated: "        if (hazard !== 0 && field === layout.THREAD_HAZARD_0) stored.add(hazard - 1);",
    },
  ],
};
