/**
 * R13: B has handed a page to the storage, which computes a checksum over it; A changes it meanwhile: the storage gets other bytes than
 * it was promised.
 *
 * Guard: pages are stable while they are written. A page under write-back keeps the writer's shared lock until the write is done, or
 * a copy is written (`#begin`, `#end` in writer.ts). A is a writer, B somebody who syncs. The modelled storage compares the bytes at
 * the end of each write with those at its beginning. A bare reference keeps nobody from writing, so the reference shows it.
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "R13",
  title: "unstable page",
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
      original: "if (snapshot >= 0) this.#locks.unlockShared(frame);",
      mutated: "this.#locks.unlockShared(frame);",
    },
    {
      file: "src/writeback/writer.ts",
      original: "else this.#locks.unlockShared(page.frame);",
      mutated: "",
    },
  ],
};
