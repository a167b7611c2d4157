/**
 * The table of operations of a torture run: what each does, how often it is chosen, and with which codes it may be refused.
 * An operation answers false where it found nothing to do.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { memory, offset, optimisticBegin, optimisticValidate, rawFile, tryPin, unpin } from "../../src/api/raw.js";
import type { ErrorCode, PinScope, UserPages } from "../../src/index.js";
import type { Begun } from "./torture-board.js";
import type { CellRange, Lane } from "./torture-lane.js";
import { type Random, fillCell } from "./torture-page.js";

export interface Operation {
  readonly name: string;
  readonly weight: number;
  readonly run: (lane: Lane) => Promise<boolean>;
  /** Codes that are no failure. An abort never is. */
  readonly codes: readonly ErrorCode[];
  /** Not for stores that another thread has. */
  readonly ownStoreOnly?: boolean;
  /** EIO is no failure where the store is one whose syncs fail. */
  readonly mayFail?: boolean;
  /** May block its thread. */
  readonly blocking?: boolean;
}

const outside = "ERR_PINFOLD_OUT_OF_RANGE";
const full: readonly ErrorCode[] = [outside, "ERR_PINFOLD_NO_FRAMES"];
const counted: readonly ErrorCode[] = [...full, "ERR_PINFOLD_PIN_LIMIT"];
const cutting: readonly ErrorCode[] = ["EBUSY"];

/** An abort that comes at about the time that short waits take. */
function soon(lane: Lane): AbortSignal {
  return AbortSignal.timeout(1 + lane.random.below(20));
}

/** The end of a wait that might be part of a circle: unscoped tasks are not looked at for one. */
function patience(): AbortSignal {
  return AbortSignal.timeout(500);
}

/** Reads without a lock are short, and meet a writer seldom. */
const optimisticTimes = 16;

// --- reading --------------------------------------------------------------------------------------------------------

async function getRead(lane: Lane): Promise<boolean> {
  const { position, length } = lane.range();
  using pages = await lane.file.getUserPages(position, length);
  await lane.lookAround(pages);
  return true;
}

async function getReadAbortably(lane: Lane): Promise<boolean> {
  const { position, length } = lane.range();
  const write = lane.random.isOneIn(2);
  using pages = await lane.file.getUserPages(position, length, { write, signal: soon(lane) });
  lane.checkPins(pages);
  return true;
}

async function getReadLongterm(lane: Lane): Promise<boolean> {
  const { position, length } = lane.range();
  using pages = await lane.file.getUserPages(position, length, { longterm: true });
  lane.checkPins(pages, false);
  await lane.dally();
  lane.checkPins(pages, false);
  return true;
}

async function getReadSync(lane: Lane): Promise<boolean> {
  const { position, length } = lane.range();
  const longterm = lane.random.isOneIn(4);
  using pages = lane.file.getUserPagesSync(position, length, { longterm });
  lane.checkPins(pages, !longterm);
  await lane.dally();
  return true;
}

async function tryGetRead(lane: Lane): Promise<boolean> {
  const { position, length } = lane.range();
  using pages = lane.file.tryGetUserPages(position, length);
  if (pages) await lane.lookAround(pages);
  return pages !== undefined;
}

/** Checks the cells that a call has read whole. */
async function copyOut(
  lane: Lane,
  read: (buffer: Buffer, range: CellRange) => Promise<number> | number,
): Promise<boolean> {
  const range = lane.range(4);
  const buffer = Buffer.from(new ArrayBuffer(range.length));
  const sample = lane.board.sample(range.first, range.count);
  const count = await read(buffer, range);
  lane.check(buffer.subarray(0, count), range, sample);
  return count > 0;
}

const read = (lane: Lane) =>
  copyOut(lane, async (buffer, { length, position }) => (await lane.file.read(buffer, 0, length, position)).bytesRead);

const readv = (lane: Lane) =>
  copyOut(lane, async (buffer, { count, position }) => {
    const half = lane.random.below(count) * lane.board.geometry.cellBytes;
    return (await lane.file.readv([buffer.subarray(0, half), buffer.subarray(half)], position)).bytesRead;
  });

const readSyncly = (lane: Lane) =>
  copyOut(lane, (buffer, { length, position }) => lane.file.readSync(buffer, 0, length, position));

const tryRead = (lane: Lane) =>
  copyOut(lane, (buffer, { length, position }) => {
    const end = Math.max(0, Math.min(length, lane.file.size - position));
    return lane.file.tryRead(buffer.subarray(0, end), position) ? end : 0;
  });

/** Reads whole cells without a lock, and believes what was there at one moment. */
async function readOptimistic(lane: Lane): Promise<boolean> {
  const range = lane.range(2);
  for (let times = 0; times < optimisticTimes; times++) {
    const sample = lane.board.sample(range.first, range.count);
    const bytes = lane.file.readOptimistic(range.position, range.length, (pages, start, end) =>
      pages.slice(start, end),
    );
    lane.check(bytes, range, sample);
  }
  return true;
}

/** The same a page at a time, without handles. */
async function rawOptimistic(lane: Lane): Promise<boolean> {
  const page = lane.page();
  const range = lane.pageRange(page, 1);
  const raw = rawFile(lane.file);
  let good = 0;
  for (let times = 0; times < optimisticTimes; times++) {
    const sample = lane.board.sample(range.first, range.count);
    const begun = optimisticBegin(raw, page);
    if (begun < 0) continue;
    const from = offset(raw, begun);
    const bytes = memory(raw, begun).slice(from, from + range.length);
    if (!optimisticValidate(raw, begun)) continue;
    good += 1;
    // Where the file has been cut meanwhile, the rest of its last page is nobody's.
    lane.check(bytes.subarray(0, Math.max(0, Math.min(range.length, lane.file.size - range.position))), range, sample);
  }
  return good > 0;
}

async function rawPin(lane: Lane): Promise<boolean> {
  const page = lane.page();
  const range = lane.pageRange(page, 1);
  const raw = rawFile(lane.file);
  const frame = tryPin(raw, page, false);
  if (frame < 0) return false;
  const sample = lane.board.sample(range.first, range.count);
  const end = Math.max(0, Math.min(range.length, lane.file.size - range.position));
  const bytes = memory(raw, frame).subarray(offset(raw, frame), offset(raw, frame) + end);
  lane.check(bytes, range, sample);
  const wrong = lane.board.lookInside(page);
  unpin(raw, frame);
  if (wrong !== undefined) lane.fail(wrong);
  return true;
}

/** Loads through a mapped view: word by word, or a copy of whole pages. Others may store in between. */
async function mapLoad(lane: Lane): Promise<boolean> {
  const range = lane.range(2);
  const bytes = new Uint8Array(range.length);
  const words = new Int32Array(bytes.buffer);
  const sample = lane.board.sample(range.first, range.count);
  const { view } = lane;
  if (lane.random.isOneIn(3)) view.copyTo(bytes, range.position, range.length);
  else for (let at = 0; at < words.length; at++) words[at] = view.getInt32(range.position + at * 4, true);
  lane.check(bytes, range, sample, false);
  return true;
}

// --- writing --------------------------------------------------------------------------------------------------------

async function getWrite(lane: Lane): Promise<boolean> {
  const { position, length } = lane.range();
  return lane.writeLocked(await lane.file.getUserPages(position, length, { write: true }));
}

async function getWriteLongterm(lane: Lane): Promise<boolean> {
  const { position, length } = lane.range(2);
  const pages = await lane.file.getUserPages(position, length, { write: true, longterm: true });
  const begun = await lane.writePins(pages, true);
  await lane.dally();
  pages.put();
  return lane.finish(begun);
}

async function getWriteSync(lane: Lane): Promise<boolean> {
  const { position, length } = lane.range();
  return lane.writeLocked(lane.file.getUserPagesSync(position, length, { write: true }));
}

async function tryGetWrite(lane: Lane): Promise<boolean> {
  const { position, length } = lane.range();
  const pages = lane.file.tryGetUserPages(position, length, { write: true });
  return pages ? lane.writeLocked(pages) : false;
}

async function putUnmodified(lane: Lane): Promise<boolean> {
  const { position, length } = lane.range();
  const pages = await lane.file.getUserPages(position, length, { write: true });
  await lane.exclusively(pages, async () => lane.checkPins(pages));
  pages.putUnmodified();
  return true;
}

const write = (lane: Lane) => {
  const range = lane.range(4);
  return lane.write(
    range,
    async (bytes) => (await lane.file.write(bytes, 0, bytes.length, range.position)).bytesWritten,
  );
};

const writev = (lane: Lane) => {
  const range = lane.range(4);
  return lane.write(range, async (bytes) => {
    const half = Math.floor(range.count / 2) * lane.board.geometry.cellBytes;
    return (await lane.file.writev([bytes.subarray(0, half), bytes.subarray(half)], range.position)).bytesWritten;
  });
};

const writeSyncly = (lane: Lane) => {
  const range = lane.range(4);
  return lane.write(range, (bytes) => lane.file.writeSync(bytes, 0, bytes.length, range.position));
};

const tryWrite = (lane: Lane) => {
  const range = lane.range(2);
  return lane.write(range, (bytes) => {
    const end = Math.max(0, Math.min(bytes.length, lane.file.size - range.position));
    return lane.file.tryWrite(bytes.subarray(0, end), range.position) ? end : undefined;
  });
};

/** Stores through a mapped view, word by word, sometimes with others in between. */
async function mapStore(lane: Lane): Promise<boolean> {
  const { cellBytes } = lane.board.geometry;
  const cell = lane.range(1).first;
  if (!lane.board.tryClaim(cell, lane.id)) return false;
  const begun = lane.board.begin(cell, true);
  const words = new Int32Array(cellBytes / 4);
  fillCell(new Uint8Array(words.buffer), cell, lane.writer, begun.version);
  const { view } = lane;
  const pause = lane.random.isOneIn(2) ? lane.random.below(words.length) : -1;
  let stored = 0;
  try {
    if (lane.random.isOneIn(4)) view.copyFrom(new Uint8Array(words.buffer), cell * cellBytes);
    else
      for (; stored < words.length; stored++) {
        if (stored === pause) await lane.dally();
        view.setInt32(cell * cellBytes + stored * 4, words[stored] as number, true);
      }
    lane.board.finish(begun);
    return true;
  } catch (error) {
    lane.board.abandon(begun, true);
    throw error;
  } finally {
    lane.board.release(cell, lane.id);
  }
}

async function rawWrite(lane: Lane): Promise<boolean> {
  const page = lane.page();
  const range = lane.pageRange(page, 1);
  const raw = rawFile(lane.file);
  const frame = tryPin(raw, page, true);
  if (frame < 0) return false;
  const wrong = lane.board.enter(page, lane.id);
  if (wrong !== undefined) lane.fail(wrong);
  const { cellBytes } = lane.board.geometry;
  const begun: Begun[] = [];
  for (let at = 0; at < range.count; at++) {
    const cell = range.first + at;
    if ((at + 1) * cellBytes + range.position > lane.file.size || !lane.board.tryClaim(cell, lane.id)) continue;
    const next = lane.board.begin(cell, false);
    begun.push(next);
    const from = offset(raw, frame) + at * cellBytes;
    fillCell(memory(raw, frame).subarray(from, from + cellBytes), cell, lane.writer, next.version);
  }
  lane.board.leave(page, lane.id);
  unpin(raw, frame, begun.length > 0);
  return lane.finish(begun);
}

async function upgrade(lane: Lane): Promise<boolean> {
  const { position, length } = lane.range(2);
  using pages = await lane.file.getUserPages(position, length);
  await lane.lookAround(pages);
  await pages.upgrade({ signal: patience() });
  return await lane.writeLocked(pages);
}

async function downgrade(lane: Lane): Promise<boolean> {
  const { position, length } = lane.range();
  const pages = await lane.file.getUserPages(position, length, { write: true });
  const begun = await lane.exclusively(pages, () => lane.writePins(pages, false));
  pages.downgrade();
  await lane.lookAround(pages);
  pages.put();
  return lane.finish(begun);
}

async function flush(lane: Lane): Promise<boolean> {
  const { position, length } = lane.range(2);
  const pages = await lane.file.getUserPages(position, length, { write: true });
  let begun: Begun[] = [];
  try {
    await lane.exclusively(pages, async () => {
      begun = await lane.writePins(pages, false);
      await pages.flush({ signal: patience() });
    });
  } finally {
    pages.put();
    lane.finish(begun);
  }
  return true;
}

/** Several ranges, all or nothing: some for reading, some for writing. */
async function pinMany(lane: Lane): Promise<boolean> {
  const { cellsPerPage } = lane.board;
  const chosen = new Map<number, CellRange>();
  for (let left = 2 + lane.random.below(3); left > 0; left--) {
    const page = lane.page();
    chosen.set(page, lane.cellRange(page * cellsPerPage, 1 + lane.random.below(cellsPerPage)));
  }
  const ranges = [...chosen.values()].map(({ position, length }) => ({
    file: lane.file,
    position,
    length,
    write: lane.random.isOneIn(2),
  }));
  using pins = await lane.cache.pin(ranges);
  let wrote = true;
  for (const pages of pins) {
    if (pages.writable) wrote = (await lane.writeLocked(pages)) || wrote;
    else await lane.lookAround(pages);
  }
  return wrote;
}

/** Pages one after the other in no order, re-entered and upgraded, by one logical task. */
async function scope(lane: Lane): Promise<boolean> {
  const owner = lane.cache.scope();
  try {
    return await inScope(lane, owner);
  } finally {
    // What an aborted call of the scope has on its way is given back a little later.
    for (let tries = 0; !hasEnded(owner); tries++) {
      if (tries > 2_000) lane.fail("a scope without pins does not end");
      await sleep(1);
    }
  }
}

function hasEnded(owner: PinScope): boolean {
  try {
    owner.end();
    return true;
  } catch (error) {
    if ((error as { code?: string }).code !== "EBUSY") throw error;
    return false;
  }
}

async function inScope(lane: Lane, owner: PinScope): Promise<boolean> {
  const [one, other] = [lane.range(1), lane.range(1)];
  const signal = patience();
  using first = await lane.file.getUserPages(one.position, one.length, { scope: owner, signal });
  lane.checkPins(first);
  using second = await lane.file.getUserPages(other.position, other.length, { scope: owner, write: true, signal });
  const begun = await lane.writePins(second, false);
  try {
    using again = await lane.file.getUserPages(one.position, one.length, { scope: owner, signal });
    lane.checkPins(again);
    first.put();
    await lane.dally();
  } finally {
    second.put();
    lane.finish(begun);
  }
  return true;
}

/** A pin that another worker, or this one, goes on with. */
async function transfer(lane: Lane): Promise<boolean> {
  const { position, length } = lane.range(2);
  const pages = await lane.file.getUserPages(position, length, { write: true, longterm: true });
  const begun = await lane.writePins(pages, true);
  const to = lane.random.below(lane.board.geometry.workers);
  const cells = begun.map(({ cell }) => cell);
  // The one who adopts them writes a version of its own.
  for (const next of begun) lane.board.abandon(next);
  const answer = await lane.worker.handOver(to, { token: pages.transfer(), lane: lane.id, cells });
  if (answer !== "adopted") takeBack(pages);
  for (const cell of cells) lane.board.release(cell, lane.id);
  return answer === "adopted";
}

/** What nobody has adopted is ours, or was adopted after all. */
function takeBack(pages: UserPages): void {
  try {
    pages.put();
  } catch (error) {
    if ((error as { code?: string }).code !== "ESTALE") throw error;
  }
}

// --- space ----------------------------------------------------------------------------------------------------------

/** Does `work`, which makes cells [first, end) zeros, or leaves them. */
async function zeroing(lane: Lane, first: number, end: number, work: () => Promise<void>): Promise<boolean> {
  const dying = lane.board.beginCut(first, end, lane.id);
  let done = false;
  try {
    await work();
    done = true;
  } finally {
    lane.board.endCut(first, end, lane.id, done ? dying : undefined);
  }
  return true;
}

/** Cuts or extends the file to some cell of its last part. */
async function resize(lane: Lane, isLonger: boolean): Promise<boolean> {
  const { stablePages, punchedPages, cutPages, cellBytes } = lane.board.geometry;
  const { cellsPerPage, sideCells } = lane.board;
  const first = (stablePages + punchedPages) * cellsPerPage;
  const all = cutPages * cellsPerPage;
  const length = first + (isLonger ? all - lane.random.below(all / 4) : lane.random.below(all));
  return zeroing(lane, length, sideCells, () =>
    lane.file.truncate(length * cellBytes, { signal: lane.random.isOneIn(6) ? soon(lane) : patience() }),
  );
}

const cut = (lane: Lane) => resize(lane, false);

/** What a cut took must not be back. */
async function extend(lane: Lane): Promise<boolean> {
  const isDone = await resize(lane, true);
  const { stablePages, punchedPages, cutPages } = lane.board.geometry;
  const page = stablePages + punchedPages + lane.random.below(cutPages);
  await readBack(lane, lane.pageRange(page, Math.min(4, stablePages + punchedPages + cutPages - page)));
  return isDone;
}

async function readBack(lane: Lane, range: CellRange): Promise<void> {
  const bytes = new Uint8Array(range.length);
  const sample = lane.board.sample(range.first, range.count);
  const { bytesRead } = await lane.file.read(bytes, 0, bytes.length, range.position);
  lane.check(bytes.subarray(0, bytesRead), range, sample);
}

async function punchHole(lane: Lane): Promise<boolean> {
  const { stablePages, punchedPages } = lane.board.geometry;
  const { cellsPerPage } = lane.board;
  const first = stablePages * cellsPerPage + lane.random.below(punchedPages * cellsPerPage);
  const count = Math.min(1 + lane.random.below(3 * cellsPerPage), (stablePages + punchedPages) * cellsPerPage - first);
  const range = lane.cellRange(first, count);
  const { position, length } = range;
  await zeroing(lane, first, first + count, () => lane.file.punchHole(position, length, { signal: patience() }));
  await readBack(lane, range);
  return true;
}

async function allocate(lane: Lane): Promise<boolean> {
  const { position, length } = lane.range(4);
  await lane.file.allocate(position, length);
  return true;
}

// --- the file as a whole ----------------------------------------------------------------------------------------------

/** Cells that one look compares. */
const lookedMax = 1_024;

/** Syncs, and looks whether what was finished before is stored. */
async function durably(lane: Lane, range: CellRange, sync: () => Promise<void> | void): Promise<boolean> {
  const sample = lane.board.sample(range.first, range.count);
  await sync();
  const count = Math.min(range.count, lookedMax);
  const first = range.first + lane.random.below(range.count - count + 1);
  const { position, length } = lane.cellRange(first, count);
  const bytes = new Uint8Array(length);
  let wrong: string | undefined;
  // A later version may be on its way at this moment.
  for (let tries = 0; tries < 20; tries++) {
    lane.worker.readStored(bytes.fill(0), position);
    wrong = lane.board.check(bytes, first, sample, { sampleFirst: range.first });
    if (wrong === undefined) return true;
    await sleep(2);
  }
  return lane.fail(`stored, after a sync: ${wrong}`);
}

const wholeFile = (lane: Lane) => lane.cellRange(0, lane.board.sideCells);
const sync = (lane: Lane) => durably(lane, wholeFile(lane), () => lane.file.sync());
const datasync = (lane: Lane) => durably(lane, wholeFile(lane), () => lane.file.datasync({ signal: patience() }));

const syncSyncly = (lane: Lane) => durably(lane, wholeFile(lane), () => lane.file.syncSync());
const datasyncSyncly = (lane: Lane) => {
  const range = lane.range(8);
  const { position, length } = range;
  return durably(lane, range, () => lane.file.datasyncSync({ position, length }));
};

const syncRange = (lane: Lane) => {
  const range = lane.range(8);
  const { position, length } = range;
  return durably(lane, range, () => lane.file.sync({ position, length, pinned: lane.random.pick(["wait", "fail"]) }));
};

async function willneed(lane: Lane): Promise<boolean> {
  const { position, length } = lane.range(8);
  await lane.file.advise(position, length, "willneed");
  return true;
}

async function dontneed(lane: Lane): Promise<boolean> {
  const { position, length } = lane.range(8);
  await lane.file.advise(position, length, "dontneed");
  return true;
}

async function invalidate(lane: Lane): Promise<boolean> {
  const { position, length } = lane.range(4);
  lane.file.invalidate(position, length);
  return true;
}

async function reopen(lane: Lane): Promise<boolean> {
  const file = await lane.worker.open();
  const before = lane.file;
  lane.use(file);
  await closeFirmly(before);
  return getRead(lane);
}

/** A store whose syncs fail now and then keeps a file open: then it is closed again. */
export async function closeFirmly(file: { close(): Promise<void> }): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await file.close();
      return;
    } catch (error) {
      if ((error as { code?: string }).code !== "EIO" || tries === 20) throw error;
    }
  }
}

/** A file that nobody keeps open: its last close, in whichever thread, meets opens of others. */
async function sideFile(lane: Lane): Promise<boolean> {
  const { sidePath } = lane.worker;
  if (sidePath === undefined) return false;
  const { cellsPerPage, sideCells, geometry } = lane.board;
  const side = await lane.cache.open(sidePath);
  try {
    const page = lane.random.below(geometry.sidePages);
    const cell = sideCells + page * cellsPerPage;
    const position = page * geometry.pageSize;
    const range = { ...lane.cellRange(cell, cellsPerPage), position };
    const bytes = Buffer.from(new ArrayBuffer(range.length));
    const sample = lane.board.sample(cell, cellsPerPage);
    await side.read(bytes, 0, range.length, position);
    lane.check(bytes, range, sample);
    return await lane.write(range, async (next) => (await side.write(next, 0, next.length, position)).bytesWritten);
  } finally {
    await side.close();
  }
}

async function look(lane: Lane): Promise<boolean> {
  lane.cache.pins();
  lane.cache.stats();
  lane.cache.verify();
  return true;
}

/** `run` may block its thread. */
const blocks = (name: string, weight: number, run: Operation["run"], ownStoreOnly = false): Operation => ({
  name,
  weight,
  run,
  codes: [...full, "EDEADLK"],
  blocking: true,
  ownStoreOnly,
});

const some = (name: string, weight: number, run: Operation["run"], codes: readonly ErrorCode[]): Operation => ({
  name,
  weight,
  run,
  codes,
});

/** A store whose syncs fail now and then says so. */
const syncs = (operation: Operation): Operation => ({ ...operation, mayFail: true });

export const operations: readonly Operation[] = [
  some("getUserPages", 20, getRead, full),
  some("getUserPages, aborted", 8, getReadAbortably, full),
  some("getUserPages longterm", 6, getReadLongterm, full),
  blocks("getUserPagesSync", 6, getReadSync),
  some("tryGetUserPages", 10, tryGetRead, full),
  some("read", 12, read, full),
  some("readv", 4, readv, full),
  blocks("readSync", 8, readSyncly),
  some("tryRead", 6, tryRead, full),
  blocks("readOptimistic", 10, readOptimistic),
  some("raw optimistic", 8, rawOptimistic, full),
  some("raw pin", 6, rawPin, full),
  blocks("map, load", 14, mapLoad, true),
  some("getUserPages write", 20, getWrite, full),
  some("getUserPages write longterm", 6, getWriteLongterm, counted),
  blocks("getUserPagesSync write", 6, getWriteSync),
  some("tryGetUserPages write", 8, tryGetWrite, full),
  some("raw write pin", 6, rawWrite, full),
  some("putUnmodified", 6, putUnmodified, full),
  some("write", 14, write, full),
  some("writev", 4, writev, full),
  blocks("writeSync", 8, writeSyncly),
  some("tryWrite", 8, tryWrite, full),
  blocks("map, store", 14, mapStore, true),
  some("upgrade", 6, upgrade, [...full, "EDEADLK"]),
  some("downgrade", 4, downgrade, full),
  some("flush", 3, flush, full),
  some("cache.pin", 8, pinMany, full),
  some("scope", 6, scope, [...full, "EDEADLK"]),
  some("transfer", 4, transfer, counted),
  some("truncate, cut", 5, cut, cutting),
  some("truncate, extend", 5, extend, [...cutting, ...full]),
  some("punchHole", 6, punchHole, [...cutting, ...full]),
  some("allocate", 1, allocate, ["ENOTSUP"]),
  syncs(some("sync", 2, sync, [])),
  syncs(some("datasync", 1, datasync, [])),
  syncs(some("sync of a range", 4, syncRange, ["ERR_PINFOLD_PINNED"])),
  syncs(blocks("syncSync", 1, syncSyncly)),
  syncs(blocks("datasyncSync of a range", 2, datasyncSyncly)),
  some("advise willneed", 3, willneed, full),
  some("advise dontneed", 3, dontneed, full),
  some("invalidate", 3, invalidate, ["EBUSY"]),
  some("open and close", 3, reopen, full),
  { ...some("side file", 3, sideFile, full), ownStoreOnly: true },
  some("verify", 1, look, []),
];

/** A thread that blocks is best alone in its tasks: others would wait for them, and it for them. But it may be that it is not. */
const seldom = 0.01;

/** Chooses operations at random, by their weights. */
export class Choice {
  readonly #until: number[] = [];

  constructor(options: { mayBlock: boolean; ownStore: boolean; without: RegExp | undefined }) {
    let sum = 0;
    for (const { name, weight, blocking, ownStoreOnly } of operations) {
      const isOut = (ownStoreOnly && !options.ownStore) || options.without?.test(name);
      sum += isOut ? 0 : weight * (blocking && !options.mayBlock ? seldom : 1) * 1_000;
      this.#until.push(sum);
    }
  }

  next(random: Random): number {
    const chosen = random.below(this.#until.at(-1) as number);
    return this.#until.findIndex((until) => chosen < until);
  }
}
