/**
 * A words memory for one thread of control that runs several actors in turn: atomic operations as plain ones, with a hash
 * of the whole memory kept up to date, an undo log, and for each actor a hash of what it has read, the latches that it
 * holds, and the results of its operations, from which it can be brought back to an earlier point.
 *
 * Invariants: the hash depends on the contents alone, not on how they came about. `rewind(mark)` brings the memory back to
 * where it was when `mark` was asked for. While `feeding`, operations answer what they answered before and change nothing.
 *
 * See also: run.ts, actors.ts.
 */
import * as layout from "../../src/sync/layout.js";
import type { StepOps } from "./reference.js";
import { WordsMemory, type WordsPlan } from "./words-memory.js";

/** What is known of an actor beside its generator. */
export class Track {
  /** Hash of everything that its next actions depend on: two independent halves. */
  one = 0;
  two = 0;
  /** Whether it has written inside the step that it is in. */
  wrote = false;
  /** Latches that it holds, as bits. */
  held = 0;
  /** What it believes to hold: two bits a record, see actors.ts. */
  holding = 0;
  /** Answers of the steps that it has ended. */
  readonly answers: number[] = [];
  /** How many of these the script has been given. */
  given = 0;
  /** Results of its operations; those of the step that it is in begin at `stepFrom`, after `operations` of them. */
  readonly results: (number | bigint)[] = [];
  stepFrom = 0;
  operations = 0;

  /** Ends a step with its answer. */
  finish(answer: number): void {
    this.answers.push(answer);
    this.given = this.answers.length;
    this.stepFrom = this.results.length;
    this.operations = 0;
    this.wrote = false;
  }
}

function stir(hash: number, value: number, factor: number): number {
  const stirred = Math.imul(hash ^ value, factor);
  return stirred ^ (stirred >>> 15);
}

/** Adds a value to an actor's history. */
export function remember(track: Track, value: number): void {
  track.one = stir(track.one + 0x1b873593, value, 0x9e3779b1);
  track.two = stir(track.two + 0x52dce729, value, 0x85ebca77);
}

/** Two hashes of 32 bits as one exact number of 53. */
export function joined(one: number, two: number): number {
  return (one >>> 0) * 2 ** 21 + (two >>> 11);
}

/** Latches get one bit each; so many at most. A latch without a bit only costs more points of choice. */
const latchesMax = 31;
const lowHalf = 0xffffffffn;

export class TracedMemory implements StepOps {
  readonly memory: WordsMemory;
  /** Whose operation runs. */
  track = new Track();
  /** Set while an actor is brought back to where it was: its next result, or -1. */
  feedAt = -1;
  one = 0;
  two = 0;
  readonly #words: Uint32Array;
  readonly #wide: BigUint64Array;
  readonly #log: number[] = [];
  readonly #latches = new Map<number, number>();

  constructor(plan: WordsPlan) {
    const buffer = new ArrayBuffer(Math.ceil(plan.bytes / 8) * 8);
    this.memory = new WordsMemory(plan, buffer);
    this.memory.initialise();
    this.#words = new Uint32Array(buffer);
    this.#wide = new BigUint64Array(buffer);
    this.#latches.set(layout.HEADER_LISTS_LATCH, 1);
    for (let record = 0; record < plan.records; record++)
      this.#addLatch(this.memory.record(record) + layout.RECORD_QUEUE);
    for (let bucket = 0; bucket < plan.frames; bucket++) this.#addLatch(plan.buckets + bucket * 8);
  }

  #addLatch(address: number): void {
    if (this.#latches.size < latchesMax) this.#latches.set(address, 2 ** this.#latches.size);
  }

  get feeding(): boolean {
    return this.feedAt >= 0;
  }

  /** What is there now is what `rewind(0)` comes back to. */
  settle(): void {
    this.#log.length = 0;
  }

  mark(): number {
    return this.#log.length;
  }

  rewind(mark: number): void {
    const log = this.#log;
    for (let at = log.length - 2; at >= mark; at -= 2) this.#put(log[at] as number, log[at + 1] as number);
    log.length = mark;
  }

  /** Writes one 32-bit word by its number, and keeps the hash. */
  #put(at: number, value: number): void {
    const before = this.#words[at] as number;
    this.one ^= stir(at, before, 0x9e3779b1) ^ stir(at, value, 0x9e3779b1);
    this.two ^= stir(at + 7, before, 0x7feb352d) ^ stir(at + 7, value, 0x7feb352d);
    this.#words[at] = value;
  }

  #write(at: number, value: number): void {
    const before = this.#words[at] as number;
    this.track.wrote = true;
    if (before === value >>> 0) return;
    this.#log.push(at, before);
    this.#put(at, value);
  }

  /** The upper half of a 64-bit latch word holds the latch (buckets); the lowest bit of a 32-bit one. */
  #latch(address: number, before: number, after: number): void {
    const bit = this.#latches.get(address);
    if (bit === undefined) return;
    if ((after & 1) !== 0 && (before & 1) === 0) this.track.held |= bit;
    if ((after & 1) === 0) this.track.held &= ~bit;
  }

  #fed(): number | bigint {
    return this.track.results[this.feedAt++] as number | bigint;
  }

  load16(address: number): number {
    if (this.feedAt >= 0) return this.#fed() as number;
    const value = ((this.#words[address >>> 2] as number) >>> ((address & 2) * 8)) & 0xffff;
    return this.#read(value);
  }

  #read(value: number): number {
    remember(this.track, value);
    this.track.results.push(value);
    return value;
  }

  load32(address: number): number {
    if (this.feedAt >= 0) return this.#fed() as number;
    return this.#read(this.#words[address >>> 2] as number);
  }

  store16(address: number, value: number): void {
    if (this.feedAt >= 0) return;
    const shift = (address & 2) * 8;
    const kept = (this.#words[address >>> 2] as number) & ~(0xffff << shift);
    this.#write(address >>> 2, kept | ((value & 0xffff) << shift));
  }

  store32(address: number, value: number): void {
    if (this.feedAt >= 0) return;
    const before = this.#words[address >>> 2] as number;
    this.#write(address >>> 2, value);
    this.#latch(address, before, value);
  }

  count32(address: number, delta: number): void {
    if (this.feedAt >= 0) return;
    this.#write(address >>> 2, (this.#words[address >>> 2] as number) + delta);
  }

  #update32(address: number, after: (before: number) => number): number {
    if (this.feedAt >= 0) return this.#fed() as number;
    const before = this.#read(this.#words[address >>> 2] as number);
    this.#write(address >>> 2, after(before));
    return before;
  }

  add32(address: number, value: number): number {
    return this.#update32(address, (before) => before + value);
  }

  sub32(address: number, value: number): number {
    return this.#update32(address, (before) => before - value);
  }

  and32(address: number, value: number): number {
    return this.#update32(address, (before) => before & value);
  }

  or32(address: number, value: number): number {
    return this.#update32(address, (before) => before | value);
  }

  cmpxchg32(address: number, expected: number, value: number): number {
    if (this.feedAt >= 0) return this.#fed() as number;
    const before = this.#read(this.#words[address >>> 2] as number);
    if (before !== expected) return before;
    this.#write(address >>> 2, value);
    this.#latch(address, before, value);
    return before;
  }

  load64(address: number): bigint {
    if (this.feedAt >= 0) return this.#fed() as bigint;
    const at = address >>> 2;
    remember(this.track, this.#words[at] as number);
    remember(this.track, this.#words[at + 1] as number);
    const value = this.#wide[address >>> 3] as bigint;
    this.track.results.push(value);
    return value;
  }

  store64(address: number, value: bigint): void {
    if (this.feedAt >= 0) return;
    const at = address >>> 2;
    const before = this.#words[at + 1] as number;
    const after = Number(value >> 32n);
    this.#write(at, Number(value & lowHalf));
    this.#write(at + 1, after);
    this.#latch(address, before, after);
  }

  #update64(address: number, after: (before: bigint) => bigint): bigint {
    const before = this.load64(address);
    this.store64(address, after(before));
    return before;
  }

  add64(address: number, value: bigint): bigint {
    return this.#update64(address, (before) => BigInt.asUintN(64, before + value));
  }

  sub64(address: number, value: bigint): bigint {
    return this.#update64(address, (before) => BigInt.asUintN(64, before - value));
  }

  and64(address: number, value: bigint): bigint {
    return this.#update64(address, (before) => before & value);
  }

  or64(address: number, value: bigint): bigint {
    return this.#update64(address, (before) => before | value);
  }

  cmpxchg64(address: number, expected: bigint, value: bigint): bigint {
    const before = this.load64(address);
    if (before === expected) this.store64(address, value);
    return before;
  }
}
