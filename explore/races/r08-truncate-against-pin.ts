/**
 * R8: A has a page pinned; B truncates, and the page's blocks are used for other data; A's late write goes there.
 *
 * Guard: a cut waits for pins that hold the page's lock, and refuses where long-term pins hold pages past it (`refuseCounted` in
 * truncate.ts, looked at again when the pages are owned; the step that removes a page is refused as well while it is pinned). A writes
 * through a pin, B cuts the file and makes it longer again with bytes of its own. The reference counts its pins, too, so a
 * cut is refused there as well.
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "R8",
  title: "truncate against pin",
  frames: 2,
  pages: 2,
  bound: 3,
  actors: {
    async A(actor) {
      await actor.allow(
        ["ERR_PINFOLD_OUT_OF_RANGE"],
        (async () => {
          const pin = await actor.pin(1);
          actor.set(pin, 0, 77);
          actor.put(pin);
        })(),
      );
    },
    async B(actor) {
      const code = await actor.allow(["EBUSY"], actor.truncate(actor.space.pageSize));
      if (code === "") await actor.write(1, 55);
    },
  },
  async check(actor, stored) {
    const { pageSize } = actor.space;
    const first = stored(pageSize);
    const rest = stored(pageSize + 1);
    assert(actor.space.size === 2 * pageSize, "the file is as long as it was");
    assert(rest === 55 || (rest === 2 && first === 77), "B's bytes are there, or it was refused");
    assert(first === 77 || first === 55, "A's byte is there, or what B wrote after it");
  },
  underReference: "none",
  without: [
    {
      file: "src/mapping/truncate.ts",
      original: "if (counted.length === 0) return;",
      mutated: "if (counted.length >= 0) return;",
    },
    {
      file: "src/sync/words/table.ts",
      original:
        "if (!isOwner(word, thread) || (word & EVICTING) == 0 || (word & (WAITERS | READS | WRITES | WRITEBACK | VIEW)) != 0) {",
      mutated: "if (!isOwner(word, thread) || (word & EVICTING) == 0 || (word & (WAITERS | WRITEBACK | VIEW)) != 0) {",
    },
  ],
  found: "counted",
};
