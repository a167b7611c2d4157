/**
 * R3: the store has given A leave to write, and A has let go of the page meanwhile; B drops the page, or writes it and frees what the
 * store keeps for it; A makes it dirty without that.
 *
 * Guard: the page lock is held from the question until the page is dirty (rule 2, `grantFor` in grant.ts). Without it A lets go of
 * the lock when the store has answered, and takes it again. A is a writer, B needs the frame for another page. No pin that
 * outlives this takes part: the reference shows nothing.
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "R3",
  title: "mkwrite window",
  frames: 1,
  pages: 2,
  bound: 2,
  async prepare(actor) {
    actor.put(await actor.pin(0, { write: false }));
  },
  actors: {
    async A(actor) {
      await actor.write(0, 77);
    },
    async B(actor) {
      actor.put(await actor.pin(1, { write: false }));
    },
  },
  async check(_actor, stored) {
    assert(stored(0) === 77, "what A wrote is in the storage after a sync");
  },
  underReference: "none",
  without: [
    {
      file: "src/mapping/grant.ts",
      original: "if (asked) await asked;",
      mutated:
        "if (asked) await asked;\n        for (const frame of run.frames) core.locks.unlockExclusive(frame);\n        await undefined;\n        for (const frame of run.frames) core.locks.tryExclusive(frame, space.id, run.first);",
    },
  ],
};
