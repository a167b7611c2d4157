/**
 * C31: A ends anywhere in a punch of two pages, a dirty one and a clean one, and the storage fails for B, who does it again: it may have made
 * the hole for A, and given the dirty page's space away with it. What the storage says to B leaves the pages in the cache.
 *
 * What must hold: what is dirty has its place in the storage (which the modelled one asserts), and a clean page is what the storage has.
 * Guard: `keep` in punch.ts asks for leave for dirty pages anew, again and again if need be, and lets clean ones go. Found by simulation.
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";
import type { Actor } from "./stage.js";

export const scenario: Scenario = {
  race: "C31",
  title: "dead puncher of a failing storage",
  frames: 3,
  pages: 2,
  failuresMax: 2,
  grantsLater: true,
  bound: 1,
  quickBound: 0,
  mortal: ["A"],
  async prepare(actor) {
    await actor.write(0, 76);
    actor.put(await actor.pin(1, { write: false }));
  },
  actors: {
    async A(actor) {
      await actor.allow(["EIO"], actor.punchBytes(0, 2 * actor.space.pageSize));
    },
    async B(actor) {
      await actor.sleep(1);
      actor.lookForDead();
    },
  },
  async check(actor, stored) {
    for (const index of [0, 1]) {
      const start = index * actor.space.pageSize;
      assert(stored(start) === 0 || stored(start) === [76, 2][index], "a hole, or as it was");
      assert((await byteOf(actor, index)) === stored(start), "the cache has what the storage has");
    }
  },
  underReference: "none",
  without: [
    {
      file: "src/mapping/punch.ts",
      original: "    // Whoever wanted the hole is gone.\n    await keep(core, space, hole, owned);\n",
      mutated: "    await Promise.resolve();\n",
    },
  ],
};

async function byteOf(actor: Actor, index: number): Promise<number> {
  const pin = await actor.pin(index, { write: false });
  const value = actor.get(pin, 0);
  actor.put(pin);
  return value;
}
