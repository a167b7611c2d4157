/**
 * R17: A has seen that a page is not there, and remembers it; B loads the page, writes, and evicts it; A fills a page of its own with
 * what the storage had before: old bytes, zeros where there was a hole, lie over B's data.
 *
 * Guard: what A has seen is looked at again in the swap that puts its page in: the bucket's sequence, which every insert and removal
 * advances (`insert` in words/table.ts). From then on A owns the loading page's lock, and reads the storage under it and under the
 * invalidate lock, so that B waits. What the cache knows of blocks stands in the page's block word, under the same lock, and is
 * forgotten with the page; a store that remembers more looks after that itself (stores/file/known-blocks.ts). A is a reader, B a
 * writer whose page leaves.
 */
import { assert } from "../../src/base/assert.js";
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "R17",
  title: "stale block map",
  frames: 2,
  pages: 1,
  bound: 3,
  actors: {
    async A(actor) {
      actor.put(await actor.pin(0, { write: false }));
    },
    async B(actor) {
      const pin = await actor.pin(0);
      actor.set(pin, 0, 77);
      actor.put(pin);
      await actor.sync();
      actor.evict();
    },
  },
  async check(actor, stored) {
    assert(stored(0) === 77, "what B wrote is in the storage after a sync");
    const pin = await actor.pin(0, { write: false });
    assert(actor.get(pin, 0) === 77, "what B wrote is in the page");
    actor.put(pin);
  },
  underReference: "none",
  without: [
    {
      file: "src/sync/words/table.ts",
      original: "let seen: u64 = atomic.load<u64>(threadOf(thread) + THREAD_SEEN_HEAD);",
      mutated: "let seen: u64 = atomic.load<u64>(bucket);",
    },
  ],
};
