/**
 * Bytes between buffers and descriptors, whole: short transfers are continued, EINTR and EAGAIN tried again.
 *
 * With O_DIRECT everything goes in whole blocks; a last piece of less than a block, and what an unaligned short read
 * leaves over, goes through the second, buffered descriptor. The kernel keeps the two views of one file coherent (a direct
 * read writes cached pages back first, a direct write drops them), as long as nobody does both to one block at once, which
 * the page lock rules out.
 *
 * Invariants: a read that ends before the file does is continued, never zero-filled (F3); only what lies past the end is
 * zeroed (F4); a write is whole or fails (F12); retries are bounded (F13).
 *
 * See also: file-store.ts.
 */
import { fstatSync, read, readSync, readv, readvSync, write, writeSync, writev, writevSync } from "node:fs";
import { assert } from "../../base/assert.js";
import { PinfoldError } from "../../base/errors.js";
import { limits } from "../../base/limits.js";

/** The descriptors of one open file. `buffered` is `main` unless `main` is O_DIRECT. */
export interface Descriptors {
  readonly main: number;
  readonly buffered: number;
  /** Set for a block device, whose size fstat does not tell. */
  readonly fixedSize?: number | undefined;
}

/** Buffers of one system call (IOV_MAX). */
const vectorsMax = 1024;

/** What is left of a run. */
class Run {
  position: number;
  #buffers: readonly Uint8Array[];
  #index = 0;
  #offset = 0;
  #left: number;
  #retries = 0;

  constructor(position: number, buffers: readonly Uint8Array[]) {
    this.position = position;
    this.#buffers = buffers;
    this.#left = 0;
    for (const buffer of buffers) this.#left += buffer.length;
  }

  get left(): number {
    return this.#left;
  }

  /** The next buffers, at most `bytes` and 1,024 of them. */
  next(bytes: number): readonly Uint8Array[] {
    const isWhole = this.#index === 0 && this.#offset === 0 && bytes === this.#left;
    if (isWhole && this.#buffers.length <= vectorsMax) return this.#buffers;
    const views: Uint8Array[] = [];
    let offset = this.#offset;
    for (let i = this.#index; i < this.#buffers.length && views.length < vectorsMax && bytes > 0; i++) {
      const buffer = this.#buffers[i] as Uint8Array;
      const end = Math.min(buffer.length, offset + bytes);
      if (end > offset) views.push(offset === 0 && end === buffer.length ? buffer : buffer.subarray(offset, end));
      bytes -= end - offset;
      offset = 0;
    }
    return views;
  }

  advance(count: number): void {
    assert(count > 0 && count <= this.#left, "a transfer moves at most what was asked for");
    this.#retries = 0;
    this.position += count;
    this.#left -= count;
    let at = this.#offset + count;
    while (this.#index < this.#buffers.length && at >= (this.#buffers[this.#index] as Uint8Array).length) {
      at -= (this.#buffers[this.#index] as Uint8Array).length;
      this.#index++;
    }
    this.#offset = at;
  }

  /** Zeroes the rest: it lies past the end of the file. */
  zero(): void {
    for (let offset = this.#offset; this.#index < this.#buffers.length; this.#index++, offset = 0) {
      (this.#buffers[this.#index] as Uint8Array).fill(0, offset);
    }
    this.#left = 0;
  }

  /** True when a failed call may be tried again; throws what may not. */
  retry(error: unknown): void {
    const code = (error as { code?: unknown } | null)?.code;
    if ((code !== "EINTR" && code !== "EAGAIN") || ++this.#retries > limits.transientRetriesMax) throw error;
  }

  /** Counts a call that moved nothing. */
  stall(operation: string): void {
    if (++this.#retries > limits.transientRetriesMax)
      throw new PinfoldError("EIO", `${operation}: no progress at byte ${this.position}`, { operation });
  }
}

/** Which descriptor takes the next piece of a run, and how much of it at most. */
interface Route {
  readonly fd: number;
  readonly bytes: number;
}

function route(files: Descriptors, run: Run): Route {
  if (files.main === files.buffered) return { fd: files.main, bytes: run.left };
  const whole = run.left - (run.left % limits.blockSize);
  if (run.position % limits.blockSize === 0 && whole > 0) return { fd: files.main, bytes: whole };
  return { fd: files.buffered, bytes: run.left };
}

function sizeOf(files: Descriptors): number {
  return files.fixedSize ?? fstatSync(files.main).size;
}

/** After a read of `count` bytes: goes on, or zeroes what lies past the end. */
function took(files: Descriptors, run: Run, count: number): void {
  if (count > 0) run.advance(count);
  if (run.left === 0) return;
  if (run.position >= sizeOf(files)) run.zero();
  else if (count === 0) run.stall("read");
}

/** After a write of `count` bytes. */
function gave(_files: Descriptors, run: Run, count: number): void {
  if (count > 0) run.advance(count);
  else run.stall("write");
}

export function readAll(files: Descriptors, position: number, buffers: readonly Uint8Array[]): Promise<void> {
  return inPieces(files, new Run(position, buffers), startRead, took);
}

export function readAllSync(files: Descriptors, position: number, buffers: readonly Uint8Array[]): void {
  const run = new Run(position, buffers);
  while (run.left > 0) {
    const { fd, bytes } = route(files, run);
    try {
      const views = run.next(bytes);
      const [only] = views;
      const count =
        views.length === 1 && only !== undefined
          ? readSync(fd, only, 0, only.length, run.position)
          : readvSync(fd, views, run.position);
      took(files, run, count);
    } catch (error) {
      run.retry(error);
    }
  }
}

export function writeAll(files: Descriptors, position: number, buffers: readonly Uint8Array[]): Promise<void> {
  return inPieces(files, new Run(position, buffers), startWrite, gave);
}

export function writeAllSync(files: Descriptors, position: number, buffers: readonly Uint8Array[]): void {
  const run = new Run(position, buffers);
  while (run.left > 0) {
    const { fd, bytes } = route(files, run);
    try {
      const views = run.next(bytes);
      const [only] = views;
      const count =
        views.length === 1 && only !== undefined
          ? writeSync(fd, only, 0, only.length, run.position)
          : writevSync(fd, views, run.position);
      gave(files, run, count);
    } catch (error) {
      run.retry(error);
    }
  }
}

type Start = (
  fd: number,
  views: readonly Uint8Array[],
  position: number,
  done: (error: Error | null, count: number) => void,
) => void;

const startRead: Start = (fd, views, position, done) => {
  const [only] = views;
  if (views.length === 1 && only !== undefined) read(fd, only, 0, only.length, position, done);
  else readv(fd, views, position, done);
};

const startWrite: Start = (fd, views, position, done) => {
  const [only] = views;
  if (views.length === 1 && only !== undefined) write(fd, only, 0, only.length, position, done);
  else writev(fd, views, position, done);
};

/** One promise and one callback for the whole run: most runs need one system call. */
function inPieces(
  files: Descriptors,
  run: Run,
  start: Start,
  note: (files: Descriptors, run: Run, count: number) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const goOn = () => {
      if (run.left === 0) return resolve();
      const { fd, bytes } = route(files, run);
      start(fd, run.next(bytes), run.position, done);
    };
    const done = (error: Error | null, count: number) => {
      try {
        if (error === null) note(files, run, count);
        else run.retry(error);
        goOn();
      } catch (failure) {
        const reason = failure as Error;
        reject(reason);
      }
    };
    goOn();
  });
}

const zeros = new Uint8Array(256 * 1024);

/** Writes zeros over [position, end), through the buffered descriptor. */
export async function writeZeros(files: Descriptors, position: number, end: number): Promise<void> {
  const buffered = { ...files, main: files.buffered };
  for (let at = position; at < end; at += zeros.length) {
    await writeAll(buffered, at, [zeros.subarray(0, Math.min(zeros.length, end - at))]);
  }
}
