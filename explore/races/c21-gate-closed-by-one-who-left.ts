/**
 * C21: A has the page for reading. B waits to write for so long that it closes the gate to new readers, and is aborted while C, a
 * writer too, stands behind it: the gate stays closed. A pins the page once more for reading, and waits behind the gate, for C, who
 * waits for A.
 *
 * What must hold: a closed gate opens after some time, whoever closed it, so that nested read pins cannot lock up (rule 14). Guard:
 * `workGate` in gate.ts opens it for any waiter to write. Pins of all protocols do the same here: none of them is counted.
 */
import { limits } from "../../src/base/limits.js";
import type { Scenario } from "./scenario.js";
import type { Actor } from "./stage.js";

/** Milliseconds of a clock that goes on only when nobody else can. B closes the gate, C comes, B gives up, A pins again. */
const comeMs = limits.gateDelayMs * 1.5;
const abortMs = limits.gateDelayMs * 2.5;
const againMs = limits.gateDelayMs * 3;
const waitMs = limits.gateClosedMs * 3;

export const scenario: Scenario = {
  race: "C21",
  title: "gate closed by one who has left",
  frames: 2,
  pages: 1,
  bound: 2,
  async prepare(actor) {
    actor.put(await actor.pin(0, { write: false }));
  },
  actors: {
    async A(actor) {
      const pin = await actor.pin(0, { write: false, longterm: false });
      await actor.sleep(againMs);
      actor.put(await actor.within(waitMs, actor.pin(0, { write: false, longterm: false })));
      actor.put(pin);
    },
    async B(actor) {
      const controller = new AbortController();
      actor.core.clock.after(abortMs, () => controller.abort(new Error("aborted")), true);
      await pinFor(actor, controller.signal);
    },
    async C(actor) {
      await actor.sleep(comeMs);
      actor.put(await actor.pin(0, { longterm: false }));
    },
  },
  async check(actor) {
    actor.put(await actor.pin(0));
  },
  underReference: "none",
  without: [
    {
      file: "src/frames/gate.ts",
      original: "} else if (closed && waiter.gateMs === 0) {",
      mutated: "} else if (closed && waiter.gateMs === 0) {\n    return false;",
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
