/**
 * Dirty, write-back, unstable: the arrows of a page's contents, each with the list it moves the frame to and the counts.
 *
 * Invariants, whenever the lists' latch is free:
 * * dirty: on its mapping's dirty list. Not dirty, under write-back: on its mapping's write-back list. Neither, unstable: on the
 *   mapping's unstable list of its epoch. None of the three (clean): on a reclaim queue, or on none and OFF.
 * * Dirty and unstable exclude each other. Dirty and write-back together: a snapshot is in flight.
 * * GRANT is set while dirty, under write-back or unstable. A block word is 0 while GRANT is not set.
 * * WRITER is the slot of the thread that writes the page back, while it is under write-back; else 0.
 * * VIEW is set only on dirty pages.
 * * The counts of a mapping and of the header are the numbers of frames with the bit.
 */

import {
  BLOCKS_GRANTED, BUSY, HEADER_DIRTY, HEADER_UNSTABLE, HEADER_WRITEBACK, LIST_DIRTY, LIST_MAIN, LIST_SMALL, LIST_UNSTABLE_0, LIST_WRITEBACK, LOST,
  MAPPING_DIRTY, MAPPING_DIRTY_LIST, MAPPING_EPOCH, MAPPING_SYNC_ERRORS, MAPPING_UNSTABLE, MAPPING_UNSTABLE_LIST_0,
  MAPPING_WRITEBACK, MAPPING_WRITEBACK_LIST, MAPPING_WRITE_ERRORS,
  NONE, OK, OUTCOME_FAILED, OUTCOME_UNSTABLE, RECORD_DIRTIED, RECORD_MAPPING, WAKE, WRITER_SHIFT,
} from "../layout";
import {
  DIRTY, EPOCH, EXCLUSIVE, FAILED, FRESH, GRANT, HOLDERS, MAIN, MODIFIED, OFF, READS, TOWRITE, UNSTABLE, VIEW, WAITERS, WRITEBACK,
  WRITER, WRITES,
  addLatched, appendLatched, blocksOf, isOwner, mappingOf, recordOf, tryLatchLists, unlatchLists, unlinkLatched, writesIn,
} from "./memory";

@inline
function countDirty(mapping: u32, delta: u32): void {
  addLatched(mappingOf(mapping) + MAPPING_DIRTY, delta);
  addLatched(HEADER_DIRTY, delta);
}

@inline
function countWriteback(mapping: u32, delta: u32): void {
  addLatched(mappingOf(mapping) + MAPPING_WRITEBACK, delta);
  addLatched(HEADER_WRITEBACK, delta);
}

/**
 * Counts, with the page's way back to the dirty list and under the same latch: whoever goes through the lists one after another, and
 * missed the page for that, sees that the count has changed.
 */
@inline
function countReturned(mapping: u32, field: u32): void {
  addLatched(mappingOf(mapping) + field, 1);
}

@inline
function countUnstable(mapping: u32, delta: u32): void {
  addLatched(mappingOf(mapping) + MAPPING_UNSTABLE, delta);
  addLatched(HEADER_UNSTABLE, delta);
}

/** Where a clean frame belongs that is neither locked nor pinned. */
@inline
export function homeOf(word: u64): u32 {
  return (word & MAIN) != 0 ? LIST_MAIN : LIST_SMALL;
}

/**
 * Step, guard of R2, R3, R19: the page becomes dirty, its blocks first. The caller owns the exclusive lock, and the store
 * has granted pageMkwrite; `blocks` is the block word that it answered. A clean page also becomes FRESH.
 * OK (1 if it was not dirty before) or LOST.
 */
export function markDirty(frame: u32, thread: u32, blocks: u32, seconds: u32): i32 {
  let record: u32 = recordOf(frame);
  let mapping: u32 = u32(atomic.load<u16>(record + RECORD_MAPPING));
  if (!tryLatchLists()) return LOST;
  let word: u64 = atomic.load<u64>(record);
  if (!isOwner(word, thread)) {
    unlatchLists();
    return BUSY;
  }
  let after: u64 = (word | DIRTY | GRANT) & ~(UNSTABLE | OFF);
  if ((word & (DIRTY | WRITEBACK | UNSTABLE)) == 0 && writesIn(word) == 0) after = (after | FRESH) & ~MODIFIED;
  if (atomic.cmpxchg<u64>(record, word, after) != word) {
    unlatchLists();
    return LOST;
  }
  atomic.store<u32>(blocksOf(frame), blocks);
  let answer: i32 = 0;
  if ((word & DIRTY) == 0) {
    unlinkLatched(frame, mapping);
    appendLatched(frame, LIST_DIRTY, mapping);
    atomic.store<u16>(record + RECORD_DIRTIED, u16(seconds));
    countDirty(mapping, 1);
    if ((word & UNSTABLE) != 0) countUnstable(mapping, -1);
    answer = 1;
  }
  unlatchLists();
  return answer;
}

/** Step: one of several writers of a page has finished with changes, while another goes on. The caller is, or owns, a writer. */
export function markModified(frame: u32): void {
  atomic.or<u64>(recordOf(frame), MODIFIED);
}

/**
 * Step: a page that turned out unmodified goes back to clean. The caller owns the exclusive lock and has given the grant
 * back to the store. OK; BUSY if that is not allowed (not fresh, modified, other writers, a snapshot in flight); LOST.
 */
export function cleanUnmodified(frame: u32, thread: u32): i32 {
  let record: u32 = recordOf(frame);
  let mapping: u32 = u32(atomic.load<u16>(record + RECORD_MAPPING));
  if (!tryLatchLists()) return LOST;
  let word: u64 = atomic.load<u64>(record);
  if (!isOwner(word, thread) || (word & (DIRTY | FRESH)) != (DIRTY | FRESH) || (word & (MODIFIED | WRITEBACK | WRITES | VIEW)) != 0) {
    unlatchLists();
    return BUSY;
  }
  // The owner's release finds the frame off the queues and puts it back there.
  let after: u64 = (word & ~(DIRTY | GRANT | FRESH | TOWRITE | FAILED)) | OFF;
  if (atomic.cmpxchg<u64>(record, word, after) != word) {
    unlatchLists();
    return LOST;
  }
  unlinkLatched(frame, mapping);
  atomic.store<u32>(blocksOf(frame), 0);
  countDirty(mapping, -1);
  unlatchLists();
  return OK;
}

/**
 * Step, guard of R1, R14, R20: dirty becomes write-back, before the I/O starts. The caller holds the page lock shared and
 * there is no counted write pin and no view that may store, so that the bytes stay as they are. OK, BUSY (not dirty, in
 * flight, pinned, VIEW), LOST.
 */
export function beginWriteback(frame: u32, thread: u32): i32 {
  let record: u32 = recordOf(frame);
  let mapping: u32 = u32(atomic.load<u16>(record + RECORD_MAPPING));
  if (!tryLatchLists()) return LOST;
  let word: u64 = atomic.load<u64>(record);
  if ((word & DIRTY) == 0 || (word & (EXCLUSIVE | WRITEBACK | WRITES | VIEW)) != 0) {
    unlatchLists();
    return BUSY;
  }
  let after: u64 = (word & ~(DIRTY | TOWRITE | FAILED | FRESH | MODIFIED | WRITER)) | WRITEBACK | (u64(thread) << WRITER_SHIFT);
  if (atomic.cmpxchg<u64>(record, word, after) != word) {
    unlatchLists();
    return LOST;
  }
  unlinkLatched(frame, mapping);
  appendLatched(frame, LIST_WRITEBACK, mapping);
  countDirty(mapping, -1);
  countWriteback(mapping, 1);
  unlatchLists();
  return OK;
}

/**
 * Step: a snapshot of a page that stays dirty starts on its way. The caller holds the page lock: shared, where there are
 * counted write pins, or exclusive (flush() by its owner); else the page could change hands, or frames. The caller copies the
 * bytes after this. OK, BUSY, LOST. Guard of R25: one write of a page at a time.
 */
export function beginSnapshot(frame: u32, thread: u32): i32 {
  let record: u32 = recordOf(frame);
  let mapping: u32 = u32(atomic.load<u16>(record + RECORD_MAPPING));
  if (!tryLatchLists()) return LOST;
  let word: u64 = atomic.load<u64>(record);
  if ((word & DIRTY) == 0 || (word & WRITEBACK) != 0 || (word & (WRITES | EXCLUSIVE)) == 0) {
    unlatchLists();
    return BUSY;
  }
  let after: u64 = (word & ~(TOWRITE | FAILED | WRITER)) | WRITEBACK | MODIFIED | (u64(thread) << WRITER_SHIFT);
  if (atomic.cmpxchg<u64>(record, word, after) != word) {
    unlatchLists();
    return LOST;
  }
  countWriteback(mapping, 1);
  unlatchLists();
  return OK;
}

/**
 * Step: the store took the bytes (OUTCOME_UNSTABLE; OUTCOME_STABLE where durability is the kernel's affair) or failed
 * (OUTCOME_FAILED: dirty again, kept, and counted). Never clears dirty. WAKE bit, or LOST.
 * `syncErrors`: those of the mapping before the store was asked. A store sync that has failed since may have lost what the store took
 * meanwhile, and has not found the page among the unstable ones (guard of R15): dirty again, too.
 */
export function endWriteback(frame: u32, result: i32, syncErrors: u32): i32 {
  let record: u32 = recordOf(frame);
  let mapping: u32 = u32(atomic.load<u16>(record + RECORD_MAPPING));
  if (!tryLatchLists()) return LOST;
  let word: u64 = atomic.load<u64>(record);
  let isLost: bool = result == OUTCOME_UNSTABLE && atomic.load<u32>(mappingOf(mapping) + MAPPING_SYNC_ERRORS) != syncErrors;
  let outcome: i32 = isLost ? OUTCOME_FAILED : result;
  let after: u64 = word & ~(WRITEBACK | WRITER);
  let epoch: u32 = atomic.load<u32>(mappingOf(mapping) + MAPPING_EPOCH);
  if ((word & DIRTY) != 0) {
    if (outcome == OUTCOME_FAILED) after = after | FAILED;
  } else if (outcome == OUTCOME_FAILED) {
    after = after | DIRTY | FAILED;
  } else if (outcome == OUTCOME_UNSTABLE) {
    after = (after & ~EPOCH) | UNSTABLE | (epoch != 0 ? EPOCH : u64(0));
  } else {
    after = cleanedWord(after);
  }
  if (atomic.cmpxchg<u64>(record, word, after) != word) {
    unlatchLists();
    return LOST;
  }
  countWriteback(mapping, -1);
  if (outcome == OUTCOME_FAILED) countReturned(mapping, MAPPING_WRITE_ERRORS);
  // What has been written is no longer a reservation that could be given back.
  if (outcome != OUTCOME_FAILED) atomic.and<u32>(blocksOf(frame), BLOCKS_GRANTED);
  if (isLost) atomic.and<u32>(blocksOf(frame), BLOCKS_GRANTED);
  if ((word & DIRTY) == 0) {
    unlinkLatched(frame, mapping);
    if (outcome == OUTCOME_FAILED) {
      appendLatched(frame, LIST_DIRTY, mapping);
      countDirty(mapping, 1);
    } else if (outcome == OUTCOME_UNSTABLE) {
      appendLatched(frame, LIST_UNSTABLE_0 + epoch, mapping);
      countUnstable(mapping, 1);
    } else {
      atomic.store<u32>(blocksOf(frame), 0);
      if ((after & OFF) == 0) appendLatched(frame, homeOf(after), mapping);
    }
  }
  unlatchLists();
  return (after & WAITERS) != 0 ? WAKE : 0;
}

/** A clean word: without grant; off the queues while anybody holds the frame (the last release puts it back). */
@inline
function cleanedWord(word: u64): u64 {
  let after: u64 = word & ~(GRANT | UNSTABLE | FAILED);
  return (after & (EXCLUSIVE | HOLDERS | READS | WRITES)) != 0 ? after | OFF : after;
}

/** Step: flips the epoch bit before a store sync, so that completions from now on belong to the next. The old epoch, or LOST. */
export function flipEpoch(mapping: u32): i32 {
  if (!tryLatchLists()) return LOST;
  let at: u32 = mappingOf(mapping) + MAPPING_EPOCH;
  let epoch: u32 = atomic.load<u32>(at);
  atomic.store<u32>(at, epoch ^ 1);
  unlatchLists();
  return i32(epoch);
}

/** Step: one unstable page of `epoch` is durable, hence clean. Its frame, NONE when there is no more, or LOST. */
export function stabilizeNext(mapping: u32, epoch: u32): i32 {
  if (!tryLatchLists()) return LOST;
  let head: u32 = atomic.load<u32>(mappingOf(mapping) + MAPPING_UNSTABLE_LIST_0 + (epoch << 4));
  if (head == 0) {
    unlatchLists();
    return NONE;
  }
  let frame: u32 = head - 1;
  let record: u32 = recordOf(frame);
  let word: u64 = atomic.load<u64>(record);
  let after: u64 = cleanedWord(word);
  if (atomic.cmpxchg<u64>(record, word, after) != word) {
    unlatchLists();
    return LOST;
  }
  unlinkLatched(frame, mapping);
  atomic.store<u32>(blocksOf(frame), 0);
  if ((after & OFF) == 0) appendLatched(frame, homeOf(after), mapping);
  countUnstable(mapping, -1);
  unlatchLists();
  return i32(frame);
}

/** Step: the store's sync failed, so one unstable page of `epoch` is dirty again, with its grant, and counted. Frame, NONE, or LOST. */
export function redirtyNext(mapping: u32, epoch: u32): i32 {
  if (!tryLatchLists()) return LOST;
  let head: u32 = atomic.load<u32>(mappingOf(mapping) + MAPPING_UNSTABLE_LIST_0 + (epoch << 4));
  if (head == 0) {
    unlatchLists();
    return NONE;
  }
  let frame: u32 = head - 1;
  let record: u32 = recordOf(frame);
  let word: u64 = atomic.load<u64>(record);
  if (atomic.cmpxchg<u64>(record, word, (word & ~UNSTABLE) | DIRTY | FAILED) != word) {
    unlatchLists();
    return LOST;
  }
  unlinkLatched(frame, mapping);
  appendLatched(frame, LIST_DIRTY, mapping);
  countUnstable(mapping, -1);
  countDirty(mapping, 1);
  countReturned(mapping, MAPPING_SYNC_ERRORS);
  unlatchLists();
  return i32(frame);
}

/**
 * Step: the frame at the head of the mapping's dirty list, which moves to its tail; as many calls as there are dirty pages
 * meet each that was there. NONE when there is none, or LOST.
 */
export function nextDirty(mapping: u32): i32 {
  if (!tryLatchLists()) return LOST;
  let head: u32 = atomic.load<u32>(mappingOf(mapping) + MAPPING_DIRTY_LIST);
  if (head == 0) {
    unlatchLists();
    return NONE;
  }
  unlinkLatched(head - 1, mapping);
  appendLatched(head - 1, LIST_DIRTY, mapping);
  unlatchLists();
  return i32(head - 1);
}

/** Step: the frame at the head of the mapping's write-back list, which moves to its tail; as nextDirty. NONE or LOST. */
export function nextWriteback(mapping: u32): i32 {
  if (!tryLatchLists()) return LOST;
  let head: u32 = atomic.load<u32>(mappingOf(mapping) + MAPPING_WRITEBACK_LIST);
  if (head == 0) {
    unlatchLists();
    return NONE;
  }
  unlinkLatched(head - 1, mapping);
  appendLatched(head - 1, LIST_WRITEBACK, mapping);
  unlatchLists();
  return i32(head - 1);
}

/** Step: a sync wants this page written (the tag that makes it end). OK, BUSY if it is not dirty, LOST. */
export function tagTowrite(frame: u32): i32 {
  let record: u32 = recordOf(frame);
  let word: u64 = atomic.load<u64>(record);
  if ((word & DIRTY) == 0) return BUSY;
  return atomic.cmpxchg<u64>(record, word, word | TOWRITE) == word ? OK : LOST;
}
