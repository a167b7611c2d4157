/**
 * C28: A writes a page back while B begins to cut it off: B has published the new size, and is aborted, so that the old size comes back, and
 * the page with it.
 *
 * What must hold: the page is clean only if it was written. Guard: `writableEnd` in space.ts takes the size and the phase of the cut together;
 * with the phase of before and the size of after the page lay past the end, nothing was written, and a sync said that all was well. Found by simulation.
 * And both come to an end: a sync that waited for a page's lock departs with it (`writeWaiting` in writer.ts); where it gave the lock back and
 * tried again, it and the truncate that drains that page took turns for ever.
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";

const marked = 77;

export const scenario: Scenario = {
  race: "C28",
  title: "write-back beside a cut that is undone",
  frames: 2,
  pages: 2,
  bound: 2,
  quickBound: 0,
  async prepare(actor) {
    const pin = await actor.pin(1);
    actor.set(pin, 0, marked);
    actor.put(pin);
  },
  actors: {
    async A(actor) {
      await actor.sync();
    },
    async B(actor) {
      await actor.untilAborted((signal) => actor.truncate(8, signal));
    },
  },
  async check(actor, stored) {
    if (actor.space.size === 32) assert(stored(16) === marked, "what came back is what was there");
  },
  underReference: "none",
  without: [
    {
      file: "src/cache/space.ts",
      original: "if (this.#get(layout.MAPPING_PHASE) === before) return end;",
      mutated: "return end;",
    },
  ],
};
