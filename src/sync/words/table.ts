/**
 * Frames and the page table: which frame holds (mapping, index). One hash of chains; a bucket's head is 64 bits: below,
 * the first frame + 1; above, a latch (bit 32) and a sequence (bits 33-63) that every change of the chain advances, so that
 * a look-up that found nothing can prove it, and an insert or unlink fails where the chain is not as it was seen.
 *
 * Invariants: a mapped frame is in the chain of its key's bucket, once, and in no other. A reserved frame is in none and
 * on no list; its owner's slot stands in the holders' field. A free frame is on the free list and its word is 0.
 * A mapped frame that is not exclusively locked is uptodate.
 */

import {
  BUSY, GONE, HEADER_DIRTY, HEADER_LISTS, HEADER_UNSTABLE, HOLDERS_SHIFT, LIST_FREE, LIST_NONE, LOST, MAPPING_DIRTY,
  MAPPING_RESIDENT, MAPPING_UNSTABLE, NONE, OK, RECORD_INDEX, RECORD_MAPPING, RECORD_NEXT, RECORD_QUEUE,
  RECORD_VERSION, RECORD_VIEW, STATE_FREE, STATE_MAPPED, STATE_RESERVED, STATE_SNAPSHOT, THREAD_SEEN_HEAD, THREAD_SEEN_PREVIOUS, LIST_SNAPSHOT, VIEW_STEP, VIEW_WRITABLE,
} from "../layout";
import {
  DIRTY, EVICTING, EXCLUSIVE, GRANT, HOLDERS, OFF, READS, STATES, UNSTABLE, UPTODATE, VIEW, WAITERS, WRITEBACK, WRITES,
  addLatched, appendLatched, blocksOf, holdersIn, isOwner, keyIs, mappingOf, ownedBy, recordOf, threadOf, tryLatchLists,
  unlatchLists, unlinkLatched, frames,
} from "./memory";
import { bucketOf } from "./lock";

const HEAD_LATCH: u64 = 1 << 32;
const HEAD_STEP: u64 = 1 << 33;
const HEAD_FRAME: u64 = 0xffffffff;

/**
 * Looks up a page. Not a step: it changes nothing but this thread's scratch (the head it saw, the frame before).
 * The frame; NONE, proven; or LOST if the chain changed under it.
 */
export function find(mapping: u32, index: u32, thread: u32): i32 {
  let bucket: u32 = bucketOf(mapping, index);
  let head: u64 = atomic.load<u64>(bucket);
  if ((head & HEAD_LATCH) != 0) return LOST;
  let scratch: u32 = threadOf(thread);
  let previous: u32 = 0;
  let next: u32 = u32(head & HEAD_FRAME);
  let left: u32 = frames;
  while (next != 0 && left != 0) {
    let frame: u32 = next - 1;
    if (keyIs(recordOf(frame), mapping, index)) {
      atomic.store<u64>(scratch + THREAD_SEEN_HEAD, head);
      atomic.store<u32>(scratch + THREAD_SEEN_PREVIOUS, previous);
      return atomic.load<u64>(bucket) == head ? i32(frame) : LOST;
    }
    previous = next;
    next = atomic.load<u32>(recordOf(frame) + RECORD_NEXT);
    left = left - 1;
  }
  atomic.store<u64>(scratch + THREAD_SEEN_HEAD, head);
  atomic.store<u32>(scratch + THREAD_SEEN_PREVIOUS, 0);
  return atomic.load<u64>(bucket) == head ? NONE : LOST;
}

/** Step: takes a free frame for `thread`: FREE -> RESERVED. The frame, NONE, or LOST. */
export function reserve(thread: u32): i32 {
  if (!tryLatchLists()) return LOST;
  let head: u32 = atomic.load<u32>(HEADER_LISTS + (LIST_FREE << 4));
  if (head == 0) {
    unlatchLists();
    return NONE;
  }
  unlinkLatched(head - 1, 0);
  atomic.store<u64>(recordOf(head - 1), u64(STATE_RESERVED) | (u64(thread) << HOLDERS_SHIFT));
  unlatchLists();
  return i32(head - 1);
}

/** Step: gives a reserved frame back: RESERVED -> FREE. OK or LOST. */
export function release(frame: u32): i32 {
  if ((atomic.load<u64>(recordOf(frame)) & STATES) != STATE_RESERVED) return GONE;
  if (!tryLatchLists()) return LOST;
  atomic.store<u64>(recordOf(frame), STATE_FREE);
  appendLatched(frame, LIST_FREE, 0);
  unlatchLists();
  return OK;
}

/**
 * Step: RESERVED -> LOADING, which is mapped, exclusive, not uptodate, off the queues. `find` just proved that the page is
 * not there; LOST if its bucket has changed since. The version stays odd.
 */
export function insert(frame: u32, mapping: u32, index: u32, thread: u32): i32 {
  let bucket: u32 = bucketOf(mapping, index);
  let seen: u64 = atomic.load<u64>(threadOf(thread) + THREAD_SEEN_HEAD);
  let record: u32 = recordOf(frame);
  if ((seen & HEAD_LATCH) != 0) return LOST;
  if (atomic.cmpxchg<u64>(bucket, seen, seen | HEAD_LATCH) != seen) return LOST;
  atomic.store<u32>(record + RECORD_INDEX, index);
  atomic.store<u16>(record + RECORD_MAPPING, u16(mapping));
  atomic.store<u32>(record + RECORD_NEXT, u32(seen & HEAD_FRAME));
  atomic.store<u64>(record, u64(STATE_MAPPED) | ownedBy(thread) | OFF);
  atomic.add<u32>(record + RECORD_VERSION, 2);
  atomic.add<u32>(mappingOf(mapping) + MAPPING_RESIDENT, 1);
  atomic.store<u64>(bucket, ((seen & ~(HEAD_FRAME | HEAD_LATCH)) + HEAD_STEP) | u64(frame + 1));
  return OK;
}

/** Step: the owner of a loading page says that its bytes are there. */
export function setUptodate(frame: u32): void {
  atomic.or<u64>(recordOf(frame), UPTODATE);
}

/** Step: the owner of the exclusive lock condemns the page: no new waiter joins from now on. OK or LOST. */
export function condemn(frame: u32, thread: u32): i32 {
  let record: u32 = recordOf(frame);
  let word: u64 = atomic.load<u64>(record);
  if (!isOwner(word, thread)) return GONE;
  return atomic.cmpxchg<u64>(record, word, word | EVICTING) == word ? OK : LOST;
}

/**
 * Step, guard of R6: unlocked and unpinned becomes exclusive and unreachable in one swap, together with the test that it is
 * clean. OK; BUSY if it is held, waited for, dirty, under write-back or unstable; LOST.
 */
export function freeze(frame: u32, thread: u32): i32 {
  let record: u32 = recordOf(frame);
  let word: u64 = atomic.load<u64>(record);
  if ((word & STATES) != STATE_MAPPED) return GONE;
  if ((word & (EXCLUSIVE | HOLDERS | READS | WRITES | WAITERS | EVICTING | DIRTY | WRITEBACK | UNSTABLE)) != 0) return BUSY;
  if (atomic.cmpxchg<u64>(record, word, word | ownedBy(thread) | EVICTING) != word) return LOST;
  atomic.add<u32>(record + RECORD_VERSION, 1);
  return OK;
}

/** Step: a frozen page stays after all (its store refused to let its metadata go). The release that follows requeues it. */
export function thaw(frame: u32, thread: u32): i32 {
  let record: u32 = recordOf(frame);
  let word: u64 = atomic.load<u64>(record);
  if (!isOwner(word, thread) || (word & EVICTING) == 0) return GONE;
  return atomic.cmpxchg<u64>(record, word, word & ~EVICTING) == word ? OK : LOST;
}

/**
 * Step: takes a condemned or frozen page, which nobody waits for, out of the table and off its list: MAPPED -> RESERVED.
 * What it was (dirty, unstable) leaves the counts. `find` just saw it; LOST if the chain has changed since.
 * BUSY while waiters are queued, pins are left or views may store.
 */
export function remove(frame: u32, thread: u32): i32 {
  let record: u32 = recordOf(frame);
  let mapping: u32 = u32(atomic.load<u16>(record + RECORD_MAPPING));
  let index: u32 = atomic.load<u32>(record + RECORD_INDEX);
  let bucket: u32 = bucketOf(mapping, index);
  let scratch: u32 = threadOf(thread);
  let seen: u64 = atomic.load<u64>(scratch + THREAD_SEEN_HEAD);
  let previous: u32 = atomic.load<u32>(scratch + THREAD_SEEN_PREVIOUS);
  if (!tryLatchLists()) return LOST;
  let word: u64 = atomic.load<u64>(record);
  if (!isOwner(word, thread) || (word & EVICTING) == 0 || (word & (WAITERS | READS | WRITES | WRITEBACK | VIEW)) != 0) {
    unlatchLists();
    return BUSY;
  }
  if ((seen & HEAD_LATCH) != 0 || atomic.cmpxchg<u64>(bucket, seen, seen | HEAD_LATCH) != seen) {
    unlatchLists();
    return LOST;
  }
  let next: u32 = atomic.load<u32>(record + RECORD_NEXT);
  let first: u32 = u32(seen & HEAD_FRAME);
  if (previous != 0) atomic.store<u32>(recordOf(previous - 1) + RECORD_NEXT, next);
  else first = next;
  atomic.store<u64>(bucket, ((seen & ~(HEAD_FRAME | HEAD_LATCH)) + HEAD_STEP) | u64(first));
  unlinkLatched(frame, mapping);
  let at: u32 = mappingOf(mapping);
  if ((word & DIRTY) != 0) {
    addLatched(at + MAPPING_DIRTY, -1);
    addLatched(HEADER_DIRTY, -1);
  }
  if ((word & UNSTABLE) != 0) {
    addLatched(at + MAPPING_UNSTABLE, -1);
    addLatched(HEADER_UNSTABLE, -1);
  }
  atomic.sub<u32>(at + MAPPING_RESIDENT, 1);
  atomic.store<u32>(blocksOf(frame), 0);
  // Nobody's view of the page finds it here any more, nor takes the frame's next page for it.
  atomic.store<u32>(record + RECORD_VIEW, (atomic.load<u32>(record + RECORD_VIEW) & ~VIEW_WRITABLE) + VIEW_STEP);
  atomic.add<u32>(record + RECORD_VERSION, 2);
  atomic.store<u64>(record, u64(STATE_RESERVED) | (u64(thread) << HOLDERS_SHIFT));
  unlatchLists();
  return OK;
}

/** Step: takes a snapshot frame for `thread`. Frame, NONE, or LOST. */
export function takeSnapshot(thread: u32): i32 {
  if (!tryLatchLists()) return LOST;
  let head: u32 = atomic.load<u32>(HEADER_LISTS + (LIST_SNAPSHOT << 4));
  if (head == 0) {
    unlatchLists();
    return NONE;
  }
  unlinkLatched(head - 1, 0);
  atomic.store<u64>(recordOf(head - 1), u64(STATE_SNAPSHOT) | ownedBy(thread));
  unlatchLists();
  return i32(head - 1);
}

/** Step: gives a snapshot frame back. OK or LOST. */
export function giveSnapshot(frame: u32): i32 {
  if (!tryLatchLists()) return LOST;
  atomic.store<u64>(recordOf(frame), STATE_SNAPSHOT);
  appendLatched(frame, LIST_SNAPSHOT, 0);
  unlatchLists();
  return OK;
}

/** The next mapped frame at or after `from` that belongs to `mapping` with an index in [first, last]. Not a step. */
export function nextResident(mapping: u32, first: u32, last: u32, from: u32): i32 {
  let frame: u32 = from;
  while (frame < frames) {
    let record: u32 = recordOf(frame);
    if (u32(atomic.load<u16>(record + RECORD_MAPPING)) == mapping && (atomic.load<u64>(record) & STATES) == STATE_MAPPED) {
      let index: u32 = atomic.load<u32>(record + RECORD_INDEX);
      if (index >= first && index <= last) return i32(frame);
    }
    frame = frame + 1;
  }
  return NONE;
}
