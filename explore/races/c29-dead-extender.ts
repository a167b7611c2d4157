/**
 * C29: A ends anywhere in a write that makes the file longer, into a page that it has to read first. B makes the file longer too, beyond that.
 *
 * What must hold: what is written has its place in the storage (which the modelled one asserts), and what nobody has written reads
 * as zeros. Guard: `publishExtension` in grant.ts comes before the pages are dirty; after it, A's page was dirty beyond the end, with a grant that the
 * cut of its half extension took away. Found by simulation.
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "C29",
  title: "dead extender",
  frames: 3,
  pages: 1,
  bound: 1,
  quickBound: 0,
  mortal: ["A"],
  actors: {
    async A(actor) {
      await actor.writeBytes(24, 8, 75);
    },
    async B(actor) {
      await actor.write(2, 76);
      // Also, so that what A was granted and has not heard of is used.
      await actor.writeBytes(24, 8, 75);
    },
  },
  async check(actor, stored) {
    assert(stored(24) === 75, "the page has what A or B wrote");
    assert(stored(16) === 0, "and zeros before that");
    assert(stored(40) === 76, "what B wrote is there");
    assert(actor.space.size === 48, "and the file ends where B's write does");
  },
  underReference: "none",
  without: [
    {
      file: "src/mapping/grant.ts",
      original: "  if (range.extending) publishExtension(space, range);\n",
      mutated: "",
    },
    {
      file: "src/mapping/grant.ts",
      original: "    else space.store.setPageDirty((run.first + at) * space.pageSize, space.pageSize);\n  });\n",
      mutated:
        "    else space.store.setPageDirty((run.first + at) * space.pageSize, space.pageSize);\n  });\n  if (range.extending) publishExtension(space, range);\n",
    },
  ],
};
