/**
 * The checksums of one file: the table, the log before it, and what is in doubt between them.
 *
 * The rule for crashes: a block's sum is durable in the log before its bytes go to the storage; both the sums of before and of after are
 * right until a sync of the data has succeeded; then only the newest is. The log goes into the table (`empty`) only after such a sync.
 * So no power cut makes a block wrong that is as it was or as it was to be, and one that is neither is found.
 *
 * After an open that finds records in the log, the data is synced (what a killed process wrote is in the kernel only), each block in
 * doubt is read, and what it is, is written down. That can be repeated (F32): the log counts until the table is durable.
 *
 * See also: format.ts (the file), doubts.ts, log.ts, table.ts.
 */
import { PinfoldError } from "../../base/errors.js";
import { limits } from "../../base/limits.js";
import type { Store } from "../../store/contract.js";
import { Doubts, type Finals } from "./doubts.js";
import {
  decodeHeader,
  encodeHeader,
  type Header,
  type LogPage,
  pageBytes,
  pageSums,
  placesOf,
  type TablePage,
} from "./format.js";
import { Log } from "./log.js";
import { readStep, syncStep, writeStep } from "./store-steps.js";
import type { Steps } from "./steps.js";
import { sumsOf, unknownSum, zeroSum } from "./sum.js";
import { placeOf, Table } from "./table.js";

/** How a block that was read compares with what is known of it. `expected`: the sum it should have; undefined where that is damaged. */
export type Judgement =
  | { readonly is: "right" }
  | { readonly is: "wrong"; readonly expected: number }
  | { readonly is: "unknown" };

const right: Judgement = { is: "right" };

export class Sums {
  readonly fileNumber: number;
  readonly doubts = new Doubts();
  readonly table: Table;
  readonly log: Log;
  /** Blocks that were in doubt and had none of their sums: torn, or lost in another way. */
  readonly torn: number[] = [];
  readonly #data: Store;
  readonly #store: Store;
  #header: Header;
  /** A sync of the data that was made here failed, and nobody who asked for one knows. */
  #syncError: { readonly error: unknown } | undefined;
  #memory: WebAssembly.Memory | undefined;
  #storeFailures = 0;
  /** A sync of the data that waits is on its way. */
  #syncing: Promise<void> | undefined;
  /** A sync of the data failed, and what it was for was not written again since. */
  #isStale = false;

  /** `tablePages`: how many of the table are kept in memory. `storeBytes`: how many the file of sums has now. */
  constructor(
    data: Store,
    store: Store,
    header: Header,
    { tablePages, storeBytes }: { tablePages?: number | undefined; storeBytes?: number } = {},
  ) {
    this.#data = data;
    this.#store = store;
    this.#header = header;
    this.fileNumber = header.fileNumber;
    this.table = new Table(store, header.fileNumber, {
      position: placesOf(header).table,
      storeBytes: storeBytes ?? store.sizeBytes,
      pagesMax: tablePages ?? limits.checksumPagesMax,
    });
    this.log = new Log(store, header, this.doubts, {
      sync: () => this.#syncStore(),
      empty: (upTo) => this.empty(upTo),
    });
    this.doubts.startAfter(header.logFrom - 1);
  }

  /**
   * A block of memory for reads of our own, aligned as O_DIRECT needs it. One for each purpose, and each has one user at a time: the log is
   * emptied once at a time, and a file is cut or punched by one.
   */
  scratch(purpose: "deciding" | "cutting"): Uint8Array {
    this.#memory ??= new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    return new Uint8Array(this.#memory.buffer, purpose === "deciding" ? 0 : limits.blockSize, limits.blockSize);
  }

  // --- judging -----------------------------------------------------------------------------------------------------------

  /** Compares a block's sum with what may be there. `page`: the page of the table that it stands in, as it is now. */
  judge(block: number, sum: number, page: TablePage): Judgement {
    const inTable = page.get(placeOf(block).at);
    const allowed = this.doubts.allowed(block) ?? { sums: [], base: true };
    const isRight = (known: number) => this.#isOf(sum, known, block);
    if (allowed.sums.some(isRight)) return right;
    if (isUnknown(allowed, inTable)) return { is: "unknown" };
    if (allowed.base && isRight(inTable as number)) return right;
    return { is: "wrong", expected: allowed.sums[0] ?? (inTable as number) };
  }

  /** Judges blocks from number `first` on, one by one. */
  *judgeAll(
    first: number,
    sums: readonly number[],
    visit: (block: number, sum: number, judgement: Judgement) => void,
  ): Steps<void> {
    for (let i = 0; i < sums.length; ) {
      const { page: number, at } = placeOf(first + i);
      const page = yield* this.table.page(number);
      // No step from here on: the page and the doubts belong together.
      for (const end = Math.min(sums.length, i + pageSums - at); i < end; i++)
        visit(first + i, sums[i] as number, this.judge(first + i, sums[i] as number, page));
    }
  }

  // --- syncs ----------------------------------------------------------------------------------------------------------------

  /** Syncs the data for who uses it. @throws what a sync failed with, this one or one that was made here */
  *sync(data: boolean): Steps<void> {
    const turn = yield* this.#takeTurn();
    try {
      this.#throwSyncError();
      const upTo = this.doubts.coverage();
      yield* this.#syncData(data);
      turn.check();
      this.#isStale = false;
      this.doubts.settle(upTo);
    } finally {
      turn.end();
    }
  }

  /**
   * One sync of the data at a time: a storage tells of an error once, and of two that are on their way it tells one. A call that blocks cannot
   * wait for the other: `check` then says that it proves nothing.
   */
  *#takeTurn(): Steps<{ check(): void; end(): void }> {
    let isAlone = true;
    let end = () => {};
    yield {
      later: async () => {
        while (this.#syncing) await this.#syncing;
        this.#syncing = new Promise((resolve) => {
          end = () => {
            this.#syncing = undefined;
            resolve();
          };
        });
      },
      now: () => {
        isAlone = this.#syncing === undefined;
      },
    };
    const check = () => {
      if (!isAlone) throw new PinfoldError("EBUSY", `${this.#data.name}: another sync of it is on its way`);
    };
    return { check, end };
  }

  #throwSyncError(): void {
    const failed = this.#syncError;
    this.#syncError = undefined;
    if (failed) throw failed.error;
  }

  *#syncData(data: boolean): Steps<void> {
    try {
      yield syncStep(this.#data, data);
    } catch (error) {
      this.#isStale = true;
      this.doubts.lose();
      throw error;
    }
  }

  /** Syncs the data for our own sake. A failure is told here, and to whoever asks for the next sync. */
  *syncOwn(): Steps<void> {
    const turn = yield* this.#takeTurn();
    try {
      turn.check();
      if (this.#syncError) throw this.#syncError.error;
      const upTo = this.doubts.coverage();
      yield* this.#syncOwn();
      this.doubts.settle(upTo);
    } finally {
      turn.end();
    }
  }

  *#syncOwn(): Steps<void> {
    try {
      yield* this.#syncData(true);
    } catch (error) {
      this.#syncError = { error };
      throw error;
    }
    // What an earlier one failed for is written again before the user's next sync, not before this one: it heals nothing.
    if (this.#isStale) this.#data.loseSync?.();
  }

  // --- from the log into the table ---------------------------------------------------------------------------------------------

  /**
   * Puts all up to a number into the table: the log needs them no more.
   * @throws EBUSY for calls that block, where writes are on their way; what the storages say
   */
  *empty(upTo: number): Steps<void> {
    for (let tries = 0; tries < limits.checksumTriesMax; tries++) {
      // What is decided of a block holds for all its records: none of them may stay behind in the log.
      const target = this.doubts.hasLost ? Math.max(upTo, this.doubts.last) : upTo;
      yield* this.#drain(target);
      if (this.doubts.settled < target || this.doubts.hasLost) yield* this.syncOwn();
      if (this.doubts.settled < target) continue;
      yield* this.#makeSure(target);
      if (!this.doubts.isSure) continue;
      const failures = this.#storeFailures;
      yield* this.#writeTable(this.doubts.finals(target));
      yield* this.#syncStore();
      // Another sync of the same file may have been told that these writes failed.
      if (failures !== this.#storeFailures) continue;
      yield* this.#writeHeader(target + 1);
      this.doubts.forget(target);
      return;
    }
    throw new PinfoldError("EBUSY", `${this.#store.name}: its log does not come to rest`);
  }

  *#drain(upTo: number): Steps<void> {
    yield {
      later: () => this.doubts.drained(upTo),
      now: () => {
        if (!this.doubts.isDrained(upTo))
          throw new PinfoldError(
            "EBUSY",
            `${this.#data.name}: writes are on their way, which a blocking call cannot wait for`,
          );
      },
    };
  }

  *#syncStore(): Steps<void> {
    try {
      yield syncStep(this.#store, true);
    } catch (error) {
      this.#storeFailures += 1;
      throw error;
    }
  }

  /**
   * Each page at once: where a hole came to nothing, what is in it must not be zero in between, for the table is where its old sum stands.
   * Pages that were never written, and those that are not there, stay as they are where they only get zeros.
   */
  *#writeTable({ zeros, sums }: Finals): Steps<void> {
    const changes = new Map<number, [number, number][]>();
    for (const [block, sum] of sums) {
      const { page, at } = placeOf(block);
      const list = changes.get(page) ?? [];
      if (list.length === 0) changes.set(page, list);
      list.push([at, sum]);
    }
    const pages = new Set(changes.keys());
    for (const { from, to } of zeros) {
      const end = Math.min(Math.ceil(to / pageSums), this.table.pages);
      for (let page = placeOf(from).page; page < end; page++) pages.add(page);
    }
    for (const number of [...pages].toSorted((a, b) => a - b)) {
      const list = changes.get(number) ?? [];
      if (list.length === 0 && (yield* this.table.page(number)).isEmpty) continue;
      yield* this.table.change(number, (page) => {
        const base = number * pageSums;
        for (const { from, to } of zeros)
          for (let at = Math.max(0, from - base); at < Math.min(pageSums, to - base); at++) page.set(at, 0);
        for (const [at, sum] of list) page.set(at, sum);
      });
    }
  }

  /** Its second copy is for damage alone: the one of before, in its place, would count the area's records that are written next. */
  *#writeHeader(logFrom: number): Steps<void> {
    const header = { ...this.#header, logFrom, writes: this.#header.writes + 1 };
    yield writeStep(this.#store, 0, [encodeHeader(header)]);
    this.#header = header;
    // Before the area is used again: else only some of its records might be found, and an old one be taken for the newest.
    yield* this.#syncStore();
    yield writeStep(this.#store, pageBytes, [encodeHeader(header)]);
  }

  /** Everything is in the table, and the log is empty, durably. */
  *finish(): Steps<void> {
    if (!this.doubts.isEmpty || this.#header.logFrom <= this.doubts.last) yield* this.empty(this.doubts.last);
  }

  // --- making sure ---------------------------------------------------------------------------------------------------------------

  /** Reads what is unsure, after a good sync and while none of it is on its way, and takes what it is for what it has to be. */
  *#makeSure(upTo: number): Steps<void> {
    const unsure = this.doubts.unsure(upTo);
    for (const block of unsure.blocks) yield* this.#decide(block, upTo);
    for (const { from, to } of unsure.zeros) yield* this.#decideZeros(from, to, upTo);
    this.doubts.decideRest(unsure);
  }

  /** Of a range that was to become zeros: blocks that had something before. */
  *#decideZeros(from: number, to: number, upTo: number): Steps<void> {
    const end = Math.min(to, this.table.pages * pageSums);
    for (let block = from; block < end; block++) {
      const { page, at } = placeOf(block);
      const known = (yield* this.table.page(page)).get(at);
      if (known !== 0) yield* this.#decide(block, upTo);
    }
  }

  *#decide(block: number, upTo: number): Steps<void> {
    const bytes = this.scratch("deciding");
    yield readStep(this.#data, block * limits.blockSize, [bytes]);
    const [sum] = sumsOf([bytes], block, this.fileNumber) as [number];
    const page = yield* this.table.page(placeOf(block).page);
    const allowed = this.doubts.allowed(block) ?? { sums: [], base: true };
    const inTable = page.get(placeOf(block).at);
    const possible = allowed.base && inTable !== undefined ? [...allowed.sums, inTable] : allowed.sums;
    const unknown = isUnknown(allowed, inTable) ? unknownSum : undefined;
    const known = possible.find((one) => this.#isOf(sum, one, block)) ?? unknown;
    // What has none of its sums is wrong from now on: it should have been the newest.
    if (known === undefined && this.torn.length < limits.errorRangesMax) this.torn.push(block);
    this.doubts.decide(block, known ?? possible[0] ?? 0, upTo);
  }

  /** Whether a block with this sum is what `known` is of. */
  #isOf(sum: number, known: number, block: number): boolean {
    return sum === (known === 0 ? zeroSum(block, this.fileNumber) : known);
  }

  /**
   * What an open found in the log. With `mayWrite` the doubts end here: data synced, blocks read, table written.
   * @throws what the storages say
   */
  *recover(pages: readonly LogPage[], mayWrite: boolean): Steps<void> {
    let settled = this.#header.logFrom - 1;
    for (const page of pages) {
      settled = Math.max(settled, page.settled);
      for (const [i, { block, blocks, sum }] of page.records.entries()) {
        const number = page.first + i;
        if (number < this.#header.logFrom) continue;
        if (sum === 0) this.doubts.addZeros(number, block, block + blocks);
        else this.doubts.add(number, block, sum);
      }
    }
    if (this.doubts.isEmpty) return;
    this.doubts.settle(settled);
    this.doubts.lose();
    if (mayWrite) yield* this.finish();
  }
}

/** Whether one of the sums that a block may have was lost, so that nobody can call it wrong. */
function isUnknown({ sums, base }: { sums: readonly number[]; base: boolean }, inTable: number | undefined): boolean {
  return (base && inTable === undefined) || sums.includes(unknownSum);
}

/** The newer good one of the two headers, or undefined. */
export function* readHeader(store: Store): Steps<Header | undefined> {
  const both = new Uint8Array(2 * pageBytes);
  yield readStep(store, 0, [both]);
  const headers = [0, pageBytes].map((at) => decodeHeader(both.subarray(at, at + pageBytes)));
  return headers.filter((header) => header !== undefined).toSorted((a, b) => b.writes - a.writes)[0];
}
