/**
 * R18: B cleans a page in order to drop it; A dirties it again; B drops it: A's write is lost.
 *
 * Guard: dropping owns the page's lock and tests under it again whether the page is clean, and is refused with EBUSY if not
 * (`invalidate` in lifetime.ts). A is a writer, B somebody who wants others' bytes to be read anew (fadvise, or a file that somebody
 * else has changed). Under the reference A's write is lost already where B's sync cleans the page under A's pin (R4).
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "R18",
  title: "invalidate against redirty",
  frames: 1,
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
      await actor.allow(["EBUSY"], actor.invalidate(0));
    },
  },
  async check(actor, stored) {
    assert(stored(0) === 77, "what A wrote is in the storage after a sync");
    const pin = await actor.pin(0, { write: false });
    assert(actor.get(pin, 0) === 77, "what A wrote is in the page");
    actor.put(pin);
  },
  underReference: "some",
  without: [
    {
      file: "src/mapping/lifetime.ts",
      original: "if (isUnclean(words, page.frame)) {",
      mutated: "if (page.frame < 0) {",
    },
  ],
};
