/**
 * C25: A ends. B cleans up after it while a write of B's own is on its way to the storage.
 *
 * What must hold: B ends A's write-backs and no others: its own page is under write-back until its own write has ended (R20, R21). Guard:
 * `endWriteback` in recovery-pages.ts asks whose write-back it is. A reads, B writes and syncs.
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "C25",
  title: "cleaning up beside a write",
  frames: 2,
  pages: 1,
  bound: 1,
  quickBound: 0,
  mortal: ["A"],
  async prepare(actor) {
    actor.put(await actor.pin(0, { write: false }));
  },
  actors: {
    async A(actor) {
      actor.put(await actor.pin(0, { write: false }));
    },
    async B(actor) {
      actor.lookForDeadSoon();
      await actor.write(0, 77);
      await actor.sync();
      assert(actor.durable(0) === 77, "what was written before a sync is durable after it");
    },
  },
  async check() {},
  underReference: "none",
  without: [
    {
      file: "src/mapping/recovery-pages.ts",
      original: "  if (((flags >>> (layout.WRITER_SHIFT - 32)) & layout.WRITER_MASK) !== dead) return;\n",
      mutated: "",
    },
  ],
};
