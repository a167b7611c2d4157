/**
 * Reclaim queues (two FIFO lists) and the ghost table: steps that the policy in reclaim/ is made of.
 *
 * Invariant: a clean mapped frame is on SMALL or MAIN, or on none with OFF set in its word while somebody holds it; whoever
 * lets go last sees OFF and calls requeue().
 * The ghost table remembers what was evicted: direct-mapped by hash, a 16-bit fingerprint and a 16-bit clock each; it may
 * forget or (1 in 65,536) mistake, never more.
 *
 * S3-FIFO: Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023.
 */

import {
  BUSY, FREQUENCY_SHIFT, HEADER_GHOST_CLOCK, HEADER_LISTS, LINK_LIST_SHIFT, LIST_MAIN, LOST, NONE, OK, RECORD_MAPPING, STATE_MAPPED,
} from "../layout";
import {
  DIRTY, EVICTING, EXCLUSIVE, FREQUENCY, HOLDERS, MAIN, OFF, READS, STATES, UNSTABLE, WAITERS, WRITEBACK, WRITES,
  appendLatched, frames, ghostAt, linkOf, recordOf, tryLatchLists, unlatchLists, unlinkLatched,
} from "./memory";
import { homeOf } from "./dirty";

/** The frame at the head of a reclaim queue, or NONE. It may leave at any moment. */
export function queueHead(list: u32): i32 {
  let head: u32 = atomic.load<u32>(HEADER_LISTS + (list << 4));
  return head == 0 ? NONE : i32(head - 1);
}

/** Step: moves a frame that is on `from` to the tail of `to`, with a new frequency. OK, BUSY if it is not on `from`, LOST. */
export function moveTo(frame: u32, from: u32, to: u32, frequency: u32): i32 {
  let record: u32 = recordOf(frame);
  if (!tryLatchLists()) return LOST;
  if (atomic.load<u32>(linkOf(frame)) >> LINK_LIST_SHIFT != from) {
    unlatchLists();
    return BUSY;
  }
  let word: u64 = atomic.load<u64>(record);
  let after: u64 = (word & ~(FREQUENCY | MAIN)) | (u64(frequency) << FREQUENCY_SHIFT) | (to == LIST_MAIN ? MAIN : u64(0));
  if (atomic.cmpxchg<u64>(record, word, after) != word) {
    unlatchLists();
    return LOST;
  }
  unlinkLatched(frame, u32(atomic.load<u16>(record + RECORD_MAPPING)));
  appendLatched(frame, to, u32(atomic.load<u16>(record + RECORD_MAPPING)));
  unlatchLists();
  return OK;
}

/** Step: takes a frame that is held or waited for off its queue; its last holder puts it back. OK, BUSY if nobody holds it, LOST. */
export function setAside(frame: u32, from: u32): i32 {
  let record: u32 = recordOf(frame);
  if (!tryLatchLists()) return LOST;
  let word: u64 = atomic.load<u64>(record);
  if (atomic.load<u32>(linkOf(frame)) >> LINK_LIST_SHIFT != from || (word & (EXCLUSIVE | HOLDERS | READS | WRITES)) == 0) {
    unlatchLists();
    return BUSY;
  }
  if (atomic.cmpxchg<u64>(record, word, word | OFF) != word) {
    unlatchLists();
    return LOST;
  }
  unlinkLatched(frame, u32(atomic.load<u16>(record + RECORD_MAPPING)));
  unlatchLists();
  return OK;
}

/** Step: puts an idle clean frame that is OFF back on its home queue. OK, BUSY if it is no longer so, LOST. */
export function requeue(frame: u32): i32 {
  let record: u32 = recordOf(frame);
  if (!tryLatchLists()) return LOST;
  let word: u64 = atomic.load<u64>(record);
  if ((word & STATES) != STATE_MAPPED || (word & OFF) == 0
    || (word & (EXCLUSIVE | HOLDERS | READS | WRITES | EVICTING | DIRTY | WRITEBACK | UNSTABLE)) != 0) {
    unlatchLists();
    return BUSY;
  }
  if (atomic.cmpxchg<u64>(record, word, word & ~OFF) != word) {
    unlatchLists();
    return LOST;
  }
  appendLatched(frame, homeOf(word), u32(atomic.load<u16>(record + RECORD_MAPPING)));
  unlatchLists();
  return OK;
}

/** Step: a loading page's first home is the main queue (it was evicted not long ago). Its owner calls this. OK or LOST. */
export function setHomeMain(frame: u32): i32 {
  let record: u32 = recordOf(frame);
  let word: u64 = atomic.load<u64>(record);
  return atomic.cmpxchg<u64>(record, word, word | MAIN) == word ? OK : LOST;
}

@inline
function ghostHash(mapping: u32, index: u32): u32 {
  let hash: u32 = index * 0x85ebca6b + mapping * 0xc2b2ae35;
  hash = (hash ^ (hash >> 16)) * 0x27d4eb2f;
  return hash ^ (hash >> 15);
}

/** Step: remembers that a page was evicted from the small queue. */
export function ghostRemember(mapping: u32, index: u32): void {
  let hash: u32 = ghostHash(mapping, index);
  let clock: u32 = atomic.add<u32>(HEADER_GHOST_CLOCK, 1);
  let slot: u32 = ghostAt + (u32((u64(hash) * u64(frames)) >> 32) << 2);
  atomic.store<u32>(slot, (hash << 16) | ((clock / (frames / 16384 + 1)) & 0xffff));
}

/** Step: 1 if the page was evicted less than about `frames` evictions ago (and forgets it), else 0. */
export function ghostTake(mapping: u32, index: u32): i32 {
  let hash: u32 = ghostHash(mapping, index);
  let slot: u32 = ghostAt + (u32((u64(hash) * u64(frames)) >> 32) << 2);
  let entry: u32 = atomic.load<u32>(slot);
  if (entry == 0 || entry >> 16 != (hash & 0xffff)) return 0;
  let unit: u32 = frames / 16384 + 1;
  let now: u32 = (atomic.load<u32>(HEADER_GHOST_CLOCK) / unit) & 0xffff;
  let age: u32 = (now - entry) & 0xffff;
  if (age > frames / unit) return 0;
  return atomic.cmpxchg<u32>(slot, entry, 0) == entry ? 1 : 0;
}
