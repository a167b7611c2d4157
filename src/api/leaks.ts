/**
 * Pins whose handle nobody has any more (rule 19): never released under their user, since views of the bytes may live on.
 * The pin becomes a counted one, the page stays dirty, its frame is not used again; it is counted, and reported once.
 *
 * A handle is watched once it is older than limits.leakCheckMs: registering it at once would cost more than the pin.
 * Until then its record keeps it alive.
 */
import type { Timer } from "../base/clock.js";
import { limits } from "../base/limits.js";
import type { Core } from "../mapping/core.js";
import { leakPin } from "../mapping/pin-changes.js";
import type { PinRecord } from "../mapping/pin-registry.js";
import { channels } from "./events.js";

export class LeakWatch {
  readonly #core: Core;
  readonly #registry: FinalizationRegistry<PinRecord>;
  #timer: Timer | undefined;

  constructor(core: Core) {
    this.#core = core;
    this.#registry = new FinalizationRegistry((pin) => this.#collected(pin));
  }

  /** A pin has got its handle. */
  note(pin: PinRecord, handle: object): void {
    pin.handle = handle;
    this.#timer ??= this.#core.clock.after(limits.leakCheckMs, () => this.#sweep());
  }

  #sweep(): void {
    this.#timer = undefined;
    const nowMs = this.#core.clock.nowMs();
    for (const pin of this.#core.pins) {
      if (!pin.handle || nowMs - pin.sinceMs < limits.leakCheckMs) continue;
      this.#registry.register(pin.handle, pin);
      pin.handle = undefined;
    }
    if (this.#core.pins.size > 0) this.#timer = this.#core.clock.after(limits.leakCheckMs, () => this.#sweep());
  }

  #collected(pin: PinRecord): void {
    if (!pin.live || pin.leaked || pin.transit) return;
    leakPin(this.#core, pin);
    const { position, length, write, site } = pin;
    channels.leaked.publish({ file: pin.space.store.name, position, length, write, site });
    const where = site ? ` taken at ${site}` : "";
    process.emitWarning(
      `a pin of ${pin.space.store.name} [${position}, ${position + length})${where} was dropped without put`,
      {
        code: "PINFOLD_LEAKED_PAGES",
      },
    );
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}
