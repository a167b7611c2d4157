/**
 * R2: B cleans a page in order to write it; A makes it dirty again and goes on writing; B clears dirty: A's write is lost.
 *
 * Guard: dirtying and clearing are both done under the page lock: the writer has it shared from before it clears dirty until the bytes
 * are written (`#lock`, `#begin` in writer.ts), and the step that clears dirty is refused while somebody has it exclusively
 * (beginWriteback). A is a writer, B somebody who syncs. Under the reference A's pin keeps nobody from cleaning (R4).
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "R2",
  title: "clean against write fault",
  frames: 2,
  pages: 1,
  bound: 3,
  async prepare(actor) {
    const pin = await actor.pin(0);
    actor.set(pin, 0, 76);
    actor.put(pin);
  },
  actors: {
    async A(actor) {
      const pin = await actor.pin(0);
      actor.set(pin, 0, 77);
      actor.put(pin);
    },
    async B(actor) {
      await actor.sync();
    },
  },
  async check(_actor, stored) {
    assert(stored(0) === 77, "what A wrote is in the storage after a sync");
  },
  underReference: "some",
  without: [
    {
      file: "src/writeback/writer.ts",
      original: "do answer = words.beginWriteback(frame, thread);",
      mutated: "this.#locks.unlockShared(frame);\n      do answer = words.beginWriteback(frame, thread);",
    },
    {
      file: "src/writeback/writer.ts",
      original: "else this.#locks.unlockShared(page.frame);",
      mutated: "",
    },
    {
      file: "src/sync/words/dirty.ts",
      original: "if ((word & DIRTY) == 0 || (word & (EXCLUSIVE | WRITEBACK | WRITES | VIEW)) != 0) {",
      mutated: "if ((word & DIRTY) == 0 || (word & (WRITEBACK | WRITES | VIEW)) != 0) {",
    },
  ],
};
