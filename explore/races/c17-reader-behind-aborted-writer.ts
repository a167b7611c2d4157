/**
 * C17: A has the page for reading, and keeps it; B waits to write for so long that the gate closes; C, a reader too, comes after that
 * and waits behind B. B is aborted.
 *
 * What must hold: who stands behind one who gives up is looked at again, so that C reads while A still does. Guard: `#abort` in
 * `WaitQueues` wakes the queue (rules 14 and 18). Pins of all protocols do the same here: none of them is counted.
 */
import { limits } from "../../src/base/limits.js";
import type { Scenario } from "./scenario.js";
import type { Actor } from "./stage.js";

/** Milliseconds of a clock that goes on only when nobody else can; B gives up when C's own timer does not look after C. */
const joinMs = limits.gateDelayMs * 2;
const abortMs = limits.gateDelayMs * 2.5;
const readMs = limits.gateDelayMs * 4;
const keepMs = limits.gateClosedMs * 2;

export const scenario: Scenario = {
  race: "C17",
  title: "reader behind an aborted writer",
  frames: 2,
  pages: 1,
  bound: 3,
  async prepare(actor) {
    actor.put(await actor.pin(0, { write: false }));
  },
  actors: {
    async A(actor) {
      const pin = await actor.pin(0, { write: false, longterm: false });
      await actor.sleep(keepMs);
      actor.put(pin);
    },
    async B(actor) {
      const controller = new AbortController();
      actor.core.clock.after(abortMs, () => controller.abort(new Error("aborted")), true);
      await pinFor(actor, controller.signal);
    },
    async C(actor) {
      await actor.sleep(joinMs);
      actor.put(await actor.within(readMs - joinMs, actor.pin(0, { write: false, longterm: false })));
    },
  },
  async check(actor) {
    actor.put(await actor.pin(0));
  },
  underReference: "none",
  without: [
    {
      file: "src/frames/wait-queues.ts",
      original: "    // Whoever stood behind this one may be able to go on.\n    this.wake(waiter.record, true);",
      mutated: "",
    },
  ],
};

async function pinFor(actor: Actor, signal: AbortSignal): Promise<void> {
  try {
    actor.put(await actor.pin(0, { longterm: false, signal }));
  } catch (error) {
    if (error !== signal.reason) throw error;
  }
}
