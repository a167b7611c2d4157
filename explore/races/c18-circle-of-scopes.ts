/**
 * C18: A has the first page and wants the second, B has the second and wants the first, each in a scope of its own: both look for a
 * circle before they wait, find none yet, and wait for each other for ever.
 *
 * What must hold: at least one of the two is refused with EDEADLK, and the other gets through (rule 14). Guard: `#join` in `PageLocks`
 * looks for the circle again once the wait has been entered. Pins of scopes hold the lock under all protocols: they do the same here.
 */
import { limits } from "../../src/base/limits.js";
import type { Scope } from "../../src/frames/scopes.js";
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
      await takeBoth(actor, 0, 1);
    },
    async B(actor) {
      await takeBoth(actor, 1, 0);
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
  ],
};

async function takeBoth(actor: Actor, first: number, second: number): Promise<void> {
  const scope = actor.core.scopes.open();
  const pin = await actor.pin(first, { longterm: false, scope });
  await actor.allow(["EDEADLK"], takeInTime(actor, second, scope));
  actor.put(pin);
  actor.core.scopes.close(scope);
}

/** @throws Error where that takes for ever */
async function takeInTime(actor: Actor, index: number, scope: Scope): Promise<void> {
  const controller = new AbortController();
  const timer = actor.core.clock.after(waitMs, () => controller.abort(new Error("both wait for ever")), true);
  actor.put(await actor.pin(index, { longterm: false, scope, signal: controller.signal }));
  timer.cancel();
}
