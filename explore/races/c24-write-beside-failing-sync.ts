/**
 * C24: A's store sync fails, and with it the store may have lost what it took before; B's write of the page was taken by the store
 * just before that, and B has not heard of it yet: the page is under write-back, and not among the unstable ones that A makes
 * dirty again. B's own sync, which is good, makes it clean.
 *
 * What must hold: what a sync without an error covers is durable (rules 7 and 8). Guard: `endWriteback` compares the file's failed syncs
 * with those from before the write: where there was one, the page is dirty again.
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";
import type { Actor } from "./stage.js";

export const scenario: Scenario = {
  race: "C24",
  title: "write beside a sync that fails",
  frames: 2,
  pages: 1,
  failuresMax: 1,
  bound: 1,
  quickBound: 0,
  async prepare(actor) {
    actor.put(await actor.pin(0, { write: false }));
  },
  actors: {
    async A(actor) {
      await actor.allow(["EIO"], writeAndSync(actor, 76));
    },
    async B(actor) {
      const failed = await actor.allow(["EIO"], writeAndSync(actor, 77));
      if (failed === "") assert(actor.durable(0) >= 76, "what a good sync covers is durable, or A's write after it");
    },
  },
  async check(actor) {
    assert(actor.durable(0) >= 76, "so it is after the last sync");
  },
  underReference: "none",
  without: [
    {
      file: "src/writeback/writer.ts",
      original: "failed ? layout.OUTCOME_FAILED : success, syncErrors);",
      mutated: "failed ? layout.OUTCOME_FAILED : success, space.syncErrors);",
    },
  ],
};

async function writeAndSync(actor: Actor, value: number): Promise<void> {
  await actor.write(0, value);
  await actor.sync();
}
