/**
 * The invariants of docs/page-states.md and words/, executed. `verify()` throws on the first breach.
 *
 * A running cache is looked at page by page (each page's own rules hold at any moment between two steps of this thread); a
 * quiet one (`quiesce`) also has its lists walked, its counters recounted, its ledgers and pins compared with the words, and
 * must have no waiter and no lock but those of pins.
 */
import { PinfoldError } from "../base/errors.js";
import * as word from "../frames/page-word.js";
import * as layout from "../sync/layout.js";
import type { Core } from "./core.js";

const { wordBits } = word;

function breach(what: string): never {
  throw new PinfoldError("ERR_PINFOLD_VERIFY", what);
}

/** @throws PinfoldError ERR_PINFOLD_VERIFY */
export function verify(core: Core, quiesce: boolean): void {
  for (let frame = 0; frame < core.frames.count; frame++) verifyFrame(core, frame);
  if (!quiesce) return;
  verifyLists(core);
  verifyCounts(core);
  verifyHolds(core);
  verifyQuiet(core);
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
  if (!core.spaces[mapping]) breach(`${at}: no such file is open`);
  if (core.table.find(mapping, index) !== frame) breach(`${at}: not found under its key`);
  if (!exclusive && !has(wordBits.uptodate)) breach(`${at}: not locked and not uptodate`);
  if (has(wordBits.dirty) && has(wordBits.unstable)) breach(`${at}: dirty and unstable`);
  const unclean = has(wordBits.dirty) || has(wordBits.writeback) || has(wordBits.unstable);
  if (unclean !== has(wordBits.grant))
    breach(`${at}: ${unclean ? "without a grant though unclean" : "clean with a grant"}`);
  if (!has(wordBits.grant) && words.blockWord(frame) !== 0) breach(`${at}: block word without a grant`);
  const counted = word.countedWrites(words, frame);
  if (has(wordBits.fresh) && !exclusive && counted === 0) breach(`${at}: fresh without a writer`);
  if (counted > 0 && !has(wordBits.dirty)) breach(`${at}: counted write pins on a page that is not dirty`);
  const odd = (words.versionOf(frame) & 1) === 1;
  if (odd !== (exclusive || counted > 0))
    breach(`${at}: version ${words.versionOf(frame)} with ${exclusive || counted > 0 ? "a" : "no"} writer`);
  verifyMembership(at, { list, has, off: (low & word.lockBits.off) !== 0, held: word.isHeld(words, frame) });
}

function verifyMembership(
  at: string,
  page: { list: number; has: (bit: number) => boolean; off: boolean; held: boolean },
): void {
  const { list, has } = page;
  if (has(wordBits.dirty)) {
    if (list !== layout.LIST_DIRTY) breach(`${at}: dirty, on list ${list}`);
  } else if (has(wordBits.writeback)) {
    if (list !== layout.LIST_NONE) breach(`${at}: under write-back, on list ${list}`);
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

function allLists(core: Core): ListAt[] {
  const lists: ListAt[] = [layout.LIST_FREE, layout.LIST_SMALL, layout.LIST_MAIN, layout.LIST_SNAPSHOT].map((list) => ({
    list,
    address: layout.HEADER_LISTS + list * 16,
    name: `list ${list}`,
  }));
  for (const space of core.openSpaces()) {
    for (const list of [layout.LIST_DIRTY, layout.LIST_UNSTABLE_0, layout.LIST_UNSTABLE_1]) {
      const address =
        layout.MAPPINGS + space.id * layout.MAPPING_BYTES + layout.MAPPING_DIRTY_LIST + (list - layout.LIST_DIRTY) * 16;
      lists.push({ list, address, name: `list ${list} of ${space.store.name}` });
    }
  }
  return lists;
}

/** Each list runs from head to tail through frames that say that they are on it, and has as many as its count. */
function verifyLists(core: Core): void {
  const { words, shared, plan } = core.frames;
  for (const { list, address, name } of allLists(core)) {
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
  for (const space of core.openSpaces()) {
    const file = files.get(space.id) ?? { resident: 0, dirty: 0, writeback: 0, unstable: 0 };
    const said = [space.residentPages, space.dirtyPages, space.writebackPages, space.unstablePages];
    const counted = [file.resident, file.dirty, file.writeback, file.unstable];
    if (said.join() !== counted.join())
      breach(
        `${space.store.name}: counts (resident, dirty, writeback, unstable) ${said.join()}; there are ${counted.join()}`,
      );
  }
  const header = [layout.HEADER_DIRTY, layout.HEADER_WRITEBACK, layout.HEADER_UNSTABLE, layout.HEADER_WRITE_PINNED].map(
    (at) => shared.load(at),
  );
  const counted = [sums.dirty, sums.writeback, sums.unstable, sums.pinned];
  if (header.join() !== counted.join())
    breach(`totals (dirty, writeback, unstable, write-pinned) ${header.join()}; there are ${counted.join()}`);
}

/** Ledgers of all threads together are what the words say; credits are all there but those that pins have. */
function verifyHolds(core: Core): void {
  const { words, shared, plan } = core.frames;
  for (let record = 0; record < plan.records; record++) {
    if (!word.isMapped(words, record)) continue;
    let shares = 0;
    let reads = 0;
    let writes = 0;
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
  let credits = 0;
  for (const pin of core.pins) credits += pin.credits;
  const left = shared.load(layout.HEADER_CREDITS);
  if (left + credits !== core.frames.count)
    breach(`${left} frame credits are left and ${credits} taken, of ${core.frames.count}`);
}

function verifyQuiet(core: Core): void {
  const { words, shared, plan } = core.frames;
  if (shared.load(layout.HEADER_LISTS_LATCH) !== 0) breach("the lists' latch is taken");
  if (shared.load(layout.HEADER_NODES_USED) !== 0 || core.locks.queues.waiting !== 0)
    breach(`${core.locks.queues.waiting} tasks wait`);
  const pinned = new Set<number>();
  for (const pin of core.pins) for (const frame of pin.frames) pinned.add(frame);
  for (let record = 0; record < plan.records; record++) {
    const state = word.stateOf(words, record);
    if (state === layout.STATE_RESERVED) breach(`frame ${record} is reserved by somebody`);
    if (state === layout.STATE_MAPPED && word.isHeld(words, record) && !pinned.has(record))
      breach(`record ${record} is held, and by no pin`);
    if ((words.lowWord(record) & word.lockBits.waiters) !== 0) breach(`record ${record} says that somebody waits`);
  }
  if (core.frames.listLength(layout.LIST_SNAPSHOT) !== plan.snapshots) breach("snapshot frames are missing");
}
