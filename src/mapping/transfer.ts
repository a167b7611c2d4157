/**
 * Counted pins handed from thread to thread: what one thread hands over another adopts, by a token of plain data.
 *
 * Invariants: each page of the pin is in one thread's ledger or is one transit entry, so that it stays pinned, and dirty where it
 * was pinned for writing. The sender owns the transfer until somebody adopts it, and may take it back; one swap of the transfer's
 * state decides. Whatever fails, the pin is afterwards what it was before. A thread that dies between two steps leaves a transfer
 * that is its own, which cleanTransfersOf finds.
 *
 * See also: words/transfers.ts (the steps); pin-registry.ts, which lists a pin in transit; api/user-pages.ts.
 */
import { assert } from "../base/assert.js";
import { PinfoldError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import * as layout from "../sync/layout.js";
import type { Core } from "./core.js";
import { numberOfCache } from "./core-registry.js";
import { giveCredits } from "./frame-supply.js";
import { ownerOfTransfer } from "./holders.js";
import { PinRecord, type Transit } from "./pin-registry.js";

/** Pages on their way to another thread: plain data, for postMessage. Good for one adoption. */
export interface PagesToken {
  readonly kind: "pinfold-pages";
  /** The cache, the file in it, and which use of that file's slot. */
  readonly cache: number;
  readonly mapping: number;
  readonly generation: number;
  readonly transfer: number;
  readonly state: number;
  /** The range, in bytes of the file. */
  readonly position: number;
  readonly length: number;
  readonly firstIndex: number;
  readonly write: boolean;
  /** Where its pages stand in the table of pages in transit, ascending. */
  readonly entries: readonly number[];
}

/** Where the next search for a free place begins: behind the last that was found. */
const search = { transfer: 0, entry: 0 };

/**
 * Hands a counted pin over. It stays listed, and pinned, until another thread adopts it.
 * @throws PinfoldError EINVAL for a locked pin; ERR_PINFOLD_TOO_MANY. The pin is unchanged then.
 */
export function transferPin(core: Core, pin: PinRecord): PagesToken {
  if (!pin.counted)
    throw new PinfoldError("EINVAL", "a locked pin cannot go to another thread: take it with longterm: true");
  assert(pin.live && !pin.leaked && !pin.transit, "whoever hands a pin over has it");
  const { frames, directory } = core;
  const { transfer, state } = openTransfer(core);
  const entries: number[] = [];
  for (const frame of pin.frames) {
    const entry = sendPage(core, frame, pin.write, transfer);
    if (entry >= 0) {
      entries.push(entry);
      continue;
    }
    takeAll(core, transfer, entries);
    throw new PinfoldError("ERR_PINFOLD_TOO_MANY", `${layout.TRANSITS_MAX} pages are in transit already, or would be`);
  }
  if (pin.credits > 0) frames.words.sendCredits(transfer, frames.thread, pin.credits);
  core.pins.beginTransit(pin, { thread: frames.thread, transfer, state, entries });
  return {
    kind: "pinfold-pages",
    cache: numberOfCache(core),
    mapping: pin.space.id,
    generation: directory.get(pin.space.id, layout.MAPPING_GENERATION),
    transfer,
    state,
    position: pin.position,
    length: pin.length,
    firstIndex: pin.firstIndex,
    write: pin.write,
    entries,
  };
}

/** A free transfer, now this thread's. @throws PinfoldError ERR_PINFOLD_TOO_MANY */
function openTransfer({ frames }: Core): { transfer: number; state: number } {
  for (let tries = 0; tries < layout.TRANSFERS_MAX; tries++) {
    const transfer = (search.transfer + tries) % layout.TRANSFERS_MAX;
    let state: number;
    do state = frames.words.openTransfer(transfer, frames.thread);
    while (state === layout.LOST);
    if (state < 0) continue;
    search.transfer = transfer + 1;
    return { transfer, state };
  }
  throw new PinfoldError("ERR_PINFOLD_TOO_MANY", `${layout.TRANSFERS_MAX} hand-overs are on their way already`);
}

/** A page of this thread goes into a free entry. Which one; -1 where there is none. */
function sendPage({ frames }: Core, frame: number, write: boolean, transfer: number): number {
  for (let tries = 0; tries < layout.TRANSITS_MAX; tries++) {
    const entry = (search.entry + tries) % layout.TRANSITS_MAX;
    if (frames.words.sendPage(entry, frame, frames.thread, write ? 1 : 0, transfer) !== layout.OK) continue;
    search.entry = entry + 1;
    return entry;
  }
  return -1;
}

/** Pages and credits of a transfer become those of this thread, which owns it; it ends. How many credits. */
function takeAll({ frames }: Core, transfer: number, entries: readonly number[]): number {
  const { words, thread } = frames;
  for (const entry of entries) {
    let answer: number;
    do answer = words.takePage(entry, thread, transfer);
    while (answer === layout.LOST);
    assert(answer === layout.OK, "only its owner takes pages out of a transfer");
  }
  const credits = words.takeTransferCredits(transfer, thread);
  assert(words.endTransfer(transfer) === layout.OK, "a transfer ends empty");
  return credits;
}

/** Takes a pin in transit back. False: it has been adopted. */
export function takePinBack(core: Core, pin: PinRecord): boolean {
  const { transfer, state, entries } = pin.transit as Transit;
  const { words, thread } = core.frames;
  if (words.adopt(transfer, state, thread) === layout.GONE) return false;
  takeAll(core, transfer, entries);
  core.pins.endTransit(pin);
  return true;
}

/**
 * Adopts pages that another thread, or this one, has handed over: from now on they are this thread's pin.
 * @throws PinfoldError EINVAL for what is no token of this cache; ESTALE: they were adopted already, or put, or their sender has ended
 */
export function adoptPin(core: Core, token: PagesToken): PinRecord {
  checkToken(core, token);
  const { words, thread, threads } = core.frames;
  const { transfer, state, entries, mapping, firstIndex, write } = token;
  if (words.transferState(transfer) !== state) throw stale();
  if (threads.isDead(ownerOfTransfer(state)))
    throw new PinfoldError("ESTALE", "the thread that handed these pages over has ended");
  const space = core.space(mapping);
  if (space?.generation !== token.generation) throw stale();
  const pages = entries.map((entry) => words.transitOf(entry, transfer) >>> 0);
  const frames = pages.map((page) => (page & 0x7fffffff) - 1);
  const isRight = pages.every(
    (page, at) =>
      page !== 0 &&
      page >>> layout.TRANSIT_WRITE_BIT === (write ? 1 : 0) &&
      isPage(core, frames[at] as number, mapping, firstIndex + at),
  );
  // Somebody else may have adopted them at this moment, and have put them too.
  if (!isRight) throw words.transferState(transfer) === state ? notToken() : stale();
  if (words.adopt(transfer, state, thread) === layout.GONE) throw stale();
  const credits = takeAll(core, transfer, entries);
  const pin = new PinRecord(space, token.position, token.length, firstIndex, frames, write, undefined, credits);
  pin.counted = true;
  return core.pins.add(pin);
}

function isPage({ frames }: Core, frame: number, mapping: number, index: number): boolean {
  return frames.words.mappingIdOf(frame) === mapping && frames.words.indexOf(frame) >>> 0 === index;
}

function stale(): PinfoldError {
  return new PinfoldError("ESTALE", "these pages were adopted already, or their sender has put them or ended");
}

function notToken(): PinfoldError {
  return new PinfoldError("EINVAL", "adopt takes what transfer() gave, as it was");
}

/** Its numbers fit each other and the tables. @throws PinfoldError EINVAL */
function checkToken(core: Core, token: PagesToken): void {
  if (token?.kind !== "pinfold-pages") throw notToken();
  if (token.cache !== numberOfCache(core)) throw new PinfoldError("EINVAL", "these pages belong to another cache");
  const { pageSize } = core.frames;
  const { position, length, firstIndex, entries } = token;
  const isIn = (value: unknown, below: number) =>
    Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) < below;
  const isWhole =
    isIn(token.mapping, layout.MAPPINGS_MAX) &&
    isIn(token.transfer, layout.TRANSFERS_MAX) &&
    Number.isSafeInteger(token.state) &&
    typeof token.write === "boolean" &&
    isIn(position, limits.fileBytesMax) &&
    isIn(length, limits.fileBytesMax - position) &&
    length > 0 &&
    Array.isArray(entries) &&
    entries.every((entry) => isIn(entry, layout.TRANSITS_MAX));
  if (!isWhole) throw notToken();
  const last = Math.floor((position + length - 1) / pageSize);
  if (firstIndex !== Math.floor(position / pageSize) || entries.length !== last - firstIndex + 1) throw notToken();
}

/**
 * What a dead thread had handed over and nobody had adopted, or was adopting: its pages are put, dirty where they were pinned
 * for writing, and its credits given back. For whoever cleans up after the thread in `slot`. It may die meanwhile, at any point:
 * what it has taken over is its own then, and who cleans up after it goes on.
 */
export function cleanTransfersOf(core: Core, slot: number): void {
  const { words, shared, plan, thread } = core.frames;
  const mine = new Set<number>();
  for (let transfer = 0; transfer < layout.TRANSFERS_MAX; transfer++) {
    const state = words.transferState(transfer);
    if ((state & layout.TRANSFER_STATE_MASK) === layout.TRANSFER_FREE || ownerOfTransfer(state) !== slot) continue;
    if (words.adopt(transfer, state, thread) !== layout.GONE) mine.add(transfer);
  }
  if (mine.size === 0) return;
  for (let entry = 0; entry < layout.TRANSITS_MAX; entry++) {
    const transfer = shared.load(plan.transits + entry * layout.TRANSIT_BYTES + 4) - 1;
    if (mine.has(transfer)) putInTransit(core, entry, transfer);
  }
  for (const transfer of mine) giveCredits(core, takeAll(core, transfer, []));
}

function putInTransit(core: Core, entry: number, transfer: number): void {
  const { words } = core.frames;
  const page = words.transitOf(entry, transfer) >>> 0;
  const frame = (page & 0x7fffffff) - 1;
  let answer: number;
  do answer = words.takePage(entry, core.frames.thread, transfer);
  while (answer === layout.LOST);
  assert(answer === layout.OK, "only its owner takes pages out of a transfer");
  if (page >>> layout.TRANSIT_WRITE_BIT === 0) {
    core.locks.putCountedRead(frame);
    return;
  }
  // Nobody got what its sender had to say about these bytes.
  words.markOwnerDied(frame);
  core.locks.putCountedWrite(frame, true);
}
