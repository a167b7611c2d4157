/**
 * Frames for a miss: take, or reclaim and retry. The one place where a task waits for memory (the circle "a miss needs a
 * frame, reclaim writes dirty pages" is cut here).
 *
 * Rule 9: while write-back, a sync, a load or a grant is on its way, or anything can still become clean, the wait goes on,
 * abortable. Only when pins alone have held the missing frames for frameWaitMs does it end in ERR_PINFOLD_NO_FRAMES.
 * Misses wait in turn: one looks for a frame, and those after it look when it has got one.
 * A pin over several pages takes credits for all of them first, so that two of them never wait for each other's halves (R27).
 */
import { PinfoldError } from "../base/errors.js";
import { isHeld, isMapped, stateOf } from "../frames/page-word.js";
import * as layout from "../sync/layout.js";
import type { Core } from "./core.js";
import { describeHolders } from "./holders.js";

const pollShare = 4;
/** Scans in a row, and how long the event loop gets after them before the next ones. */
const scansMax = 64;
const betweenScansMs = 1;

/** A frame now, or -1: a free one, else one whose clean page had to leave. */
export function tryTakeFrame(core: Core): number {
  const frame = core.table.reserve();
  return frame >= 0 ? frame : core.reclaimer.take();
}

/** As tryTakeFrame, going on where a scan ended at its bound: pages that were used often have to be passed several times. */
export function tryTakeFrameThoroughly(core: Core): number {
  let frame = tryTakeFrame(core);
  for (let scans = 1; frame < 0 && core.reclaimer.unfinished && scans < scansMax; scans++)
    frame = core.reclaimer.take();
  return frame;
}

/**
 * A frame, reserved for this thread.
 * @throws PinfoldError ERR_PINFOLD_NO_FRAMES; the signal's reason
 */
export async function takeFrame(core: Core, signal: AbortSignal | undefined): Promise<number> {
  signal?.throwIfAborted();
  const frame = core.frameTurns.isFree ? tryTakeFrame(core) : -1;
  if (frame >= 0) return frame;
  const sinceMs = core.clock.nowMs();
  return core.frameTurns.take(signal, () => waitForFrame(core, sinceMs, signal));
}

async function waitForFrame(core: Core, sinceMs: number, signal: AbortSignal | undefined): Promise<number> {
  for (;;) {
    signal?.throwIfAborted();
    const frame = tryTakeFrameThoroughly(core);
    if (frame >= 0) {
      core.pinsAloneSinceMs = undefined;
      return frame;
    }
    const nowMs = core.clock.nowMs();
    // Asked before the flusher is: a round that was only just started is nothing on its way.
    if (pinsAlone(core)) core.pinsAloneSinceMs ??= nowMs;
    else core.pinsAloneSinceMs = undefined;
    if (core.flusher.heldPages > 0) void core.flusher.step(true);
    core.calls.askForFrames();
    const aloneMs = nowMs - Math.max(sinceMs, core.pinsAloneSinceMs ?? nowMs);
    if (core.pinsAloneSinceMs !== undefined && aloneMs >= core.options.frameWaitMs) throw noFrames(core);
    let found = -1;
    const isFound = () => (found = tryTakeFrame(core)) >= 0;
    const forMs = core.reclaimer.unfinished ? betweenScansMs : core.options.frameWaitMs / pollShare;
    await waitForPool(core, forMs, isFound, signal);
    if (found >= 0) {
      core.pinsAloneSinceMs = undefined;
      return found;
    }
  }
}

/** Waits for a change of the pool, at most `forMs`, unless it `isOver` already (locks.ts). @throws the signal's reason */
export async function waitForPool(
  core: Core,
  forMs: number,
  isOver: () => boolean,
  signal: AbortSignal | undefined,
): Promise<void> {
  const limit = new AbortController();
  const forward = () => limit.abort(signal?.reason);
  signal?.addEventListener("abort", forward, { once: true });
  const timer = core.clock.after(forMs, () => limit.abort(timeUp), true);
  try {
    await core.locks.waitForPool(isOver, limit.signal);
  } catch (error) {
    if (error !== timeUp) throw error;
  } finally {
    timer.cancel();
    signal?.removeEventListener("abort", forward);
  }
}

const timeUp = new Error("time is up");

/** Nothing is on its way and every mapped frame is held by somebody. */
function pinsAlone(core: Core): boolean {
  if (core.storeCalls > 0 || core.frames.counter(layout.HEADER_WRITEBACK) > 0) return false;
  const { words, count } = core.frames;
  for (let frame = 0; frame < count; frame++) {
    if (isMapped(words, frame) ? !isHeld(words, frame) : stateOf(words, frame) === layout.STATE_FREE) return false;
  }
  return true;
}

export function noFrames(core: Core): PinfoldError {
  return new PinfoldError(
    "ERR_PINFOLD_NO_FRAMES",
    `pins hold what is missing of ${core.frames.count} frames: ${describeHolders(core)}`,
  );
}

/**
 * Guard of R27: takes credits for a pin of `pages` pages, first come first served as far as waking goes.
 * @throws PinfoldError ERR_PINFOLD_NO_FRAMES where pins alone have held the missing ones for frameWaitMs; the signal's reason
 */
export async function takeCredits(core: Core, pages: number, signal: AbortSignal | undefined): Promise<void> {
  let pinnedSinceMs: number | undefined;
  while (!tryTakeCredits(core, pages)) {
    const nowMs = core.clock.nowMs();
    // What pins that are still being taken hold comes back by itself, or becomes a pin.
    if (pinnedCredits(core) + pages > core.frames.count) pinnedSinceMs ??= nowMs;
    else pinnedSinceMs = undefined;
    if (pinnedSinceMs !== undefined && nowMs - pinnedSinceMs >= core.options.frameWaitMs) throw noFrames(core);
    await waitForPool(core, core.options.frameWaitMs / pollShare, () => hasCredits(core, pages), signal);
  }
}

export function hasCredits({ frames }: Core, pages: number): boolean {
  return frames.counter(layout.HEADER_CREDITS) >= pages;
}

/** Credits that belong to pins, of all threads and in transit. */
export function pinnedCredits({ frames }: Core): number {
  const { shared, threads, plan } = frames;
  let credits = 0;
  for (let slot = 0; slot < layout.THREADS_MAX; slot++)
    credits += shared.load(threads.at(slot, layout.THREAD_PINNED_CREDITS));
  for (let transfer = 0; transfer < layout.TRANSFERS_MAX; transfer++)
    credits += shared.load(plan.transfers + transfer * layout.TRANSFER_BYTES + layout.TRANSFER_CREDITS);
  return credits;
}

export function tryTakeCredits(core: Core, pages: number): boolean {
  let answer: number;
  do answer = core.frames.words.takeCredits(core.frames.thread, pages);
  while (answer === layout.LOST);
  return answer === layout.OK;
}

export function giveCredits(core: Core, pages: number): void {
  if (pages === 0) return;
  core.frames.words.giveCredits(core.frames.thread, pages);
  core.locks.notifyPool();
}
