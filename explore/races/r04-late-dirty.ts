/**
 * R4: A pins for writing; B cleans the page; A writes and puts: the page holds bytes that the store was never told of, and that
 * nobody writes back.
 *
 * Guard: the pin keeps the grant, and keeps the page dirty (rule 4): nothing clears dirty under a write pin. A pinned page is
 * written from a copy, and stays dirty (`#begin` in writer.ts, beginWriteback in sync/words/dirty.ts). With the page locked from get to
 * put it cannot be cleaned meanwhile, so the race is found under `counted`.
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "R4",
  title: "late dirty through a pin",
  frames: 2,
  pages: 1,
  bound: 8,
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
      original: "if (countedWrites(words, frame) > 0) {",
      mutated: "if (countedWrites(words, frame) < 0) {",
    },
    {
      file: "src/sync/words/dirty.ts",
      original: "if ((word & DIRTY) == 0 || (word & (EXCLUSIVE | WRITEBACK | WRITES | VIEW)) != 0) {",
      mutated: "if ((word & DIRTY) == 0 || (word & (EXCLUSIVE | WRITEBACK | VIEW)) != 0) {",
    },
  ],
  found: "counted",
};
