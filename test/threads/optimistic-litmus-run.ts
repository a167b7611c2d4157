/**
 * A program of its own for optimistic-litmus.test.ts: one thread writes a page under its lock all the time, the other reads it
 * without. Each shape of a reader is compiled by V8 as it likes; what it accepted and what it threw away is printed as JSON.
 *
 * Shapes whose name ends in "bare" do without the store before the second look. They show what V8 may do, and are no defects.
 */
import { Worker, isMainThread, workerData } from "node:worker_threads";
import { Frames, type FramesShare } from "../../src/frames/frames.js";
import * as layout from "../../src/sync/layout.js";
import { OptimisticWords } from "../../src/sync/optimistic-words.js";

/** What a shape has seen. `wrong` has to be 0. */
export interface LitmusResult {
  readonly shape: string;
  readonly accepted: number;
  readonly rejected: number;
  readonly wrong: number;
}

const pageSize = 4096;
const shapeMs = 700;
const batch = 10_000;
const spinsMax = 2 ** 30;

interface WriterInput {
  readonly share: FramesShare;
  readonly frame: number;
  readonly stop: Int32Array;
}

/** Every word of the page is the same, but between lock and unlock. */
function write({ share, frame, stop }: WriterInput): void {
  const { words, segments, thread } = Frames.attach(share);
  const page = new Float64Array((segments[0] as WebAssembly.Memory).buffer, frame * pageSize, pageSize / 8);
  for (let value = 1; Atomics.load(stop, 0) === 0; value++) {
    while (words.lockExclusive(frame, 0, 0, thread) !== layout.OK);
    page[0] = value;
    page[511] = value;
    while (words.unlockExclusive(frame, thread, 0) === layout.LOST);
    // Readers get on, too.
    for (let wait = value % 64; wait > 0; wait--) Atomics.load(stop, 0);
  }
}

/** 1: accepted; 0: thrown away; -1: accepted, and wrong. */
type Shape = () => 1 | 0 | -1;

function shapesOf(frames: Frames, frame: number): Record<string, Shape> {
  const { words, thread, wordsMemory } = frames;
  const seen = new OptimisticWords(wordsMemory, thread);
  const integers = new Int32Array(wordsMemory.buffer);
  const versionAt = (layout.RECORDS + (frame << layout.RECORD_SHIFT) + layout.RECORD_VERSION) >> 2;
  const page = new Float64Array((frames.segments[0] as WebAssembly.Memory).buffer, frame * pageSize, pageSize / 8);
  const zero = new Float64Array(1);
  const difference = new Float64Array(1);
  const judge = (good: boolean) => (good ? (difference[0] === 0 ? 1 : -1) : 0);
  return {
    "values used after the second look": () => {
      if (words.optimisticBegin(0, 0, thread) < 0) return 0;
      const version = seen.begun;
      const one = page[0] as number;
      const other = page[511] as number;
      const good = seen.isUnchanged(frame, version);
      difference[0] = (zero[0] as number) + one - other;
      return judge(good);
    },
    "values used after the second look, bare": () => {
      if (words.optimisticBegin(0, 0, thread) < 0) return 0;
      const version = seen.begun;
      const one = page[0] as number;
      const other = page[511] as number;
      const now = integers[versionAt];
      difference[0] = (zero[0] as number) + one - other;
      return judge(now === version);
    },
    "a loop over the page": () => {
      if (words.optimisticBegin(0, 0, thread) < 0) return 0;
      const version = seen.begun;
      let sum = 0;
      for (let at = 0; at < 512; at += 511) sum = (page[at] as number) - sum;
      difference[0] = sum;
      return judge(seen.isUnchanged(frame, version));
    },
    "asked again and again": () => {
      if (words.optimisticBegin(0, 0, thread) < 0) return 1;
      const version = seen.begun;
      const first = seen.isUnchanged(frame, version);
      const second = seen.isUnchanged(frame, version);
      const third = seen.isUnchanged(frame, version);
      const fourth = seen.isUnchanged(frame, version);
      const fifth = seen.isUnchanged(frame, version);
      const sixth = seen.isUnchanged(frame, version);
      const seventh = seen.isUnchanged(frame, version);
      const last = seen.isUnchanged(frame, version);
      if (last && !(first && second && third && fourth && fifth && sixth && seventh)) return -1;
      return first && !last ? 0 : 1;
    },
    "asked again and again, bare": () => {
      if (words.optimisticBegin(0, 0, thread) < 0) return 1;
      const version = seen.begun;
      const first = integers[versionAt] === version;
      const second = integers[versionAt] === version;
      const third = integers[versionAt] === version;
      const fourth = integers[versionAt] === version;
      const fifth = integers[versionAt] === version;
      const sixth = integers[versionAt] === version;
      const seventh = integers[versionAt] === version;
      const last = integers[versionAt] === version;
      if (last && !(first && second && third && fourth && fifth && sixth && seventh)) return -1;
      return first && !last ? 0 : 1;
    },
    "asked until it has changed": () => {
      if (words.optimisticBegin(0, 0, thread) < 0) return 1;
      const version = seen.begun;
      let spins = 0;
      while (seen.isUnchanged(frame, version)) if (++spins > spinsMax) return -1;
      return spins > 0 ? 0 : 1;
    },
  };
}

function measure(shape: string, run: Shape): LitmusResult {
  const counts = { accepted: 0, rejected: 0, wrong: 0 };
  for (const untilMs = performance.now() + shapeMs; performance.now() < untilMs; ) {
    for (let i = 0; i < batch; i++) {
      const answer = run();
      if (answer === 1) counts.accepted++;
      else if (answer === 0) counts.rejected++;
      else counts.wrong++;
    }
  }
  return { shape, ...counts };
}

function main(): void {
  const memoryBytes = 64 * pageSize;
  const frames = Frames.create(memoryBytes, pageSize, false);
  const { words, thread } = frames;
  const frame = words.reserve(thread);
  words.find(0, 0, thread);
  words.insert(frame, 0, 0, thread);
  words.setUptodate(frame);
  while (words.unlockExclusive(frame, thread, 0) === layout.LOST);
  while (words.requeue(frame) === layout.LOST);
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(new URL(import.meta.url), {
    workerData: { share: frames.share(memoryBytes), frame, stop } satisfies WriterInput,
  });
  const before = words.versionOf(frame);
  const begin = setInterval(() => {
    if (words.versionOf(frame) === before) return;
    clearInterval(begin);
    const results = Object.entries(shapesOf(frames, frame)).map(([name, shape]) => measure(name, shape));
    Atomics.store(stop, 0, 1);
    console.log(JSON.stringify(results));
  }, 5);
  worker.on("error", (error) => {
    throw error;
  });
}

if (isMainThread) main();
else write(workerData as WriterInput);
