/**
 * R23: a waiter is aborted while it is being granted what it waits for: the lock is leaked, and everybody after it waits for ever.
 *
 * Guard: grant and abort race on one swap of the waiter's node; who was granted meanwhile takes what it got and lets go of it
 * (`WaitQueues.#abort`, rule 18).
 *
 * A holds the page and puts it; B waits for it, and is aborted at any time.
 */
import type { Scenario } from "./scenario.js";

export const scenario: Scenario = {
  race: "R23",
  title: "abort against grant",
  frames: 2,
  pages: 1,
  bound: 3,
  async prepare(actor) {
    actor.put(await actor.pin(0, { write: false }));
  },
  actors: {
    async A(actor) {
      actor.put(await actor.pin(0));
    },
    async B(actor) {
      await actor.untilAborted(async (signal) => actor.put(await actor.pin(0, { signal })));
    },
  },
  /** Would wait for ever if anybody held it still. */
  async check(actor) {
    actor.put(await actor.pin(0));
  },
  underReference: "none",
  without: [
    {
      file: "src/frames/wait-queues.ts",
      original: "if (!waiter || !this.#withdraw(node, layout.NODE_CANCELLED)) return;",
      mutated: "if (!waiter) return;\n    this.#withdraw(node, layout.NODE_CANCELLED);",
    },
  ],
};
