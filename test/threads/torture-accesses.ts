/**
 * What lanes of a torture run do to bytes: each way to read and to write them. Each answers false where it found nothing to do.
 *
 * See also: torture-operations.ts (the table, and what is done to the file as a whole).
 */
import { setTimeout as sleep } from "node:timers/promises";
import { memory, offset, optimisticBegin, optimisticValidate, rawFile, tryPin, unpin } from "../../src/api/raw.js";
import type { PinScope, UserPages } from "../../src/index.js";
import type { Begun } from "./torture-board.js";
import type { CellRange, Lane } from "./torture-lane.js";
import { fillCell } from "./torture-page.js";

/** Reads without a lock are short, and meet a writer seldom. */
const optimisticTimes = 16;

// --- reading --------------------------------------------------------------------------------------------------------

export async function getRead(lane: Lane): Promise<boolean> {
  const { position, length } = lane.range();
  using pages = await lane.file.getUserPages(position, length);
  await lane.lookAround(pages);
  return true;
}

export async function getReadAbortably(lane: Lane): Promise<boolean> {
  const { position, length } = lane.range();
  const write = lane.random.isOneIn(2);
  using pages = await lane.file.getUserPages(position, length, { write, signal: lane.soon() });
  lane.checkPins(pages);
  return true;
}

export async function getReadLongterm(lane: Lane): Promise<boolean> {
  const { position, length } = lane.range();
  using pages = await lane.file.getUserPages(position, length, { longterm: true });
  lane.checkPins(pages, false);
  await lane.dally();
  lane.checkPins(pages, false);
  return true;
}

export async function getReadSync(lane: Lane): Promise<boolean> {
  const { position, length } = lane.range();
  const longterm = lane.random.isOneIn(4);
  using pages = lane.file.getUserPagesSync(position, length, { longterm });
  lane.checkPins(pages, !longterm);
  await lane.dally();
  return true;
}

export async function tryGetRead(lane: Lane): Promise<boolean> {
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

export const read = (lane: Lane) =>
  copyOut(lane, async (buffer, { length, position }) => (await lane.file.read(buffer, 0, length, position)).bytesRead);

export const readv = (lane: Lane) =>
  copyOut(lane, async (buffer, { count, position }) => {
    const half = lane.random.below(count) * lane.board.geometry.cellBytes;
    return (await lane.file.readv([buffer.subarray(0, half), buffer.subarray(half)], position)).bytesRead;
  });

export const readSyncly = (lane: Lane) =>
  copyOut(lane, (buffer, { length, position }) => lane.file.readSync(buffer, 0, length, position));

export const tryRead = (lane: Lane) =>
  copyOut(lane, (buffer, { length, position }) => {
    const end = Math.max(0, Math.min(length, lane.file.size - position));
    return lane.file.tryRead(buffer.subarray(0, end), position) ? end : 0;
  });

/** A copy, with a moment's rest within some cell, so that a writer can come in between. */
function slowCopy(lane: Lane, all: Uint8Array, start: number, end: number): Uint8Array {
  const { cellBytes } = lane.board.geometry;
  const middle = lane.random.below((end - start) / cellBytes) * cellBytes + cellBytes / 2;
  const bytes = new Uint8Array(end - start);
  bytes.set(all.subarray(start, start + middle));
  for (let rest = 0, untilMs = performance.now() + 0.02; rest < 1e5 && performance.now() < untilMs; rest++);
  bytes.set(all.subarray(start + middle, end), middle);
  return bytes;
}

/** Reads whole cells without a lock, and believes what was there at one moment. */
export async function readOptimistic(lane: Lane): Promise<boolean> {
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
export async function rawOptimistic(lane: Lane): Promise<boolean> {
  const page = lane.page();
  const range = lane.pageRange(page, 1);
  const raw = rawFile(lane.file);
  let good = 0;
  for (let times = 0; times < optimisticTimes; times++) {
    const sample = lane.board.sample(range.first, range.count);
    const begun = optimisticBegin(raw, page);
    if (begun < 0) continue;
    const from = offset(raw, begun);
    const bytes = slowCopy(lane, memory(raw, begun), from, from + range.length);
    if (!optimisticValidate(raw, begun)) continue;
    good += 1;
    // Where the file has been cut meanwhile, the rest of its last page is nobody's.
    lane.check(bytes.subarray(0, Math.max(0, Math.min(range.length, lane.file.size - range.position))), range, sample);
  }
  return good > 0;
}

export async function rawPin(lane: Lane): Promise<boolean> {
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
export async function mapLoad(lane: Lane): Promise<boolean> {
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

export async function getWrite(lane: Lane): Promise<boolean> {
  const { position, length } = lane.range();
  return lane.writeLocked(await lane.file.getUserPages(position, length, { write: true }));
}

export async function getWriteLongterm(lane: Lane): Promise<boolean> {
  const { position, length } = lane.range(2);
  const pages = await lane.file.getUserPages(position, length, { write: true, longterm: true });
  const begun = await lane.writePins(pages, true);
  await lane.dally();
  pages.put();
  return lane.finish(begun);
}

export async function getWriteSync(lane: Lane): Promise<boolean> {
  const { position, length } = lane.range();
  return lane.writeLocked(lane.file.getUserPagesSync(position, length, { write: true }));
}

export async function tryGetWrite(lane: Lane): Promise<boolean> {
  const { position, length } = lane.range();
  const pages = lane.file.tryGetUserPages(position, length, { write: true });
  return pages ? lane.writeLocked(pages) : false;
}

export async function putUnmodified(lane: Lane): Promise<boolean> {
  const { position, length } = lane.range();
  const pages = await lane.file.getUserPages(position, length, { write: true });
  await lane.exclusively(pages, async () => lane.checkPins(pages));
  pages.putUnmodified();
  return true;
}

export const write = (lane: Lane) => {
  const range = lane.range(4);
  return lane.write(
    range,
    async (bytes) => (await lane.file.write(bytes, 0, bytes.length, range.position)).bytesWritten,
  );
};

export const writev = (lane: Lane) => {
  const range = lane.range(4);
  return lane.write(range, async (bytes) => {
    const half = Math.floor(range.count / 2) * lane.board.geometry.cellBytes;
    return (await lane.file.writev([bytes.subarray(0, half), bytes.subarray(half)], range.position)).bytesWritten;
  });
};

export const writeSyncly = (lane: Lane) => {
  const range = lane.range(4);
  return lane.write(range, (bytes) => lane.file.writeSync(bytes, 0, bytes.length, range.position));
};

export const tryWrite = (lane: Lane) => {
  const range = lane.range(2);
  return lane.write(range, (bytes) => {
    const end = Math.max(0, Math.min(bytes.length, lane.file.size - range.position));
    return lane.file.tryWrite(bytes.subarray(0, end), range.position) ? end : undefined;
  });
};

/** Stores through a mapped view, word by word, sometimes with others in between. */
export async function mapStore(lane: Lane): Promise<boolean> {
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

export async function rawWrite(lane: Lane): Promise<boolean> {
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

export async function upgrade(lane: Lane): Promise<boolean> {
  const { position, length } = lane.range(2);
  using pages = await lane.file.getUserPages(position, length);
  await lane.lookAround(pages);
  await pages.upgrade({ signal: lane.patience() });
  return await lane.writeLocked(pages);
}

export async function downgrade(lane: Lane): Promise<boolean> {
  const { position, length } = lane.range();
  const pages = await lane.file.getUserPages(position, length, { write: true });
  const begun = await lane.exclusively(pages, () => lane.writePins(pages, false));
  pages.downgrade();
  await lane.lookAround(pages);
  pages.put();
  return lane.finish(begun);
}

export async function flush(lane: Lane): Promise<boolean> {
  const { position, length } = lane.range(2);
  const pages = await lane.file.getUserPages(position, length, { write: true });
  let begun: Begun[] = [];
  try {
    await lane.exclusively(pages, async () => {
      begun = await lane.writePins(pages, false);
      await pages.flush({ signal: lane.patience() });
    });
  } finally {
    pages.put();
    lane.finish(begun);
  }
  return true;
}

/** Several ranges, all or nothing: some for reading, some for writing. */
export async function pinMany(lane: Lane): Promise<boolean> {
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
export async function scope(lane: Lane): Promise<boolean> {
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
  const signal = lane.patience();
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
export async function transfer(lane: Lane): Promise<boolean> {
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
