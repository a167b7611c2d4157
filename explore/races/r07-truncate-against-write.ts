/**
 * R7: A, who writes a page, has looked at the size; B cuts the file and frees the page's blocks; A gets leave to write, and makes a
 * page dirty that lies beyond the end: what was cut off comes back when the file grows again.
 *
 * Guard: the size is published first (rule 10), and `conclude` looks at it again under the page lock, after the store has granted
 * (rule 2). The copying write then extends the file. A is a writer, B cuts. No pin takes part, so the reference shows nothing.
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "R7",
  title: "truncate against mkwrite",
  frames: 2,
  pages: 2,
  bound: 4,
  actors: {
    async A(actor) {
      await actor.write(1, 77);
    },
    async B(actor) {
      await actor.truncate(actor.space.pageSize);
    },
  },
  async check(actor, stored) {
    const { pageSize } = actor.space;
    if (actor.space.size === 2 * pageSize) {
      assert(stored(pageSize) === 77, "what A wrote last is in the storage after a sync");
      return;
    }
    assert(actor.space.size === pageSize, "the file has been cut");
    await actor.truncate(2 * pageSize);
    const pin = await actor.pin(1, { write: false });
    assert(actor.get(pin, 0) === 0, "what was cut off reads as zeros when the file has grown again");
    actor.put(pin);
  },
  underReference: "none",
  without: [
    {
      file: "src/mapping/grant.ts",
      original: "if (!range.extending && range.to > space.size) {",
      mutated: "if (range.from < 0) {",
    },
    {
      // What C30 is about looks at the size too, a little before.
      file: "src/mapping/grant.ts",
      original: "if (!range.extending && range.to > space.size) throw outOfRange(space, range.to);\n}",
      mutated: "}",
    },
  ],
};
