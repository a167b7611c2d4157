/**
 * C20: A ends. B and C both see that; C cleans up after it, and a new thread joins the cache in the slot that A had, and takes the page.
 * B, who saw A dead before all that, cleans up after the one who has the slot now: its lock goes, and its slot.
 *
 * What must hold: a slot's new thread keeps what it has (rules 14 and 17). Guard: `#claim` in `Recovery` looks again, once it has said
 * that it is the one who cleans up, whether the slot still is a dead thread's. C does what the new thread would do: a slot more is
 * what joining comes to.
 */
import { assert } from "../../src/base/assert.js";
import * as layout from "../../src/sync/layout.js";
import type { Scenario } from "./scenario.js";
import type { Actor } from "./stage.js";

export const scenario: Scenario = {
  race: "C20",
  title: "two who clean up after one",
  frames: 2,
  pages: 1,
  bound: 2,
  mortal: ["A"],
  async prepare(actor) {
    actor.put(await actor.pin(0, { write: false }));
  },
  actors: {
    async A(actor) {
      actor.put(await actor.pin(0, { write: false }));
    },
    async B(actor) {
      actor.lookForDead();
    },
    async C(actor) {
      actor.lookForDead();
      useNewSlot(actor);
    },
  },
  async check(actor) {
    actor.put(await actor.pin(0));
  },
  underReference: "none",
  without: [
    {
      file: "src/mapping/recovery.ts",
      original: "    if (isDead(slot)) return true;\n",
      mutated: "    if (isDead(slot) || slot >= 0) return true;\n",
    },
  ],
};

/** Claims a slot, takes the page's lock in its name where that is free, lets go of both. */
function useNewSlot({ core, space }: Actor): void {
  const { threads, words } = core.frames;
  const slot = threads.claim();
  const frame = core.table.find(space.id, 0);
  if (words.lockExclusive(frame, space.id, 0, slot) === layout.OK) {
    let bits: number;
    do bits = words.unlockExclusive(frame, slot, 0);
    while (bits === layout.LOST);
    assert(bits >= 0, "the page's lock is that of the thread that has taken it");
    if ((bits & layout.WAKE) !== 0) core.locks.queues.wake(frame);
    if ((bits & layout.IDLE) !== 0) while (words.requeue(frame) === layout.LOST);
  }
  assert(threads.isClaimed(slot), "the slot is that of the thread that has claimed it");
  threads.release(slot);
}
