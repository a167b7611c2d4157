/**
 * Mapped views and optimistic readers: accesses to a page's bytes without its lock.
 *
 * A record's view word says what a view that has looked a page up may still do: its upper 31 bits change whenever the frame
 * changes hands or views have to look again (then a load is repeated), bit 0 allows stores. The page word's VIEW bit says that
 * bit 0 may be set, and counts as a writer: the version is odd.
 *
 * Invariants: bit 0 is set only under the exclusive lock of a dirty page with a grant, together with VIEW. VIEW is cleared only
 * after bit 0 was cleared (revokeView), every thread was made to see that, and no thread's hazard slot named the frame
 * (frames/views.ts does all three), under the lock, shared or exclusive, so that nobody can set bit 0 again meanwhile.
 *
 * See also: frames/views.ts (the protocol, R24).
 */

import {
  BUSY, GONE, LOST, OK, RECORD_NEXT, RECORD_VERSION, RECORD_VIEW, STATE_MAPPED, THREAD_VERSION, VIEW_STEP, VIEW_WRITABLE,
} from "../layout";
import {
  DIRTY, EXCLUSIVE, FREQUENCY, FRESH, GRANT, HOLDERS, MODIFIED, ONE_FREQUENCY, STATES, UPTODATE, VIEW, WRITES, isOwner, keyIs, recordOf, threadOf,
} from "./memory";
import { bucketOf } from "./lock";

/** The view word of a frame. */
export function viewOf(frame: u32): u32 {
  return atomic.load<u32>(recordOf(frame) + RECORD_VIEW);
}

/** Step: views may store from now on. The caller owns the exclusive lock. OK; BUSY if the page is not dirty with a grant; LOST. */
export function openView(frame: u32, thread: u32): i32 {
  let record: u32 = recordOf(frame);
  let word: u64 = atomic.load<u64>(record);
  if (!isOwner(word, thread) || (word & (DIRTY | GRANT | UPTODATE)) != (DIRTY | GRANT | UPTODATE)) return BUSY;
  if (atomic.cmpxchg<u64>(record, word, word | VIEW | MODIFIED) != word) return LOST;
  atomic.or<u32>(record + RECORD_VIEW, VIEW_WRITABLE);
  return OK;
}

/** Step: the first half of taking the access away: stores that look from now on find it gone. The caller has the lock. */
export function revokeView(frame: u32): void {
  atomic.and<u32>(recordOf(frame) + RECORD_VIEW, ~VIEW_WRITABLE);
}

/** Step: views have to look the page up again, loads too. The caller owns the exclusive lock; stores were revoked. */
export function ageView(frame: u32): void {
  atomic.add<u32>(recordOf(frame) + RECORD_VIEW, VIEW_STEP);
}

/**
 * Step: the second half: no view stores any more. The caller has the lock, shared or exclusive, and knows that no store is on
 * its way. OK; BUSY without the lock, or if stores were allowed again; LOST.
 */
export function closeView(frame: u32): i32 {
  let record: u32 = recordOf(frame);
  let word: u64 = atomic.load<u64>(record);
  if ((word & VIEW) == 0) return OK;
  if ((word & (EXCLUSIVE | HOLDERS)) == 0 || (atomic.load<u32>(record + RECORD_VIEW) & VIEW_WRITABLE) != 0) return BUSY;
  let others: bool = (word & (EXCLUSIVE | WRITES)) != 0;
  let after: u64 = word & ~(others ? VIEW : VIEW | FRESH | MODIFIED);
  let bump: u32 = others ? 2 : 1;
  atomic.add<u32>(record + RECORD_VERSION, bump);
  if (atomic.cmpxchg<u64>(record, word, after) != word) {
    atomic.add<u32>(record + RECORD_VERSION, bump);
    return LOST;
  }
  return OK;
}

/**
 * Step: finds (mapping, index) among the first four of its chain for a reader that takes no lock. The frame, with its version
 * in the thread's slot (THREAD_VERSION) from a moment when nobody was writing. BUSY while somebody may be; GONE if the page is
 * not among these. What was read is good if the version is the same afterwards.
 */
export function optimisticBegin(mapping: u32, index: u32, thread: u32): i32 {
  let next: u32 = u32(atomic.load<u64>(bucketOf(mapping, index)));
  if (next == 0) return GONE;
  let frame: u32 = next - 1;
  if (!keyIs(recordOf(frame), mapping, index)) {
    next = atomic.load<u32>(recordOf(frame) + RECORD_NEXT);
    if (next == 0) return GONE;
    frame = next - 1;
    if (!keyIs(recordOf(frame), mapping, index)) {
      next = atomic.load<u32>(recordOf(frame) + RECORD_NEXT);
      if (next == 0) return GONE;
      frame = next - 1;
      if (!keyIs(recordOf(frame), mapping, index)) {
        next = atomic.load<u32>(recordOf(frame) + RECORD_NEXT);
        if (next == 0) return GONE;
        frame = next - 1;
      }
    }
  }
  let record: u32 = recordOf(frame);
  let version: u32 = atomic.load<u32>(record + RECORD_VERSION);
  // Key and word are looked at after the version: who comes into the frame or starts to write from now on changes it before.
  let word: u64 = atomic.load<u64>(record);
  if (!keyIs(record, mapping, index) || (word & STATES) != STATE_MAPPED) return GONE;
  // An even version is no proof that nobody writes: a put counts it up before its swap, and may lose that to a new owner.
  if ((word & (EXCLUSIVE | WRITES | VIEW)) != 0 || (version & 1) != 0) return BUSY;
  // A use, as far as keeping the page in the cache needs it: at 2 readers stop counting, and write nothing any more.
  if ((word & FREQUENCY) < ONE_FREQUENCY + ONE_FREQUENCY) atomic.cmpxchg<u64>(record, word, word + ONE_FREQUENCY);
  atomic.store<u32>(threadOf(thread) + THREAD_VERSION, version);
  return i32(frame);
}
