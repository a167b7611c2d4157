/**
 * C4: A ends anywhere in a copying write and a sync: with the page's lock, a frame of its own, leave to write, a write on its way, a
 * store sync on its way, a turn in some queue. B writes too, and has to get through.
 *
 * What must hold: whatever A held is recovered (rule 17), and what B wrote is durable after the sync at the end. Guard, where A's store
 * sync has failed and nobody was there to hear of it: `revertSync` in recovery-files.ts takes it for failed in any case.
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";
import type { Actor } from "./stage.js";

export const scenario: Scenario = {
  race: "C4",
  title: "dead writer",
  frames: 2,
  pages: 1,
  failuresMax: 1,
  bound: 1,
  quickBound: 0,
  mortal: ["A"],
  async prepare(actor) {
    actor.put(await actor.pin(0, { write: false }));
  },
  actors: {
    async A(actor) {
      await actor.allow(["EIO"], writeAndSync(actor));
    },
    async B(actor) {
      await actor.allow(["EIO"], actor.write(0, 77));
    },
  },
  async check(actor) {
    assert(actor.durable(0) >= 76, "what B wrote, or A after it, is durable");
  },
  underReference: "none",
  without: [
    {
      file: "src/mapping/recovery-files.ts",
      original: "    revertSync(core, slot, dead);\n",
      mutated: "",
    },
  ],
};

async function writeAndSync(actor: Actor): Promise<void> {
  await actor.write(0, 76);
  await actor.sync();
}
