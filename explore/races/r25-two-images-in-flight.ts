/**
 * R25: B's write of a page, from a snapshot taken while A has it pinned, is delayed; A puts its pin and writes to the page; A's sync
 * writes the newer image, and the older one lands last.
 *
 * Guard: one write of a page at a time (rule 5). A page under write-back is passed over by whoever gathers pages to write (`#lock` in
 * writer.ts), and the step that begins a write is refused (`beginSnapshot`, `beginWriteback`): a sync waits for the end of the first
 * write. Three looks at one bit, and all three have to be taken out. A changes the page by a copying write, and not under its pin, so that
 * what is shown is this race and not R4; B is somebody who syncs. Only a pin that is counted makes snapshots: so the race is found
 * under `counted`.
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "R25",
  title: "two images in flight",
  frames: 2,
  pages: 1,
  bound: 2,
  async prepare(actor) {
    actor.put(await actor.pin(0, { write: false }));
  },
  actors: {
    async A(actor) {
      actor.put(await actor.pin(0));
      await actor.write(0, 77);
      await actor.sync();
    },
    async B(actor) {
      await actor.sync();
    },
  },
  async check(_actor, stored) {
    assert(stored(0) === 77, "what A wrote is in the storage after a sync");
  },
  underReference: "none",
  without: [
    {
      file: "src/writeback/writer.ts",
      original: "if ((flags & wordBits.dirty) !== 0 && (flags & wordBits.writeback) === 0) {",
      mutated: "if ((flags & wordBits.dirty) !== 0) {",
    },
    {
      file: "src/sync/words/dirty.ts",
      original: "if ((word & DIRTY) == 0 || (word & WRITEBACK) != 0 || (word & (WRITES | EXCLUSIVE)) == 0) {",
      mutated: "if ((word & DIRTY) == 0 || (word & (WRITES | EXCLUSIVE)) == 0) {",
    },
    {
      file: "src/sync/words/dirty.ts",
      original: "if ((word & DIRTY) == 0 || (word & (EXCLUSIVE | WRITEBACK | WRITES | VIEW)) != 0) {",
      mutated: "if ((word & DIRTY) == 0 || (word & (EXCLUSIVE | WRITES | VIEW)) != 0) {",
    },
  ],
  found: "counted",
};
