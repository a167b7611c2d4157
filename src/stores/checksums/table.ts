/**
 * The table of sums: for each block of the data what it is, once the storage has it for certain. Pages of it are kept in memory, the ones
 * used last.
 *
 * Invariants: a page in memory is what the file of sums has, or is about to have; pages that are being written stay in memory; space
 * for a page is taken, for good, before the data of its blocks may change, so that a full disk is told in time (F10).
 */
import { assert } from "../../base/assert.js";
import { PinfoldError } from "../../base/errors.js";
import { limits } from "../../base/limits.js";
import type { Store } from "../../store/contract.js";
import { pageBytes, pageSums, TablePage } from "./format.js";
import { readStep, reserveStep, sizeStep, writeStep } from "./store-steps.js";
import type { Steps } from "./steps.js";

/** The page of the table that a block's sum is in, and where. */
export function placeOf(block: number): { readonly page: number; readonly at: number } {
  return { page: Math.floor(block / pageSums), at: block % pageSums };
}

export class Table {
  readonly #store: Store;
  readonly #fileNumber: number;
  readonly #position: number;
  readonly #pagesMax: number;
  /** In the order of use, the longest unused one first. */
  readonly #pages = new Map<number, TablePage>();
  readonly #held = new Set<number>();
  #reserved = new Set<number>();
  #sizeBytes: number;
  /** Pages that are being read. What was changed meanwhile is read again. */
  readonly #reads = new Set<{ readonly number: number; isOld: boolean }>();

  /** `position`: where the table begins. `storeBytes`: how many the file has now. `pagesMax`: pages kept in memory. */
  constructor(
    store: Store,
    fileNumber: number,
    { position, storeBytes, pagesMax }: { position: number; storeBytes: number; pagesMax: number },
  ) {
    this.#store = store;
    this.#fileNumber = fileNumber;
    this.#position = position;
    this.#pagesMax = pagesMax;
    this.#sizeBytes = storeBytes;
  }

  /** How many pages the file has. */
  get pages(): number {
    return Math.max(0, Math.ceil((this.#sizeBytes - this.#position) / pageBytes));
  }

  /** The page, if it is in memory. */
  peek(number: number): TablePage | undefined {
    const page = this.#pages.get(number);
    if (page) {
      this.#pages.delete(number);
      this.#pages.set(number, page);
    }
    return page;
  }

  /** The page; what is done with it before the next step sees it as it is. @throws what the store says */
  *page(number: number): Steps<TablePage> {
    for (let tries = 0; tries < limits.lookupRetriesMax; tries++) {
      const known = this.peek(number);
      if (known) return known;
      const bytes = new Uint8Array(pageBytes);
      const read = { number, isOld: false };
      this.#reads.add(read);
      try {
        if (number < this.pages) yield readStep(this.#store, this.#at(number), [bytes]);
      } finally {
        this.#reads.delete(read);
      }
      if (read.isOld) continue;
      if (!this.#pages.has(number)) this.#keep(number, new TablePage(bytes, number, this.#fileNumber));
    }
    throw new PinfoldError("EBUSY", `${this.#store.name}: page ${number} of its table changes all the time`);
  }

  #at(number: number): number {
    return this.#position + number * pageBytes;
  }

  #keep(number: number, page: TablePage): void {
    this.#pages.set(number, page);
    if (this.#pages.size <= this.#pagesMax) return;
    for (const old of this.#pages.keys()) {
      if (this.#held.has(old) || old === number) continue;
      this.#pages.delete(old);
      return;
    }
  }

  /** Whether `reserve` of these blocks has nothing to do. */
  isReserved(firstBlock: number, endBlock: number): boolean {
    for (let page = placeOf(firstBlock).page; page <= placeOf(endBlock - 1).page; page++)
      if (!this.#reserved.has(page)) return false;
    return true;
  }

  /** Takes the space for the sums of blocks [firstBlock, endBlock). @throws ENOSPC and what the store says */
  *reserve(firstBlock: number, endBlock: number): Steps<void> {
    for (let page = placeOf(firstBlock).page; page <= placeOf(endBlock - 1).page; page++) {
      if (this.#reserved.has(page)) continue;
      const position = this.#at(page);
      if (position + pageBytes > this.#sizeBytes) {
        yield sizeStep(this.#store, position + pageBytes);
        this.#sizeBytes = Math.max(this.#sizeBytes, position + pageBytes);
      }
      yield reserveStep(this.#store, position, pageBytes);
      // A table of everything that was ever asked for would grow without end; to ask again costs little.
      if (this.#reserved.size >= limits.checksumReservationsMax) this.#reserved = new Set();
      this.#reserved.add(page);
    }
  }

  /** Changes one page and writes it. Not synced. */
  *change(number: number, change: (page: TablePage) => void): Steps<void> {
    assert(!this.#held.has(number), "one change of a page of the table at a time");
    yield* this.reserve(number * pageSums, number * pageSums + 1);
    const page = yield* this.page(number);
    change(page);
    page.seal();
    this.#held.add(number);
    try {
      yield writeStep(this.#store, this.#at(number), [page.bytes.slice()]);
    } finally {
      this.#held.delete(number);
      for (const read of this.#reads) if (read.number === number) read.isOld = true;
    }
  }
}
