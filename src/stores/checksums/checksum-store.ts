/**
 * A store around two stores: the data, and beside it a checksum of each of its blocks. What was damaged where it lies, was lost though
 * reported written, landed somewhere else, or is torn, is an error of the read, never data (F17, F19 to F21).
 *
 * Sums are computed of what the cache hands out for writing, which nobody changes meanwhile (R13), and compared after each read.
 *
 * It keeps what it knows in the heap of its thread: it is not shared, and other threads ask this one (docs/stores.md, Threads).
 *
 * Invariants: both stores keep the contract, the one of sums too: nothing is written there whose space was not taken before. Where the
 * bytes of a block are wrong they stay so: a cut or punch within it gives it no good sum.
 *
 * See also: sums.ts (the rule for crashes), paths.ts (the file of sums of a path), README.md.
 */
import type { Stats } from "node:fs";
import { assert } from "../../base/assert.js";
import { PinfoldError } from "../../base/errors.js";
import { limits } from "../../base/limits.js";
import { endBlock, firstBlock } from "../../store/block-words.js";
import type { MkwriteRequest, Store, StoreCapabilities, SyncRequest } from "../../store/contract.js";
import { createSums, openSums, type SumsOptions } from "./open.js";
import type { LogRecord } from "./format.js";
import { readStep, writeStep } from "./store-steps.js";
import { runLater, runNow, type Step, type Steps } from "./steps.js";
import { sumOf, sumsOf, unknownSum } from "./sum.js";
import type { Judgement, Sums } from "./sums.js";
import { placeOf } from "./table.js";

const { blockSize } = limits;

export interface ChecksumStoreOptions extends SumsOptions {
  /** The data is known to be all zeros, and the sums are begun anew. Default: where it has no bytes. */
  readonly fresh?: boolean;
}

export class ChecksumStore implements Store {
  readonly capabilities: StoreCapabilities;
  readonly key: string;
  readonly name: string;
  readonly sizeBytes: number;
  readonly #data: Store;
  readonly #store: Store;
  readonly #sums: Sums;
  #size: number;
  readonly readPagesSync?: NonNullable<Store["readPagesSync"]>;
  readonly pageMkwriteSync?: NonNullable<Store["pageMkwriteSync"]>;
  readonly writePagesSync?: NonNullable<Store["writePagesSync"]>;
  readonly syncSync?: NonNullable<Store["syncSync"]>;
  readonly stat?: () => Promise<Stats>;

  private constructor(data: Store, store: Store, sums: Sums) {
    this.#data = data;
    this.#store = store;
    this.#sums = sums;
    this.key = data.key;
    this.name = data.name;
    this.sizeBytes = data.sizeBytes;
    this.#size = data.sizeBytes;
    const both = [data.capabilities, store.capabilities];
    const lacking = both.find(({ reserves }) => reserves === "none");
    this.capabilities = {
      ...data.capabilities,
      reserves: lacking ? "none" : "data",
      ...(lacking?.reservesNote === undefined ? {} : { reservesNote: lacking.reservesNote }),
      syncCalls: both.every(({ syncCalls }) => syncCalls),
      checksums: true,
      // Each waits for the log, which takes all that wait together.
      writesInFlight: limits.writesInFlightMax,
    };
    const stat = data.stat?.bind(data);
    if (stat) this.stat = stat;
    if (!this.capabilities.syncCalls) return;
    this.readPagesSync = (position, buffers) => this.#readNow(position, buffers);
    this.pageMkwriteSync = (request) => this.#mkwriteNow(request);
    this.writePagesSync = (position, buffers) => runNow(this.#write(position, buffers));
    this.syncSync = (request) => runNow(sums.sync(request.data));
  }

  /**
   * Opens `data` with the sums in `sums`, which has nothing else in it. Both are this store's from now on; where it fails they are
   * still the caller's.
   * @throws PinfoldError ERR_PINFOLD_CHECKSUM where there are no sums, or damaged ones; ENOTSUP where the library of checksums does not
   *   load; what the stores say
   */
  static async open(data: Store, sums: Store, options: ChecksumStoreOptions = {}): Promise<ChecksumStore> {
    const { fresh, logPages = limits.checksumLogPages, tablePages = limits.checksumPagesMax } = options;
    if (!Number.isSafeInteger(logPages) || logPages < 4 || !Number.isSafeInteger(tablePages) || tablePages < 2)
      throw new PinfoldError("EINVAL", `logPages is from 4, not ${logPages}, and tablePages from 2, not ${tablePages}`);
    const isFresh = fresh ?? (data.sizeBytes === 0 && sums.sizeBytes === 0);
    const make = isFresh && !data.capabilities.readOnly ? createSums : openSums;
    const opened = await runLater(make(data, sums, { logPages, tablePages }));
    return new ChecksumStore(data, sums, opened);
  }

  /** Blocks that were being written when a process or the power ended, and are neither as before nor as after; at most 64. */
  get tornBlocks(): readonly number[] {
    return this.#sums.torn;
  }

  // --- reading -------------------------------------------------------------------------------------------------------------

  async readPages(position: number, buffers: readonly Uint8Array[]): Promise<void> {
    const first = firstBlock(position);
    // The page of the table comes beside the data where it has to be read. What is wrong with it shows when it is looked at.
    const { page } = placeOf(first);
    const { table } = this.#sums;
    const ahead = table.peek(page) ? undefined : runLater(table.page(page)).catch(() => {});
    await this.#data.readPages(position, buffers);
    await ahead;
    await runLater(this.#check(position, buffers));
  }

  #readNow(position: number, buffers: readonly Uint8Array[]): void {
    runNow(readThen(this.#data, position, buffers, this.#check(position, buffers)));
  }

  /** @throws PinfoldError ERR_PINFOLD_CHECKSUM */
  *#check(position: number, buffers: readonly Uint8Array[]): Steps<void> {
    assert(position % blockSize === 0, "a read begins with a block");
    const first = firstBlock(position);
    const sums = sumsOf(buffers, first, this.#sums.fileNumber);
    yield* this.#sums.judgeAll(first, sums, (block, sum, judgement) => {
      if (judgement.is === "right") return;
      const where = `bytes ${block * blockSize} to ${(block + 1) * blockSize - 1} of ${this.name}`;
      const what =
        judgement.is === "unknown"
          ? "their checksum is damaged"
          : `are not what was written there: checksum ${hex(sum)}, not ${hex(judgement.expected)}`;
      throw new PinfoldError("ERR_PINFOLD_CHECKSUM", `${where}: ${what}`, { operation: "read" });
    });
  }

  // --- writing ---------------------------------------------------------------------------------------------------------------

  pageMkwrite(request: MkwriteRequest): Promise<void> | void {
    const first = firstBlock(request.position);
    const end = endBlock(request.position, request.length);
    const { table } = this.#sums;
    if (table.isReserved(first, end)) return this.#data.pageMkwrite(request);
    return runLater(table.reserve(first, end)).then(() => this.#data.pageMkwrite(request));
  }

  #mkwriteNow(request: MkwriteRequest): void {
    const { position, length } = request;
    runNow(this.#sums.table.reserve(firstBlock(position), endBlock(position, length)));
    this.#data.pageMkwriteSync?.(request);
  }

  cancelMkwrite(position: number, pageSize: number, blocks: number): void {
    this.#data.cancelMkwrite(position, pageSize, blocks);
  }

  setPageDirty(position: number, pageSize: number): void {
    this.#data.setPageDirty(position, pageSize);
  }

  writePages(position: number, buffers: readonly Uint8Array[]): Promise<void> {
    return runLater(this.#write(position, buffers));
  }

  *#write(position: number, buffers: readonly Uint8Array[]): Steps<void> {
    assert(position % blockSize === 0, "a write begins with a block");
    const first = firstBlock(position);
    const records = sumsOf(buffers, first, this.#sums.fileNumber).map((sum, i) => ({
      block: first + i,
      blocks: 1,
      sum,
    }));
    yield* this.#changing(records, writeStep(this.#data, position, buffers));
    for (const { length } of buffers) position += length;
    this.#size = Math.max(this.#size, position);
  }

  /** Makes the sums durable, then does the change that they are of. */
  *#changing(records: readonly LogRecord[], change: Step): Steps<void> {
    const { doubts, log } = this.#sums;
    if (records.length === 0) {
      yield change;
      return;
    }
    const number = yield* log.commit(records);
    try {
      yield change;
    } catch (error) {
      for (const { block, blocks } of records) doubts.loseBlocks(block, block + blocks);
      throw error;
    } finally {
      doubts.end(number);
    }
  }

  sync({ data }: SyncRequest): Promise<void> {
    return runLater(this.#sums.sync(data));
  }

  // --- size and space ----------------------------------------------------------------------------------------------------------

  /** What comes new is zero, and so is what lay past the end of the last block: no sum changes. */
  setSize(size: number): Promise<void> | void {
    const note = () => {
      this.#size = Math.max(this.#size, size);
    };
    const pending = this.#data.setSize(size);
    return pending ? pending.then(note) : note();
  }

  invalidatePages(from: number, to: number): void {
    this.#data.invalidatePages(from, to);
  }

  releasePage(position: number, pageSize: number): boolean {
    return this.#data.releasePage(position, pageSize);
  }

  truncate(size: number): Promise<void> {
    const cut: Step = { later: () => this.#data.truncate(size), now: () => assert(false, "a cut waits") };
    return this.#zero(size, Math.max(size, this.#size), cut).then(() => {
      this.#size = size;
    });
  }

  punch(position: number, length: number): Promise<void> {
    const punch: Step = { later: () => this.#data.punch(position, length), now: () => assert(false, "a punch waits") };
    return this.#zero(position, Math.max(position, Math.min(position + length, this.#size)), punch);
  }

  /** Bytes [from, to) become zeros by `change`. No read or write of them is on its way: the invalidate lock is held. */
  async #zero(from: number, to: number, change: Step): Promise<void> {
    const { doubts } = this.#sums;
    const records = await runLater(this.#zeroRecords(from, to));
    await runLater(this.#changing(records, change));
    const { checksumRangesMax, checksumRangeBlocksMax } = limits;
    if (doubts.ranges <= checksumRangesMax && doubts.rangeBlocks <= checksumRangeBlocksMax) return;
    // The change is done. Where the sync fails, who syncs next is told.
    await this.#settle().catch(() => {});
  }

  async #settle(): Promise<void> {
    await runLater(this.#sums.syncOwn());
    if (this.#sums.doubts.ranges > limits.checksumRangesMax) await this.#sums.log.emptySettled();
  }

  *#zeroRecords(from: number, to: number): Steps<LogRecord[]> {
    const records: LogRecord[] = [];
    // Within its last block the file ends with zeros.
    const end = to === this.#size ? endBlock(0, to) * blockSize : to;
    const firstWhole = endBlock(0, from);
    const endWhole = Math.max(firstWhole, firstBlock(end));
    const edges = new Set(
      [firstBlock(from), firstBlock(end)].filter((block) => from < end && !isWhole(block, from, end)),
    );
    for (const block of edges) {
      const start = block * blockSize;
      if (start < end)
        records.push(yield* this.#cutBlock(block, Math.max(from - start, 0), Math.min(end - start, blockSize)));
    }
    for (let block = firstWhole; block < endWhole; block += rangeMost)
      records.push({ block, blocks: Math.min(rangeMost, endWhole - block), sum: 0 });
    return records;
  }

  /** The sum that a block will have when its bytes [from, to) are zeros. What is wrong or not known stays so. */
  *#cutBlock(block: number, from: number, to: number): Steps<LogRecord> {
    const { fileNumber } = this.#sums;
    const bytes = this.#sums.scratch("cutting");
    yield readStep(this.#data, block * blockSize, [bytes]);
    let before: Judgement["is"] = "right";
    yield* this.#sums.judgeAll(block, [sumOf(bytes, block, fileNumber)], (_block, _sum, { is }) => {
      before = is;
    });
    bytes.fill(0, from, to);
    const sum = sumOf(bytes, block, fileNumber);
    const after = { right: sum, wrong: Math.max((sum ^ wrongMark) >>> 0, unknownSum + 1), unknown: unknownSum };
    return { block, blocks: 1, sum: after[before] };
  }

  allocate(position: number, length: number): Promise<void> {
    return this.#data.allocate(position, length);
  }

  /** What cannot be put into the table now is found in the log by the next open. */
  async close(): Promise<void> {
    try {
      if (!this.capabilities.readOnly) {
        await this.#sums.log.idle();
        await runLater(this.#sums.finish());
      }
    } catch {
      // The cache had its sync; the log has the rest.
    }
    try {
      await this.#store.close();
    } finally {
      await this.#data.close();
    }
  }
}

/** The most blocks of one record. */
const rangeMost = 2 ** 31;
/** What makes the sum of a block wrong that was wrong before. */
const wrongMark = 0x5bd1e995;

function isWhole(block: number, from: number, to: number): boolean {
  return block * blockSize >= from && (block + 1) * blockSize <= to;
}

function* readThen(store: Store, position: number, buffers: readonly Uint8Array[], check: Steps<void>): Steps<void> {
  yield readStep(store, position, buffers);
  yield* check;
}

function hex(sum: number): string {
  return `0x${sum.toString(16).padStart(8, "0")}`;
}
