/**
 * R15: the write of a page fails, and the page is marked clean; the first sync says EIO, the second one that all is well.
 *
 * Guard: a page whose write failed is dirty again (`#end` in writer.ts), and a sync throws as long as something that it covers is not
 * durable (rule 7). A and B sync a dirty page, and one request fails. Pins have no part in it.
 *
 * This is where a sync said that all was well while the page went from the one list that it had gone through already to the other:
 * that way is counted now in the step that goes it (countReturned in sync/words/dirty.ts).
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "R15",
  title: "swallowed error",
  frames: 2,
  pages: 1,
  failuresMax: 1,
  bound: 2,
  quickBound: 0,
  async prepare(actor) {
    const pin = await actor.pin(0);
    actor.set(pin, 0, 77);
    actor.put(pin);
  },
  actors: {
    async A(actor) {
      const code = await actor.allow(["EIO"], actor.sync());
      if (code === "") assert(actor.durable(0) === 77, "what a sync has covered is durable when it says so");
    },
    async B(actor) {
      const code = await actor.allow(["EIO"], actor.sync());
      if (code === "") assert(actor.durable(0) === 77, "what a sync has covered is durable when it says so");
    },
  },
  async check(actor, stored) {
    assert(stored(0) === 77, "what was written is in the storage after a sync");
    assert(actor.durable(0) === 77, "and it is durable");
  },
  underReference: "none",
  without: [
    {
      file: "src/writeback/writer.ts",
      original: "words.endWriteback(page.frame, failed ? layout.OUTCOME_FAILED : success, syncErrors);",
      mutated: "words.endWriteback(page.frame, success, syncErrors);",
    },
  ],
};
