/**
 * Where things are in the words memory, and the small pieces that steps are made of.
 *
 * Rules for every file in words/ (test/sync reads the compiled module and this source to hold them):
 * * An exported *step* holds no loop and, compiled, no call and no memory growth: a thread that is terminated is never
 *   stopped inside it (docs/decisions/0002-page-words.md). What it changes it changes with the owner's ledger, or not at all.
 * * A latch is taken and released inside one step. A step that finds it taken answers LOST.
 * * All loads and stores of shared words are atomic. Addresses and small values are u32, page words u64, answers i32.
 * * Every local has its type written: the explorer's transform reads this source and needs it.
 */

import {
  HEADER_LISTS, HEADER_LISTS_LATCH, LINK_FRAME_MASK, LINK_LIST_SHIFT, LIST_DIRTY, LIST_WRITEBACK,
  MAPPINGS, MAPPING_BYTES, MAPPING_DIRTY_LIST, NODES, NODE_BYTES, RECORDS, RECORD_INDEX, RECORD_MAPPING, RECORD_SHIFT,
  THREADS, THREAD_BYTES,
  EXCLUSIVE_BIT, WAITERS_BIT, GATE_BIT, EVICTING_BIT, HOLDERS_SHIFT, READS_SHIFT, OFF_BIT, WRITES_SHIFT, UPTODATE_BIT,
  DIRTY_BIT, WRITEBACK_BIT, UNSTABLE_BIT, EPOCH_BIT, GRANT_BIT, TOWRITE_BIT, FRESH_BIT, MODIFIED_BIT, OWNER_DIED_BIT,
  VIEW_BIT, FAILED_BIT, FREQUENCY_SHIFT, MAIN_BIT, WRITER_SHIFT, HOLDERS_MASK, READS_MASK, WRITES_MASK, STATE_MASK,
} from "../layout";

export const EXCLUSIVE: u64 = 1 << EXCLUSIVE_BIT;
export const WAITERS: u64 = 1 << WAITERS_BIT;
export const GATE: u64 = 1 << GATE_BIT;
export const EVICTING: u64 = 1 << EVICTING_BIT;
export const ONE_HOLDER: u64 = 1 << HOLDERS_SHIFT;
export const HOLDERS: u64 = 0xfff << HOLDERS_SHIFT;
export const ONE_READ: u64 = 1 << READS_SHIFT;
export const READS: u64 = 0x3ff << READS_SHIFT;
export const OFF: u64 = 1 << OFF_BIT;
export const ONE_WRITE: u64 = 1 << WRITES_SHIFT;
export const WRITES: u64 = 0x3ff << WRITES_SHIFT;
export const UPTODATE: u64 = 1 << UPTODATE_BIT;
export const DIRTY: u64 = 1 << DIRTY_BIT;
export const WRITEBACK: u64 = 1 << WRITEBACK_BIT;
export const UNSTABLE: u64 = 1 << UNSTABLE_BIT;
export const EPOCH: u64 = 1 << EPOCH_BIT;
export const GRANT: u64 = 1 << GRANT_BIT;
export const TOWRITE: u64 = 1 << TOWRITE_BIT;
export const FRESH: u64 = 1 << FRESH_BIT;
export const MODIFIED: u64 = 1 << MODIFIED_BIT;
export const OWNER_DIED: u64 = 1 << OWNER_DIED_BIT;
export const VIEW: u64 = 1 << VIEW_BIT;
export const FAILED: u64 = 1 << FAILED_BIT;
export const ONE_FREQUENCY: u64 = 1 << FREQUENCY_SHIFT;
export const FREQUENCY: u64 = 3 << FREQUENCY_SHIFT;
export const MAIN: u64 = 1 << MAIN_BIT;
export const WRITER: u64 = 0xf << WRITER_SHIFT;
export const STATES: u64 = STATE_MASK;

// Set once a thread by configure(), then constant.
export let frames: u32 = 0;
export let records: u32 = 0;
export let bucketsAt: u32 = 0;
export let linksAt: u32 = 0;
export let blocksAt: u32 = 0;
export let ghostAt: u32 = 0;
export let ledgerAt: u32 = 0;
export let transfersAt: u32 = 0;
export let transitsAt: u32 = 0;

/** Tells this thread's instance where the regions are (frames/plan.ts computes them). */
export function configure(
  frameCount: u32, recordCount: u32, buckets: u32, links: u32, blocks: u32, ghosts: u32, ledger: u32,
  transfers: u32, transits: u32,
): void {
  frames = frameCount;
  records = recordCount;
  bucketsAt = buckets;
  linksAt = links;
  blocksAt = blocks;
  ghostAt = ghosts;
  ledgerAt = ledger;
  transfersAt = transfers;
  transitsAt = transits;
}

@inline
export function recordOf(frame: u32): u32 {
  return RECORDS + (frame << RECORD_SHIFT);
}

@inline
export function mappingOf(mapping: u32): u32 {
  return MAPPINGS + mapping * MAPPING_BYTES;
}

@inline
export function threadOf(thread: u32): u32 {
  return THREADS + thread * THREAD_BYTES;
}

@inline
export function nodeOf(node: u32): u32 {
  return NODES + node * NODE_BYTES;
}

@inline
export function linkOf(frame: u32): u32 {
  return linksAt + (frame << 3);
}

@inline
export function blocksOf(frame: u32): u32 {
  return blocksAt + (frame << 2);
}

@inline
export function ledgerOf(frame: u32, thread: u32): u32 {
  return ledgerAt + ((thread * records + frame) << 2);
}

@inline
export function keyIs(record: u32, mapping: u32, index: u32): bool {
  return atomic.load<u32>(record + RECORD_INDEX) == index && u32(atomic.load<u16>(record + RECORD_MAPPING)) == mapping;
}

@inline
export function holdersIn(word: u64): u32 {
  return u32(word >> HOLDERS_SHIFT) & HOLDERS_MASK;
}

@inline
export function readsIn(word: u64): u32 {
  return u32(word >> READS_SHIFT) & READS_MASK;
}

@inline
export function writesIn(word: u64): u32 {
  return u32(word >> WRITES_SHIFT) & WRITES_MASK;
}

/** Whether anybody but the lock's owner may be changing the bytes: a counted write pin, or a view that may store. */
@inline
export function othersWrite(word: u64): bool {
  return (word & (WRITES | VIEW)) != 0;
}

/** The word with the owner's slot in its holders' field. */
@inline
export function ownedBy(thread: u32): u64 {
  return EXCLUSIVE | (u64(thread) << HOLDERS_SHIFT);
}

@inline
export function isOwner(word: u64, thread: u32): bool {
  return (word & EXCLUSIVE) != 0 && holdersIn(word) == thread;
}

/** The word with one more access counted, at most 3 (S3-FIFO's frequency; it costs nothing inside the pin's own swap). */
@inline
export function touched(word: u64): u64 {
  return (word & FREQUENCY) == FREQUENCY ? word : word + ONE_FREQUENCY;
}

// The lists' latch: one for all lists, held for a few instructions.

@inline
export function tryLatchLists(): bool {
  return atomic.cmpxchg<u32>(HEADER_LISTS_LATCH, 0, 1) == 0;
}

@inline
export function unlatchLists(): void {
  atomic.store<u32>(HEADER_LISTS_LATCH, 0);
}

@inline
export function listOf(list: u32, mapping: u32): u32 {
  return list >= u32(LIST_DIRTY) && list <= u32(LIST_WRITEBACK)
    ? mappingOf(mapping) + MAPPING_DIRTY_LIST + ((list - LIST_DIRTY) << 4)
    : HEADER_LISTS + (list << 4);
}

/** Takes `frame` off the list that it is on, if any. The latch is held. */
@inline
export function unlinkLatched(frame: u32, mapping: u32): void {
  let link: u32 = linkOf(frame);
  let previousLink: u32 = atomic.load<u32>(link);
  let list: u32 = previousLink >> LINK_LIST_SHIFT;
  if (list != 0) {
    let head: u32 = listOf(list, mapping);
    let previous: u32 = previousLink & LINK_FRAME_MASK;
    let next: u32 = atomic.load<u32>(link + 4);
    if (previous != 0) atomic.store<u32>(linkOf(previous - 1) + 4, next);
    else atomic.store<u32>(head, next);
    if (next != 0) atomic.store<u32>(linkOf(next - 1), (list << LINK_LIST_SHIFT) | previous);
    else atomic.store<u32>(head + 4, previous);
    atomic.store<u32>(head + 8, atomic.load<u32>(head + 8) - 1);
    atomic.store<u32>(link, 0);
    atomic.store<u32>(link + 4, 0);
  }
}

/** Puts `frame`, which is on no list, at the tail of `list`. The latch is held. */
@inline
export function appendLatched(frame: u32, list: u32, mapping: u32): void {
  let head: u32 = listOf(list, mapping);
  let link: u32 = linkOf(frame);
  let tail: u32 = atomic.load<u32>(head + 4);
  atomic.store<u32>(link, (list << LINK_LIST_SHIFT) | tail);
  atomic.store<u32>(link + 4, 0);
  if (tail != 0) atomic.store<u32>(linkOf(tail - 1) + 4, frame + 1);
  else atomic.store<u32>(head, frame + 1);
  atomic.store<u32>(head + 4, frame + 1);
  atomic.store<u32>(head + 8, atomic.load<u32>(head + 8) + 1);
}

/** Adds `delta` to a counter that is only changed under the lists' latch. */
@inline
export function addLatched(address: u32, delta: u32): void {
  atomic.store<u32>(address, atomic.load<u32>(address) + delta);
}
