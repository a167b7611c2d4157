/**
 * C5: A stores through a mapped view; B writes the page back, and cuts the file before it: the store lands in a page that has left,
 * or in a block that was freed.
 *
 * Guard: a cut owns the page, takes the access away and waits for stores on their way before it removes the page (truncate.ts,
 * view-revoke.ts); a store that comes later looks at the size, and is out of range.
 *
 * A is a program with a mapped view, B a sync and a cut.
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "C5",
  title: "view store, write-back, truncate",
  frames: 2,
  pages: 2,
  bound: 2,
  quickBound: 0,
  hasViews: true,
  async prepare(actor) {
    actor.put(await actor.pin(1, { write: false }));
  },
  actors: {
    async A(actor) {
      await actor.allow(["ERR_PINFOLD_OUT_OF_RANGE"], storeTwice(actor, 16));
    },
    async B(actor) {
      await actor.writeBack();
      await actor.truncate(16);
      await actor.write(1, 9);
    },
  },
  async check(_actor, stored) {
    const now = stored(16);
    assert(now === 9 || now === 77 || now === 76, "what comes after the cut is what was written after it");
    for (let at = 17; at < 32; at++) assert(stored(at) === 9, "and nothing of the page before it");
  },
  underReference: "none",
  without: [
    {
      file: "src/mapping/truncate.ts",
      original: "  if (!tryCloseViews(core, owned)) {",
      mutated: "  if (owned.length < 0 && !tryCloseViews(core, owned)) {",
    },
  ],
};

async function storeTwice(actor: Parameters<Scenario["check"]>[0], position: number): Promise<void> {
  actor.storeByView(position, 76);
  actor.storeByView(position, 77);
}
