/**
 * What a dead thread has left in shared memory, record by record, and what becomes of it: waits, write-backs, locks, pins, frames.
 *
 * All steps are made in the dead one's name, so that word and ledger agree after each; who cleans up may die between any two of
 * them, and the next one finds what is left. No read or write of a page is on its way any more: node ends a thread only after its
 * requests to fs and its addons' asynchronous work have ended (Environment::RunCleanup; tried in test/threads/dead-reads.test.ts),
 * and blocking calls end before that.
 *
 * Invariants: waits are settled before locks are let go of, since a granted one is in the ledger only then. Bytes that a dead writer
 * may have left half changed are marked so (OWNER_DIED) before anybody else can get the page's lock.
 *
 * See also: recovery.ts (who cleans up, and when); recovery-files.ts, which comes first, and keeps what it goes on with.
 */
import { limits } from "../base/limits.js";
import type { AddressSpace } from "../cache/space.js";
import * as word from "../frames/page-word.js";
import * as layout from "../sync/layout.js";
import type { Core } from "./core.js";

/** What was found of one dead thread. */
export interface Findings {
  /** Waits that it had. */
  waits: number;
  /** Pages that it was writing to their store: dirty again. */
  writebacks: number;
  /** Pages that it was loading, or had mapped to overwrite them: gone. */
  loads: number;
  /** Pages that stay and whose last writer it was: the next one who takes them is told. */
  written: number;
  /** Page locks and locks of files. */
  locks: number;
  countedPins: number;
  /** Frames that held no page: for loads to come, and snapshots. */
  frames: number;
  credits: number;
  /** Files that it had open, and stores that ended with it. */
  files: number;
  stores: number;
  /** Cuts and punches that it was in the midst of. */
  cuts: number;
}

export function noFindings(): Findings {
  return {
    waits: 0,
    writebacks: 0,
    loads: 0,
    written: 0,
    locks: 0,
    countedPins: 0,
    frames: 0,
    credits: 0,
    files: 0,
    stores: 0,
    cuts: 0,
  };
}

/** A step, called until it does not answer LOST. */
export function insist(step: () => number): number {
  for (let i = 0; i < limits.swapRetriesMax; i++) {
    const answer = step();
    if (answer !== layout.LOST) return answer;
  }
  throw new Error("a shared word kept changing while a dead thread was cleaned up after");
}

/** The slot of the thread that has a record's lock exclusively, or -1. */
export function ownerOf(core: Core, record: number): number {
  const low = core.frames.words.lowWord(record);
  if ((low & layout.STATE_MASK) !== layout.STATE_MAPPED || (low & word.lockBits.exclusive) === 0) return -1;
  return (low >>> layout.HOLDERS_SHIFT) & layout.HOLDERS_MASK;
}

/** The file of a slot, where its store can be called from this thread. */
export function reachable(core: Core, slot: number): AddressSpace | undefined {
  try {
    const space = core.space(slot);
    return space && !space.isRemote && space.state !== layout.MAPPING_ORPHANED ? space : undefined;
  } catch {
    // This thread cannot attach it (no koffi here): as good as far away.
    return undefined;
  }
}

/** Does what the release of a hold asks for. */
function settle(core: Core, record: number, bits: number): void {
  if (bits <= 0) return;
  if ((bits & layout.WAKE) !== 0) core.locks.queues.wake(record);
  if ((bits & layout.IDLE) !== 0) insist(() => core.frames.words.requeue(record));
}

/** The waits of a dead thread end; what it was granted and has not seen is its own then. Who stood behind is woken by letGoOfAll. */
export function settleWaits(core: Core, dead: number, found: Findings): void {
  const { shared, words } = core.frames;
  if (shared.load(layout.HEADER_NODES_USED) === 0) return;
  for (let node = 0; node < layout.NODES_MAX; node++) {
    const at = layout.NODES + node * layout.NODE_BYTES;
    const state = shared.load(at + layout.NODE_STATE);
    if (state === layout.NODE_FREE || shared.load(at + layout.NODE_THREAD) !== dead) continue;
    // It may be granted or dismissed at this moment: then it is that.
    if (state === layout.NODE_WAITING) insist(() => words.withdraw(node, layout.NODE_CANCELLED, 0));
    insist(() => words.accept(node));
    found.waits += 1;
  }
}

/** Write-backs of a dead thread have failed: their pages are dirty again. Frames that it had set aside come back. */
function endWriteback(core: Core, frame: number, dead: number, found: Findings): void {
  const { words, shared } = core.frames;
  const flags = shared.load(layout.RECORDS + frame * 2 ** layout.RECORD_SHIFT + 4);
  if ((flags & word.wordBits.writeback) === 0) return;
  if (((flags >>> (layout.WRITER_SHIFT - 32)) & layout.WRITER_MASK) !== dead) return;
  const bits = insist(() => words.endWriteback(frame, layout.OUTCOME_FAILED));
  settle(core, frame, bits);
  found.writebacks += 1;
}

/**
 * An exclusive lock of a dead thread. A page without bytes leaves the cache, its grant with it; another stays. One that was leaving
 * stays too: whoever was taking it out had a reason that somebody else finds again (a full cache), or goes on with (a cut).
 */
function letGoOfOwned(core: Core, record: number, dead: number, found: Findings): void {
  const { words, thread, count } = core.frames;
  const flags = word.flagsOf(words, record);
  if ((flags & word.wordBits.uptodate) === 0) {
    // As this thread's own from here on: its loading page, which comes to nothing.
    if (insist(() => words.takeOver(record, dead, thread)) === layout.OK) dropEmptied(core, record);
    found.loads += 1;
    return;
  }
  const isLeaving = (words.lowWord(record) & word.lockBits.evicting) !== 0;
  if (isLeaving) insist(() => words.thaw(record, dead));
  if (record < count && (flags & word.wordBits.dirty) !== 0) {
    words.markOwnerDied(record);
    found.written += 1;
  }
  settle(
    core,
    record,
    insist(() => words.unlockExclusive(record, dead, 1)),
  );
  found.locks += 1;
}

/** As locked-run.ts's dropEmpty, where the store may be out of reach: then it has ended, and its grants with it. */
function dropEmptied(core: Core, frame: number): void {
  const { words, pageSize } = core.frames;
  const blocks = words.blockWord(frame);
  const space = reachable(core, words.mappingIdOf(frame));
  if (blocks !== 0) space?.store.cancelMkwrite((words.indexOf(frame) >>> 0) * pageSize, pageSize, blocks);
  core.table.remove(frame);
  core.table.release(frame);
}

/** Shared holds and counted pins of a dead thread, as its ledger has them. */
function letGoOfCounted(core: Core, record: number, dead: number, found: Findings): void {
  const { words, shared, plan } = core.frames;
  // As words.ledgerEntry: asked for each record of the cache.
  const entry = shared.load(plan.ledger + (dead * plan.records + record) * 4);
  if (entry === 0) return;
  for (let writes = entry >>> 22; writes > 0; writes--) {
    words.markOwnerDied(record);
    settle(
      core,
      record,
      insist(() => words.putCountedWrite(record, dead, 1)),
    );
    found.countedPins += 1;
  }
  for (let reads = (entry >>> 12) & layout.READS_MASK; reads > 0; reads--) {
    settle(core, record, words.putCountedRead(record, dead));
    found.countedPins += 1;
  }
  for (let shares = entry & layout.HOLDERS_MASK; shares > 0; shares--) {
    settle(core, record, words.unlockShared(record, dead));
    found.locks += 1;
  }
}

/** What anybody who died may have owed: to put an idle page back on its queue, to wake who waits. Done by asking, for all. */
function catchUp(core: Core, record: number): void {
  const { words, shared, count } = core.frames;
  const low = shared.load(layout.RECORDS + record * 2 ** layout.RECORD_SHIFT);
  if (record < count && (low & word.lockBits.off) !== 0) insist(() => words.requeue(record));
  if ((low & word.lockBits.waiters) !== 0) core.locks.queues.wake(record);
}

/**
 * Lets go of all that a dead thread holds, apart from exclusive locks that `keeps` says somebody goes on with. Costs a look at each
 * record.
 */
export function letGoOfAll(core: Core, dead: number, found: Findings, keeps: (record: number) => boolean): void {
  const { words, shared, plan } = core.frames;
  for (let record = 0; record < plan.records; record++) {
    const low = shared.load(layout.RECORDS + record * 2 ** layout.RECORD_SHIFT);
    const state = low & layout.STATE_MASK;
    const isOwner = ((low >>> layout.HOLDERS_SHIFT) & layout.HOLDERS_MASK) === dead;
    const isExclusive = (low & word.lockBits.exclusive) !== 0;
    if (state === layout.STATE_MAPPED) {
      endWriteback(core, record, dead, found);
      if (isExclusive && isOwner && !keeps(record)) letGoOfOwned(core, record, dead, found);
      letGoOfCounted(core, record, dead, found);
      catchUp(core, record);
    } else if (state === layout.STATE_RESERVED && isOwner) {
      insist(() => words.release(record));
      found.frames += 1;
    } else if (state === layout.STATE_SNAPSHOT && isExclusive && isOwner) {
      insist(() => words.giveSnapshot(record));
      found.frames += 1;
    }
  }
}
