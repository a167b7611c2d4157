/**
 * C13: A's calls are aborted at any time: a sync that waits for B's pinned page, a write of B's file at its lock, a cut that waits for
 * B to put.
 *
 * What must hold: nothing of them is left, and B's write is in the storage. Under the reference B's page is written
 * under its pin (R13).
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "C13",
  title: "abort of a sync and a cut",
  frames: 2,
  pages: 2,
  bound: 2,
  quickBound: 0,
  async prepare(actor) {
    actor.put(await actor.pin(1, { write: false }));
  },
  actors: {
    async A(actor) {
      await actor.untilAborted(async (signal) => {
        await actor.allow(["EBUSY"], actor.truncate(actor.space.pageSize, signal));
        await actor.sync(signal);
      });
    },
    async B(actor) {
      await actor.allow(
        ["ERR_PINFOLD_OUT_OF_RANGE"],
        (async () => {
          const pin = await actor.pin(1);
          actor.set(pin, 0, 77);
          actor.put(pin);
        })(),
      );
    },
  },
  async check(actor, stored) {
    const { pageSize } = actor.space;
    if (actor.space.size === 2 * pageSize)
      assert(stored(pageSize) === 77 || stored(pageSize) === 2, "the page has what B wrote, or B came too late");
    await actor.truncate(2 * pageSize);
    actor.put(await actor.pin(1));
  },
  underReference: "some",
  without: [],
};
