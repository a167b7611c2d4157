/**
 * get and put: pages handed to outsiders, who may read or write their bytes in place until they put them.
 *
 * Protocols: *locked* (the default) holds the page lock from get to put, exclusive for writing, shared for reading; *counted*
 * (`longterm`) holds a count in the page word, and the lock only while the pin is taken. A write pin's page is dirty from the
 * moment it is handed out, with the store's leave (rule 4). A pin over many pages is all or nothing (rule 12).
 *
 * Within a scope the lock of a page is held once, however many pins the scope has on it.
 */
import { assert } from "../base/assert.js";
import { PinfoldError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import { checkRange } from "../base/ranges.js";
import type { AddressSpace } from "../cache/space.js";
import type { WaitOwner } from "../frames/wait-queues.js";
import type { Scope, ScopeHold } from "../frames/scopes.js";
import * as layout from "../sync/layout.js";
import type { Core } from "./core.js";
import { checkOpen, lockRun, outOfRange } from "./fault.js";
import { allBytes } from "./locked-run.js";
import { giveCredits, takeCredits, tryTakeCredits } from "./frame-supply.js";
import { grantRun } from "./grant.js";
import { describeHolds, foreignHolds } from "./holders.js";
import { type NewPin, PinRecord } from "./pin-registry.js";
import type { HeldPage, PutHow } from "./protocols.js";
import { startWriteThrough } from "./sync.js";
import { mayWriteNow, throttle } from "./throttle.js";
import { unlessAborted } from "./abort.js";

export interface PinRequest {
  readonly position: number;
  readonly length: number;
  readonly write?: boolean | undefined;
  readonly longterm?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly scope?: Scope | undefined;
}

/** Everything about a request that can be said before anything is taken. @throws PinfoldError EINVAL, EFBIG, EROFS, EBADF, ERR_PINFOLD_OUT_OF_RANGE, ERR_PINFOLD_PIN_LIMIT, ERR_PINFOLD_LEAKED_PAGES */
export function checkPin(core: Core, space: AddressSpace, request: PinRequest): { first: number; pages: number } {
  checkOpen(space);
  checkRange(request.position, request.length, space.pageSize);
  if (request.longterm && request.scope)
    throw new PinfoldError("EINVAL", "a long-term pin cannot belong to a scope: it holds no lock");
  if (request.length === 0) throw new PinfoldError("EINVAL", "length must be at least 1: a pin has bytes");
  if (request.write && space.readOnly) throw new PinfoldError("EROFS", `${space.store.name} was opened read-only`);
  if (request.position + request.length > space.size) throw outOfRange(space, request.position + request.length);
  const first = space.pageOf(request.position);
  const pages = space.pageOf(request.position + request.length - 1) - first + 1;
  const most = Math.min(core.frames.count, limits.pinPagesMax);
  if (pages > most) throw new PinfoldError("EINVAL", `a pin of ${pages} pages can never be had: the cache has ${most}`);
  if (request.write) checkWritePins(core, request.longterm === true ? pages : 0);
  return { first, pages };
}

export function checkWritePins(core: Core, countedPages: number): void {
  if (core.pins.leakedPages >= core.options.leakedPagesMax) {
    throw new PinfoldError(
      "ERR_PINFOLD_LEAKED_PAGES",
      `${core.pins.leakedPages} pages are pinned by handles that nobody has any more`,
    );
  }
  const pinned = core.frames.counter(layout.HEADER_WRITE_PINNED);
  const most = Math.floor(core.options.pinnedBytesMax / core.frames.pageSize);
  if (countedPages > 0 && pinned + countedPages > most) {
    const isCountedWrite = (pin: { counted: boolean; write: boolean }) => pin.counted && pin.write;
    const holders = describeHolds(
      core,
      [...core.pins].filter(isCountedWrite),
      foreignHolds(core).filter(isCountedWrite),
    );
    throw new PinfoldError(
      "ERR_PINFOLD_PIN_LIMIT",
      `${pinned} of ${most} pages are under counted write pins already: ${holders}`,
    );
  }
}

/**
 * Pins a range.
 * @throws PinfoldError as checkPin; ENOSPC, EIO and what the store says; EDEADLK; ERR_PINFOLD_NO_FRAMES; the signal's reason
 */
export async function pinRange(core: Core, space: AddressSpace, request: PinRequest): Promise<PinRecord> {
  const { first, pages } = checkPin(core, space, request);
  request.signal?.throwIfAborted();
  if (request.write && !mayWriteNow(core, space)) await throttle(core, space, request.signal);
  const credits = pages > 1 ? pages : 0;
  if (credits > 0 && !tryTakeCredits(core, credits)) await takeCredits(core, credits, request.signal);
  const pin = newPin(space, request, first, credits);
  const undo = () => {
    unlockPages(core, pin, false);
    giveCredits(core, credits);
  };
  await takeAbortably(takePages(core, pin, pages, request), request.signal, undo);
  return core.pins.add(pin);
}

/**
 * Waits for `work`, and calls `undo` where it fails. An abort ends the wait at once, also during a store call (F25); what the work
 * took is given back when that call has ended.
 */
export async function takeAbortably(
  work: Promise<void>,
  signal: AbortSignal | undefined,
  undo: () => void,
): Promise<void> {
  if (!signal) {
    try {
      return await work;
    } catch (error) {
      undo();
      throw error;
    }
  }
  // Guard of R23 for work that succeeds just as it is aborted: whichever comes second undoes it.
  let abandoned = false;
  let finished = false;
  const done = work.then(
    () => {
      finished = true;
      if (abandoned) undo();
    },
    (error: unknown) => {
      undo();
      throw error;
    },
  );
  try {
    await unlessAborted(done, signal);
  } catch (error) {
    abandoned = true;
    if (finished) undo();
    done.catch(() => {});
    throw error;
  }
}

export function newPin(space: AddressSpace, request: PinRequest, first: number, credits: number): NewPin {
  return new PinRecord(
    space,
    request.position,
    request.length,
    first,
    [],
    request.write === true,
    request.scope,
    credits,
  );
}

async function takePages(core: Core, pin: NewPin, pages: number, request: PinRequest): Promise<void> {
  const owner: WaitOwner = { signal: request.signal, scope: pin.scope };
  const last = pin.firstIndex + pages - 1;
  while (pin.frames.length < pages) {
    const index = pin.firstIndex + pin.frames.length;
    if (pin.scope) {
      pin.frames.push(await lockScoped(core, pin.space, index, pin.write, pin.scope, owner));
      continue;
    }
    const mode = pin.write ? layout.MODE_EXCLUSIVE : layout.MODE_SHARED;
    const run = await lockRun(
      core,
      pin.space,
      { first: index, last, mode, needsBytes: allBytes, pastEnd: false },
      owner,
    );
    for (const frame of run.frames) pin.frames.push(frame);
  }
  checkEnd(pin);
  if (pin.write) await grantPin(core, pin);
  if (request.longterm) makeCounted(core, pin);
}

/** The page of a scope: the hold that it has, made exclusive where that is asked for, or a new one. */
export async function lockScoped(
  core: Core,
  space: AddressSpace,
  index: number,
  write: boolean,
  scope: Scope,
  owner: WaitOwner,
): Promise<number> {
  // One task of a scope at a time takes a page: only when its hold has been noted can others tell that it is the scope's own.
  const page = scopedPage(space, index);
  for (let other = scope.taking.get(page); other; other = scope.taking.get(page))
    await unlessAborted(other, owner.signal);
  const work = takeScoped(core, space, index, write, scope, owner);
  const nothing = () => {};
  scope.taking.set(page, work.then(nothing, nothing));
  try {
    return await work;
  } finally {
    scope.taking.delete(page);
  }
}

/** A page's number in `taking`. */
export function scopedPage(space: AddressSpace, index: number): number {
  return index * layout.MAPPINGS_MAX + space.id;
}

async function takeScoped(
  core: Core,
  space: AddressSpace,
  index: number,
  write: boolean,
  scope: Scope,
  owner: WaitOwner,
): Promise<number> {
  const found = core.table.find(space.id, index);
  const held = found >= 0 ? scope.held.get(found) : undefined;
  if (held) {
    held.pins += 1;
    if (write && !held.exclusive) await upgradeScoped(core, { space, frame: found, index }, scope, owner);
    return found;
  }
  const mode = write ? layout.MODE_EXCLUSIVE : layout.MODE_SHARED;
  const run = await lockRun(
    core,
    space,
    { first: index, last: index, mode, needsBytes: allBytes, pastEnd: false },
    owner,
  );
  const frame = run.frames[0] as number;
  assert(!scope.held.has(frame), "one task of a scope at a time takes a page");
  holdScoped(core, scope, frame, write);
  return frame;
}

/** The hold of a scope becomes exclusive. It counts this pin already: others of the scope may be put meanwhile. */
async function upgradeScoped(core: Core, page: HeldPage, scope: Scope, owner: WaitOwner): Promise<void> {
  const held = scope.held.get(page.frame) as ScopeHold;
  try {
    await core.locks.acquire(page.frame, page.space.id, page.index, layout.MODE_UPGRADE, owner);
  } catch (error) {
    putScoped(core, page, scope, { write: false, modified: false, mayClean: false });
    throw error;
  }
  held.exclusive = true;
}

/**
 * The scope has got a page lock. Guard of rule 14: a wait of another task of the scope, and one for this very page, may have been entered
 * while nobody could tell yet whose it is.
 * @throws PinfoldError ERR_PINFOLD_TOO_MANY; EDEADLK where it closes a circle. The lock is given back then
 */
export function holdScoped(core: Core, scope: Scope, frame: number, write: boolean): void {
  try {
    scope.hold(frame, write);
    core.locks.refuseCircle(scope, frame);
  } catch (error) {
    scope.drop(frame);
    if (write) core.locks.unlockExclusive(frame);
    else core.locks.unlockShared(frame);
    throw error;
  }
}

/** The size again, now that the pages are locked. @throws PinfoldError ERR_PINFOLD_OUT_OF_RANGE */
export function checkEnd(pin: NewPin): void {
  const end = pin.position + pin.length;
  if (end > pin.space.size) throw outOfRange(pin.space, end);
}

/** Grants and dirt for a write pin. The pages are locked. @throws PinfoldError as grantRun */
export function grantPin(core: Core, pin: NewPin): Promise<void> {
  const run = { first: pin.firstIndex, frames: pin.frames };
  return grantRun(core, pin.space, run, { from: pin.position, to: pin.position + pin.length, extending: false });
}

/** Locked becomes counted. @throws PinfoldError ERR_PINFOLD_TOO_MANY, ERR_PINFOLD_PIN_LIMIT */
export function makeCounted(core: Core, pin: NewPin): void {
  const { counted } = core.protocols;
  // Asked again, now that nothing is waited for any more: others may have come to the limit meanwhile.
  if (pin.write) checkWritePins(core, pin.frames.length);
  for (const [at, frame] of pin.frames.entries()) {
    if (counted.take(core, frame, pin.write)) continue;
    // Those that are counted already are put; the rest is still locked and let go by the caller.
    for (const [before, taken] of pin.frames.splice(0, at).entries()) {
      const page = { space: pin.space, frame: taken, index: pin.firstIndex + before };
      counted.put(core, page, { write: pin.write, modified: false, mayClean: false });
    }
    throw new PinfoldError("ERR_PINFOLD_TOO_MANY", "the page has as many counted pins as a page can have");
  }
  pin.counted = true;
}

/** Lets the pages of a pin go, last first. Rule 12: what it made dirty for nothing is clean again, its grant given back. */
export function unlockPages(core: Core, pin: NewPin, modified: boolean): void {
  for (let at = pin.frames.length - 1; at >= 0; at--)
    putOne(core, pin, at, { write: pin.write, modified, mayClean: !modified });
}

function putOne(core: Core, pin: NewPin, at: number, how: PutHow): void {
  const page = { space: pin.space, frame: pin.frames[at] as number, index: pin.firstIndex + at };
  if (pin.counted) core.protocols.counted.put(core, page, how);
  else if (!pin.scope) core.protocols.locked.put(core, page, how);
  else putScoped(core, page, pin.scope, how);
}

/** One of a scope's pins of a page ends; the page lock goes with the last. */
function putScoped(core: Core, page: HeldPage, scope: Scope, how: PutHow): void {
  const held = scope.held.get(page.frame);
  assert(held !== undefined, "a scope knows the pages that it holds");
  held.pins -= 1;
  held.modified ||= how.write && how.modified;
  if (held.pins > 0) {
    // A sync that comes now covers what this pin has changed, though the scope goes on holding the page.
    if (how.write && how.modified) core.frames.words.markModified(page.frame);
    return;
  }
  scope.drop(page.frame);
  core.protocols.locked.put(core, page, { write: held.exclusive, modified: held.modified, mayClean: how.mayClean });
}

/** put_user_pages: ends a pin. `modified` false is putUnmodified. */
export function putPin(core: Core, pin: PinRecord, modified: boolean): void {
  assert(pin.live, "a pin is put once");
  core.pins.remove(pin);
  for (let at = pin.frames.length - 1; at >= 0; at--)
    putOne(core, pin, at, { write: pin.write, modified, mayClean: !modified });
  giveCredits(core, pin.credits);
  if (pin.write && modified && core.options.writeThrough)
    startWriteThrough(core, pin.space, pin.firstIndex, pin.frames);
}
