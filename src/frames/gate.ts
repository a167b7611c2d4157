/**
 * The gate of a page lock: an exclusive waiter of limits.gateDelayMs keeps new sharers out, for limits.gateClosedMs at most at a
 * time, so that writers get their turn and nested read pins cannot lock up (rule 14).
 *
 * Invariant: while the gate is closed somebody waits, and each exclusive waiter looks after it, whoever closed it: that one may
 * have gone.
 */
import { limits } from "../base/limits.js";
import * as layout from "../sync/layout.js";
import type { Words } from "../sync/words.js";

/** A wait, as far as the gate goes. */
export interface GateWaiter {
  readonly record: number;
  readonly mode: number;
  readonly sinceMs: number;
  /** When this waiter has last seen the gate close or open; 0: not yet. */
  gateMs: number;
}

/**
 * Closes the gate after gateDelayMs of waiting, opens it after gateClosedMs, and so on in turn. True where it has opened: sharers
 * can go on.
 */
export function workGate(words: Words, waiter: GateWaiter, nowMs: number): boolean {
  if (waiter.mode !== layout.MODE_EXCLUSIVE && waiter.mode !== layout.MODE_UPGRADE) return false;
  const closed = (words.lowWord(waiter.record) & (1 << layout.GATE_BIT)) !== 0;
  if (!closed && nowMs - Math.max(waiter.sinceMs, waiter.gateMs) >= limits.gateDelayMs) {
    if (words.setGate(waiter.record, 1) === layout.OK) waiter.gateMs = nowMs;
  } else if (closed && waiter.gateMs === 0) {
    // Who closed it may have gone (aborted): from now on this one looks after it.
    waiter.gateMs = nowMs;
  } else if (closed && nowMs - waiter.gateMs >= limits.gateClosedMs) {
    while (words.setGate(waiter.record, 0) === layout.LOST);
    waiter.gateMs = nowMs;
    return true;
  }
  return false;
}
