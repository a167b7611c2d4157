/**
 * Reading of shared words by callers, one load each, and the few counters that need no more than one addition.
 */
import {
  HEADER_CREDITS, LOST, BUSY, MAPPING_SIZE, OK, RECORD_DIRTIED, RECORD_INDEX, RECORD_MAPPING, RECORD_VERSION,
  THREAD_CREDITS,
} from "../layout";
import { OWNER_DIED, blocksOf, ledgerOf, linkOf, mappingOf, recordOf, threadOf } from "./memory";

/** The lower half of a word: locks and counted reads. */
export function lowWord(frame: u32): u32 {
  return u32(atomic.load<u64>(recordOf(frame)));
}

/** The upper half of a word: counted writes and the page's state. */
export function highWord(frame: u32): u32 {
  return u32(atomic.load<u64>(recordOf(frame)) >> 32);
}

/** The link word of a frame: its list above, the frame before it + 1 below. */
export function linkWord(frame: u32): u32 {
  return atomic.load<u32>(linkOf(frame));
}

export function versionOf(frame: u32): u32 {
  return atomic.load<u32>(recordOf(frame) + RECORD_VERSION);
}

export function indexOf(frame: u32): u32 {
  return atomic.load<u32>(recordOf(frame) + RECORD_INDEX);
}

export function mappingIdOf(frame: u32): u32 {
  return u32(atomic.load<u16>(recordOf(frame) + RECORD_MAPPING));
}

/** Seconds of the cache's clock, modulo 65,536, when the page became dirty. */
export function dirtiedAt(frame: u32): u32 {
  return u32(atomic.load<u16>(recordOf(frame) + RECORD_DIRTIED));
}

export function blockWord(frame: u32): u32 {
  return atomic.load<u32>(blocksOf(frame));
}

export function ledgerEntry(frame: u32, thread: u32): u32 {
  return atomic.load<u32>(ledgerOf(frame, thread));
}

/** Bytes of a mapping's file. Exact: it is below 2^53. */
export function sizeOf(mapping: u32): f64 {
  return f64(atomic.load<u64>(mappingOf(mapping) + MAPPING_SIZE));
}

export function setSize(mapping: u32, size: f64): void {
  atomic.store<u64>(mappingOf(mapping) + MAPPING_SIZE, u64(size));
}

/** Step: takes frame credits for a pin over several pages. OK, BUSY if there are not as many, LOST. */
export function takeCredits(thread: u32, count: u32): i32 {
  let left: u32 = atomic.load<u32>(HEADER_CREDITS);
  if (left < count) return BUSY;
  if (atomic.cmpxchg<u32>(HEADER_CREDITS, left, left - count) != left) return LOST;
  atomic.add<u32>(threadOf(thread) + THREAD_CREDITS, count);
  return OK;
}

/**
 * Step: the owner of the exclusive lock has died while it held it. Until a writer puts the page who has seen this, all who take it
 * are told. The recoverer calls this before it lets the dead one's lock go.
 */
export function markOwnerDied(frame: u32): void {
  atomic.or<u64>(recordOf(frame), OWNER_DIED);
}

/** Step: somebody who may write has put the page, and knew. */
export function clearOwnerDied(frame: u32): void {
  atomic.and<u64>(recordOf(frame), ~OWNER_DIED);
}

/** Step: gives frame credits back. */
export function giveCredits(thread: u32, count: u32): void {
  atomic.sub<u32>(threadOf(thread) + THREAD_CREDITS, count);
  atomic.add<u32>(HEADER_CREDITS, count);
}
