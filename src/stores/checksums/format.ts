/**
 * The file of checksums that lies beside the data.
 *
 *     2 x 4 KiB     header, twice, written one after the other: the newer good one counts
 *     2 x 1 MiB     areas of the log: pages of records, of changes of which it is not known yet whether the storage has them; one is
 *                   filled while the other one is put into the table (the header says how many pages an area has)
 *     ...           table: 4 KiB for each 1,016 blocks of data
 *
 * All numbers are little-endian. Everything that is written carries a CRC of its own with its place in it, so that a torn, lost or
 * misdirected write of this file is seen too:
 * - header: magic, version, block size, the file's number, from which record on the log counts, how often it was written, pages of an
 *   area, CRC;
 * - page of the log: magic, CRC, the number of its first record, up to which record the storage is known to have everything, how
 *   many records; then records of 16 bytes: block (64 bits), how many blocks (32), sum (32);
 * - table: sectors of 512 bytes, which the storage writes as a whole or not at all: 127 sums of 4 bytes, and a CRC. A sector of zeros
 *   was never written, and says that its blocks are zero. A sum of 1 says that it is not known: it stood in a sector that was damaged.
 */
import { limits } from "../../base/limits.js";
import { loadCrc, unknownSum } from "./sum.js";

export const pageBytes = limits.blockSize;
export const headerBytes = 2 * pageBytes;
const sectorBytes = 512;
const sectorSums = sectorBytes / 4 - 1;
export const sectorsPerPage = pageBytes / sectorBytes;
/** Blocks of data that a page of the table is for. */
export const pageSums = sectorSums * sectorsPerPage;

/** Where the header's CRC stands: behind all of it. */
const headerCrc = 36;
const headerMagic = 0x46444e50;
const version = 1;
const logMagic = 0x474f4c50;
const logHeadBytes = 32;
const recordBytes = 16;
export const pageRecords = Math.floor((pageBytes - logHeadBytes) / recordBytes);

export interface Header {
  readonly fileNumber: number;
  /** Records below this number are in the table. */
  readonly logFrom: number;
  /** How often the header was written. */
  readonly writes: number;
  /** Pages of each of the log's areas. */
  readonly areaPages: number;
}

/** Where the log's areas and the table begin. */
export function placesOf({ areaPages }: Pick<Header, "areaPages">): {
  areas: readonly [number, number];
  table: number;
} {
  const areaBytes = areaPages * pageBytes;
  return { areas: [headerBytes, headerBytes + areaBytes], table: headerBytes + 2 * areaBytes };
}

/** Blocks [block, block + blocks) have this sum from record `number` on; 0: they are zero. More than one block only where they are zero. */
export interface LogRecord {
  readonly block: number;
  readonly blocks: number;
  readonly sum: number;
}

export interface LogPage {
  readonly first: number;
  readonly settled: number;
  readonly records: readonly LogRecord[];
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** As numbers are written here: exact up to 2^53. */
function setNumber(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % 2 ** 32, true);
  view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
}

function getNumber(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
}

export function encodeHeader({ fileNumber, logFrom, writes, areaPages }: Header): Uint8Array {
  const bytes = new Uint8Array(pageBytes);
  const view = viewOf(bytes);
  view.setUint32(0, headerMagic, true);
  view.setUint32(4, version, true);
  view.setUint32(8, limits.blockSize, true);
  view.setUint32(12, fileNumber, true);
  setNumber(view, 16, logFrom);
  setNumber(view, 24, writes);
  view.setUint32(32, areaPages, true);
  view.setUint32(headerCrc, loadCrc()(bytes.subarray(0, headerCrc)), true);
  return bytes;
}

/** Undefined where these bytes are no header of a version that is known. */
export function decodeHeader(bytes: Uint8Array): Header | undefined {
  const view = viewOf(bytes);
  if (
    view.getUint32(0, true) !== headerMagic ||
    view.getUint32(headerCrc, true) !== loadCrc()(bytes.subarray(0, headerCrc))
  )
    return undefined;
  if (view.getUint32(4, true) !== version || view.getUint32(8, true) !== limits.blockSize) return undefined;
  return {
    fileNumber: view.getUint32(12, true),
    logFrom: getNumber(view, 16),
    writes: getNumber(view, 24),
    areaPages: view.getUint32(32, true),
  };
}

/** `fileNumber` is in its CRC, and so is its first record's number. At most {@link pageRecords} records. */
export function encodeLogPage({ first, settled, records }: LogPage, fileNumber: number): Uint8Array {
  const bytes = new Uint8Array(pageBytes);
  const view = viewOf(bytes);
  view.setUint32(0, logMagic, true);
  setNumber(view, 8, first);
  setNumber(view, 16, settled);
  view.setUint32(24, records.length, true);
  for (const [i, { block, blocks, sum }] of records.entries()) {
    const at = logHeadBytes + i * recordBytes;
    setNumber(view, at, block);
    view.setUint32(at + 8, blocks, true);
    view.setUint32(at + 12, sum, true);
  }
  view.setUint32(4, (loadCrc()(bytes.subarray(8)) ^ fileNumber) >>> 0, true);
  return bytes;
}

/** Undefined where these bytes are no page of this file's log. */
export function decodeLogPage(bytes: Uint8Array, fileNumber: number): LogPage | undefined {
  const view = viewOf(bytes);
  if (view.getUint32(0, true) !== logMagic) return undefined;
  if (view.getUint32(4, true) !== (loadCrc()(bytes.subarray(8)) ^ fileNumber) >>> 0) return undefined;
  const records: LogRecord[] = [];
  for (let i = 0; i < Math.min(view.getUint32(24, true), pageRecords); i++) {
    const at = logHeadBytes + i * recordBytes;
    records.push({
      block: getNumber(view, at),
      blocks: view.getUint32(at + 8, true),
      sum: view.getUint32(at + 12, true),
    });
  }
  return { first: getNumber(view, 8), settled: getNumber(view, 16), records };
}

/** A page of the table in memory. */
export class TablePage {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  readonly #number: number;
  readonly #fileNumber: number;

  /** `number`: which page of the table. The sums of damaged sectors are not known from now on. */
  constructor(bytes: Uint8Array, number: number, fileNumber: number) {
    this.bytes = bytes;
    this.#view = viewOf(bytes);
    this.#number = number;
    this.#fileNumber = fileNumber;
    for (let sector = 0; sector < sectorsPerPage; sector++) {
      if (this.#isGood(sector)) continue;
      for (let i = 0; i < sectorSums; i++) this.set(sector * sectorSums + i, unknownSum);
    }
  }

  get isEmpty(): boolean {
    return this.bytes.every((byte) => byte === 0);
  }

  /** The sum at place `at` of the page (0: zeros), or undefined where it is not known. */
  get(at: number): number | undefined {
    const sum = this.#view.getUint32(placeInPage(at), true);
    return sum === unknownSum ? undefined : sum;
  }

  /** `seal` has to follow. */
  set(at: number, sum: number): void {
    this.#view.setUint32(placeInPage(at), sum, true);
  }

  /** Gives each sector its CRC. */
  seal(): void {
    for (let sector = 0; sector < sectorsPerPage; sector++)
      this.#view.setUint32((sector + 1) * sectorBytes - 4, this.#crcOf(sector), true);
  }

  #crcOf(sector: number): number {
    const crc = loadCrc()(this.bytes.subarray(sector * sectorBytes, (sector + 1) * sectorBytes - 4));
    const place = Math.imul(this.#number * sectorsPerPage + sector + 1, 0x9e3779b1);
    return (crc ^ place ^ this.#fileNumber) >>> 0;
  }

  #isGood(sector: number): boolean {
    const whole = this.bytes.subarray(sector * sectorBytes, (sector + 1) * sectorBytes);
    return (
      this.#view.getUint32((sector + 1) * sectorBytes - 4, true) === this.#crcOf(sector) ||
      whole.every((byte) => byte === 0)
    );
  }
}

function placeInPage(at: number): number {
  return Math.floor(at / sectorSums) * sectorBytes + (at % sectorSums) * 4;
}
