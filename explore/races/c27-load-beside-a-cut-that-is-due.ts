/**
 * C27: A cuts a file; the pages are gone, and the storage's part of the cut fails. B, who had looked at the size before, loads a page that lies
 * past the end by now, from a storage that still has it. Then A makes the file longer again.
 *
 * What must hold: what was cut reads as zeros. Guard: `hideCut` in load.ts. Found by simulation. Pins of any kind do the same here.
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";
import type { Actor } from "./stage.js";

async function read(actor: Actor): Promise<void> {
  actor.put(await actor.pin(1, { write: false, longterm: false }));
}

export const scenario: Scenario = {
  race: "C27",
  title: "load beside a cut that is due",
  frames: 2,
  pages: 2,
  failuresMax: 1,
  bound: 2,
  quickBound: 0,
  actors: {
    async A(actor) {
      await actor.allow(["EIO"], actor.truncate(8));
      await actor.allow(["EIO"], actor.truncate(32));
    },
    async B(actor) {
      await actor.allow(["EIO", "ERR_PINFOLD_OUT_OF_RANGE"], read(actor));
    },
  },
  async check(actor) {
    await actor.truncate(32);
    const pin = await actor.pin(1);
    assert(actor.get(pin, 0) === 0, "what was cut is gone");
    actor.put(pin);
  },
  underReference: "none",
  without: [
    {
      file: "src/mapping/load.ts",
      original: "if (space.cutDue !== layout.CUT_DUE) return;\n  let at",
      mutated: "if (space.cutDue !== 77) return;\n  let at",
    },
  ],
};
