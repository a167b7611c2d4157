/**
 * Questions about a page word, for code above the words' module. Each asks one half of the word; two questions see two moments.
 */
import * as layout from "../sync/layout.js";
import type { Words } from "../sync/words.js";

const high = (bit: number) => 1 << (bit - 32);

export const wordBits = {
  uptodate: high(layout.UPTODATE_BIT),
  dirty: high(layout.DIRTY_BIT),
  writeback: high(layout.WRITEBACK_BIT),
  unstable: high(layout.UNSTABLE_BIT),
  epoch: high(layout.EPOCH_BIT),
  grant: high(layout.GRANT_BIT),
  towrite: high(layout.TOWRITE_BIT),
  fresh: high(layout.FRESH_BIT),
  modified: high(layout.MODIFIED_BIT),
  ownerDied: high(layout.OWNER_DIED_BIT),
  failed: high(layout.FAILED_BIT),
  main: high(layout.MAIN_BIT),
} as const;

export const lockBits = {
  exclusive: 1 << layout.EXCLUSIVE_BIT,
  waiters: 1 << layout.WAITERS_BIT,
  gate: 1 << layout.GATE_BIT,
  evicting: 1 << layout.EVICTING_BIT,
  off: 1 << layout.OFF_BIT,
} as const;

export function stateOf(words: Words, frame: number): number {
  return words.lowWord(frame) & layout.STATE_MASK;
}

export function isMapped(words: Words, frame: number): boolean {
  return stateOf(words, frame) === layout.STATE_MAPPED;
}

/** The page's state bits (wordBits). */
export function flagsOf(words: Words, frame: number): number {
  return words.highWord(frame);
}

export function isExclusive(words: Words, frame: number): boolean {
  return (words.lowWord(frame) & lockBits.exclusive) !== 0;
}

/** Shared holders; 0 while the lock is exclusive. */
export function sharedHolders(words: Words, frame: number): number {
  const low = words.lowWord(frame);
  return (low & lockBits.exclusive) !== 0 ? 0 : (low >>> layout.HOLDERS_SHIFT) & layout.HOLDERS_MASK;
}

export function countedReads(words: Words, frame: number): number {
  return (words.lowWord(frame) >>> layout.READS_SHIFT) & layout.READS_MASK;
}

export function countedWrites(words: Words, frame: number): number {
  return words.highWord(frame) & layout.WRITES_MASK;
}

/** Under a long-term pin. It can become so only by somebody who has its lock. */
export function isCounted(words: Words, frame: number): boolean {
  return countedReads(words, frame) + countedWrites(words, frame) > 0;
}

/** Locked by anybody, or pinned. */
export function isHeld(words: Words, frame: number): boolean {
  const low = words.lowWord(frame);
  return (
    (low & lockBits.exclusive) !== 0 ||
    ((low >>> layout.HOLDERS_SHIFT) & layout.HOLDERS_MASK) !== 0 ||
    ((low >>> layout.READS_SHIFT) & layout.READS_MASK) !== 0 ||
    countedWrites(words, frame) !== 0
  );
}

/** Dirty, under write-back or unstable: newer than what the store has durably. */
export function isUnclean(words: Words, frame: number): boolean {
  return (words.highWord(frame) & (wordBits.dirty | wordBits.writeback | wordBits.unstable)) !== 0;
}

/** 0 none, else one of layout's LIST_ numbers. */
export function listOf(words: Words, frame: number): number {
  return words.linkWord(frame) >>> layout.LINK_LIST_SHIFT;
}
