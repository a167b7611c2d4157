/**
 * The page lock and counted pins: steps on one page word (and its owner's ledger).
 *
 * Invariants: a word is exclusive (owner's slot in the holders' field) or shared (a count there), never both. The version
 * is even exactly while the record is mapped, not exclusive, without counted write pins and without VIEW: a writer makes it
 * odd after it has the word and even again before it lets go (and odd again, if that swap is lost). A ledger entry of a thread
 * counts its shared holds and counted pins.
 *
 * A swap that succeeded on a record whose key had changed meanwhile (another page came into the frame) is undone; where
 * somebody met that hold and waits, or left the frame to it to put back, the answer is LOST_WAKE: wake and requeue.
 */

import {
  BUSY, DEADLOCK, FULL, GONE, HOLDERS_MAX, IDLE, LOST, LOST_WAKE, OK, READS_MAX, RECORD_NEXT,
  RECORD_VERSION, STATE_MAPPED, THREAD_RACED, WAKE, WRITES_MAX, HEADER_WRITE_PINNED,
} from "../layout";
import {
  EVICTING, EXCLUSIVE, FRESH, GATE, HOLDERS, MODIFIED, OFF, ONE_HOLDER, ONE_READ, ONE_WRITE, READS, STATES, VIEW, WAITERS, WRITES,
  bucketsAt, frames, holdersIn, isOwner, keyIs, ledgerOf, othersWrite, ownedBy, readsIn, recordOf, threadOf, touched,
  tryLatchLists, unlatchLists, writesIn,
} from "./memory";

/** Units of a ledger entry: 12 bits of shared holds, 10 of counted reads, 10 of counted writes. */
export const LEDGER_SHARED: u32 = 1;
export const LEDGER_READ: u32 = 1 << 12;
export const LEDGER_WRITE: u32 = 1 << 22;

@inline
export function addLedger(frame: u32, thread: u32, delta: u32): void {
  let entry: u32 = ledgerOf(frame, thread);
  atomic.store<u32>(entry, atomic.load<u32>(entry) + delta);
}

/** What the release of a hold has to be followed by, from the word after it. */
@inline
function afterRelease(word: u64): i32 {
  let answer: i32 = 0;
  if ((word & WAITERS) != 0 && (word & EXCLUSIVE) == 0) answer = WAKE;
  if ((word & OFF) != 0 && (word & (EXCLUSIVE | HOLDERS | READS | WRITES)) == 0) answer = answer | IDLE;
  return answer;
}

@inline
function lockSharedInline(frame: u32, mapping: u32, index: u32, thread: u32): i32 {
  let record: u32 = recordOf(frame);
  let word: u64 = atomic.load<u64>(record);
  if ((word & STATES) != STATE_MAPPED || !keyIs(record, mapping, index)) return GONE;
  if ((word & EVICTING) != 0) return LOST;
  if ((word & (EXCLUSIVE | GATE)) != 0) return BUSY;
  if (holdersIn(word) >= u32(HOLDERS_MAX)) return FULL;
  if (atomic.cmpxchg<u64>(record, word, touched(word) + ONE_HOLDER) != word) return LOST;
  if (!keyIs(record, mapping, index)) {
    let after: u64 = atomic.sub<u64>(record, ONE_HOLDER) - ONE_HOLDER;
    return afterRelease(after) != 0 ? LOST_WAKE : LOST;
  }
  addLedger(frame, thread, LEDGER_SHARED);
  return OK;
}

/** Step. Takes the page lock shared: OK, LOST, BUSY, GONE, FULL or LOST_WAKE. Success means uptodate. */
export function lockShared(frame: u32, mapping: u32, index: u32, thread: u32): i32 {
  return lockSharedInline(frame, mapping, index, thread);
}

/** Bucket of a page: Fibonacci hashing (Knuth, TAOCP 3, 6.4), spread over the buckets by the high half of a product. */
@inline
export function bucketOf(mapping: u32, index: u32): u32 {
  let hash: u32 = index * 0x9e3779b1 + mapping * 0x85ebca77;
  hash = (hash ^ (hash >> 15)) * 0x2c1b3c6d;
  hash = hash ^ (hash >> 13);
  return bucketsAt + (u32((u64(hash) * u64(frames)) >> 32) << 3);
}

/**
 * Step. Looks up (mapping, index) among the first four of its chain and takes the page lock shared.
 * Answers the frame; GONE if it is not among these (look it up with find); else as lockShared. After LOST_WAKE the frame
 * whose waiters have to be woken stands in the thread's slot (THREAD_RACED).
 */
export function tryPinShared(mapping: u32, index: u32, thread: u32): i32 {
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
  let answer: i32 = lockSharedInline(frame, mapping, index, thread);
  if (answer == LOST_WAKE) atomic.store<u32>(threadOf(thread) + THREAD_RACED, frame);
  return answer == OK ? i32(frame) : answer;
}

/**
 * Takes the lock of a page that others may be writing to (counted write pins, a view). The lists' latch keeps the page in its
 * frame between the look at its key and the swap, so that nothing has to be undone: a put that met an owner who is none would
 * leave the version odd.
 */
@inline
function lockPinned(frame: u32, mapping: u32, index: u32, thread: u32): i32 {
  let record: u32 = recordOf(frame);
  if (!tryLatchLists()) return LOST;
  let word: u64 = atomic.load<u64>(record);
  let answer: i32 = OK;
  if ((word & STATES) != STATE_MAPPED || !keyIs(record, mapping, index)) answer = GONE;
  else if ((word & EVICTING) != 0) answer = LOST;
  else if ((word & (EXCLUSIVE | HOLDERS | WAITERS)) != 0) answer = BUSY;
  else if (atomic.cmpxchg<u64>(record, word, touched(word) | ownedBy(thread)) != word) answer = LOST;
  unlatchLists();
  if (answer != OK) return answer;
  atomic.add<u32>(record + RECORD_VERSION, othersWrite(word) ? 2 : 1);
  return OK;
}

/** Step. Takes the page lock exclusive for `thread`. OK, LOST, BUSY, GONE or LOST_WAKE. */
export function lockExclusive(frame: u32, mapping: u32, index: u32, thread: u32): i32 {
  let record: u32 = recordOf(frame);
  let word: u64 = atomic.load<u64>(record);
  if ((word & STATES) != STATE_MAPPED || !keyIs(record, mapping, index)) return GONE;
  if ((word & EVICTING) != 0) return LOST;
  if ((word & (EXCLUSIVE | HOLDERS | WAITERS)) != 0) return BUSY;
  if (othersWrite(word)) return lockPinned(frame, mapping, index, thread);
  let owned: u64 = ownedBy(thread);
  if (atomic.cmpxchg<u64>(record, word, touched(word) | owned) != word) return LOST;
  if (!keyIs(record, mapping, index)) {
    let after: u64 = atomic.sub<u64>(record, owned) - owned;
    return afterRelease(after) != 0 ? LOST_WAKE : LOST;
  }
  atomic.add<u32>(record + RECORD_VERSION, 1);
  return OK;
}

/** Step. Lets go of a shared hold. Answers WAKE and IDLE bits. */
export function unlockShared(frame: u32, thread: u32): i32 {
  let record: u32 = recordOf(frame);
  addLedger(frame, thread, 0 - LEDGER_SHARED);
  return afterRelease(atomic.sub<u64>(record, ONE_HOLDER) - ONE_HOLDER);
}

/** The word without FRESH and MODIFIED where the last writer leaves, with MODIFIED where others stay. */
@inline
function writerLeft(word: u64, modified: u32): u64 {
  if ((word & (EXCLUSIVE | WRITES | VIEW)) == 0) return word & ~(FRESH | MODIFIED);
  return modified != 0 ? word | MODIFIED : word;
}

/** Step. Lets go of the exclusive lock; `modified`: bytes were changed under it. WAKE and IDLE bits, or LOST. */
export function unlockExclusive(frame: u32, thread: u32, modified: u32): i32 {
  let record: u32 = recordOf(frame);
  let word: u64 = atomic.load<u64>(record);
  if (!isOwner(word, thread)) return GONE;
  let after: u64 = writerLeft(word - ownedBy(thread), modified);
  let bump: u32 = othersWrite(word) ? 2 : 1;
  atomic.add<u32>(record + RECORD_VERSION, bump);
  if (atomic.cmpxchg<u64>(record, word, after) != word) {
    atomic.add<u32>(record + RECORD_VERSION, bump);
    return LOST;
  }
  return afterRelease(after);
}

/**
 * Step. The exclusive lock of a dead thread becomes that of `thread`, which cleans up after it: nobody comes between. OK; GONE: the
 * dead one does not have it; LOST.
 */
export function takeOver(frame: u32, dead: u32, thread: u32): i32 {
  let record: u32 = recordOf(frame);
  let word: u64 = atomic.load<u64>(record);
  if (!isOwner(word, dead)) return GONE;
  return atomic.cmpxchg<u64>(record, word, word - ownedBy(dead) + ownedBy(thread)) == word ? OK : LOST;
}

/** Step. Exclusive becomes shared. WAKE bit, or LOST. */
export function downgrade(frame: u32, thread: u32, modified: u32): i32 {
  let record: u32 = recordOf(frame);
  let word: u64 = atomic.load<u64>(record);
  if (!isOwner(word, thread)) return GONE;
  let after: u64 = writerLeft(word - ownedBy(thread), modified) + ONE_HOLDER;
  let bump: u32 = othersWrite(word) ? 2 : 1;
  atomic.add<u32>(record + RECORD_VERSION, bump);
  if (atomic.cmpxchg<u64>(record, word, after) != word) {
    atomic.add<u32>(record + RECORD_VERSION, bump);
    return LOST;
  }
  addLedger(frame, thread, LEDGER_SHARED);
  return afterRelease(after);
}

/** Step. The only shared holder becomes exclusive. OK, LOST, or BUSY while there are others. */
export function upgrade(frame: u32, thread: u32): i32 {
  let record: u32 = recordOf(frame);
  let word: u64 = atomic.load<u64>(record);
  if ((word & EXCLUSIVE) != 0) return GONE;
  if (holdersIn(word) != 1) return BUSY;
  let after: u64 = (word - ONE_HOLDER) | ownedBy(thread);
  if (atomic.cmpxchg<u64>(record, word, after) != word) return LOST;
  atomic.add<u32>(record + RECORD_VERSION, othersWrite(word) ? 2 : 1);
  addLedger(frame, thread, 0 - LEDGER_SHARED);
  return OK;
}

/** Step. An exclusive hold becomes a counted write pin. WAKE bit, LOST, FULL. */
export function exclusiveToCounted(frame: u32, thread: u32): i32 {
  let record: u32 = recordOf(frame);
  let word: u64 = atomic.load<u64>(record);
  if (!isOwner(word, thread)) return GONE;
  if (writesIn(word) >= u32(WRITES_MAX)) return FULL;
  let after: u64 = word - ownedBy(thread) + ONE_WRITE;
  if (atomic.cmpxchg<u64>(record, word, after) != word) {
    return LOST;
  }
  atomic.add<u32>(record + RECORD_VERSION, 2);
  addLedger(frame, thread, LEDGER_WRITE);
  if (writesIn(word) == 0) atomic.add<u32>(HEADER_WRITE_PINNED, 1);
  return afterRelease(after);
}

/** Step. A shared hold becomes a counted read pin. WAKE bit, LOST, FULL. */
export function sharedToCounted(frame: u32, thread: u32): i32 {
  let record: u32 = recordOf(frame);
  let word: u64 = atomic.load<u64>(record);
  if (readsIn(word) >= u32(READS_MAX)) return FULL;
  let after: u64 = word - ONE_HOLDER + ONE_READ;
  if (atomic.cmpxchg<u64>(record, word, after) != word) return LOST;
  addLedger(frame, thread, LEDGER_READ - LEDGER_SHARED);
  return afterRelease(after);
}

/** Step. Puts a counted read pin. WAKE and IDLE bits, or LOST. */
export function putCountedRead(frame: u32, thread: u32): i32 {
  let record: u32 = recordOf(frame);
  addLedger(frame, thread, 0 - LEDGER_READ);
  return afterRelease(atomic.sub<u64>(record, ONE_READ) - ONE_READ);
}

/** Step. Puts a counted write pin; `modified` as for unlockExclusive. WAKE and IDLE bits, or LOST. */
export function putCountedWrite(frame: u32, thread: u32, modified: u32): i32 {
  let record: u32 = recordOf(frame);
  let word: u64 = atomic.load<u64>(record);
  let left: u64 = word - ONE_WRITE;
  let after: u64 = writerLeft(left, modified);
  let bump: u32 = (left & (EXCLUSIVE | WRITES | VIEW)) == 0 ? 1 : 2;
  atomic.add<u32>(record + RECORD_VERSION, bump);
  if (atomic.cmpxchg<u64>(record, word, after) != word) {
    atomic.add<u32>(record + RECORD_VERSION, bump);
    return LOST;
  }
  addLedger(frame, thread, 0 - LEDGER_WRITE);
  if (writesIn(left) == 0) atomic.sub<u32>(HEADER_WRITE_PINNED, 1);
  return afterRelease(after);
}

/** Step. Closes (1) or opens (0) the gate that keeps new sharers out; only where somebody waits. OK, LOST, or NONE as BUSY. */
export function setGate(frame: u32, closed: u32): i32 {
  let record: u32 = recordOf(frame);
  let word: u64 = atomic.load<u64>(record);
  if (closed != 0 && (word & WAITERS) == 0) return BUSY;
  let after: u64 = closed != 0 ? word | GATE : word & ~GATE;
  return atomic.cmpxchg<u64>(record, word, after) == word ? OK : LOST;
}
