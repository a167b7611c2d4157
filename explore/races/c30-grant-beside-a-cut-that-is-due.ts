/**
 * C30: A cuts a file, and the storage's part of the cut fails. B, who had looked at the size before, asks for leave to write to a page that lies past
 * the end by now. Then A makes the file longer, for which the cut is done in the storage first.
 *
 * What must hold: nothing is given back to the storage that the cut has taken away (which the modelled one asserts). Guard: `checkInside` in
 * grant.ts, under the lock under which the storage is cut. Found by simulation.
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";
import type { Actor } from "./stage.js";

async function read(actor: Actor): Promise<void> {
  actor.put(await actor.pinToRead(0, 1));
}

export const scenario: Scenario = {
  race: "C30",
  title: "grant beside a cut that is due",
  frames: 2,
  pages: 2,
  failuresMax: 1,
  bound: 2,
  quickBound: 0,
  /** The second page has no place in the storage. */
  async prepare(actor) {
    await actor.truncate(16);
    await actor.truncate(32);
    await actor.sync();
  },
  actors: {
    async A(actor) {
      await actor.allow(["EIO"], actor.truncate(16));
      // Waits for the storage: so B goes on.
      await actor.allow(["EIO"], read(actor));
      await actor.allow(["EIO"], actor.truncate(32));
    },
    async B(actor) {
      await actor.allow(["EIO"], actor.writeBytes(20, 4, 75));
    },
  },
  async check(actor) {
    await actor.truncate(32);
    const pin = await actor.pin(1);
    assert([0, 75].includes(actor.get(pin, 4)), "what B wrote, or nothing");
    actor.put(pin);
  },
  underReference: "none",
  without: [
    {
      file: "src/mapping/grant.ts",
      original: "if (!range.extending && range.to > space.size) throw outOfRange(space, range.to);\n}",
      mutated: "}",
    },
  ],
};
