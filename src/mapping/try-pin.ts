/**
 * Pins that do not wait, and loads that nobody waits for.
 */
import { PinfoldError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { AddressSpace } from "../cache/space.js";
import * as layout from "../sync/layout.js";
import type { Core } from "./core.js";
import { lockRun, outOfRange, pinResident } from "./fault.js";
import { giveCredits, tryTakeCredits } from "./frame-supply.js";
import { tryGrantRun } from "./grant.js";
import { allBytes } from "./locked-run.js";
import { type PinRequest, checkPin, holdScoped, makeCounted, newPin, scopedPage, unlockPages } from "./pin.js";
import { type NewPin, PinRecord } from "./pin-registry.js";
import { mayWriteNow } from "./throttle.js";

/**
 * Pins a range without waiting: `undefined` where that cannot be had now (a miss, a lock that is held, a store that would have
 * to be asked for long, the dirty limit).
 * @throws PinfoldError as checkPin; ENOSPC, EIO and what the store says
 */
export function tryPinRange(core: Core, space: AddressSpace, request: PinRequest): PinRecord | undefined {
  const { first, pages } = checkPin(core, space, request);
  const write = request.write === true;
  if (pages === 1 && !write && !request.scope && !request.longterm) return tryPinPage(core, space, request, first);
  if (write && !mayWriteNow(core, space)) return undefined;
  const credits = pages > 1 ? pages : 0;
  if (credits > 0 && !tryTakeCredits(core, credits)) return undefined;
  const pin = newPin(space, request, first, credits);
  let done = false;
  try {
    done = tryLockPages(core, pin, pages) && tryMakeReady(core, pin, request.longterm === true);
  } finally {
    if (!done) {
      unlockPages(core, pin, false);
      giveCredits(core, credits);
    }
  }
  if (!done) return undefined;
  space.counters.hits += pages;
  return core.pins.add(pin);
}

/** The short way to the most frequent pin: one page, for reading, of no scope. */
function tryPinPage(
  core: Core,
  space: AddressSpace,
  { position, length }: PinRequest,
  index: number,
): PinRecord | undefined {
  const frame = pinResident(core, space, index);
  if (frame < 0) return undefined;
  if (position + length > space.size) {
    core.locks.unlockShared(frame);
    throw outOfRange(space, position + length);
  }
  space.counters.hits += 1;
  return core.pins.add(new PinRecord(space, position, length, index, [frame], false, undefined, 0));
}

function tryLockPages(core: Core, pin: NewPin, pages: number): boolean {
  const { space, scope } = pin;
  for (let at = 0; at < pages; at++) {
    const index = pin.firstIndex + at;
    if (!scope && !pin.write) {
      const frame = pinResident(core, space, index);
      if (frame < 0) return false;
      pin.frames.push(frame);
      continue;
    }
    const frame = core.table.find(space.id, index);
    if (frame < 0) return false;
    if (scope?.taking.has(scopedPage(space, index))) return false;
    const held = scope?.held.get(frame);
    if (held) {
      if (pin.write && !held.exclusive && core.locks.tryUpgrade(frame) !== layout.OK) return false;
      held.exclusive ||= pin.write;
      held.pins += 1;
    } else {
      const answer = pin.write
        ? core.locks.tryExclusive(frame, space.id, index)
        : core.locks.tryShared(frame, space.id, index);
      if (answer !== layout.OK) return false;
      if (space.isStale) {
        if (pin.write) core.locks.unlockExclusive(frame);
        else core.locks.unlockShared(frame);
        return false;
      }
      if (scope) holdScoped(core, scope, frame, pin.write);
    }
    pin.frames.push(frame);
  }
  return true;
}

function tryMakeReady(core: Core, pin: NewPin, longterm: boolean): boolean {
  const end = pin.position + pin.length;
  if (end > pin.space.size) throw outOfRange(pin.space, end);
  const run = { first: pin.firstIndex, frames: pin.frames };
  if (pin.write && !tryGrantRun(core, pin.space, run, { from: pin.position, to: end, extending: false })) return false;
  if (longterm) makeCounted(core, pin);
  return true;
}

/**
 * Starts the reads of pages in a range that are not there; errors are for who asks again. A page that is there, and held, is
 * left alone: nobody is to wait for it on behalf of a caller who did not want to.
 */
export function prefetch(core: Core, space: AddressSpace, position: number, length: number): void {
  const last = space.pageOf(position + length - 1);
  for (let index = space.pageOf(position); index <= last; index++) {
    if (core.table.find(space.id, index) >= 0) continue;
    if (core.prefetches >= limits.prefetchesMax) return;
    const first = index;
    while (index < last && core.table.find(space.id, index + 1) < 0) index++;
    core.prefetches += 1;
    void loadRange(core, space, first, index, undefined)
      .catch(() => {})
      .finally(() => {
        core.prefetches -= 1;
      });
  }
}

/** Loads pages [first, last] and lets them go. @throws PinfoldError EIO, ERR_PINFOLD_NO_FRAMES and their kin; the signal's reason */
export async function loadRange(
  core: Core,
  space: AddressSpace,
  first: number,
  last: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  for (let index = first; index <= last && !space.closing; ) {
    const request = { first: index, last, mode: layout.MODE_SHARED, needsBytes: allBytes, pastEnd: false } as const;
    const run = await lockRun(core, space, request, { signal });
    for (const frame of run.frames) core.locks.unlockShared(frame);
    index += run.frames.length;
  }
}

/**
 * Locks one resident page exclusively and makes it dirty, without waiting. The frame, or -1.
 * @throws PinfoldError EROFS, ENOSPC, EIO, ERR_PINFOLD_OUT_OF_RANGE
 */
export function tryLockForWriting(core: Core, space: AddressSpace, index: number): number {
  const from = index * space.pageSize;
  const to = Math.min(from + space.pageSize, space.size);
  if (space.readOnly) throw new PinfoldError("EROFS", `${space.store.name} was opened read-only`);
  if (to <= from) throw outOfRange(space, from);
  const frame = core.table.find(space.id, index);
  if (frame < 0 || core.locks.tryExclusive(frame, space.id, index) !== layout.OK) return -1;
  if (space.isStale) {
    core.locks.unlockExclusive(frame);
    return -1;
  }
  let done = false;
  try {
    done = tryGrantRun(core, space, { first: index, frames: [frame] }, { from, to, extending: false });
  } finally {
    if (!done) core.locks.unlockExclusive(frame);
  }
  return done ? frame : -1;
}
