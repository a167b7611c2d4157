/**
 * R28: a writer waits for the number of dirty pages to fall while it holds the lock of a dirty page, which write-back needs.
 *
 * Guard: the wait at the dirty limit comes before the first page lock (`throttle`, called first in `pinRange`). A and B write to a
 * dirty page each, and there may be one. Such a wait ends by itself after limits.throttleMs: what is asserted is that it does
 * not take that long. Pins of all protocols do the same here.
 *
 * This is where a writer slept for that long since the last sign came just before he was in the queue (R22; `waitForPool` in locks.ts).
 */
import { limits } from "../../src/base/limits.js";
import type { Scenario } from "./scenario.js";
import type { Actor } from "./stage.js";

async function change(actor: Actor, index: number): Promise<void> {
  const pin = await actor.within(limits.throttleMs / 2, actor.pin(index));
  actor.set(pin, 0, 77);
  actor.put(pin);
}

export const scenario: Scenario = {
  race: "R28",
  title: "throttle under a lock",
  frames: 2,
  pages: 2,
  dirtyPagesMax: 1,
  bound: 1,
  quickBound: 0,
  async prepare(actor) {
    const pin = await actor.pinBytes(0, 2 * actor.space.pageSize);
    actor.set(pin, 0, 76);
    actor.put(pin);
  },
  actors: {
    A: (actor) => change(actor, 0),
    B: (actor) => change(actor, 1),
  },
  async check() {},
  underReference: "none",
  without: [
    {
      file: "src/mapping/pin.ts",
      original: "if (request.write && !mayWriteNow(core, space)) await throttle(core, space, request.signal);",
      mutated: "",
    },
    {
      file: "src/mapping/pin.ts",
      original: "if (pin.write) await grantPin(core, pin);",
      mutated:
        "if (pin.write && !mayWriteNow(core, pin.space)) await throttle(core, pin.space, request.signal);\n  if (pin.write) await grantPin(core, pin);",
    },
  ],
};
