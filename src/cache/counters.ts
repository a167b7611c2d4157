/**
 * Counters of the cache's work, for each file and thread, in shared memory: stats() adds those of all threads up.
 *
 * Invariants: a thread adds only to its own numbers, with plain stores, so that counting costs what it costs in a thread's heap.
 * A number may be read by anybody at any time: on 64-bit processors an aligned double is loaded and stored whole. A thread that
 * ends leaves its numbers, and the next one in its slot counts on from them. They begin at 0 when a file's slot is taken.
 *
 * See also: directory.ts (who resets them); api/stats.ts.
 */
import type { Frames } from "../frames/frames.js";
import * as layout from "../sync/layout.js";

/** What is counted for each file, in the order in which it lies in shared memory. */
export const counterNames = [
  "hits",
  "misses",
  "reads",
  "writes",
  "readBytes",
  "writtenBytes",
  "writeErrors",
  "healedErrors",
  "syncs",
  "syncErrors",
] as const;

export type SpaceCounters = Record<(typeof counterNames)[number], number>;

/** Where the numbers of a file and thread begin, counted in doubles. */
function rowOf(mapping: number, thread: number): number {
  return (thread * (layout.MAPPINGS_MAX + 1) + mapping) * layout.COUNTERS;
}

function numbersOf(frames: Frames): Float64Array {
  return new Float64Array(frames.wordsMemory.buffer, frames.plan.counters, rowOf(0, layout.THREADS_MAX));
}

/** This thread's counters of one file. */
export class ThreadCounters implements SpaceCounters {
  readonly #numbers: Float64Array;

  constructor(frames: Frames, mapping: number) {
    const from = rowOf(mapping, frames.thread);
    this.#numbers = numbersOf(frames).subarray(from, from + layout.COUNTERS);
  }

  get hits(): number {
    return this.#numbers[0] as number;
  }

  set hits(count: number) {
    this.#numbers[0] = count;
  }

  get misses(): number {
    return this.#numbers[1] as number;
  }

  set misses(count: number) {
    this.#numbers[1] = count;
  }

  get reads(): number {
    return this.#numbers[2] as number;
  }

  set reads(count: number) {
    this.#numbers[2] = count;
  }

  get writes(): number {
    return this.#numbers[3] as number;
  }

  set writes(count: number) {
    this.#numbers[3] = count;
  }

  get readBytes(): number {
    return this.#numbers[4] as number;
  }

  set readBytes(count: number) {
    this.#numbers[4] = count;
  }

  get writtenBytes(): number {
    return this.#numbers[5] as number;
  }

  set writtenBytes(count: number) {
    this.#numbers[5] = count;
  }

  get writeErrors(): number {
    return this.#numbers[6] as number;
  }

  set writeErrors(count: number) {
    this.#numbers[6] = count;
  }

  get healedErrors(): number {
    return this.#numbers[7] as number;
  }

  set healedErrors(count: number) {
    this.#numbers[7] = count;
  }

  get syncs(): number {
    return this.#numbers[8] as number;
  }

  set syncs(count: number) {
    this.#numbers[8] = count;
  }

  get syncErrors(): number {
    return this.#numbers[9] as number;
  }

  set syncErrors(count: number) {
    this.#numbers[9] = count;
  }
}

/** The counters of a file, of all threads together. */
export function sumCounters(frames: Frames, mapping: number): SpaceCounters {
  const numbers = numbersOf(frames);
  const sums = {} as SpaceCounters;
  for (const [at, name] of counterNames.entries()) {
    sums[name] = 0;
    for (let thread = 0; thread < layout.THREADS_MAX; thread++)
      sums[name] += numbers[rowOf(mapping, thread) + at] as number;
  }
  return sums;
}

/** A slot has been taken for another file, which nobody else uses yet. */
export function resetCounters(frames: Frames, mapping: number): void {
  const numbers = numbersOf(frames);
  for (let thread = 0; thread < layout.THREADS_MAX; thread++) {
    const from = rowOf(mapping, thread);
    // Only what was counted is touched: the rest of the region stays without memory.
    for (let at = from; at < from + layout.COUNTERS; at++) if (numbers[at] !== 0) numbers[at] = 0;
  }
}

/** Pages that left the cache: one number, to which this thread adds. */
export function evictionCounter(frames: Frames): Float64Array {
  const from = rowOf(layout.MAPPINGS_MAX, frames.thread);
  return numbersOf(frames).subarray(from, from + 1);
}

/** Pages that left the cache, through whichever thread. */
export function sumEvictions(frames: Frames): number {
  const numbers = numbersOf(frames);
  let sum = 0;
  for (let thread = 0; thread < layout.THREADS_MAX; thread++)
    sum += numbers[rowOf(layout.MAPPINGS_MAX, thread)] as number;
  return sum;
}
