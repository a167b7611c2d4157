/**
 * The words memory of a run: every change is logged, so that it can be taken back, and hashed; every access is noted.
 *
 * Invariants: the hash is that of the difference to the memory at `settle`, and depends on contents alone. A run is in one
 * real thread, so plain accesses are atomic here; in what order they come is the machine's business.
 *
 * See also: ../words/reference.ts (what a build of the page words calls), machine.ts.
 */
import { NumberStack } from "./number-stack.js";
import type { StepOps } from "../words/reference.js";

function stir(word: number, value: number, factor: number): number {
  let mixed = Math.imul(word ^ 0x5bd1e995, 0x9e3779b1) + Math.imul(value ^ (value >>> 15), factor);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}

export class TracedWords implements StepOps {
  readonly buffer: ArrayBuffer;
  readonly words: Uint32Array;
  readonly #wide: BigUint64Array;
  one = 0;
  two = 0;
  /** Words that were changed, with what was there before, in turn. */
  readonly #log = new NumberStack();
  /** Words that were read since `forget`, each once or more. */
  readonly read = new NumberStack();
  /** Words that were written while noting, also with what was there. */
  readonly written = new NumberStack();
  isNoting = false;

  constructor(bytes: number) {
    this.buffer = new ArrayBuffer(Math.ceil(bytes / 8) * 8);
    this.words = new Uint32Array(this.buffer);
    this.#wide = new BigUint64Array(this.buffer);
  }

  /** What is there now is where hashes begin. */
  settle(): void {
    this.#log.clear();
    this.read.clear();
    this.written.clear();
    this.one = 0;
    this.two = 0;
  }

  mark(): number {
    return this.#log.count;
  }

  rewind(mark: number): void {
    const log = this.#log;
    for (let at = log.count - 2; at >= mark; at -= 2) this.#put(log.at(at), log.at(at + 1));
    log.count = mark;
    this.written.clear();
  }

  /** Calls `seen` for words that are not what they were at `mark`. */
  changedSince(mark: number, seen: (word: number) => void): void {
    const log = this.#log;
    for (let at = mark; at < log.count; at += 2) {
      const word = log.at(at);
      // The first entry of a word has what was there before.
      let isFirst = true;
      for (let before = mark; before < at && isFirst; before += 2) if (log.at(before) === word) isFirst = false;
      if (isFirst && this.words[word] !== log.at(at + 1)) seen(word);
    }
  }

  #put(word: number, value: number): void {
    const before = this.words[word] as number;
    this.one ^= stir(word, before, 0x85ebca6b) ^ stir(word, value, 0x85ebca6b);
    this.two ^= stir(word + 0x10001, before, 0x27d4eb2f) ^ stir(word + 0x10001, value, 0x27d4eb2f);
    this.words[word] = value;
  }

  write(word: number, value: number): void {
    if (this.isNoting) this.written.push(word);
    const before = this.words[word] as number;
    if (before === value >>> 0) return;
    this.#log.push(word);
    this.#log.push(before);
    this.#put(word, value >>> 0);
  }

  look(word: number): number {
    if (this.isNoting) this.read.push(word);
    return this.words[word] as number;
  }

  load16(address: number): number {
    return (this.look(address >>> 2) >>> ((address & 2) * 8)) & 0xffff;
  }

  store16(address: number, value: number): void {
    const shift = (address & 2) * 8;
    const kept = (this.words[address >>> 2] as number) & ~(0xffff << shift);
    this.write(address >>> 2, kept | ((value & 0xffff) << shift));
  }

  load32(address: number): number {
    return this.look(address >>> 2);
  }

  store32(address: number, value: number): void {
    this.write(address >>> 2, value);
  }

  count32(address: number, delta: number): void {
    this.write(address >>> 2, (this.words[address >>> 2] as number) + delta);
  }

  add32(address: number, value: number): number {
    const before = this.look(address >>> 2);
    this.write(address >>> 2, before + value);
    return before;
  }

  sub32(address: number, value: number): number {
    return this.add32(address, -value);
  }

  and32(address: number, value: number): number {
    const before = this.look(address >>> 2);
    this.write(address >>> 2, before & value);
    return before;
  }

  or32(address: number, value: number): number {
    const before = this.look(address >>> 2);
    this.write(address >>> 2, before | value);
    return before;
  }

  cmpxchg32(address: number, expected: number, value: number): number {
    const before = this.look(address >>> 2);
    if (before === expected >>> 0) this.write(address >>> 2, value);
    return before;
  }

  load64(address: number): bigint {
    if (this.isNoting) {
      this.read.push(address >>> 2);
      this.read.push((address >>> 2) + 1);
    }
    return this.#wide[address >>> 3] as bigint;
  }

  store64(address: number, value: bigint): void {
    this.write(address >>> 2, Number(BigInt.asUintN(32, value)));
    this.write((address >>> 2) + 1, Number(BigInt.asUintN(32, value >> 32n)));
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
