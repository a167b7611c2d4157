/**
 * R9: A fills a page with what the storage has; B, who saw no page there, frees the block meanwhile; A's page shows bytes that are
 * gone, for as long as it stays.
 *
 * Guard: filling a page holds the file's invalidate lock shared, from before the store is asked until it has answered (rule 10,
 * `tryRead` in load.ts); B's punch holds it exclusively, and looks again for pages under it. A is a reader, B punches a hole.
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "R9",
  title: "punch against fill",
  frames: 1,
  pages: 1,
  bound: 4,
  actors: {
    async A(actor) {
      const pin = await actor.pin(0, { write: false });
      actor.put(pin);
    },
    async B(actor) {
      // A punch is refused where A's pin does not hold the lock, but a count.
      await actor.allow(["EBUSY"], actor.punch(0));
    },
  },
  async check(actor, stored) {
    assert(actor.isLongterm || stored(0) === 0, "the block was freed");
    const pin = await actor.pin(0, { write: false });
    assert(actor.get(pin, 0) === stored(0), "the page has the bytes that the storage has");
    actor.put(pin);
  },
  underReference: "none",
  without: [
    {
      file: "src/mapping/load.ts",
      original: "const asked = core.locks.acquire(lock, space.id, layout.LOCK_INVALIDATE, layout.MODE_SHARED, {});",
      mutated: "const asked: number | Promise<number> = lock < 0 ? Promise.resolve(layout.OK) : layout.OK;",
    },
    {
      file: "src/mapping/load.ts",
      original: "      core.locks.unlockShared(lock);\n    }\n    noteRead",
      mutated: "    }\n    noteRead",
    },
  ],
};
