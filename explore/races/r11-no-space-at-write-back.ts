/**
 * R11: A fills a hole, and is told that all is well; B takes the last free blocks; at write-back there is no room for A's bytes.
 *
 * Guard: the store is asked before a page may become dirty, and reserves (rule 2, `grantFor` in grant.ts): whoever comes too late hears
 * of it at his own call. A and B are writers; the storage has room for one of their pages. No pin takes part that outlives its call,
 * so the reference shows nothing.
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "R11",
  title: "no space at write-back",
  frames: 2,
  pages: 3,
  capacity: 4,
  bound: 3,
  async prepare(actor) {
    await actor.punch(0);
    await actor.punch(1);
    // Two blocks are left beside those of page 2: room for one page.
    await actor.sync();
  },
  actors: {
    async A(actor) {
      const code = await actor.allow(["ENOSPC"], actor.write(0, 77));
      if (code === "") await actor.sync();
    },
    async B(actor) {
      const code = await actor.allow(["ENOSPC"], actor.write(1, 78));
      if (code === "") await actor.sync();
    },
  },
  async check(actor, stored) {
    const { pageSize } = actor.space;
    const isFirst = stored(0) === 77;
    assert(isFirst !== (stored(pageSize) === 78), "one of them has written, and what he wrote is in the storage");
    assert(stored(isFirst ? pageSize : 0) === 0, "who was refused has written nothing");
  },
  underReference: "none",
  without: [
    {
      file: "src/mapping/grant.ts",
      original: "const asked = askMkwrite(space.store, request);",
      mutated: "const asked = request.before.length < 0 ? askMkwrite(space.store, request) : undefined;",
    },
  ],
};
