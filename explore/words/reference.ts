/**
 * What the builds of the page words call for atomic operations, and builds made from their text: the reference, which is the plain
 * build over Atomics, and the steps.
 *
 * Apart from builds.ts so that they run without loading a compiler: who runs them is given the text.
 *
 * See also: builds.ts, traced-memory.ts (the operations of the explorer).
 */
import type { Words } from "../../src/sync/words.js";

/** What the text of a build calls for each atomic operation. 64-bit values are BigInts. */
export interface AtomicOps {
  load16(address: number): number;
  store16(address: number, value: number): void;
  load32(address: number): number;
  store32(address: number, value: number): void;
  add32(address: number, value: number): number;
  sub32(address: number, value: number): number;
  and32(address: number, value: number): number;
  or32(address: number, value: number): number;
  cmpxchg32(address: number, expected: number, value: number): number;
  load64(address: number): bigint;
  store64(address: number, value: bigint): void;
  add64(address: number, value: bigint): bigint;
  sub64(address: number, value: bigint): bigint;
  and64(address: number, value: bigint): bigint;
  or64(address: number, value: bigint): bigint;
  cmpxchg64(address: number, expected: bigint, value: bigint): bigint;
}

/** What the text of a step build calls in addition: an addition whose result nobody uses. */
export interface StepOps extends AtomicOps {
  count32(address: number, delta: number): void;
}

/** Kinds of scheduling points, the lower two bits of what a `steps` function yields. */
export const POINT_LOAD = 0;
export const POINT_STORE = 1;
/** Reads and writes: compare and swap, an addition whose result is used. */
export const POINT_UPDATE = 2;
/** An addition whose result nobody uses; such additions commute. */
export const POINT_COUNT = 3;

/** A step of the `steps` build: yields a point before each atomic operation, answers what the function answers. */
export type Step = Generator<number, number, undefined>;

type StepOf<F> = F extends (...taken: infer Taken) => number | void ? (...taken: Taken) => Step : never;

/** The words' exports as generators; configure reaches no shared word and stays a function. */
export type StepWords = { readonly [Name in keyof Omit<Words, "configure">]: StepOf<Words[Name]> } & Pick<
  Words,
  "configure"
>;

export type StepsMaker = (ops: StepOps) => StepWords;

/** Runs the text of a build: the exports of the words over `ops`. */
export function runText(text: string): (ops: AtomicOps) => unknown {
  // oxlint-disable-next-line typescript/no-implied-eval -- the text is made from this repository's own sources, in tests
  return new Function("ops", text) as (ops: AtomicOps) => unknown;
}

/** A maker of step builds from the text of the `steps` build. */
export function stepsOf(text: string): StepsMaker {
  const make = runText(text);
  return (ops) => make(ops) as StepWords;
}

/** The words' exports over any operations. */
export function makeBuild(text: string, ops: AtomicOps): Words {
  return runText(text)(ops) as Words;
}

/** The reference over a shared memory, from the text of the plain build. */
export function makeReference(text: string, buffer: SharedArrayBuffer): Words {
  return runText(text)(sharedOps(buffer)) as Words;
}

/** Atomics over a shared memory. */
function sharedOps(buffer: SharedArrayBuffer): AtomicOps {
  const words16 = new Uint16Array(buffer);
  const words32 = new Uint32Array(buffer);
  const words64 = new BigUint64Array(buffer);
  return {
    load16: (address) => Atomics.load(words16, address >>> 1),
    store16: (address, value) => void Atomics.store(words16, address >>> 1, value),
    load32: (address) => Atomics.load(words32, address >>> 2),
    store32: (address, value) => void Atomics.store(words32, address >>> 2, value),
    add32: (address, value) => Atomics.add(words32, address >>> 2, value),
    sub32: (address, value) => Atomics.sub(words32, address >>> 2, value),
    and32: (address, value) => Atomics.and(words32, address >>> 2, value),
    or32: (address, value) => Atomics.or(words32, address >>> 2, value),
    cmpxchg32: (address, expected, value) => Atomics.compareExchange(words32, address >>> 2, expected, value),
    load64: (address) => Atomics.load(words64, address >>> 3),
    store64: (address, value) => void Atomics.store(words64, address >>> 3, value),
    add64: (address, value) => Atomics.add(words64, address >>> 3, value),
    sub64: (address, value) => Atomics.sub(words64, address >>> 3, value),
    and64: (address, value) => Atomics.and(words64, address >>> 3, value),
    or64: (address, value) => Atomics.or(words64, address >>> 3, value),
    cmpxchg64: (address, expected, value) => Atomics.compareExchange(words64, address >>> 3, expected, value),
  };
}
