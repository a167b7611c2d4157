/**
 * R26: A holds a page of the range that B cuts off, and B waits for it with the invalidate lock held; A faults another page, which
 * needs that lock to be filled: both wait for ever.
 *
 * Guard: the range is drained without the invalidate lock (rules 10 and 13, `tryCut`); nobody waits for a page while he holds it. New
 * pins past the size that is published fail at once. A is a task that pins two pages one after the other, B cuts. A pin that holds
 * no lock is not waited for: the cut is refused.
 */
import { assert } from "../../src/base/assert.js";
import type { PinRecord } from "../../src/mapping/pin-registry.js";
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "R26",
  title: "truncate against fault of the same holder",
  frames: 2,
  pages: 2,
  bound: 3,
  async prepare(actor) {
    // Dirty: whoever pins it again need not ask the store.
    actor.put(await actor.pin(1));
  },
  actors: {
    async A(actor) {
      const held: PinRecord[] = [];
      const isCut = await actor.allow(
        ["ERR_PINFOLD_OUT_OF_RANGE"],
        actor.pin(1).then((pin) => held.push(pin)),
      );
      try {
        // Where he waits for ever, the cut goes on looking whether he may: that never ends, and is no deadlock to a machine.
        actor.put(await actor.within(50, actor.pin(0, { write: false })));
      } finally {
        for (const pin of held) actor.put(pin);
      }
      assert((isCut === "") === (held.length === 1), "a pin past the end fails");
    },
    async B(actor) {
      await actor.allow(["EBUSY"], actor.truncate(actor.space.pageSize));
    },
  },
  async check(actor) {
    assert(actor.isLongterm || actor.space.size === actor.space.pageSize, "the file has been cut");
  },
  underReference: "none",
  without: [
    {
      file: "src/mapping/truncate.ts",
      original: "await drain(core, space, at.first, at.last, options);",
      mutated: "await withInvalidateLock(core, space, {}, () => drain(core, space, at.first, at.last, options));",
    },
  ],
};
