/**
 * The invariants of docs/page-states.md and words/, executed. `verify()` throws on the first breach.
 *
 * A running cache is looked at page by page (each page's own rules hold at any moment between two steps); a quiet one (`quiesce`)
 * also has its lists walked, its counters recounted, its ledgers, transits and pins compared with the words, and must have no
 * waiter and no lock but those of pins. Quiet means in all threads: pins of others are no breach, their operations are.
 *
 * Where other threads use the cache, one may be inside a step while it is looked at: what looks like a breach has to stay one.
 */
import { systemClock } from "../base/clock.js";
import { PinfoldError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import * as word from "../frames/page-word.js";
import * as layout from "../sync/layout.js";
import type { Core } from "./core.js";

const { wordBits } = word;

function breach(what: string): never {
  throw new PinfoldError("ERR_PINFOLD_VERIFY", what);
}

/** @throws PinfoldError ERR_PINFOLD_VERIFY */
export function verify(core: Core, quiesce: boolean): void {
  for (let frame = 0; frame < core.frames.count; frame++) settled(core, () => verifyFrame(core, frame));
  if (!quiesce) return;
  settled(core, () => {
    verifyLists(core);
    verifyCounts(core);
    verifyHolds(core);
    verifyTransfers(core);
    verifyQuiet(core);
  });
}

/** Does `check`, again and again for limits.verifyMs where other threads could be in the middle of something. */
function settled(core: Core, check: () => void): void {
  const untilMs = hasOthers(core) ? systemClock.nowMs() + limits.verifyMs : 0;
  for (let tries = 1; ; tries++) {
    try {
      check();
      return;
    } catch (error) {
      if (tries >= limits.lookupRetriesMax || systemClock.nowMs() >= untilMs) throw error;
    }
  }
}

function hasOthers({ frames }: Core): boolean {
  for (const slot of frames.threads.claimed()) if (slot !== frames.thread) return true;
  return false;
}

function verifyFrame(core: Core, frame: number): void {
  const { words } = core.frames;
  const state = word.stateOf(words, frame);
  const list = word.listOf(words, frame);
  if (state === layout.STATE_FREE) {
    if (list !== layout.LIST_FREE) breach(`free frame ${frame} is on list ${list}`);
    if (words.highWord(frame) !== 0 || words.lowWord(frame) !== layout.STATE_FREE)
      breach(`free frame ${frame} has state`);
    return;
  }
  if (state === layout.STATE_RESERVED) {
    if (list !== layout.LIST_NONE) breach(`reserved frame ${frame} is on list ${list}`);
    return;
  }
  if (state !== layout.STATE_MAPPED) breach(`frame ${frame} is in state ${state}`);
  verifyMapped(core, frame, list);
}

function verifyMapped(core: Core, frame: number, list: number): void {
  const { words } = core.frames;
  const flags = words.highWord(frame);
  const low = words.lowWord(frame);
  const has = (bit: number) => (flags & bit) !== 0;
  const mapping = words.mappingIdOf(frame);
  const index = words.indexOf(frame) >>> 0;
  const at = `page ${index} of file ${mapping} in frame ${frame}`;
  const exclusive = (low & word.lockBits.exclusive) !== 0;
  if (core.directory.stateOf(mapping) === layout.MAPPING_FREE) breach(`${at}: no such file is open`);
  if (core.table.find(mapping, index) !== frame) breach(`${at}: not found under its key`);
  if (!exclusive && !has(wordBits.uptodate)) breach(`${at}: not locked and not uptodate`);
  if (has(wordBits.dirty) && has(wordBits.unstable)) breach(`${at}: dirty and unstable`);
  const unclean = has(wordBits.dirty) || has(wordBits.writeback) || has(wordBits.unstable);
  if (unclean !== has(wordBits.grant))
    breach(`${at}: ${unclean ? "without a grant though unclean" : "clean with a grant"}`);
  if (!has(wordBits.grant) && words.blockWord(frame) !== 0) breach(`${at}: block word without a grant`);
  if (!has(wordBits.writeback) && (flags & writerField) !== 0) breach(`${at}: a writer without write-back`);
  verifyMembership(at, { list, has, off: (low & word.lockBits.off) !== 0, held: word.isHeld(words, frame) });
  verifyWriters(core, frame, { at, has, exclusive });
}

const writerField = layout.WRITER_MASK << (layout.WRITER_SHIFT - 32);
const viewBit = 1 << (layout.VIEW_BIT - 32);

/** Who may be changing the bytes: the owner of the lock, counted write pins, views that store. */
function verifyWriters(
  { frames }: Core,
  frame: number,
  { at, has, exclusive }: { at: string; has: (bit: number) => boolean; exclusive: boolean },
): void {
  const { words } = frames;
  const counted = word.countedWrites(words, frame);
  const mayStore = (words.viewOf(frame) & layout.VIEW_WRITABLE) !== 0;
  if (has(wordBits.fresh) && !exclusive && counted === 0 && !has(viewBit)) breach(`${at}: fresh without a writer`);
  if (counted > 0 && !has(wordBits.dirty)) breach(`${at}: counted write pins on a page that is not dirty`);
  if (has(viewBit) && !has(wordBits.dirty)) breach(`${at}: views may store to a page that is not dirty`);
  if (mayStore && !has(viewBit)) breach(`${at}: its view word lets views store, its word does not`);
  const hasWriter = exclusive || counted > 0 || has(viewBit);
  const version = words.versionOf(frame);
  if (((version & 1) === 1) !== hasWriter) breach(`${at}: version ${version} with ${hasWriter ? "a" : "no"} writer`);
}

function verifyMembership(
  at: string,
  page: { list: number; has: (bit: number) => boolean; off: boolean; held: boolean },
): void {
  const { list, has } = page;
  if (has(wordBits.dirty)) {
    if (list !== layout.LIST_DIRTY) breach(`${at}: dirty, on list ${list}`);
  } else if (has(wordBits.writeback)) {
    if (list !== layout.LIST_WRITEBACK) breach(`${at}: under write-back, on list ${list}`);
  } else if (has(wordBits.unstable)) {
    const wanted = has(wordBits.epoch) ? layout.LIST_UNSTABLE_1 : layout.LIST_UNSTABLE_0;
    if (list !== wanted) breach(`${at}: unstable, on list ${list}`);
  } else if (page.off) {
    if (list !== layout.LIST_NONE) breach(`${at}: off the queues, on list ${list}`);
    if (!page.held) breach(`${at}: off the queues and held by nobody`);
  } else if (list !== (has(wordBits.main) ? layout.LIST_MAIN : layout.LIST_SMALL)) {
    breach(`${at}: clean, on list ${list}`);
  }
}

interface ListAt {
  readonly list: number;
  readonly address: number;
  readonly name: string;
}

function allLists(): ListAt[] {
  const lists: ListAt[] = [layout.LIST_FREE, layout.LIST_SMALL, layout.LIST_MAIN, layout.LIST_SNAPSHOT].map((list) => ({
    list,
    address: layout.HEADER_LISTS + list * 16,
    name: `list ${list}`,
  }));
  for (let mapping = 0; mapping < layout.MAPPINGS_MAX; mapping++) {
    const first = layout.MAPPINGS + mapping * layout.MAPPING_BYTES + layout.MAPPING_DIRTY_LIST;
    for (let list = layout.LIST_DIRTY; list <= layout.LIST_WRITEBACK; list++) {
      const address = first + (list - layout.LIST_DIRTY) * 16;
      lists.push({ list, address, name: `list ${list} of file ${mapping}` });
    }
  }
  return lists;
}

/** Each list runs from head to tail through frames that say that they are on it, and has as many as its count. */
function verifyLists(core: Core): void {
  const { words, shared, plan } = core.frames;
  for (const { list, address, name } of allLists()) {
    const count = shared.load(address + 8);
    let previous = 0;
    let next = shared.load(address);
    for (let seen = 0; next !== 0; seen++) {
      if (seen >= count) breach(`${name} has more than its ${count} frames`);
      const link = words.linkWord(next - 1);
      if (link >>> layout.LINK_LIST_SHIFT !== list) breach(`${name} has frame ${next - 1}, which says otherwise`);
      if ((link & layout.LINK_FRAME_MASK) !== previous) breach(`${name}: frame ${next - 1} has another one before it`);
      previous = next;
      next = shared.load(plan.links + (next - 1) * 8 + 4) & layout.LINK_FRAME_MASK;
      if (next === 0 && seen + 1 !== count) breach(`${name} has ${seen + 1} of ${count} frames`);
    }
    if (shared.load(address + 4) !== previous) breach(`${name} has a wrong tail`);
    if (count > 0 && previous === 0) breach(`${name} is empty, with a count of ${count}`);
  }
}

/** Rule 12: counters equal a recount. */
function verifyCounts(core: Core): void {
  const { words, shared, count } = core.frames;
  const sums = { dirty: 0, writeback: 0, unstable: 0, pinned: 0 };
  const files = new Map<number, { resident: number; dirty: number; writeback: number; unstable: number }>();
  for (let frame = 0; frame < count; frame++) {
    if (!word.isMapped(words, frame)) continue;
    const file = files.get(words.mappingIdOf(frame)) ?? { resident: 0, dirty: 0, writeback: 0, unstable: 0 };
    files.set(words.mappingIdOf(frame), file);
    const flags = words.highWord(frame);
    file.resident += 1;
    for (const name of ["dirty", "writeback", "unstable"] as const) {
      if ((flags & wordBits[name]) === 0) continue;
      file[name] += 1;
      sums[name] += 1;
    }
    if (word.countedWrites(words, frame) > 0) sums.pinned += 1;
  }
  for (let mapping = 0; mapping < layout.MAPPINGS_MAX; mapping++) {
    const file = files.get(mapping) ?? { resident: 0, dirty: 0, writeback: 0, unstable: 0 };
    const fields = [layout.MAPPING_RESIDENT, layout.MAPPING_DIRTY, layout.MAPPING_WRITEBACK, layout.MAPPING_UNSTABLE];
    const said = fields.map((field) => core.directory.get(mapping, field));
    const counted = [file.resident, file.dirty, file.writeback, file.unstable];
    if (said.join() !== counted.join())
      breach(
        `file ${mapping}: counts (resident, dirty, writeback, unstable) ${said.join()}; there are ${counted.join()}`,
      );
  }
  const header = [layout.HEADER_DIRTY, layout.HEADER_WRITEBACK, layout.HEADER_UNSTABLE, layout.HEADER_WRITE_PINNED].map(
    (at) => shared.load(at),
  );
  const counted = [sums.dirty, sums.writeback, sums.unstable, sums.pinned];
  if (header.join() !== counted.join())
    breach(`totals (dirty, writeback, unstable, write-pinned) ${header.join()}; there are ${counted.join()}`);
}

/** Pages in transit: for each frame [reads, writes], and how many each transfer has. */
function collectTransits({ frames }: Core): {
  ofFrame: Map<number, [number, number]>;
  ofTransfer: Map<number, number>;
} {
  const { words, shared, plan } = frames;
  const ofFrame = new Map<number, [number, number]>();
  const ofTransfer = new Map<number, number>();
  for (let entry = 0; entry < layout.TRANSITS_MAX; entry++) {
    const transfer = shared.load(plan.transits + entry * layout.TRANSIT_BYTES + 4) - 1;
    const page = transfer < 0 ? 0 : words.transitOf(entry, transfer) >>> 0;
    if (page === 0) continue;
    const [reads, writes] = ofFrame.get((page & 0x7fffffff) - 1) ?? [0, 0];
    const isWrite = page >>> layout.TRANSIT_WRITE_BIT !== 0;
    ofFrame.set((page & 0x7fffffff) - 1, isWrite ? [reads, writes + 1] : [reads + 1, writes]);
    ofTransfer.set(transfer, (ofTransfer.get(transfer) ?? 0) + 1);
  }
  return { ofFrame, ofTransfer };
}

/** Ledgers of all threads and what is in transit, together, are what the words say; each credit is somewhere, once. */
function verifyHolds(core: Core): void {
  const { words, shared, plan, threads, count } = core.frames;
  const { ofFrame } = collectTransits(core);
  for (let record = 0; record < plan.records; record++) {
    if (!word.isMapped(words, record)) continue;
    let shares = 0;
    let [reads, writes] = ofFrame.get(record) ?? [0, 0];
    for (let thread = 0; thread < layout.THREADS_MAX; thread++) {
      const entry = words.ledgerEntry(record, thread);
      shares += entry & 0xfff;
      reads += (entry >>> 12) & 0x3ff;
      writes += entry >>> 22;
    }
    const said = [
      word.sharedHolders(words, record),
      word.countedReads(words, record),
      word.countedWrites(words, record),
    ];
    if (said.join() !== [shares, reads, writes].join())
      breach(`record ${record}: holders ${said.join()} in its word, ${[shares, reads, writes].join()} in ledgers`);
  }
  let taken = 0;
  for (let slot = 0; slot < layout.THREADS_MAX; slot++) taken += shared.load(threads.at(slot, layout.THREAD_CREDITS));
  let inTransit = 0;
  for (let transfer = 0; transfer < layout.TRANSFERS_MAX; transfer++)
    inTransit += transferField(core, transfer, layout.TRANSFER_CREDITS);
  const left = shared.load(layout.HEADER_CREDITS);
  if (left + taken + inTransit !== count)
    breach(`${left} frame credits are left, ${taken} taken and ${inTransit} in transit, of ${count}`);
}

function transferField({ frames }: Core, transfer: number, field: number): number {
  return frames.shared.load(frames.plan.transfers + transfer * layout.TRANSFER_BYTES + field);
}

/** A free transfer is empty; each has as many pages in transit as it says. */
function verifyTransfers(core: Core): void {
  const { ofTransfer } = collectTransits(core);
  for (let transfer = 0; transfer < layout.TRANSFERS_MAX; transfer++) {
    const state = core.frames.words.transferState(transfer) & layout.TRANSFER_STATE_MASK;
    const pages = transferField(core, transfer, layout.TRANSFER_PAGES);
    const credits = transferField(core, transfer, layout.TRANSFER_CREDITS);
    if (pages !== (ofTransfer.get(transfer) ?? 0))
      breach(`transfer ${transfer} says ${pages} pages, ${ofTransfer.get(transfer) ?? 0} are in transit`);
    if (state === layout.TRANSFER_FREE && (pages !== 0 || credits !== 0))
      breach(`transfer ${transfer} is free, with ${pages} pages and ${credits} credits`);
  }
}

function verifyQuiet(core: Core): void {
  const { words, shared, plan } = core.frames;
  if (shared.load(layout.HEADER_LISTS_LATCH) !== 0) breach("the lists' latch is taken");
  const waiters = shared.load(layout.HEADER_NODES_USED);
  if (waiters !== 0 || core.locks.queues.waiting !== 0)
    breach(`${Math.max(waiters, core.locks.queues.waiting)} tasks wait`);
  verifyOwnCounts(core);
  const pinned = new Set<number>();
  for (const pin of core.pins) for (const frame of pin.frames) pinned.add(frame);
  for (let record = 0; record < plan.records; record++) {
    const state = word.stateOf(words, record);
    if (state === layout.STATE_RESERVED) breach(`frame ${record} is reserved by somebody`);
    if (state === layout.STATE_MAPPED && holdsIt(core, record) && !pinned.has(record))
      breach(`record ${record} is held, and by no pin`);
    if ((words.lowWord(record) & word.lockBits.waiters) !== 0) breach(`record ${record} says that somebody waits`);
  }
  if (core.frames.listLength(layout.LIST_SNAPSHOT) !== plan.snapshots) breach("snapshot frames are missing");
}

/** This thread holds the record: pins of others are known to their threads only. */
function holdsIt({ frames }: Core, record: number): boolean {
  const { words, thread } = frames;
  const low = words.lowWord(record) >>> 0;
  const owner = (low & word.lockBits.exclusive) !== 0 ? (low >>> layout.HOLDERS_SHIFT) & layout.HOLDERS_MASK : -1;
  return owner === thread || words.ledgerEntry(record, thread) !== 0;
}

/** What this thread's slot says of its pins is what its registry has. */
function verifyOwnCounts(core: Core): void {
  const { shared, threads, thread } = core.frames;
  let pages = 0;
  let credits = 0;
  for (const pin of core.pins) {
    if (pin.write && !pin.counted) pages += pin.frames.length;
    if (!pin.transit) credits += pin.credits;
  }
  const said = [layout.THREAD_WRITE_PAGES, layout.THREAD_PINNED_CREDITS, layout.THREAD_CREDITS].map((field) =>
    shared.load(threads.at(thread, field)),
  );
  if (said.join() !== [pages, credits, credits].join())
    breach(
      `thread ${thread}: write-pinned pages, pins' credits, credits ${said.join()}; there are ${pages},${credits},${credits}`,
    );
}
