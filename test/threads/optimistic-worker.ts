/**
 * A thread of optimistic-threads.test.ts: writes pages, each whole under its lock or a counted pin, or reads them without locks,
 * until it is told to stop.
 *
 * Each 8-byte word of a page is the same number: the page's, and how often this was written. A page that nobody has written is
 * zeros.
 */
import { parentPort, workerData } from "node:worker_threads";
import { type CachedFile, type CacheShare, PageCache, type PinfoldError } from "../../src/index.js";
import {
  type RawFile,
  memory,
  offset,
  optimisticBegin,
  optimisticValidate,
  rawFile,
  tryPin,
  unpin,
} from "../../src/api/raw.js";

export interface OptimisticInput {
  readonly share: CacheShare;
  readonly path: string;
  readonly role: "write" | "write counted" | "read raw" | "read";
  readonly pages: number;
  /** 1: stop. */
  readonly stop: Int32Array;
}

export interface OptimisticReport {
  readonly role: string;
  /** Reads that were accepted; pages written. */
  done: number;
  /** Reads that were thrown away, since somebody wrote meanwhile; calls of fn beyond the first. */
  again: number;
  /** Pages that were not there, or that somebody was writing to. */
  busy: number;
  /** Reads past the end of the file at that moment. */
  past: number;
  /** Accepted and wrong: what. */
  readonly wrong: string[];
}

const { share, path, role, pages, stop } = workerData as OptimisticInput;
const wordBytes = 8;
const versionsMax = 2 ** 24;
/** Pages that most accesses go to. */
const hotPages = 4;
const turnsAtOnce = 200;

const report: OptimisticReport = { role, done: 0, again: 0, busy: 0, past: 0, wrong: [] };
const numbers = new WeakMap<ArrayBufferLike, Float64Array>();

function numbersOf({ buffer }: Uint8Array): Float64Array {
  let found = numbers.get(buffer);
  if (!found) numbers.set(buffer, (found = new Float64Array(buffer)));
  return found;
}

function somePage(): number {
  return Math.floor(Math.random() * (Math.random() < 0.8 ? hotPages : pages));
}

/** The number that all words of the page are; NaN where they differ. */
function numberIn(words: Float64Array, from: number, to: number): number {
  const value = words[from] as number;
  for (let at = from + 1; at < to; at++) if (words[at] !== value) return Number.NaN;
  return value;
}

function check(index: number, value: number): void {
  report.done++;
  if (value === 0 || Math.floor(value / versionsMax) === index + 1) return;
  if (report.wrong.length < 10)
    report.wrong.push(`page ${index}: ${value} of page ${Math.floor(value / versionsMax) - 1}`);
}

/** True where a refusal is what may happen while others cut the file, or hold a page longer than this thread may wait. */
function isExpected(error: unknown): boolean {
  const { code } = error as PinfoldError;
  if (code === "ERR_PINFOLD_OUT_OF_RANGE") report.past++;
  else if (code === "EDEADLK" || code === "ERR_PINFOLD_NO_FRAMES") report.busy++;
  else return false;
  return true;
}

function readRaw(raw: RawFile, file: CachedFile): void {
  const index = somePage();
  const read = optimisticBegin(raw, index);
  if (read < 0) {
    report.busy++;
    if (raw.core.table.find(raw.space.id, index) < 0) file.readOptimistic(index * file.pageSize, 1, () => {});
    return;
  }
  const from = offset(raw, read) / wordBytes;
  const value = numberIn(numbersOf(memory(raw, read)), from, from + file.pageSize / wordBytes);
  if (optimisticValidate(raw, read)) check(index, value);
  else report.again++;
}

function readThroughCall(file: CachedFile): void {
  const index = somePage();
  let calls = 0;
  const value = file.readOptimistic(index * file.pageSize, file.pageSize, (bytes, start, end) => {
    calls++;
    const number = numberIn(numbersOf(bytes), start / wordBytes, end / wordBytes);
    // As a parser would that meets half of an update.
    if (Number.isNaN(number)) throw new Error("half of an update");
    return number;
  });
  report.again += calls - 1;
  check(index, value);
}

let version = 0;

/** Under the exclusive lock. Now and then nothing is changed, which is allowed too. */
function write(raw: RawFile, { pageSize }: CachedFile): void {
  const index = somePage();
  const frame = tryPin(raw, index, true);
  if (frame < 0) {
    report.busy++;
    return;
  }
  const from = offset(raw, frame) / wordBytes;
  const value = (index + 1) * versionsMax + ++version;
  if (version % 16 !== 0) numbersOf(memory(raw, frame)).fill(value, from, from + pageSize / wordBytes);
  unpin(raw, frame, version % 16 !== 0);
  report.done++;
}

/** As write, but the lock is given up first. This thread is the only one that does so; others may take the lock meanwhile. */
function writeCounted(file: CachedFile): void {
  const index = somePage();
  const pin = file.tryGetUserPages(index * file.pageSize, file.pageSize, { write: true, longterm: true });
  if (!pin) {
    report.busy++;
    return;
  }
  const bytes = pin.bytes;
  const from = bytes.byteOffset / wordBytes;
  numbersOf(bytes).fill((index + 1) * versionsMax + ++version, from, from + file.pageSize / wordBytes);
  pin.put();
  report.done++;
}

async function main(): Promise<void> {
  const cache = PageCache.attach(share);
  const file = await cache.open(path);
  const raw = rawFile(file);
  const turn = {
    write: () => write(raw, file),
    "write counted": () => writeCounted(file),
    "read raw": () => readRaw(raw, file),
    read: () => readThroughCall(file),
  }[role];
  parentPort?.postMessage("ready");
  while (Atomics.load(stop, 0) === 0) {
    for (let i = 0; i < turnsAtOnce; i++) {
      try {
        turn();
      } catch (error) {
        if (!isExpected(error)) throw error;
      }
    }
    // Loads that were begun, and what others ask of this thread.
    await new Promise(setImmediate);
  }
  parentPort?.postMessage(report);
  await cache.close();
}

void main();
