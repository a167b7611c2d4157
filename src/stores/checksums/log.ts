/**
 * The log of sums: what a block will be is written here, durably, before the block is. So after a power cut each block has a sum that
 * stands in the table or in the log (F15, F16), or it is torn (F17).
 *
 * Calls that wait are gathered: while one batch of records is on its way, the next one comes together.
 *
 * Two areas: one is filled, while what the other one says goes into the table (`empty`). Where both are full, writes wait for that, and
 * fail with what it failed with.
 *
 * Invariants: a place of an area is written once until the area was emptied; a record whose batch failed may be there all the same,
 * so that its blocks are unsure; pages that cannot be read are gaps, and what comes after them counts.
 */
import { assert } from "../../base/assert.js";
import { PinfoldError } from "../../base/errors.js";
import type { Store } from "../../store/contract.js";
import type { Doubts } from "./doubts.js";
import {
  decodeLogPage,
  encodeLogPage,
  type Header,
  type LogPage,
  type LogRecord,
  pageBytes,
  pageRecords,
  placesOf,
} from "./format.js";
import { readStep, writeStep } from "./store-steps.js";
import { runLater, runNow, type Steps } from "./steps.js";

interface Waiting {
  readonly records: readonly LogRecord[];
  readonly resolve: (first: number) => void;
  readonly reject: (error: unknown) => void;
}

/** The pages of both areas that are whole, in the order of their numbers. */
export function* readLog(store: Store, header: Header): Steps<LogPage[]> {
  const pages: LogPage[] = [];
  for (const position of placesOf(header).areas) {
    const area = new Uint8Array(header.areaPages * pageBytes);
    yield readStep(store, position, [area]);
    for (let at = 0; at < area.length; at += pageBytes) {
      const page = decodeLogPage(area.subarray(at, at + pageBytes), header.fileNumber);
      if (page) pages.push(page);
    }
  }
  return pages.toSorted((a, b) => a.first - b.first);
}

/** What the log asks of its owner. */
export interface LogOwner {
  /** Syncs the file of sums. */
  sync(): Steps<void>;
  /** Puts all up to a number into the table, durably. */
  empty(upTo: number): Steps<void>;
}

export class Log {
  readonly #store: Store;
  readonly #fileNumber: number;
  readonly #areas: readonly [number, number];
  readonly #areaPages: number;
  readonly #doubts: Doubts;
  readonly #owner: LogOwner;
  #area = 0;
  #at = 0;
  /** The newest number of the other area, until that is empty. */
  #full: number | undefined;
  #emptying: Promise<void> | undefined;
  #queue: Waiting[] = [];
  #isRunning = false;

  /** Starts with two empty areas. */
  constructor(store: Store, header: Header, doubts: Doubts, owner: LogOwner) {
    this.#store = store;
    this.#fileNumber = header.fileNumber;
    this.#areas = placesOf(header).areas;
    this.#areaPages = header.areaPages;
    this.#doubts = doubts;
    this.#owner = owner;
  }

  /**
   * Makes these records durable: the number of the first, whose change is on its way from now on (Doubts.end).
   * @throws what the storage of the sums failed with, or the data's sync
   */
  *commit(records: readonly LogRecord[]): Steps<number> {
    let first = 0;
    yield {
      later: async () => {
        first = await new Promise<number>((resolve, reject) => {
          this.#queue.push({ records, resolve, reject });
          if (!this.#isRunning) void this.#run();
        });
      },
      now: () => {
        const waiting = { records, resolve: (number: number) => (first = number), reject: () => {} };
        runNow(this.#write([waiting]));
      },
    };
    return first;
  }

  /** Waits until the other area is not on its way into the table. */
  async idle(): Promise<void> {
    await this.#emptying?.catch(() => {});
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    while (this.#queue.length > 0) {
      const batch: Waiting[] = [];
      for (let pages = 0; this.#queue.length > 0; ) {
        pages += pagesOf((this.#queue[0] as Waiting).records);
        // Others have room in the area too.
        if (batch.length > 0 && pages > this.#areaPages / 4) break;
        batch.push(this.#queue.shift() as Waiting);
      }
      try {
        await runLater(this.#write(batch));
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    this.#isRunning = false;
  }

  *#write(batch: readonly Waiting[]): Steps<void> {
    const records = batch.flatMap((waiting) => waiting.records);
    const pages = pagesOf(records);
    assert(pages <= this.#areaPages, "a batch fits into an area");
    while (this.#at + pages > this.#areaPages) yield* this.#change();
    const position = (this.#areas[this.#area] as number) + this.#at * pageBytes;
    this.#at += pages;
    const firsts = batch.map((waiting) => this.#doubts.begin(waiting.records.length));
    let failed: { error: unknown } | undefined;
    try {
      yield writeStep(this.#store, position, this.#encode(records, firsts[0] as number));
      yield* this.#owner.sync();
    } catch (error) {
      failed = { error };
    }
    let number = firsts[0] as number;
    for (const { block, blocks, sum } of records) {
      if (sum === 0) this.#doubts.addZeros(number, block, block + blocks);
      else this.#doubts.add(number, block, sum);
      number += 1;
    }
    if (failed) {
      for (const first of firsts) this.#doubts.end(first);
      for (const { block, blocks } of records) this.#doubts.loseBlocks(block, block + blocks);
      throw failed.error;
    }
    for (const [i, { resolve }] of batch.entries()) resolve(firsts[i] as number);
  }

  #encode(records: readonly LogRecord[], first: number): Uint8Array[] {
    const pages: Uint8Array[] = [];
    const settled = this.#doubts.settledForSure;
    for (let at = 0; at < records.length; at += pageRecords) {
      const page = { first: first + at, settled, records: records.slice(at, at + pageRecords) };
      pages.push(encodeLogPage(page, this.#fileNumber));
    }
    return pages;
  }

  /** Goes on in the other area, once that is empty. */
  *#change(): Steps<void> {
    const full = this.#full;
    if (full !== undefined) {
      yield {
        later: () => this.#emptyLater(full),
        now: () => {
          if (this.#emptying)
            throw new PinfoldError("EBUSY", `${this.#store.name}: its log is being put into its table`);
          runNow(this.#owner.empty(full));
          this.#full = undefined;
        },
      };
      return;
    }
    const last = this.#doubts.last;
    this.#full = last;
    this.#area = 1 - this.#area;
    this.#at = 0;
    // What it fails with is told to those who need the space later.
    yield { later: () => void this.#emptyLater(last).catch(() => {}), now: () => {} };
  }

  /** One at a time: where another one is on its way it is that which is waited for. */
  #emptyLater(upTo: number): Promise<void> {
    this.#emptying ??= runLater(this.#owner.empty(upTo))
      .then(() => {
        if (this.#full !== undefined && this.#full <= upTo) this.#full = undefined;
      })
      .finally(() => {
        this.#emptying = undefined;
      });
    return this.#emptying;
  }

  /** Puts into the table what is settled. @throws what the storages say */
  async emptySettled(): Promise<void> {
    await this.idle();
    await this.#emptyLater(this.#doubts.settled);
  }
}

function pagesOf(records: readonly LogRecord[]): number {
  return Math.ceil(records.length / pageRecords);
}
