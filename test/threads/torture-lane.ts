/**
 * One lane of a torture worker: a task that does one operation after the other, and what they have in common: choosing where,
 * checking what is read, writing the next version of cells.
 */
import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";
import type { CachedFile, MappedView, PageCache, UserPages } from "../../src/index.js";
import type { Begun, Board, Sample } from "./torture-board.js";
import { Random, fillCell } from "./torture-page.js";

/** Whole cells of the file. */
export interface CellRange {
  readonly first: number;
  readonly count: number;
  /** Bytes of the file. */
  readonly position: number;
  readonly length: number;
}

export class WrongBytes extends Error {}

/** What lanes of one worker share. */
export interface LaneWorker {
  readonly board: Board;
  readonly cache: PageCache;
  readonly sidePath: string | undefined;
  /** Reads what is stored, past the cache. */
  readStored(bytes: Uint8Array, position: number): void;
  open(): Promise<CachedFile>;
  /** Hands a token to another worker. Resolves to what became of it. */
  handOver(to: number, message: HandOver): Promise<"adopted" | "refused" | "lost">;
}

export interface HandOver {
  readonly token: unknown;
  readonly lane: number;
  readonly cells: readonly number[];
}

export class Lane {
  readonly id: number;
  readonly writer: number;
  readonly random: Random;
  readonly board: Board;
  readonly worker: LaneWorker;
  #file: CachedFile;
  #view: MappedView | undefined;

  constructor(worker: LaneWorker, file: CachedFile, id: number, incarnation: number, seed: number) {
    this.worker = worker;
    this.board = worker.board;
    this.#file = file;
    this.id = id;
    this.writer = incarnation * 128 + id;
    this.random = new Random(seed + id * 7919 + incarnation * 104_729);
  }

  get cache(): PageCache {
    return this.worker.cache;
  }

  get file(): CachedFile {
    return this.#file;
  }

  /** The whole file and what it may grow to, kept from one operation to the next. */
  get view(): MappedView {
    const { stablePages, punchedPages, cutPages, pageSize } = this.board.geometry;
    this.#view ??= this.#file.map(0, Math.min(this.#file.size, (stablePages + punchedPages + cutPages) * pageSize));
    return this.#view;
  }

  use(file: CachedFile): void {
    this.#file = file;
    this.#view = undefined;
  }

  // --- where --------------------------------------------------------------------------------------------------------

  cellRange(first: number, count: number): CellRange {
    const { cellBytes } = this.board.geometry;
    return { first, count, position: first * cellBytes, length: count * cellBytes };
  }

  /** Whole pages. */
  pageRange(page: number, pages: number): CellRange {
    return this.cellRange(page * this.board.cellsPerPage, pages * this.board.cellsPerPage);
  }

  /** Pages of one of the three parts of the file: [from, to). */
  #part(): [number, number] {
    const { stablePages, punchedPages, cutPages } = this.board.geometry;
    const which = this.random.below(4);
    if (which < 2) return [0, stablePages];
    if (which === 2) return [stablePages, stablePages + punchedPages];
    return [stablePages + punchedPages, stablePages + punchedPages + cutPages];
  }

  /** A page that others are likely to choose too, every other time. */
  page(): number {
    const [from, to] = this.#part();
    return from + this.random.below(this.random.isOneIn(2) ? Math.min(6, to - from) : to - from);
  }

  /** Some cells or some whole pages, of one part. */
  range(pagesMax = 3): CellRange {
    const page = this.page();
    const { stablePages, punchedPages, cutPages } = this.board.geometry;
    const borders = [stablePages, stablePages + punchedPages, stablePages + punchedPages + cutPages];
    const end = borders.find((border) => page < border) as number;
    const pages = 1 + this.random.below(Math.min(pagesMax, end - page));
    if (this.random.isOneIn(2)) return this.pageRange(page, pages);
    const { cellsPerPage } = this.board;
    const first = page * cellsPerPage + this.random.below(cellsPerPage);
    const most = Math.min(pages * cellsPerPage, end * cellsPerPage - first);
    return this.cellRange(first, 1 + this.random.below(most));
  }

  // --- holding ------------------------------------------------------------------------------------------------------

  /** Lets others get in between. */
  async dally(): Promise<void> {
    const choice = this.random.below(10);
    if (choice >= 8) await sleep(1 + this.random.below(2));
    else if (choice >= 5) await nextTurn();
  }

  /** An abort that comes at about the time that short waits take. */
  soon(): AbortSignal {
    return AbortSignal.timeout(1 + this.random.below(20));
  }

  /** The end of a wait that might be part of a circle: unscoped tasks are not looked at for one. */
  patience(): AbortSignal {
    return AbortSignal.timeout(500);
  }

  fail(what: string): never {
    throw new WrongBytes(what);
  }

  // --- reading ------------------------------------------------------------------------------------------------------

  check(bytes: Uint8Array, range: CellRange, sample: Sample, locked = true): void {
    const wrong = this.board.check(bytes, range.first, sample, { locked });
    if (wrong) this.fail(wrong.what);
  }

  /** Looks at all bytes of a pin, once. `locked`: it holds page locks; a counted one keeps nobody out. */
  checkPins(pages: UserPages, locked = true): void {
    const { cellBytes } = this.board.geometry;
    for (const page of pages) {
      const first = page.position / cellBytes;
      const range = this.cellRange(first, page.bytes.length / cellBytes);
      this.check(page.bytes, range, this.board.sample(first, range.count), locked);
    }
  }

  /** Looks at a pin that holds page locks shared, and that nobody has them exclusively meanwhile. */
  async lookAround(pages: UserPages): Promise<void> {
    this.checkPins(pages);
    await this.dally();
    for (const page of pages) {
      const wrong = this.board.lookInside(page.index);
      if (wrong !== undefined) this.fail(wrong);
    }
    this.checkPins(pages);
  }

  // --- writing ------------------------------------------------------------------------------------------------------

  /** A buffer with the next version of claimed cells. */
  compose(range: CellRange): { bytes: Buffer; begun: Begun[] } {
    const { cellBytes } = this.board.geometry;
    const bytes = Buffer.from(new ArrayBuffer(range.length));
    const begun: Begun[] = [];
    for (let at = 0; at < range.count; at++) {
      const next = this.board.begin(range.first + at, false);
      begun.push(next);
      fillCell(bytes.subarray(at * cellBytes, (at + 1) * cellBytes), next.cell, this.writer, next.version);
    }
    return { bytes, begun };
  }

  /**
   * Claims a range, composes its next version and has `write` write it: how many bytes were, or undefined where nothing was. False
   * where somebody else writes there.
   */
  async write(
    range: CellRange,
    write: (bytes: Buffer) => Promise<number | undefined> | number | undefined,
  ): Promise<boolean> {
    if (!this.board.tryClaimAll(range.first, range.count, this.id)) return false;
    try {
      const { bytes, begun } = this.compose(range);
      const done = (await write(bytes)) ?? 0;
      const cells = Math.floor(done / this.board.geometry.cellBytes);
      for (const next of begun.slice(0, cells)) this.board.finish(next);
      for (const next of begun.slice(cells)) this.board.abandon(next);
      return done > 0;
    } finally {
      for (let at = 0; at < range.count; at++) this.board.release(range.first + at, this.id);
    }
  }

  /**
   * Writes the next version of those cells of a pin that nobody else writes, and answers them: to be finished at the put.
   * `racy`: others may look meanwhile, since the pin is counted.
   */
  async writePins(pages: UserPages, racy: boolean): Promise<Begun[]> {
    const { cellBytes } = this.board.geometry;
    const begun: Begun[] = [];
    this.checkPins(pages, !racy);
    for (const page of pages) {
      for (let at = 0; at < page.bytes.length; at += cellBytes) {
        const cell = (page.position + at) / cellBytes;
        if (this.random.isOneIn(4) || !this.board.tryClaim(cell, this.id)) continue;
        const next = this.board.begin(cell, racy);
        begun.push(next);
        const bytes = page.bytes.subarray(at, at + cellBytes);
        if (this.random.isOneIn(8)) {
          // Half of it, and the rest later.
          bytes.fill(next.version & 0xff, 0, cellBytes / 2);
          await this.dally();
        }
        fillCell(bytes, cell, this.writer, next.version);
      }
    }
    return begun;
  }

  /** What was written through a pin that is put now. */
  finish(begun: readonly Begun[]): boolean {
    for (const next of begun) {
      this.board.finish(next);
      this.board.release(next.cell, this.id);
    }
    return begun.length > 0;
  }

  /** Writes through a pin that holds its page locks exclusively, and puts it. */
  async writeLocked(pages: UserPages): Promise<boolean> {
    const begun = await this.exclusively(pages, () => this.writePins(pages, false));
    pages.put();
    return this.finish(begun);
  }

  /** Does `work` while the pin holds its page locks exclusively, and looks that nobody else thinks so too. */
  async exclusively<T>(pages: UserPages, work: () => Promise<T>): Promise<T> {
    const indexes = [...pages].map(({ index }) => index);
    for (const index of indexes) {
      const wrong = this.board.enter(index, this.id);
      if (wrong !== undefined) this.fail(wrong);
    }
    try {
      await this.dally();
      return await work();
    } finally {
      for (const index of indexes) this.board.leave(index, this.id);
    }
  }
}
