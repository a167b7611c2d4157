/**
 * Who has what pinned: one record for each get, from get to put. For pins(), for the holders that errors name, for leaks.
 *
 * Invariants: a record is in the list exactly from `add` to `remove`. The list holds records, never handles, so that a
 * handle that nobody has any more can be collected; young handles are the exception (see leaks.ts).
 */
import type { Clock } from "../base/clock.js";
import { limits } from "../base/limits.js";
import type { AddressSpace } from "../cache/space.js";
import type { Scope } from "../frames/scopes.js";

/** One pin. Made before its pages are locked; `live` from the moment it is listed to its put. */
export class PinRecord {
  readonly space: AddressSpace;
  readonly position: number;
  readonly length: number;
  readonly firstIndex: number;
  /** One frame a page, ascending. */
  readonly frames: number[];
  write: boolean;
  counted = false;
  readonly scope: Scope | undefined;
  readonly credits: number;
  sinceMs = 0;
  /** Where it was taken, if `pinSites` asks for that. */
  site: string | undefined = undefined;
  leaked = false;
  /** The handle, while it is young (leaks.ts): afterwards only its owner keeps it. */
  handle: object | undefined = undefined;
  previous: PinRecord | undefined = undefined;
  next: PinRecord | undefined = undefined;
  live = false;

  constructor(
    space: AddressSpace,
    position: number,
    length: number,
    firstIndex: number,
    frames: number[],
    write: boolean,
    scope: Scope | undefined,
    credits: number,
  ) {
    this.frames = frames;
    this.space = space;
    this.position = position;
    this.length = length;
    this.firstIndex = firstIndex;
    this.write = write;
    this.scope = scope;
    this.credits = credits;
  }
}

/** A pin that is not listed yet. */
export type NewPin = PinRecord;

export class PinRegistry {
  readonly #clock: Clock;
  readonly #sites: boolean;
  #head: PinRecord | undefined;
  #size = 0;
  #turnMs: number | undefined;
  /** Pages under write pins, counted or locked. */
  writePages = 0;
  leakedPages = 0;

  constructor(clock: Clock, sites: boolean) {
    this.#clock = clock;
    this.#sites = sites;
  }

  /** Reading the clock costs as much as a pin: once for all pins that are taken without letting go of the thread. */
  #beginTurn(): number {
    const nowMs = this.#clock.nowMs();
    this.#turnMs = nowMs;
    queueMicrotask(() => {
      this.#turnMs = undefined;
    });
    return nowMs;
  }

  get size(): number {
    return this.#size;
  }

  /** Lists a pin whose pages are all held. */
  add(pin: NewPin): PinRecord {
    pin.sinceMs = this.#turnMs ?? this.#beginTurn();
    if (this.#sites) pin.site = callSite();
    pin.next = this.#head;
    pin.live = true;
    if (this.#head) this.#head.previous = pin;
    this.#head = pin;
    this.#size += 1;
    if (pin.write) this.writePages += pin.frames.length;
    return pin;
  }

  remove(record: PinRecord): void {
    if (record.previous) record.previous.next = record.next;
    else this.#head = record.next;
    if (record.next) record.next.previous = record.previous;
    record.previous = undefined;
    record.next = undefined;
    record.live = false;
    this.#size -= 1;
    if (record.write) this.writePages -= record.frames.length;
    if (record.leaked) this.leakedPages -= record.frames.length;
  }

  /** A read pin becomes a write pin or the other way round. */
  changeMode(record: PinRecord, write: boolean): void {
    if (record.write !== write) this.writePages += write ? record.frames.length : -record.frames.length;
    record.write = write;
  }

  *[Symbol.iterator](): IterableIterator<PinRecord> {
    for (let record = this.#head; record; record = record.next) yield record;
  }

  /** Pins of pages [first, last] of a file. */
  holders(space: AddressSpace, first: number, last: number): PinRecord[] {
    const found: PinRecord[] = [];
    for (const pin of this) {
      if (pin.space === space && pin.firstIndex <= last && pin.firstIndex + pin.frames.length - 1 >= first)
        found.push(pin);
    }
    return found;
  }
}

/** Holders for a message: at most three, then how many more. */
export function describePins(pins: readonly PinRecord[], nowMs: number): string {
  if (pins.length === 0) return "nobody that pins() knows (raw pins, or an operation in progress)";
  const shown = pins.slice(0, 3).map((pin) => {
    const kind = `${pin.counted ? "counted" : "locked"} ${pin.write ? "write" : "read"} pin`;
    const age = ((nowMs - pin.sinceMs) / 1000).toFixed(1);
    return `${kind} of ${pin.space.store.name} [${pin.position}, ${pin.position + pin.length}) for ${age} s${pin.site ? ` from ${pin.site}` : ""}`;
  });
  return shown.join("; ") + (pins.length > 3 ? `; and ${pins.length - 3} more` : "");
}

/** The first line of the stack that is not Pinfold's own. */
export function callSite(): string {
  const holder: { stack?: string } = {};
  const before = Error.stackTraceLimit;
  Error.stackTraceLimit = limits.stackFrames;
  Error.captureStackTrace(holder, callSite);
  Error.stackTraceLimit = before;
  const lines = (holder.stack ?? "").split("\n").slice(1);
  const own = import.meta.url.replace(/mapping\/[^/]*$/, "");
  const line = lines.find((text) => !text.includes(own) && !text.includes("node:internal")) ?? lines.at(-1) ?? "";
  return line.trim().replace(/^at /, "");
}
