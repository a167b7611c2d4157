/**
 * Reading a page's bytes without its lock.
 *
 * A read begins with the page's version, from a moment when nobody was writing to it, and is good if the version is still the
 * same after it (sync/optimistic-words.ts). Nothing shared is written, so threads that read one page do not slow each other down.
 *
 * What the version proves: from begin to the look afterwards the page was in its frame, and nobody owned its lock, had a counted
 * write pin on it, or stored to it through a view. The file and its size are looked at between the two, so at that moment all
 * was true at once: the range lay in the file, and these were its bytes. (A cut publishes the new size before it touches a
 * page; a file's slot is given to another only after its pages have left.)
 *
 * Where that cannot be had, the page is read under its shared lock: somebody is writing, or it changes all the time.
 *
 * See also: words/views.ts (optimisticBegin), blocking.ts (what happens on a miss).
 */
import { PinfoldError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { AddressSpace } from "../cache/space.js";
import { OptimisticWords } from "../sync/optimistic-words.js";
import { pinRangeSync } from "./blocking.js";
import type { Core } from "./core.js";
import { checkOpen, outOfRange, pinResident } from "./fault.js";
import { putPin } from "./pin.js";
import { tryPinRange } from "./try-pin.js";

/** What is done with the bytes `memory[start]` to `memory[end - 1]`. They may change meanwhile; then it is done again. */
export type OptimisticRead<T> = (memory: Uint8Array, start: number, end: number) => T;

/** One open file, as this thread reads it without locks. */
export class OptimisticReader {
  readonly #core: Core;
  readonly #space: AddressSpace;
  readonly #seen: OptimisticWords;

  constructor(core: Core, space: AddressSpace) {
    this.#core = core;
    this.#space = space;
    this.#seen = new OptimisticWords(core.frames.wordsMemory, core.frames.thread);
  }

  /** Begins a read of one page: its frame, or -1 where it is not found in one short look-up, or somebody may be writing. */
  begin(index: number): number {
    const { words, thread } = this.#core.frames;
    const frame = words.optimisticBegin(this.#space.id, index, thread);
    return frame >= 0 ? frame : -1;
  }

  /** The version that the last `begin` saw. */
  get begun(): number {
    return this.#seen.begun;
  }

  /** True if the frame's bytes are what they were when `version` was seen. */
  isUnchanged(frame: number, version: number): boolean {
    return this.#seen.isUnchanged(frame, version);
  }

  /**
   * What `read` answers for the bytes of a range that nobody has written to meanwhile. A range that lies in one page is read in
   * place; of others `read` is given a copy.
   * @throws PinfoldError EBADF, ERR_PINFOLD_OUT_OF_RANGE; EIO, EDEADLK, ERR_PINFOLD_NO_FRAMES and ENOTSUP as pinRangeSync; what `read` throws
   */
  read<T>(position: number, length: number, read: OptimisticRead<T>): T {
    const space = this.#space;
    const index = space.pageOf(position);
    const from = position - index * space.pageSize;
    if (from + length > space.pageSize) return this.#readAcross(position, length, read);
    for (let tries = 0; tries < limits.optimisticTriesMax; tries++) {
      const frame = this.begin(index);
      if (frame < 0) break;
      const version = this.#seen.begun;
      checkOpen(space);
      if (position + length > space.size) throw outOfRange(space, position + length);
      const { frames } = this.#core;
      const start = frames.offset(frame) + from;
      let answer: T;
      try {
        answer = run(read, frames.segment(frame), start, start + length);
      } catch (error) {
        // Half of an update may make no sense. Once more, if it was that.
        if (this.#seen.isUnchanged(frame, version)) throw error;
        continue;
      }
      if (this.#seen.isUnchanged(frame, version)) {
        space.counters.hits += 1;
        return answer;
      }
    }
    return this.#readLocked(index, from, length, read);
  }

  /** Under the shared lock of the page, which is waited for and loaded if need be. */
  #readLocked<T>(index: number, from: number, length: number, read: OptimisticRead<T>): T {
    const space = this.#space;
    const position = index * space.pageSize + from;
    checkOpen(space);
    const resident = pinResident(this.#core, space, index);
    if (resident < 0)
      return this.#readPinned(position, length, (frames) => this.#readFrame(frames[0] as number, from, length, read));
    try {
      if (position + length > space.size) throw outOfRange(space, position + length);
      space.counters.hits += 1;
      return this.#readFrame(resident, from, length, read);
    } finally {
      this.#core.locks.unlockShared(resident);
    }
  }

  #readFrame<T>(frame: number, from: number, length: number, read: OptimisticRead<T>): T {
    const { frames } = this.#core;
    const start = frames.offset(frame) + from;
    return run(read, frames.segment(frame), start, start + length);
  }

  /** A copy of the range, taken while all of its pages were locked. */
  #readAcross<T>(position: number, length: number, read: OptimisticRead<T>): T {
    const { pageSize } = this.#space;
    const copy = new Uint8Array(length);
    this.#readPinned(position, length, (frames) => {
      let done = 0;
      for (const frame of frames) {
        const from = (position + done) % pageSize;
        const to = Math.min(pageSize, from + length - done);
        copy.set(this.#core.frames.slice(frame, from, to), done);
        done += to - from;
      }
    });
    return run(read, copy, 0, length);
  }

  #readPinned<T>(position: number, length: number, read: (frames: readonly number[]) => T): T {
    const request = { position, length };
    const pin = tryPinRange(this.#core, this.#space, request) ?? pinRangeSync(this.#core, this.#space, request);
    try {
      return read(pin.frames);
    } finally {
      putPin(this.#core, pin, false);
    }
  }
}

/** @throws PinfoldError EINVAL for an answer that is still to come: by then the bytes may be others */
function run<T>(read: OptimisticRead<T>, memory: Uint8Array, start: number, end: number): T {
  const answer = read(memory, start, end);
  if (typeof answer !== "object" || answer === null) return answer;
  if (!("then" in answer) || typeof answer.then !== "function") return answer;
  if (answer instanceof Promise) answer.catch(() => {});
  throw new PinfoldError("EINVAL", "fn must be synchronous: it answered a promise");
}

/** Numbers of open reads begin here; those of frames end before. */
export const firstRead = limits.framesMax + 1;
/** So many reads have numbers of their own, before they come round again. */
const readNumbers = 2 ** 29;
const numberAt = 0;
const frameAt = 1;
const versionAt = 2;
const entryShift = 2;

/**
 * Reads of a file that have begun without a lock, by number, for who keeps several open (a node of a tree and its child).
 *
 * Invariant: the last limits.openReadsMax are known; one that is not is not good any more.
 */
export class OpenReads {
  readonly #reader: OptimisticReader;
  readonly #entries = new Int32Array(limits.openReadsMax << entryShift);
  #next = 0;

  constructor(reader: OptimisticReader) {
    this.#reader = reader;
  }

  /** The read's number, from `firstRead` on, or -1 as OptimisticReader.begin. */
  begin(index: number): number {
    const frame = this.#reader.begin(index);
    if (frame < 0) return -1;
    const number = firstRead + this.#next;
    this.#next = (this.#next + 1) % readNumbers;
    const entry = (number % limits.openReadsMax) << entryShift;
    this.#entries[entry + numberAt] = number;
    this.#entries[entry + frameAt] = frame;
    this.#entries[entry + versionAt] = this.#reader.begun;
    return number;
  }

  /** The frame of a read that has begun. Of one that is forgotten, some frame. */
  frameOf(number: number): number {
    return this.#entries[((number % limits.openReadsMax) << entryShift) + frameAt] as number;
  }

  /** True if everything that was read since the read began was of one moment. */
  isGood(number: number): boolean {
    const entries = this.#entries;
    const entry = (number % limits.openReadsMax) << entryShift;
    return (
      this.#reader.isUnchanged(entries[entry + frameAt] as number, entries[entry + versionAt] as number) &&
      entries[entry + numberAt] === number
    );
  }
}
