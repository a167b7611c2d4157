/**
 * R19: the page is dirty before its blocks are: B sees a dirty page with clean blocks, and clears it: A's write is lost.
 *
 * Guard: blocks first, then the page (rule 2): `conclude` in grant.ts makes the page dirty with the blocks that the store has granted, in
 * one step (markDirty in sync/words/dirty.ts; the order within the step is covered by words/). A writes into a hole, B syncs. Without the
 * guard the page is dirty with its blocks as they were before.
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "R19",
  title: "flag order",
  frames: 2,
  pages: 1,
  grantsLater: true,
  bound: 8,
  async prepare(actor) {
    await actor.punch(0);
    await actor.sync();
  },
  actors: {
    async A(actor) {
      await actor.write(0, 77);
    },
    async B(actor) {
      await actor.sync();
    },
  },
  async check(_actor, stored) {
    assert(stored(0) === 77, "what A wrote is in the storage after a sync");
  },
  underReference: "none",
  without: [
    {
      file: "src/mapping/grant.ts",
      original: "const blocks = request ? mergedBlocks(words.blockWord(frame), request, at) : words.blockWord(frame);",
      mutated: "const blocks = words.blockWord(frame);",
    },
  ],
};
