/**
 * The bytes of an open file, copied from and to callers' buffers: the signatures and results of node:fs/promises' FileHandle,
 * and of node:fs for the calls that block. What differs from Node stands in docs/access-rules.md.
 *
 * Positions and lengths are bytes. Calls without a position begin at the file's own one, which each opener has for itself;
 * such calls run one after the other, in the order they were made, so that two of them never get the same place.
 *
 * See also: cached-file.ts (the rest of the surface), transfer-arguments.ts.
 */
import { constants } from "node:buffer";
import { PinfoldError } from "../base/errors.js";
import { checkRange } from "../base/ranges.js";
import type { AddressSpace } from "../cache/space.js";
import { readBlocking, writeBlocking } from "../mapping/blocking.js";
import { read, tryRead, tryWrite, write } from "../mapping/copy.js";
import type { Core } from "../mapping/core.js";
import { type OptimisticRead, OptimisticReader } from "../mapping/optimistic.js";
import { checkOpen } from "../mapping/fault.js";
import { writeThrough } from "../mapping/sync.js";
import { checkBuffers, checkBytes, checkEncoding, checkFunction, checkObject, checkSignal } from "./arguments.js";
import { onPrivateCopy } from "./debug-copies.js";
import {
  type ReadOptions,
  type WriteOptions,
  bytesOf,
  filePosition,
  readTransfer,
  writeTransfer,
} from "./transfer-arguments.js";

export interface WholeFileOptions {
  encoding?: BufferEncoding | null;
  signal?: AbortSignal;
}

/** What writeFile takes: all of it is written, piece by piece. */
export type FileData =
  | string
  | NodeJS.ArrayBufferView
  | Iterable<string | NodeJS.ArrayBufferView>
  | AsyncIterable<string | NodeJS.ArrayBufferView>;

export class FileBytes {
  readonly #core: Core;
  readonly #space: AddressSpace;
  readonly #debug: boolean;
  readonly #optimistic: OptimisticReader;
  /** Where the next read or write without a position begins. */
  #position = 0;
  /** Ends with the last call without a position that was made. Never rejects. */
  #turn: Promise<unknown> = Promise.resolve();
  protected closed = false;

  protected constructor(core: Core, space: AddressSpace, debug: boolean) {
    this.#core = core;
    this.#space = space;
    this.#debug = debug;
    this.#optimistic = new OptimisticReader(core, space);
  }

  /** @throws PinfoldError EBADF; EIO where the store has ended with its thread */
  protected check(): void {
    if (this.closed) throw new PinfoldError("EBADF", `${this.#space.store.name} was closed`);
    checkOpen(this.#space);
  }

  /** Runs `work` where it is to begin; it answers how many bytes it went on. */
  async #at(position: number | undefined, work: (at: number) => Promise<number>): Promise<number> {
    if (position !== undefined) return work(position);
    return this.#inTurn(() => this.#next(work));
  }

  async #next(work: (at: number) => Promise<number>): Promise<number> {
    this.check();
    const done = await work(this.#position);
    this.#position += done;
    return done;
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => {});
    return result;
  }

  /**
   * Reads into a buffer, as FileHandle.read. At the end of the file bytesRead is 0. Atomic a page: a reader never sees half of
   * what one write changed within a page.
   * @throws PinfoldError EINVAL, EBADF, EIO, ERR_PINFOLD_NO_FRAMES
   */
  read<T extends NodeJS.ArrayBufferView>(
    buffer: T,
    offset?: number | null,
    length?: number | null,
    position?: number | bigint | null,
  ): Promise<{ bytesRead: number; buffer: T }>;
  read<T extends NodeJS.ArrayBufferView>(buffer: T, options?: ReadOptions): Promise<{ bytesRead: number; buffer: T }>;
  read<T extends NodeJS.ArrayBufferView = Buffer>(options?: ReadOptions<T>): Promise<{ bytesRead: number; buffer: T }>;
  async read<T extends NodeJS.ArrayBufferView>(
    first?: T | ReadOptions<T>,
    second?: number | null | ReadOptions,
    length?: number | null,
    position?: number | bigint | null,
  ): Promise<{ bytesRead: number; buffer: T }> {
    this.check();
    const transfer = readTransfer(first, second, length, position);
    const bytesRead = await this.#at(transfer.position, (at) => read(this.#core, this.#space, transfer.bytes, at));
    return { bytesRead, buffer: transfer.buffer };
  }

  /** Reads into buffers, one after the other, as FileHandle.readv. @throws PinfoldError as read */
  async readv<T extends readonly NodeJS.ArrayBufferView[]>(
    buffers: T,
    position?: number | null,
  ): Promise<{ bytesRead: number; buffers: T }> {
    this.check();
    checkBuffers(buffers);
    const bytesRead = await this.#at(filePosition(position), async (at) => {
      let done = 0;
      for (const buffer of buffers) {
        const bytes = bytesOf(buffer);
        const count = await read(this.#core, this.#space, bytes, at + done);
        done += count;
        if (count < bytes.length) break;
      }
      return done;
    });
    return { bytesRead, buffers };
  }

  /**
   * Writes a buffer or a string, as FileHandle.write; past the end it extends the file. Fewer bytes than asked for only where an
   * error came after some were written; the next write meets it. Atomic a page, not across pages.
   * @throws PinfoldError EINVAL, EBADF, EROFS, EFBIG, ENOSPC, EIO, ERR_PINFOLD_NO_FRAMES
   */
  write<T extends NodeJS.ArrayBufferView>(
    buffer: T,
    offset?: number | null,
    length?: number | null,
    position?: number | bigint | null,
  ): Promise<{ bytesWritten: number; buffer: T }>;
  write<T extends NodeJS.ArrayBufferView>(
    buffer: T,
    options?: WriteOptions,
  ): Promise<{ bytesWritten: number; buffer: T }>;
  write(
    data: string,
    position?: number | bigint | null,
    encoding?: BufferEncoding | null,
  ): Promise<{ bytesWritten: number; buffer: string }>;
  async write(
    data: NodeJS.ArrayBufferView | string,
    second?: number | bigint | null | WriteOptions,
    third?: number | string | null,
    position?: number | bigint | null,
  ): Promise<{ bytesWritten: number; buffer: NodeJS.ArrayBufferView | string }> {
    this.check();
    const transfer = writeTransfer(data, second as number, third, position);
    const bytesWritten = await this.#at(transfer.position, (at) => this.#write(transfer.bytes, at));
    return { bytesWritten, buffer: data };
  }

  async #write(bytes: Uint8Array, position: number, signal?: AbortSignal): Promise<number> {
    const done = await write(this.#core, this.#space, bytes, position, signal);
    if (done > 0 && this.#core.options.writeThrough) await writeThrough(this.#core, this.#space, position, done);
    return done;
  }

  /** Writes all of the bytes or throws. */
  async #writeAll(bytes: Uint8Array, position: number, signal?: AbortSignal): Promise<number> {
    let done = 0;
    while (done < bytes.length) done += await this.#write(bytes.subarray(done), position + done, signal);
    return done;
  }

  /** Writes buffers one after the other, as FileHandle.writev. @throws PinfoldError as write */
  async writev<T extends readonly NodeJS.ArrayBufferView[]>(
    buffers: T,
    position?: number | null,
  ): Promise<{ bytesWritten: number; buffers: T }> {
    this.check();
    checkBuffers(buffers);
    const bytesWritten = await this.#at(filePosition(position), async (at) => {
      let done = 0;
      for (const buffer of buffers) {
        const bytes = bytesOf(buffer);
        const count = await this.#write(bytes, at + done);
        done += count;
        if (count < bytes.length) break;
      }
      return done;
    });
    return { bytesWritten, buffers };
  }

  /** Reads all of `target` now, or nothing: false where a page would have to be waited for. @throws PinfoldError EINVAL, EFBIG, EBADF */
  tryRead(target: Uint8Array, position: number): boolean {
    this.check();
    checkBytes(target, "target");
    checkRange(position, target.length, this.#space.pageSize);
    return tryRead(this.#core, this.#space, target, position);
  }

  /** Writes all of `source` now, within the file, or nothing: false where it would have to wait. @throws PinfoldError as write */
  tryWrite(source: Uint8Array, position: number): boolean {
    this.check();
    checkBytes(source, "source");
    checkRange(position, source.length, this.#space.pageSize);
    if (source.length === 0 && !this.#space.readOnly) return true;
    return !this.#core.options.writeThrough && tryWrite(this.#core, this.#space, source, position);
  }

  /**
   * Answers what `fn` answers for the bytes `memory[start]` to `memory[end - 1]`, the cache itself, read without a lock: where
   * they were written to meanwhile, `fn` is called again. So `fn` may be called several times, and may see half of an update: it has
   * to end whatever it sees, change nothing, keep nothing of `memory` and not be asynchronous. What is answered at last is of bytes that
   * were all there at one moment; an error that `fn` throws at such bytes is thrown. Threads that read one page do not
   * slow each other down. A range over several pages is copied first, under the locks of its pages. A page that somebody
   * writes to all the time is read under its lock, and what is not in the cache is loaded: both block the thread, as readSync.
   * Under a counted write pin (`longterm`), or stores of a mapped view, bytes may change during `fn` all the same.
   * @throws PinfoldError EINVAL, EFBIG, EBADF; ERR_PINFOLD_OUT_OF_RANGE; EIO, ERR_PINFOLD_NO_FRAMES; EDEADLK where it would wait for
   * this thread's event loop; ENOTSUP for what is not in the cache of a store without sync calls; what `fn` throws
   */
  readOptimistic<T>(position: number, length: number, fn: OptimisticRead<T>): T {
    this.check();
    checkRange(position, length, this.#space.pageSize);
    if (length === 0) throw new PinfoldError("EINVAL", "length must be at least 1");
    checkFunction(fn, "fn");
    return this.#optimistic.read(position, length, this.#debug ? onPrivateCopy(fn) : fn);
  }

  /** As fs.readSync with a buffer. Bytes read. @throws PinfoldError as read; EDEADLK where it would wait for this thread's event loop; ENOTSUP */
  readSync(
    buffer: NodeJS.ArrayBufferView,
    offset?: number | null | ReadOptions,
    length?: number | null,
    position?: number | bigint | null,
  ): number {
    this.check();
    if (!ArrayBuffer.isView(buffer)) throw new PinfoldError("EINVAL", "readSync takes a buffer");
    const transfer = readTransfer(buffer, offset, length, position);
    const done = readBlocking(this.#core, this.#space, transfer.bytes, transfer.position ?? this.#position);
    if (transfer.position === undefined) this.#position += done;
    return done;
  }

  /**
   * As fs.writeSync with a buffer or a string; past the end it extends the file. Bytes written.
   * @throws PinfoldError as write; EDEADLK where it would wait for this thread's event loop; ENOTSUP
   */
  writeSync(
    buffer: NodeJS.ArrayBufferView,
    offset?: number | null | WriteOptions,
    length?: number | null,
    position?: number | bigint | null,
  ): number;
  writeSync(data: string, position?: number | null, encoding?: BufferEncoding | null): number;
  writeSync(
    data: NodeJS.ArrayBufferView | string,
    second?: number | null | WriteOptions,
    third?: number | string | null,
    position?: number | bigint | null,
  ): number {
    this.check();
    const transfer = writeTransfer(data, second, third, position);
    const done = writeBlocking(this.#core, this.#space, transfer.bytes, transfer.position ?? this.#position);
    if (transfer.position === undefined) this.#position += done;
    return done;
  }

  /**
   * What is left of the file from its own position on, as FileHandle.readFile.
   * @throws PinfoldError as read; EFBIG for more than a Buffer can hold; the signal's reason
   */
  readFile(options?: { encoding?: null; signal?: AbortSignal } | null): Promise<Buffer>;
  readFile(options: { encoding: BufferEncoding; signal?: AbortSignal } | BufferEncoding): Promise<string>;
  async readFile(options?: WholeFileOptions | BufferEncoding | null): Promise<Buffer | string> {
    this.check();
    const { encoding, signal } = wholeFileOptions(options);
    signal?.throwIfAborted();
    let buffer = Buffer.alloc(0);
    const bytesRead = await this.#at(undefined, async (at) => {
      const length = Math.max(0, this.#space.size - at);
      if (length > constants.MAX_LENGTH)
        throw new PinfoldError("EFBIG", `${length} bytes do not fit a buffer; read them in parts`);
      buffer = Buffer.alloc(length);
      return read(this.#core, this.#space, buffer, at, signal);
    });
    const bytes = buffer.subarray(0, bytesRead);
    return encoding ? bytes.toString(encoding) : bytes;
  }

  /** Writes all of the data from the file's own position on, as FileHandle.writeFile. @throws PinfoldError as write; the signal's reason */
  async writeFile(data: FileData, options?: WholeFileOptions | BufferEncoding | null): Promise<void> {
    this.check();
    const given = wholeFileOptions(options);
    given.signal?.throwIfAborted();
    const pieces = piecesOf(data);
    await this.#inTurn(() => this.#writePieces(pieces, given));
  }

  /** Writes all of the data at the end of the file, whatever its own position, which is the new end then. @throws PinfoldError as write; the signal's reason */
  async appendFile(data: FileData, options?: WholeFileOptions | BufferEncoding | null): Promise<void> {
    this.check();
    const given = wholeFileOptions(options);
    given.signal?.throwIfAborted();
    const pieces = piecesOf(data);
    await this.#inTurn(async () => {
      this.check();
      this.#position = this.#space.size;
      await this.#writePieces(pieces, given);
    });
  }

  async #writePieces(
    pieces: Iterable<unknown> | AsyncIterable<unknown>,
    { encoding, signal }: WholeFileOptions,
  ): Promise<void> {
    for await (const piece of pieces) {
      signal?.throwIfAborted();
      const bytes = typeof piece === "string" ? Buffer.from(piece, encoding ?? "utf8") : piece;
      if (!ArrayBuffer.isView(bytes))
        throw new PinfoldError("EINVAL", "data must be strings, Buffers, TypedArrays or DataViews");
      await this.#next((at) => this.#writeAll(bytesOf(bytes as NodeJS.ArrayBufferView), at, signal));
    }
  }
}

function wholeFileOptions(options: WholeFileOptions | BufferEncoding | null | undefined): WholeFileOptions {
  if (options === null || options === undefined) return {};
  if (typeof options === "string") return { encoding: checkEncoding(options) ?? null };
  checkObject(options, "options");
  checkSignal(options.signal);
  checkEncoding(options.encoding);
  return options;
}

/** @throws PinfoldError EINVAL */
function piecesOf(data: FileData): Iterable<unknown> | AsyncIterable<unknown> {
  if (typeof data === "string" || ArrayBuffer.isView(data)) return [data];
  if (typeof data === "object" && data !== null && (Symbol.iterator in data || Symbol.asyncIterator in data))
    return data;
  throw new PinfoldError("EINVAL", "data must be a string, a Buffer, TypedArray, DataView, or several of them");
}
