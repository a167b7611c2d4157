/**
 * The calls that block the thread: for stores with sync calls.
 *
 * Rule 15: they never hang where the wait depends on the caller's own event loop. A page that a task of this thread holds or
 * loads, a frame that only this thread's loop can free: EDEADLK, with the holder.
 */
import { PinfoldError } from "../base/errors.js";
import type { AddressSpace } from "../cache/space.js";
import { readInSync } from "../io/transfer.js";
import * as layout from "../sync/layout.js";
import type { Core } from "./core.js";
import { dropEmpty } from "./fault.js";
import { tryTakeFrameThoroughly } from "./frame-supply.js";
import { type PinRequest, checkPin } from "./pin.js";
import { type PinRecord, describePins } from "./pin-registry.js";
import { tryPinRange } from "./try-pin.js";

/**
 * Pins a range, reading what is missing with the store's sync calls.
 * @throws PinfoldError as pinRange; EDEADLK instead of a wait for this thread's own event loop; ENOTSUP
 */
export function pinRangeSync(core: Core, space: AddressSpace, request: PinRequest): PinRecord {
  const { first, pages } = checkPin(core, space, request);
  loadSync(core, space, first, first + pages - 1);
  const pin = tryPinRange(core, space, request);
  if (pin) return pin;
  throw wouldWait(core, space, first, first + pages - 1);
}

/**
 * Makes pages [first, last] resident.
 * @throws PinfoldError EIO, EDEADLK, ENOTSUP
 */
export function loadSync(core: Core, space: AddressSpace, first: number, last: number): void {
  if (!space.store.readPagesSync) throw new PinfoldError("ENOTSUP", `${space.store.name} has no sync calls`);
  for (let index = first; index <= last; index++) {
    if (core.table.find(space.id, index) < 0) loadPage(core, space, index, first, last);
  }
}

function loadPage(core: Core, space: AddressSpace, index: number, first: number, last: number): void {
  const lock = space.invalidateLock;
  const frame = tryTakeFrameThoroughly(core);
  if (frame < 0) throw wouldWait(core, space, first, last);
  if (core.locks.tryShared(lock, space.id, layout.LOCK_INVALIDATE) !== layout.OK) {
    core.table.release(frame);
    throw wouldWait(core, space, first, last);
  }
  try {
    if (!core.table.insert(frame, space.id, index, 0)) {
      core.table.release(frame);
      return;
    }
    try {
      readInSync(space.store, index * space.pageSize, [core.frames.bytes(frame)]);
    } catch (error) {
      dropEmpty(core, space, frame);
      throw error;
    }
    space.counters.misses += 1;
    space.counters.reads += 1;
    space.counters.readBytes += space.pageSize;
    core.frames.words.setUptodate(frame);
    core.locks.unlockExclusive(frame);
  } finally {
    core.locks.unlockShared(lock);
  }
}

export function wouldWait(core: Core, space: AddressSpace, first: number, last: number): PinfoldError {
  const pins = core.pins.holders(space, first, last);
  const holders = describePins(pins, core.clock.nowMs());
  return new PinfoldError("EDEADLK", `a blocking call on ${space.store.name} would wait for this thread's own event loop: ${holders}`);
}
