/**
 * What is not known for certain of the storage: blocks that were changed since the last good sync of the data. For each of them stand
 * here all sums that its bytes may have after a power cut, and which one they have now.
 *
 * Every change has a number, in the order of the log. Numbers up to `settled` are known to be on the storage.
 *
 * A block is *sure* while its newest sum is what a read must find. It is unsure after a failed write or sync, or where the log was
 * found at an open: then any of its sums is right. Written again it is sure, but the sums of before are kept until a sync covers that
 * write: what failed may never come to the storage, however many syncs succeed.
 *
 * Invariants: the versions of a block ascend by number; a block that is sure has its newest version last; with `base`, what the
 * table says is one of the possible sums too, older than all others. The tables here are bounded by the log's two areas.
 */
import { assert } from "../../base/assert.js";

interface Version {
  readonly number: number;
  /** 0: zeros. */
  readonly sum: number;
}

interface Doubt {
  versions: Version[];
  /** Versions up to this number may be on the storage or not, whatever is settled; 0: none. */
  lost: number;
  base: boolean;
}

/** Blocks [from, to) that were cut off or punched. */
interface Zeros {
  readonly number: number;
  readonly from: number;
  readonly to: number;
  sure: boolean;
  base: boolean;
}

export interface Unsure {
  readonly blocks: readonly number[];
  readonly zeros: readonly Readonly<Zeros>[];
}

/** What the table has to say when all numbers up to some number are settled. */
export interface Finals {
  readonly zeros: readonly { readonly from: number; readonly to: number }[];
  readonly sums: ReadonlyMap<number, number>;
}

/** So many blocks of zeros are noted one by one. */
const fewBlocks = 32;

export class Doubts {
  readonly #blocks = new Map<number, Doubt>();
  #zeros: Zeros[] = [];
  /** First numbers of changes that are on their way to the data. */
  readonly #flights = new Set<number>();
  /** Blocks that got a version since the last settle. */
  #touched: number[] = [];
  #last = 0;
  #settled = 0;
  /** The newest number at the last failure of which something is still unsure; 0: none. */
  #lost = 0;
  /** What was settled before that. */
  #settledBefore = 0;
  #waiting: { readonly upTo: number; readonly resolve: () => void }[] = [];

  /** The newest number. */
  get last(): number {
    return this.#last;
  }

  get settled(): number {
    return this.#settled;
  }

  /** What the log may say is settled: nothing of which somebody is unsure. */
  get settledForSure(): number {
    return this.#lost > 0 ? this.#settledBefore : this.#settled;
  }

  /** Something has failed since the table had everything: settled or not, the log's records of it are not all true. */
  get hasLost(): boolean {
    return this.#lost > 0;
  }

  /** Of each block it is known which of its sums the storage has, or will have with the next sync. */
  get isSure(): boolean {
    for (const { lost } of this.#blocks.values()) if (lost > 0) return false;
    return this.#zeros.every(({ sure }) => sure);
  }

  get isEmpty(): boolean {
    return this.#blocks.size === 0 && this.#zeros.length === 0;
  }

  /** Ranges that each look-up goes through. */
  get ranges(): number {
    return this.#zeros.length;
  }

  /** Blocks in ranges of zeros that are not settled: what recovery would have to look at. */
  get rangeBlocks(): number {
    let blocks = 0;
    for (const { number, from, to } of this.#zeros) if (number > this.#settled) blocks += to - from;
    return blocks;
  }

  /** Goes on after `number`: where the log was found empty, or its records are added with their own numbers. */
  startAfter(number: number): void {
    this.#last = Math.max(this.#last, number);
    this.#settled = Math.max(this.#settled, number);
  }

  // --- changes -------------------------------------------------------------------------------------------------------

  /** Takes `count` numbers, whose changes are on their way from now on. */
  begin(count: number): number {
    const first = this.#last + 1;
    this.#last += count;
    this.#flights.add(first);
    return first;
  }

  /** The changes from number `first` on have ended, one way or the other. */
  end(first: number): void {
    this.#flights.delete(first);
    const open = this.#oldestFlight();
    const ready = this.#waiting.filter(({ upTo }) => upTo < open);
    this.#waiting = this.#waiting.filter(({ upTo }) => upTo >= open);
    for (const { resolve } of ready) resolve();
  }

  #oldestFlight(): number {
    let oldest = this.#last + 1;
    for (const first of this.#flights) oldest = Math.min(oldest, first);
    return oldest;
  }

  /** Whether no change up to this number is on its way. */
  isDrained(upTo: number): boolean {
    return upTo < this.#oldestFlight();
  }

  async drained(upTo: number): Promise<void> {
    if (!this.isDrained(upTo)) await new Promise<void>((resolve) => this.#waiting.push({ upTo, resolve }));
  }

  /** Up to which number a sync that begins now covers everything. */
  coverage(): number {
    return this.#oldestFlight() - 1;
  }

  add(number: number, block: number, sum: number): void {
    this.#last = Math.max(this.#last, number);
    let doubt = this.#blocks.get(block);
    if (!doubt) {
      const zeros = this.#zerosOf(block);
      doubt = {
        versions: zeros ? [{ number: zeros.number, sum: 0 }] : [],
        lost: zeros && !zeros.sure ? zeros.number : 0,
        base: zeros?.base ?? true,
      };
      this.#blocks.set(block, doubt);
    }
    doubt.versions.push({ number, sum });
    this.#touched.push(block);
  }

  /** Blocks [from, to) became zeros. */
  addZeros(number: number, from: number, to: number): void {
    this.#last = Math.max(this.#last, number);
    if (to - from <= fewBlocks) {
      for (let block = from; block < to; block++) this.add(number, block, 0);
      return;
    }
    if (to - from <= this.#blocks.size) {
      for (let block = from; block < to; block++) if (this.#blocks.has(block)) this.add(number, block, 0);
    } else {
      for (const block of this.#blocks.keys()) if (block >= from && block < to) this.add(number, block, 0);
    }
    this.#zeros.push({ number, from, to, sure: true, base: true });
  }

  /** The newest range of zeros that has the block. */
  #zerosOf(block: number): Zeros | undefined {
    return this.#zeros.findLast(({ from, to }) => block >= from && block < to);
  }

  // --- what is known --------------------------------------------------------------------------------------------------

  /** All changes up to this number are on the storage, save those of which nobody is sure. */
  settle(upTo: number): void {
    if (upTo <= this.#settled) return;
    const later: number[] = [];
    for (const block of this.#touched) {
      const doubt = this.#blocks.get(block);
      if (!doubt) continue;
      settleDoubt(doubt, upTo);
      if (doubt.lost > 0 || newest(doubt) > upTo) later.push(block);
    }
    this.#touched = later;
    for (const zeros of this.#zeros) if (zeros.sure && zeros.number <= upTo) zeros.base = false;
    this.#settled = upTo;
  }

  /** A sync failed: of all that is not settled nobody knows what the storage has. */
  lose(): void {
    for (const doubt of this.#blocks.values()) if (newest(doubt) > this.#settled) doubt.lost = newest(doubt);
    for (const zeros of this.#zeros) if (zeros.number > this.#settled) zeros.sure = false;
    this.#noteLoss();
  }

  /** A write of these blocks failed, or a punch or cut. */
  loseBlocks(from: number, to: number): void {
    for (let block = from; block < to && to - from <= this.#blocks.size; block++) this.#loseBlock(block);
    if (to - from > this.#blocks.size)
      for (const block of this.#blocks.keys()) if (block >= from && block < to) this.#loseBlock(block);
    for (const zeros of this.#zeros)
      if (zeros.number > this.#settled && zeros.from < to && zeros.to > from) zeros.sure = false;
    this.#noteLoss();
  }

  #loseBlock(block: number): void {
    const doubt = this.#blocks.get(block);
    if (doubt) doubt.lost = newest(doubt);
  }

  #noteLoss(): void {
    if (this.#lost === 0) this.#settledBefore = this.#settled;
    this.#lost = this.#last;
  }

  /**
   * The sums that are right for a block, newest first; undefined: only what the table says. 0 is a block of zeros; with `base` the
   * table's is right too.
   */
  allowed(block: number): { readonly sums: readonly number[]; readonly base: boolean } | undefined {
    const doubt = this.#blocks.get(block);
    if (doubt) {
      const { versions, base } = doubt;
      if (isSure(doubt)) return { sums: [(versions.at(-1) as Version).sum], base: false };
      return { sums: versions.map(({ sum }) => sum).toReversed(), base };
    }
    const zeros = this.#zerosOf(block);
    return zeros && { sums: [0], base: !zeros.sure && zeros.base };
  }

  /** All of which nobody is sure and that was not changed after number `upTo`: blocks in order, and ranges of zeros. */
  unsure(upTo: number): Unsure {
    const blocks = [...this.#blocks].filter(([, doubt]) => !isSure(doubt) && newest(doubt) <= upTo).map(([at]) => at);
    const zeros = this.#zeros.filter(({ sure, number }) => !sure && number <= upTo);
    return { blocks: blocks.toSorted((a, b) => a - b), zeros };
  }

  /** The block was read after a sync of all up to `upTo`, and has this sum. Nothing where it has been changed since. */
  decide(block: number, sum: number, upTo: number): void {
    const doubt = this.#blocks.get(block);
    if (doubt && isSure(doubt)) return;
    const number = doubt ? newest(doubt) : this.#zerosOf(block)?.number;
    if (number === undefined || number > upTo) return;
    this.#blocks.set(block, { versions: [{ number, sum }], lost: 0, base: false });
  }

  /** All of `looked` was looked at, and what of its ranges is not zero was decided. */
  decideRest({ zeros: looked }: Unsure): void {
    for (const zeros of this.#zeros) if (looked.includes(zeros)) Object.assign(zeros, { sure: true, base: false });
  }

  // --- into the table ---------------------------------------------------------------------------------------------------

  /** What the table says once it has all up to this number, which is settled. */
  finals(upTo: number): Finals {
    const sums = new Map<number, number>();
    assert(this.isSure, "what goes into the table was made sure of");
    for (const [block, { versions }] of this.#blocks) {
      const version = versions.findLast(({ number }) => number <= upTo);
      if (version) sums.set(block, version.sum);
    }
    return { zeros: this.#zeros.filter(({ number }) => number <= upTo), sums };
  }

  /** The table has all up to this number, durably. */
  forget(upTo: number): void {
    for (const [block, doubt] of this.#blocks) {
      const left = doubt.versions.filter(({ number }) => number > upTo);
      if (left.length === 0) this.#blocks.delete(block);
      else if (left.length < doubt.versions.length) Object.assign(doubt, { versions: left, base: true });
    }
    this.#zeros = this.#zeros.filter(({ number }) => number > upTo);
    // Not before: what was decided stood nowhere but here, and the log's records said otherwise.
    if (this.isSure) this.#lost = 0;
  }
}

function newest({ versions }: Doubt): number {
  return (versions.at(-1) as Version).number;
}

function isSure(doubt: Doubt): boolean {
  return newest(doubt) > doubt.lost;
}

/** Of the versions up to a number only the last one is left, and nothing of before; save where that one has failed. */
function settleDoubt(doubt: Doubt, upTo: number): void {
  const at = doubt.versions.findLastIndex(({ number }) => number <= upTo);
  if (at < 0 || (doubt.versions[at] as Version).number <= doubt.lost) return;
  doubt.versions = doubt.versions.slice(at);
  doubt.base = false;
  doubt.lost = 0;
}
