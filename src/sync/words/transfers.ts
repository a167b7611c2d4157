/**
 * Counted pins on their way from thread to thread.
 *
 * Invariants: a counted pin is in one thread's ledger, or is one transit entry, never both or neither. A transit entry belongs to a
 * transfer, which belongs to the thread in its state word: the sender until somebody adopts it, then the adopter, so that
 * whoever cleans up after either finds what is left. State and owner change by one swap: nobody sees one without the other. Only
 * the owner puts pages and credits in or takes them out. A free transfer has no page in transit and no credit.
 */

import {
  BUSY, GONE, HEADER_CREDITS, LOST, OK, THREAD_CREDITS, TRANSFER_BYTES, TRANSFER_CREDITS, TRANSFER_PAGES, TRANSFER_STATE,
  TRANSFER_STATE_MASK, TRANSFER_ADOPTING, TRANSFER_FREE, TRANSFER_GENERATION_SHIFT,
  TRANSFER_OFFERED, TRANSFER_THREAD_SHIFT, TRANSIT_BYTES, TRANSIT_WRITE_BIT,
} from "../layout";
import { threadOf, transfersAt, transitsAt } from "./memory";
import { LEDGER_READ, LEDGER_WRITE, addLedger } from "./lock";

@inline
function transferAt(transfer: u32): u32 {
  return transfersAt + transfer * TRANSFER_BYTES;
}

@inline
function transitAt(entry: u32): u32 {
  return transitsAt + entry * TRANSIT_BYTES;
}

/** The state word of a transfer: its generation, the slot of its owner, and below TRANSFER_FREE, _OFFERED or _ADOPTING. */
export function transferState(transfer: u32): u32 {
  return atomic.load<u32>(transferAt(transfer) + TRANSFER_STATE);
}

/** Step: takes a free transfer for `thread`: offered, of the next generation. Its state word, BUSY, or LOST. */
export function openTransfer(transfer: u32, thread: u32): i32 {
  let at: u32 = transferAt(transfer);
  let state: u32 = atomic.load<u32>(at + TRANSFER_STATE);
  if ((state & TRANSFER_STATE_MASK) != TRANSFER_FREE) return BUSY;
  let generation: u32 = ((state >> TRANSFER_GENERATION_SHIFT) + 1) & 0x1ffffff;
  let after: u32 = (generation << TRANSFER_GENERATION_SHIFT) | (thread << TRANSFER_THREAD_SHIFT) | TRANSFER_OFFERED;
  return atomic.cmpxchg<u32>(at + TRANSFER_STATE, state, after) == state ? i32(after) : LOST;
}

/** Step: a counted pin of `thread` goes into transit. OK or BUSY (the entry is taken). */
export function sendPage(entry: u32, frame: u32, thread: u32, write: u32, transfer: u32): i32 {
  let value: u64 = (u64(transfer + 1) << 32) | u64((frame + 1) | (write << TRANSIT_WRITE_BIT));
  if (atomic.cmpxchg<u64>(transitAt(entry), 0, value) != 0) return BUSY;
  addLedger(frame, thread, 0 - (write != 0 ? LEDGER_WRITE : LEDGER_READ));
  atomic.add<u32>(transferAt(transfer) + TRANSFER_PAGES, 1);
  return OK;
}

/** Step: frame credits of `thread` go with a transfer. */
export function sendCredits(transfer: u32, thread: u32, count: u32): void {
  atomic.sub<u32>(threadOf(thread) + THREAD_CREDITS, count);
  atomic.add<u32>(transferAt(transfer) + TRANSFER_CREDITS, count);
}

/**
 * Step: the transfer that has this state word becomes that of `thread`: adopted, taken back, or cleaned up after its owner's end.
 * Its new state word; GONE: it has another owner, or has ended (guard of a second adopt).
 */
export function adopt(transfer: u32, state: u32, thread: u32): i32 {
  if ((state & TRANSFER_STATE_MASK) == TRANSFER_FREE) return GONE;
  let after: u32 = (state >> TRANSFER_GENERATION_SHIFT) << TRANSFER_GENERATION_SHIFT;
  after = after | (thread << TRANSFER_THREAD_SHIFT) | TRANSFER_ADOPTING;
  return atomic.cmpxchg<u32>(transferAt(transfer) + TRANSFER_STATE, state, after) == state ? i32(after) : GONE;
}

/** The frame in transit in `entry`, + 1 and with its write bit, if it belongs to `transfer`; else 0. */
export function transitOf(entry: u32, transfer: u32): u32 {
  let value: u64 = atomic.load<u64>(transitAt(entry));
  return u32(value >> 32) == transfer + 1 ? u32(value) : 0;
}

/** Step: a page in transit becomes a counted pin of `thread`, which owns the transfer. OK; GONE if it is not there; LOST. */
export function takePage(entry: u32, thread: u32, transfer: u32): i32 {
  let value: u64 = atomic.load<u64>(transitAt(entry));
  if (u32(value >> 32) != transfer + 1) return GONE;
  if (atomic.cmpxchg<u64>(transitAt(entry), value, 0) != value) return LOST;
  let page: u32 = u32(value);
  addLedger((page & 0x7fffffff) - 1, thread, page >> TRANSIT_WRITE_BIT != 0 ? LEDGER_WRITE : LEDGER_READ);
  atomic.sub<u32>(transferAt(transfer) + TRANSFER_PAGES, 1);
  return OK;
}

/** Step: the credits of a transfer become those of `thread`, which owns it. How many. */
export function takeTransferCredits(transfer: u32, thread: u32): i32 {
  let credits: u32 = atomic.load<u32>(transferAt(transfer) + TRANSFER_CREDITS);
  atomic.store<u32>(transferAt(transfer) + TRANSFER_CREDITS, 0);
  atomic.add<u32>(threadOf(thread) + THREAD_CREDITS, credits);
  return i32(credits);
}

/** Step: its owner ends a transfer that has nothing left. OK, or BUSY. */
export function endTransfer(transfer: u32): i32 {
  let at: u32 = transferAt(transfer);
  if (atomic.load<u32>(at + TRANSFER_PAGES) != 0 || atomic.load<u32>(at + TRANSFER_CREDITS) != 0) return BUSY;
  let state: u32 = atomic.load<u32>(at + TRANSFER_STATE);
  return atomic.cmpxchg<u32>(at + TRANSFER_STATE, state, state & ~TRANSFER_STATE_MASK) == state ? OK : BUSY;
}
