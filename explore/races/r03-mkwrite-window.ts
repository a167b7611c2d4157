/**
 * R3: the store has given A leave to write, and A has let go of the page meanwhile; B takes back what the store keeps for it; A makes the
 * page dirty: there is nothing to write it to.
 *
 * Guard: the page lock is held from the question until the page is dirty (rule 2, `grantFor` in grant.ts). Without it A lets go of
 * the lock when the store has answered, and takes it again. A writes into a hole, B punches a part of the page. No pin that
 * outlives its call takes part: the reference shows nothing.
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "R3",
  title: "mkwrite window",
  frames: 1,
  pages: 1,
  bound: 3,
  async prepare(actor) {
    await actor.punch(0);
    await actor.sync();
    actor.put(await actor.pin(0, { write: false }));
  },
  actors: {
    async A(actor) {
      await actor.write(0, 77);
    },
    async B(actor) {
      await actor.punchBytes(0, 8);
    },
  },
  async check(_actor, stored) {
    assert(stored(8) === 77, "what A wrote and B did not punch is in the storage after a sync");
  },
  underReference: "none",
  without: [
    {
      file: "src/mapping/grant.ts",
      original: "      core.noteStoreCall(-1);\n    }\n  }\n",
      mutated:
        "      core.noteStoreCall(-1);\n    }\n    for (const frame of run.frames) core.locks.unlockExclusive(frame);\n    await core.locks.acquire(run.frames[0] as number, space.id, run.first, layout.MODE_EXCLUSIVE, {});\n  }\n",
    },
  ],
};
