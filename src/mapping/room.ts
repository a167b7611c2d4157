/**
 * Room for callers that block their thread's event loop, on which the flusher runs: dirty pages are written and synced here and
 * now with the store's sync calls, and what other threads hold or have on its way is waited for.
 *
 * A wait for a frame or for credits can be ended by any holder. So it is EDEADLK only where all that is missing is this
 * thread's own; where pins of other threads have a part in it, and nothing is on its way, it ends in ERR_PINFOLD_NO_FRAMES after
 * frameWaitMs, as the waiting kind does (frame-supply.ts).
 */
import { PinfoldError, toPinfoldError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { AddressSpace } from "../cache/space.js";
import * as word from "../frames/page-word.js";
import * as layout from "../sync/layout.js";
import { collectDirty, tryWalking } from "../writeback/dirty-set.js";
import type { WriteFailure } from "../writeback/writer.js";
import type { Core } from "./core.js";
import {
  hasCredits,
  noFrames,
  pinnedCredits,
  tryTakeCredits,
  tryTakeFrame,
  tryTakeFrameThoroughly,
} from "./frame-supply.js";

/**
 * Writes what is dirty, of one file or of all; of all, it is synced too, so that its pages can leave. What somebody holds, or has
 * on its way already, is passed over. Never throws: a page that could not be written stays dirty, and the next one who syncs is
 * told. What failed.
 */
export function makeRoom(core: Core, only?: AddressSpace): WriteFailure[] {
  const failures: WriteFailure[] = [];
  for (const space of only ? [only] : core.openSpaces()) {
    if (space.readOnly || !space.store.capabilities.syncCalls || space.closing) continue;
    const pages = tryWalking(core.locks, space, () => collectDirty(core.frames, space, () => true));
    const failed = pages ? core.writer.writeBlocking(space, pages) : [];
    if (failed[0]) space.noteFailing(failed[0].error);
    failures.push(...failed);
    if (!only) core.storeSync.trySync(space);
  }
  return failures;
}

/** What stands between a miss and a frame. Sets of threads are bit masks. */
interface Survey {
  /** A frame is free, or may be soon by what this thread itself does. */
  readonly isNear: boolean;
  /** Threads that hold or pin pages, or whose work alone can make pages clean. */
  readonly holders: number;
  /** Threads that have reads or writes on their way. */
  readonly busy: number;
}

/**
 * A frame, reserved for this thread, waiting for other threads where that can help. `wouldWait` makes the error of a wait that only
 * this thread's event loop could end.
 * @throws PinfoldError EDEADLK; ERR_PINFOLD_NO_FRAMES; EIO where nothing can be written any more
 */
export function takeFrameBlocking(core: Core, wouldWait: () => PinfoldError): number {
  const sinceMs = core.clock.nowMs();
  let aloneSinceMs: number | undefined;
  for (;;) {
    let frame = tryTakeFrameThoroughly(core);
    if (frame >= 0) return frame;
    const failures = makeRoom(core);
    frame = tryTakeFrameThoroughly(core);
    if (frame >= 0) return frame;
    const nowMs = core.clock.nowMs();
    const survey = surveyFrames(core, failures);
    const me = 1 << core.frames.thread;
    if (!survey.isNear && !failures[0] && (survey.holders | survey.busy) === me) throw wouldWait();
    const isNear = survey.isNear && nowMs - sinceMs < limits.stuckMs;
    const goesOn = isNear || helpful(core, survey.busy & ~me, nowMs - sinceMs) !== 0;
    if (goesOn) aloneSinceMs = undefined;
    else aloneSinceMs ??= nowMs;
    if (aloneSinceMs !== undefined && nowMs - aloneSinceMs >= core.options.frameWaitMs) {
      if (failures[0]) throw toPinfoldError(failures[0].error, "making room");
      throw (survey.busy & me) === 0 ? noFrames(core) : wouldWait();
    }
    askOthers(core);
    core.calls.askForFrames();
    core.locks.waitForPoolBlocking(limits.waitLookMs, () => (frame = tryTakeFrame(core)) >= 0);
    if (frame >= 0) return frame;
  }
}

/** Those of `threads` that can be waited for: after limits.stuckMs, those that do not seem to wait for this one. */
function helpful(core: Core, threads: number, waitedMs: number): number {
  if (waitedMs < limits.stuckMs) return threads;
  let mask = 0;
  for (let slot = 0; slot < layout.THREADS_MAX; slot++) {
    const bit = threads & (1 << slot);
    if (bit !== 0 && !core.locks.queues.circles.possible(bit)) mask |= bit;
  }
  return mask;
}

/** The threads that have stores of their own are asked to write what is dirty there. */
function askOthers(core: Core): void {
  for (const space of core.openSpaces())
    if (space.isRemote && space.dirtyPages + space.unstablePages > 0)
      core.calls.tell(space, { op: "flush", urgent: true });
}

/** Costs a look at every frame. */
function surveyFrames(core: Core, failures: readonly WriteFailure[]): Survey {
  const { words, shared, threads, count } = core.frames;
  const cleaners = new Map<number, number>();
  let holders = 0;
  let busy = 0;
  for (let slot = 0; slot < layout.THREADS_MAX; slot++)
    if (shared.load(threads.at(slot, layout.THREAD_STORE_CALLS)) > 0) busy |= 1 << slot;
  for (let frame = 0; frame < count; frame++) {
    const low = words.lowWord(frame);
    const flags = words.highWord(frame);
    const state = low & layout.STATE_MASK;
    if (state === layout.STATE_FREE) return { isNear: true, holders, busy };
    if ((flags & word.wordBits.writeback) !== 0)
      busy |= 1 << ((flags >>> (layout.WRITER_SHIFT - 32)) & layout.WRITER_MASK);
    if (state === layout.STATE_RESERVED || (low & word.lockBits.exclusive) !== 0) {
      holders |= 1 << ((low >>> layout.HOLDERS_SHIFT) & layout.HOLDERS_MASK);
    } else if (word.isHeld(words, frame)) {
      holders |= sharersOf(core, frame);
    } else if ((flags & word.wordBits.writeback) === 0) {
      const mapping = words.mappingIdOf(frame);
      const isClean = (flags & (word.wordBits.dirty | word.wordBits.unstable)) === 0;
      const cleaner = cleaners.get(mapping) ?? cleanerOf(core, mapping);
      cleaners.set(mapping, cleaner);
      const isFree = isClean ? !core.space(mapping)?.isRemote : cleaner < 0 && !failures[0];
      if (isFree) return { isNear: true, holders, busy };
      // Only that thread can write the page, or let it go.
      if (cleaner >= 0) busy |= 1 << cleaner;
    }
  }
  return { isNear: false, holders, busy };
}

/** Threads with a share or a counted pin of a frame. A pin in transit is nobody's. */
function sharersOf(core: Core, frame: number): number {
  let mask = 0;
  for (let slot = 0; slot < layout.THREADS_MAX; slot++)
    if (core.frames.words.ledgerEntry(frame, slot) !== 0) mask |= 1 << slot;
  return mask;
}

/** The thread without which a file's pages cannot become clean: that of its store, or who holds what is needed; -1: none. */
function cleanerOf(core: Core, mapping: number): number {
  const space = core.space(mapping);
  if (!space) return -1;
  if (space.isRemote) return core.directory.storeThread(mapping);
  if (!space.store.capabilities.syncCalls && !space.readOnly) return core.frames.thread;
  const { words } = core.frames;
  for (const lock of [space.syncLock, space.walkLock, space.invalidateLock]) {
    const low = words.lowWord(lock);
    if ((low & word.lockBits.exclusive) !== 0) return (low >>> layout.HOLDERS_SHIFT) & layout.HOLDERS_MASK;
  }
  return -1;
}

/**
 * Guard of R27, as takeCredits, blocking: credits for a pin of `pages` pages.
 * @throws PinfoldError EDEADLK where this thread's own pins have what is missing; ERR_PINFOLD_NO_FRAMES
 */
export function takeCreditsBlocking(core: Core, pages: number, wouldWait: () => PinfoldError): void {
  const { shared, threads, thread, count } = core.frames;
  const sinceMs = core.clock.nowMs();
  let pinnedSinceMs: number | undefined;
  while (!tryTakeCredits(core, pages)) {
    if (shared.load(threads.at(thread, layout.THREAD_CREDITS)) + pages > count) throw wouldWait();
    const nowMs = core.clock.nowMs();
    let others = 0;
    for (let slot = 0; slot < layout.THREADS_MAX; slot++)
      if (slot !== thread && shared.load(threads.at(slot, layout.THREAD_CREDITS)) > 0) others |= 1 << slot;
    if (others !== 0 && helpful(core, others, nowMs - sinceMs) === 0) throw wouldWait();
    // What pins that are still being taken hold comes back by itself, or becomes a pin.
    if (pinnedCredits(core) + pages > count) pinnedSinceMs ??= nowMs;
    else pinnedSinceMs = undefined;
    if (pinnedSinceMs !== undefined && nowMs - pinnedSinceMs >= core.options.frameWaitMs) throw noFrames(core);
    core.locks.waitForPoolBlocking(limits.waitLookMs, () => hasCredits(core, pages));
  }
}
