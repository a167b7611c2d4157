/**
 * R12: A's pages are granted, in part or whole, and then A is refused: what was reserved for it stays reserved, for nothing.
 *
 * Guard: all or nothing. The store grants the whole range or none of it (its contract), and what was granted to a call that fails
 * after all is given back (`conclude` in grant.ts). A writes two pages, B cuts the second one off, so that A's call may fail when it
 * has its grant; at the end the reservations are counted. No pin takes part, so the reference shows nothing.
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "R12",
  title: "partial reservation",
  frames: 2,
  pages: 2,
  bound: 3,
  async prepare(actor) {
    await actor.punch(0);
    await actor.punch(1);
    await actor.sync();
  },
  actors: {
    async A(actor) {
      const { pageSize } = actor.space;
      await actor.allow(
        ["ERR_PINFOLD_OUT_OF_RANGE"],
        (async () => {
          const pin = await actor.pinBytes(0, 2 * pageSize);
          actor.set(pin, 0, 77);
          actor.put(pin);
        })(),
      );
    },
    async B(actor) {
      await actor.allow(["EBUSY"], actor.truncate(actor.space.pageSize));
    },
  },
  async check(actor, stored) {
    const { pageSize } = actor.space;
    if (actor.space.size === pageSize) assert(stored(pageSize) === 0, "what was cut off is gone");
  },
  underReference: "none",
  without: [
    {
      file: "src/mapping/grant.ts",
      original: "if (request) cancelNew(space, run, request);",
      mutated: "if (range.from < 0 && request) cancelNew(space, run, request);",
    },
  ],
};
