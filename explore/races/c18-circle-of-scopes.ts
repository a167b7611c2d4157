/**
 * C18: A's scope asks for both pages at once, in two tasks; B's scope takes the one, then the other. Both have one page and want the
 * other's: they look for a circle before they wait, and find none yet. Or one of A's tasks has its page's lock, and nobody can tell yet
 * that it is A's scope that has it, when the wait of A's other task and B's are entered.
 *
 * What must hold: somebody is refused with EDEADLK, and all others get through (rule 14). Guards: `#join` in `PageLocks` looks for the
 * circle again once the wait has been entered, `holdScoped` in pin.ts once a hold has been noted. Pins of scopes hold the lock under
 * all protocols: they do the same here.
 */
import { limits } from "../../src/base/limits.js";
import type { Scope } from "../../src/frames/scopes.js";
import type { PinRecord } from "../../src/mapping/pin-registry.js";
import type { Scenario } from "./scenario.js";
import type { Actor } from "./stage.js";

/** Milliseconds of a clock that goes on only when nobody else can. */
const waitMs = limits.gateDelayMs * 5;

export const scenario: Scenario = {
  race: "C18",
  title: "circle of scopes",
  frames: 2,
  pages: 2,
  bound: 2,
  async prepare(actor) {
    actor.put(await actor.pin(0, { write: false }));
    actor.put(await actor.pin(1, { write: false }));
  },
  actors: {
    async A(actor) {
      const scope = actor.core.scopes.open();
      const second = pinInTime(actor, 1, scope);
      const first = pinInTime(actor, 0, scope);
      putAll(actor, [await second, await first]);
      actor.core.scopes.close(scope);
    },
    async B(actor) {
      const scope = actor.core.scopes.open();
      const first = await pinInTime(actor, 0, scope);
      putAll(actor, [first, await pinInTime(actor, 1, scope)]);
      actor.core.scopes.close(scope);
    },
  },
  async check(actor) {
    actor.put(await actor.pin(0));
    actor.put(await actor.pin(1));
  },
  underReference: "none",
  without: [
    {
      file: "src/frames/locks.ts",
      original:
        "const circle = node >= 0 && scope !== undefined && this.#scopes.closesCircle(scope, record, upgrading);",
      mutated: "const circle = node >= 0 && scope !== undefined && upgrading;",
    },
    {
      file: "src/mapping/pin.ts",
      original: "    core.locks.refuseCircle(scope, frame);\n",
      mutated: "",
    },
  ],
};

/** The page, or undefined where it was refused. @throws Error where that takes for ever */
async function pinInTime(actor: Actor, index: number, scope: Scope): Promise<PinRecord | undefined> {
  const controller = new AbortController();
  const timer = actor.core.clock.after(waitMs, () => controller.abort(new Error("all wait for ever")), true);
  try {
    return await actor.pin(index, { longterm: false, scope, signal: controller.signal });
  } catch (error) {
    if ((error as { code?: string }).code !== "EDEADLK") throw error;
    return undefined;
  } finally {
    timer.cancel();
  }
}

function putAll(actor: Actor, pins: readonly (PinRecord | undefined)[]): void {
  for (const pin of pins) if (pin) actor.put(pin);
}
