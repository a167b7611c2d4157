/**
 * Who has what pinned: one record for each get, from get to put. For pins(), for the holders that errors name, for leaks.
 *
 * Invariants: a record is in the list exactly from `add` to `remove`, or to its adoption by another thread (transfer.ts), which
 * is noticed when the list is looked at. The list holds records, never handles, so that a handle that nobody has any more can be
 * collected; young handles are the exception (see leaks.ts). What other threads have to know of these pins stands in this thread's
 * slot: pages under locked write pins, and frame credits of pins. Only this thread changes it; a read pin of one page costs nothing there.
 *
 * See also: holders.ts, which finds what other threads hold.
 */
import type { Clock } from "../base/clock.js";
import { limits } from "../base/limits.js";
import type { AddressSpace } from "../cache/space.js";
import type { Frames } from "../frames/frames.js";
import type { Scope } from "../frames/scopes.js";
import * as layout from "../sync/layout.js";

/** Where a pin is that was handed over and that nobody has adopted yet (transfer.ts). */
export interface Transit {
  /** The slot of the thread that hands it over. */
  readonly thread: number;
  readonly transfer: number;
  /** The state word of the transfer: another one means that it has been adopted. */
  readonly state: number;
  readonly entries: readonly number[];
}

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
  /** Handed over; stays set once somebody has adopted it. */
  transit: Transit | undefined = undefined;
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
  readonly #frames: Frames;
  readonly #writePagesAt: number;
  readonly #creditsAt: number;
  readonly #inTransit = new Set<PinRecord>();
  #head: PinRecord | undefined;
  #size = 0;
  #turnMs: number | undefined;
  /** Pages under locked write pins: those under counted ones are counted by their words' steps (HEADER_WRITE_PINNED). */
  #writePages = 0;
  /** Frame credits of listed pins that are not in transit. */
  #credits = 0;
  leakedPages = 0;

  constructor(clock: Clock, sites: boolean, frames: Frames) {
    this.#clock = clock;
    this.#sites = sites;
    this.#frames = frames;
    this.#writePagesAt = frames.threads.at(frames.thread, layout.THREAD_WRITE_PAGES);
    this.#creditsAt = frames.threads.at(frames.thread, layout.THREAD_PINNED_CREDITS);
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
    this.#settle();
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
    this.#count(pin, 1);
    return pin;
  }

  remove(record: PinRecord): void {
    this.#unlink(record);
    this.#count(record, -1);
    if (record.leaked) this.leakedPages -= record.frames.length;
  }

  #unlink(record: PinRecord): void {
    if (record.previous) record.previous.next = record.next;
    else this.#head = record.next;
    if (record.next) record.next.previous = record.previous;
    record.previous = undefined;
    record.next = undefined;
    record.live = false;
    this.#size -= 1;
  }

  #count(pin: PinRecord, sign: 1 | -1): void {
    if (pin.write && !pin.counted) this.#addWritePages(sign * pin.frames.length);
    if (pin.credits > 0) this.#addCredits(sign * pin.credits);
  }

  #addWritePages(pages: number): void {
    this.#writePages += pages;
    this.#frames.shared.store(this.#writePagesAt, this.#writePages);
  }

  #addCredits(credits: number): void {
    this.#credits += credits;
    this.#frames.shared.store(this.#creditsAt, this.#credits);
  }

  /** A locked read pin becomes a locked write pin or the other way round. */
  changeMode(record: PinRecord, write: boolean): void {
    if (record.write !== write) this.#addWritePages(write ? record.frames.length : -record.frames.length);
    record.write = write;
  }

  /** A pin that nobody can put any more; its pages are counted by now. */
  noteLeaked(record: PinRecord): void {
    if (record.write && !record.counted) this.#addWritePages(-record.frames.length);
    record.counted = true;
    record.leaked = true;
    this.leakedPages += record.frames.length;
  }

  /** A counted pin was handed over, with its credits: it stays listed until somebody adopts it. */
  beginTransit(record: PinRecord, transit: Transit): void {
    record.transit = transit;
    // The handle may go: whoever adopts the pin has another one.
    record.handle = undefined;
    this.#inTransit.add(record);
    if (record.credits > 0) this.#addCredits(-record.credits);
  }

  /** It was taken back. */
  endTransit(record: PinRecord): void {
    this.#inTransit.delete(record);
    record.transit = undefined;
    if (record.credits > 0) this.#addCredits(record.credits);
  }

  /** Pins that others have adopted leave the list. */
  #settle(): void {
    for (const record of this.#inTransit) {
      const { transfer, state } = record.transit as Transit;
      if (this.#frames.words.transferState(transfer) === state) continue;
      this.#inTransit.delete(record);
      this.#unlink(record);
    }
  }

  *[Symbol.iterator](): IterableIterator<PinRecord> {
    this.#settle();
    for (let record = this.#head; record; record = record.next) yield record;
  }

  /** Pins of pages [first, last] of a file. */
  holders(space: AddressSpace, first: number, last: number): PinRecord[] {
    const found: PinRecord[] = [];
    for (const pin of this) {
      if (pin.space.id === space.id && pin.firstIndex <= last && pin.firstIndex + pin.frames.length - 1 >= first)
        found.push(pin);
    }
    return found;
  }
}

/** A pin of this thread, for a message. */
export function describePin(pin: PinRecord, nowMs: number): string {
  const kind = `${pin.counted ? "counted" : "locked"} ${pin.write ? "write" : "read"} pin`;
  const where = `${pin.space.store.name} [${pin.position}, ${pin.position + pin.length})`;
  const transit = pin.transit ? ` in transit from thread ${pin.transit.thread}` : "";
  const age = ((nowMs - pin.sinceMs) / 1000).toFixed(1);
  return `${kind}${transit} of ${where} for ${age} s${pin.site ? ` from ${pin.site}` : ""}`;
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
