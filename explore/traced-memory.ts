/**
 * A words memory for one thread of control that runs several actors in turn: atomic operations as plain ones, with a hash
 * of the whole memory kept up to date, a hash of what each actor has read, the latches that it holds, and an undo log.
 *
 * Invariants: the hash depends on the contents alone, not on how they came about. `rewind` brings the memory back to where
 * `settle` was called last.
 *
 * See also: enumerator.ts.
 */
import * as layout from "../src/sync/layout.js";
import type { AtomicOps } from "./builds.js";
import { WordsMemory, type WordsPlan } from "./words-memory.js";

/** What the enumerator knows of an actor beside its generator. */
export interface Track {
  /** Hash of everything that its next actions depend on: two independent halves. */
  one: number;
  two: number;
  /** Whether it has written inside the step that it is in. */
  wrote: boolean;
  /** Latches that it holds, as bits. */
  held: number;
}

export function newTrack(): Track {
  return { one: 0, two: 0, wrote: false, held: 0 };
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

/** Latches get one bit each, as they are met; so many a scenario has at most. */
const latchesMax = 31;

export class TracedMemory implements AtomicOps {
  readonly memory: WordsMemory;
  /** Whose operation runs. */
  track: Track = newTrack();
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
    const first = layout.RECORDS;
    this.#latches.set(layout.HEADER_LISTS_LATCH, 1);
    for (let record = 0; record < plan.records; record++) this.#addLatch(first + record * 32 + layout.RECORD_QUEUE);
    for (let bucket = 0; bucket < plan.frames; bucket++) this.#addLatch(plan.buckets + bucket * 8);
  }

  #addLatch(address: number): void {
    if (this.#latches.size < latchesMax) this.#latches.set(address, 2 ** this.#latches.size);
  }

  /** What is there now is what `rewind` comes back to. */
  settle(): void {
    this.#log.length = 0;
  }

  rewind(): void {
    const log = this.#log;
    for (let at = log.length - 2; at >= 0; at -= 2) this.#put(log[at] as number, log[at + 1] as number);
    log.length = 0;
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

  /** The upper half of a 64-bit latch word holds the latch (buckets); the lower bit of a 32-bit one. */
  #latch(address: number, before: number, after: number): void {
    const bit = this.#latches.get(address);
    if (bit === undefined) return;
    if ((after & 1) !== 0 && (before & 1) === 0) this.track.held |= bit;
    if ((after & 1) === 0) this.track.held &= ~bit;
  }

  load16(address: number): number {
    const value = ((this.#words[address >>> 2] as number) >>> ((address & 2) * 8)) & 0xffff;
    remember(this.track, value);
    return value;
  }

  store16(address: number, value: number): void {
    const shift = (address & 2) * 8;
    const kept = (this.#words[address >>> 2] as number) & ~(0xffff << shift);
    this.#write(address >>> 2, kept | ((value & 0xffff) << shift));
  }

  load32(address: number): number {
    const value = this.#words[address >>> 2] as number;
    remember(this.track, value);
    return value;
  }

  store32(address: number, value: number): void {
    const before = this.#words[address >>> 2] as number;
    this.#write(address >>> 2, value);
    this.#latch(address, before, value);
  }

  add32(address: number, value: number): number {
    const before = this.load32(address);
    this.#write(address >>> 2, before + value);
    return before;
  }

  sub32(address: number, value: number): number {
    const before = this.load32(address);
    this.#write(address >>> 2, before - value);
    return before;
  }

  and32(address: number, value: number): number {
    const before = this.load32(address);
    this.#write(address >>> 2, before & value);
    return before;
  }

  or32(address: number, value: number): number {
    const before = this.load32(address);
    this.#write(address >>> 2, before | value);
    return before;
  }

  cmpxchg32(address: number, expected: number, value: number): number {
    const before = this.load32(address);
    if (before !== expected) return before;
    this.#write(address >>> 2, value);
    this.#latch(address, before, value);
    return before;
  }

  load64(address: number): bigint {
    const at = address >>> 2;
    remember(this.track, this.#words[at] as number);
    remember(this.track, this.#words[at + 1] as number);
    return this.#wide[address >>> 3] as bigint;
  }

  store64(address: number, value: bigint): void {
    const at = address >>> 2;
    const before = this.#words[at + 1] as number;
    const after = Number(value >> 32n);
    this.#write(at, Number(value & 0xffffffffn));
    this.#write(at + 1, after);
    this.#latch(address, before, after);
  }

  add64(address: number, value: bigint): bigint {
    const before = this.load64(address);
    this.store64(address, BigInt.asUintN(64, before + value));
    return before;
  }

  sub64(address: number, value: bigint): bigint {
    const before = this.load64(address);
    this.store64(address, BigInt.asUintN(64, before - value));
    return before;
  }

  and64(address: number, value: bigint): bigint {
    const before = this.load64(address);
    this.store64(address, before & value);
    return before;
  }

  or64(address: number, value: bigint): bigint {
    const before = this.load64(address);
    this.store64(address, before | value);
    return before;
  }

  cmpxchg64(address: number, expected: bigint, value: bigint): bigint {
    const before = this.load64(address);
    if (before === expected) this.store64(address, value);
    return before;
  }
}
