/**
 * R14: B writes the page; A changes it meanwhile; the end of B's write marks it clean: A's change is lost.
 *
 * Guard: dirty is cleared before the write starts, never at its end (rule 5; endWriteback in
 * sync/words/dirty.ts). A page can be dirty again while it is written only where a copy of it is, as under a long-term pin: the race is
 * found under `counted`.
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "R14",
  title: "redirty in flight",
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
      await actor.writeBack();
    },
  },
  async check(_actor, stored) {
    assert(stored(0) === 77, "what A wrote last is in the storage after a sync");
  },
  underReference: "some",
  without: [
    {
      file: "src/sync/words/dirty.ts",
      original: "let after: u64 = word & ~(WRITEBACK | WRITER);",
      mutated: "let after: u64 = (outcome == OUTCOME_FAILED ? word : word & ~(DIRTY | FRESH)) & ~(WRITEBACK | WRITER);",
    },
    {
      file: "src/sync/words/dirty.ts",
      original: "  if ((word & DIRTY) != 0) {\n    if (outcome == OUTCOME_FAILED) after = after | FAILED;",
      mutated:
        "  if ((word & DIRTY) != 0 && outcome == OUTCOME_FAILED) {\n    if (outcome == OUTCOME_FAILED) after = after | FAILED;",
    },
    {
      file: "src/sync/words/dirty.ts",
      original:
        "  if ((word & DIRTY) == 0) {\n    unlinkLatched(frame, mapping);\n    if (outcome == OUTCOME_FAILED) {",
      mutated:
        "  if ((word & DIRTY) != 0 && outcome != OUTCOME_FAILED) countDirty(mapping, -1);\n  if ((word & DIRTY) == 0 || outcome != OUTCOME_FAILED) {\n    unlinkLatched(frame, mapping);\n    if (outcome == OUTCOME_FAILED) {",
    },
  ],
  found: "counted",
};
