/**
 * The table of operations of a torture run: what each does, how often it is chosen, and with which codes it may be refused.
 * An operation answers false where it found nothing to do.
 *
 * See also: torture-accesses.ts (reading and writing).
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { ErrorCode } from "../../src/index.js";
import * as access from "./torture-accesses.js";
import type { CellRange, Lane } from "./torture-lane.js";
import type { Random } from "./torture-page.js";

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
    lane.file.truncate(length * cellBytes, { signal: lane.random.isOneIn(6) ? lane.soon() : lane.patience() }),
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
  await zeroing(lane, first, first + count, () => lane.file.punchHole(position, length, { signal: lane.patience() }));
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
  // A later version may be on its way at this moment, and half of it be there; an older one may not.
  for (let tries = 1; ; tries++) {
    lane.worker.readStored(bytes.fill(0), position);
    const wrong = lane.board.check(bytes, first, sample, { sampleFirst: range.first });
    if (!wrong) return true;
    if (!wrong.isTorn || tries === 20) lane.fail(`stored, after a sync: ${wrong.what}`);
    await sleep(2);
  }
}

const wholeFile = (lane: Lane) => lane.cellRange(0, lane.board.sideCells);
const sync = (lane: Lane) => durably(lane, wholeFile(lane), () => lane.file.sync());
const datasync = (lane: Lane) => durably(lane, wholeFile(lane), () => lane.file.datasync({ signal: lane.patience() }));

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
  return access.getRead(lane);
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
  some("getUserPages", 20, access.getRead, full),
  some("getUserPages, aborted", 8, access.getReadAbortably, full),
  some("getUserPages longterm", 6, access.getReadLongterm, full),
  blocks("getUserPagesSync", 6, access.getReadSync),
  some("tryGetUserPages", 10, access.tryGetRead, full),
  some("read", 12, access.read, full),
  some("readv", 4, access.readv, full),
  blocks("readSync", 8, access.readSyncly),
  some("tryRead", 6, access.tryRead, full),
  blocks("readOptimistic", 10, access.readOptimistic),
  some("raw optimistic", 8, access.rawOptimistic, full),
  some("raw pin", 6, access.rawPin, full),
  blocks("map, load", 14, access.mapLoad, true),
  some("getUserPages write", 20, access.getWrite, full),
  some("getUserPages write longterm", 6, access.getWriteLongterm, counted),
  blocks("getUserPagesSync write", 6, access.getWriteSync),
  some("tryGetUserPages write", 8, access.tryGetWrite, full),
  some("raw write pin", 6, access.rawWrite, full),
  some("putUnmodified", 6, access.putUnmodified, full),
  some("write", 14, access.write, full),
  some("writev", 4, access.writev, full),
  blocks("writeSync", 8, access.writeSyncly),
  some("tryWrite", 8, access.tryWrite, full),
  blocks("map, store", 14, access.mapStore, true),
  some("upgrade", 6, access.upgrade, [...full, "EDEADLK"]),
  some("downgrade", 4, access.downgrade, full),
  some("flush", 3, access.flush, full),
  // Its pages are one scope's: with a scope that takes its pages in another order it may be part of a circle.
  some("cache.pin", 8, access.pinMany, [...full, "EDEADLK"]),
  some("scope", 6, access.scope, [...full, "EDEADLK"]),
  some("transfer", 4, access.transfer, counted),
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
