/**
 * R20: a page's dirty bit is cleared for a write that fails, and nobody ends its write-back: it is tagged for ever, the counts are off,
 * and whoever waits for the page waits for ever.
 *
 * Guard: every clear ends in write-back or in dirty again (`#end` in writer.ts), and `verify` counts again. A redirties, B syncs, and
 * one request fails. Pins have no part in it.
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "R20",
  title: "accounting drift",
  frames: 2,
  pages: 1,
  failuresMax: 1,
  bound: 3,
  async prepare(actor) {
    const pin = await actor.pin(0);
    actor.set(pin, 0, 76);
    actor.put(pin);
  },
  actors: {
    async A(actor) {
      await actor.allow(["EIO"], actor.write(0, 77));
    },
    async B(actor) {
      await actor.allow(["EIO"], actor.sync());
    },
  },
  async check(_actor, stored) {
    assert(stored(0) === 77, "what A wrote is in the storage after a sync");
  },
  underReference: "none",
  without: [
    {
      file: "src/writeback/writer.ts",
      original: "do bits = words.endWriteback(page.frame, failed ? layout.OUTCOME_FAILED : success, syncErrors);",
      mutated: "do bits = failed ? 0 : words.endWriteback(page.frame, success, syncErrors);",
    },
  ],
};
