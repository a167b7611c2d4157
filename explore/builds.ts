/**
 * The three builds of the page words: the module that ships (wasm), its reference (plain JavaScript with Atomics), and
 * the steps (generators over an `ops` object of the explorer's).
 *
 * A mutant is a change of the sources' text before they are transformed: each `original` must be there exactly once in
 * its file, so that a mutant cannot rot into one that changes nothing.
 *
 * See also: transform.ts, words-memory.ts (the memory that they run on).
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Words } from "../src/sync/words.js";
import { transform, type Sources } from "./transform.js";

/** What the text of a step build calls in addition: an addition whose result nobody uses. */
export interface StepOps extends AtomicOps {
  count32(address: number, delta: number): void;
}

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

/** A step of the `steps` build: yields a point before each atomic operation, answers what the function answers. */
export type Step = Generator<number, number, undefined>;

type StepOf<F> = F extends (...taken: infer Taken) => number | void ? (...taken: Taken) => Step : never;

/** The words' exports as generators; configure reaches no shared word and stays a function. */
export type StepWords = { readonly [Name in keyof Omit<Words, "configure">]: StepOf<Words[Name]> } & Pick<Words, "configure">;

export interface Replacement {
  /** Within src/sync: "words/lock.ts". */
  readonly file: string;
  readonly original: string;
  readonly mutated: string;
}

/** The directory of package.json, above this file wherever it was built to. */
export function packageRoot(from: string = import.meta.dirname): string {
  let folder = from;
  for (let depth = 0; depth < 16; depth++) {
    if (existsSync(join(folder, "package.json"))) return folder;
    folder = dirname(folder);
  }
  throw new Error(`no package.json above ${from}`);
}

/** The sources of the words as they are on disk. */
export function readSources(): Sources {
  const sync = join(packageRoot(), "src/sync");
  const files = ["layout.ts", ...readdirSync(join(sync, "words")).filter((name) => name.endsWith(".ts")).map((name) => `words/${name}`)];
  return new Map(files.map((file) => [`src/sync/${file}`, readFileSync(join(sync, file), "utf8")]));
}

/** The sources with the replacements made. */
export function mutate(sources: Sources, replacements: readonly Replacement[]): Sources {
  const mutated = new Map(sources);
  for (const { file, original, mutated: text } of replacements) {
    const path = `src/sync/${file}`;
    const parts = (mutated.get(path) ?? "").split(original);
    if (parts.length !== 2) throw new Error(`a mutant's text is ${parts.length - 1} times in ${path}, not once: ${original}`);
    mutated.set(path, parts.join(text));
  }
  return mutated;
}

type Maker = (ops: AtomicOps) => unknown;

/** The text of the reference, for threads that make it themselves with `makeReference`. */
export function referenceText(sources: Sources): string {
  return transform(sources, "plain");
}

export function makeReference(text: string, buffer: SharedArrayBuffer): Words {
  return (new Function("ops", text) as Maker)(sharedOps(buffer)) as Words;
}

export type StepsMaker = (ops: StepOps) => StepWords;

/** A maker of step builds over any ops. The transform is done once. */
export function stepsMaker(sources: Sources): StepsMaker {
  const make = new Function("ops", transform(sources, "steps")) as Maker;
  return (ops) => make(ops) as StepWords;
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
