/**
 * R10: A makes the tail page of a file dirty, which has a block for the tail alone; B grows the file within that page and writes
 * there: at write-back the rest of the page has no blocks, or holds what nobody wrote.
 *
 * Guard: extending makes zeros of what lies beyond the old end, under the page's lock (rule 11, `zeroTail`); and a grant is for
 * blocks, not for the page, so that B asks for his (`isGranted`). The stage is set by somebody who, as devices do, fills a whole
 * frame though the file ends in it. A writes to the tail, B grows the file.
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "R10",
  title: "extend over a partial page",
  frames: 1,
  pages: 1,
  bound: 5,
  async prepare(actor) {
    await actor.truncate(8);
    const pin = await actor.pinBytes(0, 8);
    actor.set(pin, 10, 99);
    actor.put(pin);
    await actor.sync();
  },
  actors: {
    async A(actor) {
      const pin = await actor.pinBytes(0, 8);
      actor.set(pin, 0, 77);
      actor.put(pin);
    },
    async B(actor) {
      await actor.truncate(16);
      const pin = await actor.pinBytes(8, 8);
      actor.set(pin, 12, 78);
      actor.put(pin);
    },
  },
  async check(actor, stored) {
    assert(stored(0) === 77, "what A wrote is in the storage after a sync");
    assert(stored(12) === 78, "what B wrote is in the storage after a sync");
    assert(stored(10) === 0, "what the file grew by is zeros in the storage");
    const pin = await actor.pin(0, { write: false });
    assert(actor.get(pin, 10) === 0, "what the file grew by is zeros in the cache");
    actor.put(pin);
  },
  underReference: "none",
  without: [
    {
      file: "src/mapping/extend.ts",
      original: "core.frames.slice(frame, end - index * space.pageSize, space.pageSize).fill(0);",
      mutated: "",
    },
  ],
};
