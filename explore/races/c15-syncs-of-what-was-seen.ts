/**
 * C15: A writes to a page while B and C sync it, B after it has looked at the page. One store sync serves who waits for it: B must not
 * take C's for its own where C's began before the bytes that B has seen were written.
 *
 * What must hold: what B saw before it called sync is durable when that resolves, whoever wrote it (rule 8). Guard: a store
 * sync covers the changes that were there when it began (`#begin` in store-sync.ts), and not those that came while it ran. C's sync
 * is any other. A copies and B looks under the page's lock, whatever the protocol: pins that are counted would leave the order to them.
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "C15",
  title: "syncs of what was seen",
  frames: 1,
  pages: 1,
  bound: 1,
  quickBound: 0,
  async prepare(actor) {
    const pin = await actor.pin(0);
    actor.set(pin, 0, 76);
    actor.put(pin);
  },
  actors: {
    async A(actor) {
      await actor.write(0, 77);
    },
    async B(actor) {
      const pin = await actor.pin(0, { write: false, longterm: false });
      const seen = actor.get(pin, 0);
      actor.put(pin);
      await actor.sync();
      assert(actor.durable(0) >= seen, "what B saw before its sync is durable");
    },
    async C(actor) {
      await actor.sync();
      assert(actor.durable(0) >= 76, "what was there before is durable");
    },
  },
  async check(actor) {
    assert(actor.durable(0) === 77, "what A wrote is durable");
  },
  underReference: "none",
  without: [
    {
      file: "src/writeback/store-sync.ts",
      original: "space.noteDurable(covered, data);",
      mutated: "space.noteDurable(covered < 0 ? covered : space.changes, data);",
    },
  ],
};
