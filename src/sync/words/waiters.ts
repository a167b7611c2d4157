/**
 * Waiters: nodes of a bounded table, queued on a record's queue word (latch, head, tail), first come first served.
 *
 * Invariants: a node that is WAITING is on the queue of its record, once; all others are on none. WAITERS is set in the
 * record's word while its queue holds a node (it may be set for an instant longer; never missing). A hold that was granted
 * belongs to the node, and is in the word, until its thread accepts it: then it is in that thread's ledger.
 *
 * R22 (lost wake-up): enqueue tests the word again under the queue's latch and sets WAITERS in the very swap that proves
 * that the wait is due; a release sees WAITERS in the word that it swaps. R23 (abort against grant): both need the latch,
 * and who comes second finds the node's state changed.
 */

import {
  BUSY, DEADLOCK, FULL, GONE, HEADER_NODES_FREE, HEADER_NODES_USED, HOLDERS_MAX, LOST, MODE_EXCLUSIVE, MODE_NOTIFY, MODE_SHARED, MODE_UPGRADE,
  MODE_WRITEBACK, NODE_CANCELLED, NODE_DISMISSED, NODE_FRAME, NODE_FREE, NODE_GRANTED, NODE_MODE, NODE_NEXT, NODE_PREVIOUS,
  NODE_RESULT, NODE_SCOPE, NODE_STATE, NODE_THREAD, NODE_WAITING, NONE, OK, QUEUE_HEAD_SHIFT, QUEUE_LATCH, QUEUE_MASK,
  QUEUE_TAIL_SHIFT, RECORD_QUEUE, RECORD_VERSION, STATE_MAPPED,
} from "../layout";
import {
  EVICTING, EXCLUSIVE, GATE, HOLDERS, ONE_HOLDER, STATES, WAITERS, WRITEBACK,
  holdersIn, keyIs, nodeOf, othersWrite, ownedBy, recordOf,
} from "./memory";
import { LEDGER_SHARED, addLedger } from "./lock";

/** Whether a waiter of `mode` could have its way now, others in the queue apart. */
@inline
function possible(word: u64, mode: u32, joining: bool): bool {
  if (mode == MODE_SHARED) return (word & EXCLUSIVE) == 0 && holdersIn(word) < u32(HOLDERS_MAX) && (!joining || (word & GATE) == 0);
  if (mode == MODE_EXCLUSIVE) return (word & (EXCLUSIVE | HOLDERS)) == 0 && (!joining || (word & WAITERS) == 0);
  if (mode == MODE_UPGRADE) return (word & EXCLUSIVE) == 0 && holdersIn(word) == 1;
  if (mode == MODE_WRITEBACK) return (word & WRITEBACK) == 0;
  return !joining;
}

/**
 * Step: joins the queue of a record (an upgrade joins at its head). The node; or LOST (try to take it first, it may be
 * free by now), GONE, FULL (no node left), DEADLOCK (a second upgrader).
 */
export function enqueue(frame: u32, mapping: u32, index: u32, mode: u32, thread: u32, scope: u32): i32 {
  let record: u32 = recordOf(frame);
  let queue: u32 = atomic.load<u32>(record + RECORD_QUEUE);
  if ((queue & QUEUE_LATCH) != 0) return LOST;
  let free: u64 = atomic.load<u64>(HEADER_NODES_FREE);
  let top: u32 = u32(free);
  if (top == 0) return FULL;
  if (atomic.cmpxchg<u32>(record + RECORD_QUEUE, queue, queue | QUEUE_LATCH) != queue) return LOST;
  let head: u32 = (queue >> QUEUE_HEAD_SHIFT) & QUEUE_MASK;
  let tail: u32 = (queue >> QUEUE_TAIL_SHIFT) & QUEUE_MASK;
  let word: u64 = atomic.load<u64>(record);
  let answer: i32 = OK;
  if ((word & STATES) != STATE_MAPPED || !keyIs(record, mapping, index)) answer = GONE;
  else if ((word & EVICTING) != 0 || possible(word, mode, true)) answer = LOST;
  else if (mode == MODE_UPGRADE && head != 0 && atomic.load<u32>(nodeOf(head - 1) + NODE_MODE) == MODE_UPGRADE) answer = DEADLOCK;
  else if (atomic.cmpxchg<u64>(record, word, word | WAITERS) != word) answer = LOST;
  if (answer != OK) {
    atomic.store<u32>(record + RECORD_QUEUE, queue);
    return answer;
  }
  let node: u32 = nodeOf(top - 1);
  // The tag above the node number keeps a pop from taking a top that went and came back.
  let rest: u64 = ((free >> 32) + 1) << 32 | u64(atomic.load<u32>(node + NODE_NEXT));
  // Another page may have come into the frame before the swap; none can after it, since WAITERS keeps it from being removed.
  if (!keyIs(record, mapping, index)) answer = GONE;
  else if (atomic.cmpxchg<u64>(HEADER_NODES_FREE, free, rest) != free) answer = LOST;
  if (answer != OK) {
    if (head == 0) atomic.and<u64>(record, ~(WAITERS | GATE));
    atomic.store<u32>(record + RECORD_QUEUE, queue);
    return answer;
  }
  atomic.add<u32>(HEADER_NODES_USED, 1);
  atomic.store<u32>(node + NODE_FRAME, frame);
  atomic.store<u32>(node + NODE_THREAD, thread);
  atomic.store<u32>(node + NODE_MODE, mode);
  atomic.store<u32>(node + NODE_SCOPE, scope);
  atomic.store<u32>(node + NODE_RESULT, 0);
  if (mode == MODE_UPGRADE) {
    atomic.store<u32>(node + NODE_NEXT, head);
    atomic.store<u32>(node + NODE_PREVIOUS, 0);
    if (head != 0) atomic.store<u32>(nodeOf(head - 1) + NODE_PREVIOUS, top);
    if (tail == 0) tail = top;
    head = top;
  } else {
    atomic.store<u32>(node + NODE_NEXT, 0);
    atomic.store<u32>(node + NODE_PREVIOUS, tail);
    if (tail != 0) atomic.store<u32>(nodeOf(tail - 1) + NODE_NEXT, top);
    if (head == 0) head = top;
    tail = top;
  }
  atomic.store<u32>(node + NODE_STATE, NODE_WAITING);
  atomic.store<u32>(record + RECORD_QUEUE, (head << QUEUE_HEAD_SHIFT) | (tail << QUEUE_TAIL_SHIFT));
  return i32(top - 1);
}

/** The queue without `node`, links mended. Its latch is held. */
@inline
function without(queue: u32, node: u32): u32 {
  let head: u32 = (queue >> QUEUE_HEAD_SHIFT) & QUEUE_MASK;
  let tail: u32 = (queue >> QUEUE_TAIL_SHIFT) & QUEUE_MASK;
  let next: u32 = atomic.load<u32>(node + NODE_NEXT);
  let previous: u32 = atomic.load<u32>(node + NODE_PREVIOUS);
  if (previous != 0) atomic.store<u32>(nodeOf(previous - 1) + NODE_NEXT, next);
  else head = next;
  if (next != 0) atomic.store<u32>(nodeOf(next - 1) + NODE_PREVIOUS, previous);
  else tail = previous;
  return (head << QUEUE_HEAD_SHIFT) | (tail << QUEUE_TAIL_SHIFT);
}

const ANY_SCOPE: u32 = 0xffffffff;

/** Takes a node that waits on `frame` out of its queue, with a new state and a result. */
@inline
function takeOut(node: u32, frame: u32, state: u32, result: i32, scope: u32): i32 {
  let at: u32 = nodeOf(node);
  let record: u32 = recordOf(frame);
  let queue: u32 = atomic.load<u32>(record + RECORD_QUEUE);
  if ((queue & QUEUE_LATCH) != 0) return LOST;
  if (atomic.cmpxchg<u32>(record + RECORD_QUEUE, queue, queue | QUEUE_LATCH) != queue) return LOST;
  let same: bool = scope == ANY_SCOPE || atomic.load<u32>(at + NODE_SCOPE) == scope;
  if (!same || atomic.load<u32>(at + NODE_STATE) != NODE_WAITING || atomic.load<u32>(at + NODE_FRAME) != frame) {
    atomic.store<u32>(record + RECORD_QUEUE, queue);
    return GONE;
  }
  let left: u32 = without(queue, at);
  if (left == 0) atomic.and<u64>(record, ~(WAITERS | GATE));
  atomic.store<u32>(at + NODE_RESULT, u32(result));
  atomic.store<u32>(at + NODE_STATE, state);
  atomic.store<u32>(record + RECORD_QUEUE, left);
  return OK;
}

/**
 * Step: the owner of a node, and nobody else, takes it out of its queue: cancelled, or with another state and a result.
 * OK (wake the record then: who stood behind may be able to go on); GONE if it is no longer waiting (it was granted:
 * accept it and let go); LOST.
 */
export function withdraw(node: u32, state: u32, result: i32): i32 {
  return takeOut(node, atomic.load<u32>(nodeOf(node) + NODE_FRAME), state, result, ANY_SCOPE);
}

/**
 * Step: somebody else than its owner ends the wait of a node on `frame`, with a result for the owner (an errno; the page
 * went away). OK; GONE if it does not wait there (any more: it may be another's by now); LOST.
 */
export function dismiss(node: u32, frame: u32, result: i32): i32 {
  return takeOut(node, frame, NODE_DISMISSED, result, ANY_SCOPE);
}

/** Step: as dismiss, of the wait with this number in its node's scope word alone: who asked may have gone, and the node be another's. */
export function answer(node: u32, frame: u32, scope: u32, result: i32): i32 {
  return takeOut(node, frame, NODE_DISMISSED, result, scope);
}

/** The first node of a record's queue, or NONE. It may change at any moment. */
export function firstWaiter(frame: u32): i32 {
  let head: u32 = (atomic.load<u32>(recordOf(frame) + RECORD_QUEUE) >> QUEUE_HEAD_SHIFT) & QUEUE_MASK;
  return head == 0 ? NONE : i32(head - 1);
}

/** The node after `node` in its queue, or NONE. */
export function nextWaiter(node: u32): i32 {
  let next: u32 = atomic.load<u32>(nodeOf(node) + NODE_NEXT);
  return next == 0 ? NONE : i32(next - 1);
}

/**
 * Step: gives a waiting node what it waits for, if that is possible now: the hold passes to it in the word.
 * OK; BUSY; GONE if it is not waiting on this record; LOST.
 */
export function grant(node: u32, frame: u32): i32 {
  let at: u32 = nodeOf(node);
  let record: u32 = recordOf(frame);
  let queue: u32 = atomic.load<u32>(record + RECORD_QUEUE);
  if ((queue & QUEUE_LATCH) != 0) return LOST;
  if (atomic.cmpxchg<u32>(record + RECORD_QUEUE, queue, queue | QUEUE_LATCH) != queue) return LOST;
  let answer: i32 = OK;
  let mode: u32 = atomic.load<u32>(at + NODE_MODE);
  let thread: u32 = atomic.load<u32>(at + NODE_THREAD);
  let word: u64 = atomic.load<u64>(record);
  if (atomic.load<u32>(at + NODE_STATE) != NODE_WAITING || atomic.load<u32>(at + NODE_FRAME) != frame) answer = GONE;
  else if ((word & EVICTING) != 0 || !possible(word, mode, false)) answer = BUSY;
  let after: u64 = word;
  let alone: bool = atomic.load<u32>(at + NODE_NEXT) == 0 && atomic.load<u32>(at + NODE_PREVIOUS) == 0;
  if (answer == OK) {
    if (mode == MODE_SHARED) after = after + ONE_HOLDER;
    if (mode == MODE_UPGRADE) after = after - ONE_HOLDER;
    if (mode == MODE_EXCLUSIVE || mode == MODE_UPGRADE) after = (after | ownedBy(thread)) & ~GATE;
    if (alone) after = after & ~(WAITERS | GATE);
    if (atomic.cmpxchg<u64>(record, word, after) != word) answer = LOST;
  }
  if (answer != OK) {
    atomic.store<u32>(record + RECORD_QUEUE, queue);
    return answer;
  }
  if (mode == MODE_EXCLUSIVE || mode == MODE_UPGRADE) {
    atomic.add<u32>(record + RECORD_VERSION, othersWrite(word) ? 2 : 1);
  }
  let left: u32 = without(queue, at);
  atomic.store<u32>(at + NODE_STATE, NODE_GRANTED);
  atomic.store<u32>(record + RECORD_QUEUE, left);
  return OK;
}

/**
 * Step: the owner of a node that is not waiting any more frees it, and takes what it was granted into its ledger.
 * OK or LOST. Read the node's state and result before.
 */
export function accept(node: u32): i32 {
  let at: u32 = nodeOf(node);
  let state: u32 = atomic.load<u32>(at + NODE_STATE);
  if (state == NODE_WAITING || state == NODE_FREE) return BUSY;
  let mode: u32 = atomic.load<u32>(at + NODE_MODE);
  let frame: u32 = atomic.load<u32>(at + NODE_FRAME);
  let thread: u32 = atomic.load<u32>(at + NODE_THREAD);
  let free: u64 = atomic.load<u64>(HEADER_NODES_FREE);
  atomic.store<u32>(at + NODE_NEXT, u32(free));
  // From the swap on the node may be another waiter's: nothing of it is read or written after that.
  atomic.store<u32>(at + NODE_STATE, NODE_FREE);
  let pushed: u64 = ((free >> 32) + 1) << 32 | u64(node + 1);
  if (atomic.cmpxchg<u64>(HEADER_NODES_FREE, free, pushed) != free) {
    atomic.store<u32>(at + NODE_STATE, state);
    return LOST;
  }
  if (state == NODE_GRANTED && mode == MODE_SHARED) addLedger(frame, thread, LEDGER_SHARED);
  if (state == NODE_GRANTED && mode == MODE_UPGRADE) addLedger(frame, thread, 0 - LEDGER_SHARED);
  atomic.sub<u32>(HEADER_NODES_USED, 1);
  return OK;
}

/** Step: clears WAITERS where the queue is empty after all. OK or LOST. */
export function clearWaiters(frame: u32): i32 {
  let record: u32 = recordOf(frame);
  let queue: u32 = atomic.load<u32>(record + RECORD_QUEUE);
  if ((queue & QUEUE_LATCH) != 0) return LOST;
  if (queue != 0) return BUSY;
  if (atomic.cmpxchg<u32>(record + RECORD_QUEUE, queue, QUEUE_LATCH) != queue) return LOST;
  atomic.and<u64>(record, ~(WAITERS | GATE));
  atomic.store<u32>(record + RECORD_QUEUE, 0);
  return OK;
}
