/**
 * CachedFile: one opener of a file in the cache.
 *
 * Three families of calls: pins (getUserPages and its kin), copies with the signatures and results of node:fs/promises'
 * FileHandle, and the file as a whole (size, space, sync). Positions and lengths are bytes.
 *
 * Invariant: after close every call is EBADF, and nothing of the file is touched.
 *
 * See also: user-pages.ts, transfer-arguments.ts, streams.ts; docs/access-rules.md.
 */
import type { Stats } from "node:fs";
import { PinfoldError } from "../base/errors.js";
import { checkRange, checkWhole, checkEnd } from "../base/ranges.js";
import type { AddressSpace } from "../cache/space.js";
import { loadSync, pinRangeSync, wouldWait } from "../mapping/blocking.js";
import { read, tryRead, tryWrite, write } from "../mapping/copy.js";
import type { Core } from "../mapping/core.js";
import { invalidate } from "../mapping/lifetime.js";
import { type PinRequest, pinRange } from "../mapping/pin.js";
import type { PinRecord } from "../mapping/pin-registry.js";
import { allocate, punchHole } from "../mapping/punch.js";
import { sync, writeThrough } from "../mapping/sync.js";
import { truncate } from "../mapping/truncate.js";
import { loadRange, prefetch, tryPinRange } from "../mapping/try-pin.js";
import { PinScope } from "./scope.js";
import { type FileReadStream, type FileWriteStream, type StreamOptions, readStream, sendTo, writeStream } from "./streams.js";
import { type ReadOptions, type Transfer, type WriteOptions, bytesOf, filePosition, readTransfer, writeTransfer } from "./transfer-arguments.js";
import { UserPages } from "./user-pages.js";

export interface GetOptions {
  /** The bytes may be changed. Default false. */
  write?: boolean;
  /** Counted instead of locked: for an unbounded time, a hand-over, a device. Default false. */
  longterm?: boolean;
  signal?: AbortSignal;
  scope?: PinScope;
}

export interface SyncCallOptions {
  position?: number;
  length?: number;
  /** Wait for locked write pins on dirty pages (default), or fail and name them. */
  pinned?: "wait" | "fail";
  signal?: AbortSignal;
  /** The caller's scope: a write pin of its own in the range is EDEADLK instead of a hang. */
  scope?: PinScope;
}

export type Advice = "normal" | "sequential" | "random" | "willneed" | "dontneed" | "noreuse";
const advices: readonly Advice[] = ["normal", "sequential", "random", "willneed", "dontneed", "noreuse"];

/** What a file needs of its cache. */
export interface FileContext {
  readonly core: Core;
  readonly debug: boolean;
  noteHandle(pin: PinRecord, handle: object): void;
  close(discard: boolean): Promise<void>;
}

export class CachedFile implements AsyncDisposable {
  readonly #context: FileContext;
  readonly #core: Core;
  readonly #space: AddressSpace;
  /** Where the next read or write without a position begins. */
  #position = 0;
  #closed = false;
  /** Losses of data (under "kernel" durability) that this opener's sync has reported. */
  #toldLosses = 0;

  /** Made by PageCache.open. */
  constructor(context: FileContext, space: AddressSpace) {
    this.#context = context;
    this.#core = context.core;
    this.#space = space;
  }

  /** The address space of an open file of this cache: for the package's other entries. @throws PinfoldError EINVAL, EBADF */
  static spaceOf(file: CachedFile, core: Core): AddressSpace {
    if (!(file instanceof CachedFile)) throw new PinfoldError("EINVAL", "not a file of a page cache");
    if (file.#core !== core) throw new PinfoldError("EINVAL", "the file belongs to another cache");
    file.#check();
    return file.#space;
  }

  /** The core of a file's cache: for the package's other entries. */
  static coreOf(file: CachedFile): Core {
    return file.#core;
  }

  #check(): void {
    if (this.#closed || this.#space.closing) throw new PinfoldError("EBADF", `${this.#space.store.name} was closed`);
  }

  /** Bytes of the file. */
  get size(): number {
    this.#check();
    return this.#space.size;
  }

  get pageSize(): number {
    return this.#space.pageSize;
  }

  get readOnly(): boolean {
    return this.#space.readOnly;
  }

  /** What messages call the file. */
  get name(): string {
    return this.#space.store.name;
  }

  #request(position: number, length: number, options: GetOptions): PinRequest {
    this.#check();
    const { write: forWriting, longterm, signal } = options;
    return { position, length, write: forWriting, longterm, signal, scope: PinScope.unwrap(options.scope) };
  }

  #handle(pin: PinRecord): UserPages {
    const pages = new UserPages(this.#core, pin, this.#context.debug);
    this.#context.noteHandle(pin, pages);
    return pages;
  }

  /**
   * Pins the pages of a range: their bytes may be read in place (with `write`: changed) until they are put. All or nothing.
   * @throws PinfoldError EINVAL, EFBIG, EBADF, EROFS, ERR_PINFOLD_OUT_OF_RANGE; ENOSPC, EIO (here or never);
   * EDEADLK, ERR_PINFOLD_NO_FRAMES, ERR_PINFOLD_PIN_LIMIT, ERR_PINFOLD_LEAKED_PAGES; the signal's reason
   */
  async getUserPages(position: number, length: number, options: GetOptions = {}): Promise<UserPages> {
    const request = this.#request(position, length, options);
    request.signal?.throwIfAborted();
    const now = tryPinRange(this.#core, this.#space, request);
    return this.#handle(now ?? (await pinRange(this.#core, this.#space, request)));
  }

  /**
   * As getUserPages, now, or `undefined` if it would have to wait. A miss starts the read.
   * @throws PinfoldError as getUserPages
   */
  tryGetUserPages(position: number, length: number, options: Omit<GetOptions, "signal"> = {}): UserPages | undefined {
    const pin = tryPinRange(this.#core, this.#space, this.#request(position, length, options));
    if (pin) return this.#handle(pin);
    prefetch(this.#core, this.#space, position, length);
    return undefined;
  }

  /**
   * As getUserPages, blocking this thread where the store has sync calls.
   * @throws PinfoldError as getUserPages; EDEADLK where the wait depends on this thread's own event loop; ENOTSUP
   */
  getUserPagesSync(position: number, length: number, options: Omit<GetOptions, "signal"> = {}): UserPages {
    return this.#handle(pinRangeSync(this.#core, this.#space, this.#request(position, length, options)));
  }

  /**
   * Reads into a buffer, as FileHandle.read. At the end of the file bytesRead is 0.
   * @throws PinfoldError EINVAL, EBADF, EIO, ERR_PINFOLD_NO_FRAMES
   */
  read<T extends NodeJS.ArrayBufferView>(buffer: T, offset?: number | null, length?: number | null, position?: number | bigint | null): Promise<{ bytesRead: number; buffer: T }>;
  read<T extends NodeJS.ArrayBufferView>(buffer: T, options?: ReadOptions): Promise<{ bytesRead: number; buffer: T }>;
  read<T extends NodeJS.ArrayBufferView = Buffer>(options?: ReadOptions<T>): Promise<{ bytesRead: number; buffer: T }>;
  async read<T extends NodeJS.ArrayBufferView>(
    first?: T | ReadOptions<T>,
    second?: number | null | ReadOptions,
    length?: number | null,
    position?: number | bigint | null,
  ): Promise<{ bytesRead: number; buffer: T }> {
    this.#check();
    const transfer = readTransfer(first, second, length, position);
    return { bytesRead: await this.#readAt(transfer, (bytes, at) => read(this.#core, this.#space, bytes, at)), buffer: transfer.buffer };
  }

  async #readAt(transfer: Transfer<NodeJS.ArrayBufferView>, from: (bytes: Uint8Array, at: number) => Promise<number>): Promise<number> {
    const done = await from(transfer.bytes, transfer.position ?? this.#position);
    if (transfer.position === undefined) this.#position += done;
    return done;
  }

  /** Reads into buffers, one after the other, as FileHandle.readv. @throws PinfoldError as read */
  async readv<T extends readonly NodeJS.ArrayBufferView[]>(buffers: T, position?: number | null): Promise<{ bytesRead: number; buffers: T }> {
    this.#check();
    let at = filePosition(position) ?? this.#position;
    let bytesRead = 0;
    for (const buffer of buffers) {
      const bytes = bytesOf(buffer);
      const done = await read(this.#core, this.#space, bytes, at);
      bytesRead += done;
      at += done;
      if (done < bytes.length) break;
    }
    if (filePosition(position) === undefined) this.#position = at;
    return { bytesRead, buffers };
  }

  /**
   * Writes a buffer or a string, as FileHandle.write; past the end it extends the file. Fewer bytes than asked for only where an
   * error came after some were written; the next write meets it.
   * @throws PinfoldError EINVAL, EBADF, EROFS, EFBIG, ENOSPC, EIO, ERR_PINFOLD_NO_FRAMES
   */
  write<T extends NodeJS.ArrayBufferView>(buffer: T, offset?: number | null, length?: number | null, position?: number | null): Promise<{ bytesWritten: number; buffer: T }>;
  write<T extends NodeJS.ArrayBufferView>(buffer: T, options?: WriteOptions): Promise<{ bytesWritten: number; buffer: T }>;
  write(data: string, position?: number | null, encoding?: BufferEncoding | null): Promise<{ bytesWritten: number; buffer: string }>;
  async write(
    data: NodeJS.ArrayBufferView | string,
    second?: number | null | WriteOptions,
    third?: number | string | null,
    position?: number | null,
  ): Promise<{ bytesWritten: number; buffer: NodeJS.ArrayBufferView | string }> {
    this.#check();
    const transfer = writeTransfer(data, second, third, position);
    const at = transfer.position ?? this.#position;
    const bytesWritten = await this.#writeBytes(transfer.bytes, at);
    if (transfer.position === undefined) this.#position = at + bytesWritten;
    return { bytesWritten, buffer: data };
  }

  async #writeBytes(bytes: Uint8Array, position: number, signal?: AbortSignal): Promise<number> {
    const done = await write(this.#core, this.#space, bytes, position, signal);
    if (done > 0 && this.#core.options.writeThrough) await writeThrough(this.#core, this.#space, position, done);
    return done;
  }

  /** Writes buffers one after the other, as FileHandle.writev. @throws PinfoldError as write */
  async writev<T extends readonly NodeJS.ArrayBufferView[]>(buffers: T, position?: number | null): Promise<{ bytesWritten: number; buffers: T }> {
    this.#check();
    let at = filePosition(position) ?? this.#position;
    let bytesWritten = 0;
    for (const buffer of buffers) {
      const bytes = bytesOf(buffer);
      const done = await this.#writeBytes(bytes, at);
      bytesWritten += done;
      at += done;
      if (done < bytes.length) break;
    }
    if (filePosition(position) === undefined) this.#position = at;
    return { bytesWritten, buffers };
  }

  /** Reads all of `target` now, or nothing: false where a page would have to be waited for. @throws PinfoldError EINVAL, EBADF */
  tryRead(target: Uint8Array, position: number): boolean {
    this.#check();
    checkRange(position, target.length, this.#space.pageSize);
    return tryRead(this.#core, this.#space, target, position);
  }

  /** Writes all of `source` now, within the file, or nothing: false where it would have to wait. @throws PinfoldError as write */
  tryWrite(source: Uint8Array, position: number): boolean {
    this.#check();
    checkRange(position, source.length, this.#space.pageSize);
    return !this.#core.options.writeThrough && tryWrite(this.#core, this.#space, source, position);
  }

  /** As fs.readSync with a buffer and a position. Bytes read. @throws PinfoldError as read; EDEADLK, ENOTSUP */
  readSync(buffer: NodeJS.ArrayBufferView, offset?: number | null, length?: number | null, position?: number | null): number {
    this.#check();
    const transfer = readTransfer(buffer, offset, length, position);
    const at = transfer.position ?? this.#position;
    const bytes = transfer.bytes.subarray(0, Math.max(0, Math.min(transfer.bytes.length, this.#space.size - at)));
    if (bytes.length > 0 && !tryRead(this.#core, this.#space, bytes, at)) {
      const last = this.#space.pageOf(at + bytes.length - 1);
      this.#readPieces(bytes, at, last);
    }
    if (transfer.position === undefined) this.#position += bytes.length;
    return bytes.length;
  }

  /** Page by page: a small cache need not hold the whole range at once. */
  #readPieces(bytes: Uint8Array, position: number, last: number): void {
    const { pageSize } = this.#space;
    for (let index = this.#space.pageOf(position); index <= last; index++) {
      const from = Math.max(0, index * pageSize - position);
      const to = Math.min(bytes.length, (index + 1) * pageSize - position);
      loadSync(this.#core, this.#space, index, index);
      if (!tryRead(this.#core, this.#space, bytes.subarray(from, to), position + from)) throw wouldWait(this.#core, this.#space, index, index);
    }
  }

  /** As fs.writeSync, within the file. Bytes written. @throws PinfoldError as write; EDEADLK, ENOTSUP; ERR_PINFOLD_OUT_OF_RANGE past the end */
  writeSync(buffer: NodeJS.ArrayBufferView, offset?: number | null, length?: number | null, position?: number | null): number {
    this.#check();
    const transfer = writeTransfer(buffer, offset, length, position);
    const at = transfer.position ?? this.#position;
    if (transfer.bytes.length === 0) return 0;
    const pin = this.getUserPagesSync(at, transfer.bytes.length, { write: true });
    pin.copyFrom(transfer.bytes);
    pin.put();
    if (transfer.position === undefined) this.#position += transfer.bytes.length;
    return transfer.bytes.length;
  }

  /**
   * Sets the size: cuts (bytes past it are lost by request) or extends with zeros. Waits for locked pins of the range.
   * @throws PinfoldError EINVAL, EFBIG, EBADF, EROFS; EBUSY for counted pins in the range; ERR_PINFOLD_PINNED; EDEADLK; ENOSPC, EIO; the signal's reason
   */
  async truncate(length = 0, options: { pinned?: "wait" | "fail"; signal?: AbortSignal; scope?: PinScope } = {}): Promise<void> {
    this.#check();
    checkWhole(length, "length");
    checkEnd(length, this.#space.pageSize);
    this.#checkWritable();
    await truncate(this.#core, this.#space, length, { ...options, scope: PinScope.unwrap(options.scope) });
  }

  #checkWritable(): void {
    if (this.#space.readOnly) throw new PinfoldError("EROFS", `${this.name} was opened read-only`);
  }

  /**
   * Resolves when everything that completed puts and writes left (in the range) is durable; else it throws, with ranges and causes.
   * @throws PinfoldError EIO, ENOSPC and what the store says; EDEADLK, ERR_PINFOLD_PINNED, ERR_PINFOLD_DATA_LOST; the signal's reason
   */
  async sync(options: SyncCallOptions = {}): Promise<void> {
    await this.#sync(options, false);
  }

  /** As sync, for the data and what is needed to read it back (fdatasync). @throws PinfoldError as sync */
  async datasync(options: SyncCallOptions = {}): Promise<void> {
    await this.#sync(options, true);
  }

  async #sync(options: SyncCallOptions, data: boolean): Promise<void> {
    this.#check();
    checkRange(options.position ?? 0, options.length ?? 0, this.#space.pageSize);
    if (this.#space.readOnly) return;
    const request = { ...options, scope: PinScope.unwrap(options.scope), data };
    const failure: unknown = await sync(this.#core, this.#space, request).then(() => undefined, (error: unknown) => error);
    if (this.#space.losses !== this.#toldLosses) {
      this.#toldLosses = this.#space.losses;
      if (this.#space.dataLost) throw this.#space.dataLost;
    }
    if (failure !== undefined) throw failure;
  }

  /** Drops clean pages of a range from the cache. @throws PinfoldError EBUSY if a page is dirty or pinned; EINVAL, EBADF */
  invalidate(position = 0, length = this.#space.size - position): void {
    this.#check();
    checkRange(position, Math.max(0, length), this.#space.pageSize);
    invalidate(this.#core, this.#space, position, Math.max(0, length));
  }

  /** Reserves space for a range for good (posix_fallocate, without changing the size). @throws PinfoldError ENOSPC, ENOTSUP, EROFS, EIO */
  async allocate(position: number, length: number): Promise<void> {
    this.#check();
    checkRange(position, length, this.#space.pageSize);
    this.#checkWritable();
    if (length > 0) await allocate(this.#core, this.#space, position, length);
  }

  /** Bytes of the range read as zeros; whole blocks are given back. The size stays. @throws PinfoldError EBUSY, EROFS, EDEADLK, EIO */
  async punchHole(position: number, length: number, options: { signal?: AbortSignal; scope?: PinScope } = {}): Promise<void> {
    this.#check();
    checkRange(position, length, this.#space.pageSize);
    this.#checkWritable();
    await punchHole(this.#core, this.#space, position, length, { signal: options.signal, scope: PinScope.unwrap(options.scope) });
  }

  /**
   * What the range will be used for, named as posix_fadvise does. "willneed" resolves when the pages are there; "dontneed" drops
   * those that are clean and free; the others change nothing yet.
   * @throws PinfoldError EINVAL, EIO, ERR_PINFOLD_NO_FRAMES
   */
  async advise(position: number, length: number, advice: Advice): Promise<void> {
    this.#check();
    checkRange(position, length, this.#space.pageSize);
    if (!advices.includes(advice)) throw new PinfoldError("EINVAL", `advice must be one of ${advices.join(", ")}`);
    const end = Math.min(length === 0 ? this.#space.size : position + length, this.#space.size);
    if (end <= position) return;
    const first = this.#space.pageOf(position);
    const last = this.#space.pageOf(end - 1);
    if (advice === "willneed") await loadRange(this.#core, this.#space, first, last, undefined);
    if (advice === "dontneed") this.#dropClean(first, last);
  }

  #dropClean(first: number, last: number): void {
    for (const { index } of this.#core.table.residents(this.#space, first, last)) {
      try {
        invalidate(this.#core, this.#space, index * this.#space.pageSize, this.#space.pageSize);
      } catch (error) {
        if ((error as PinfoldError).code !== "EBUSY") throw error;
      }
    }
  }

  /** As FileHandle.stat; `size` is the cache's. @throws PinfoldError ENOTSUP for a store that has none, EBADF */
  async stat(): Promise<Stats> {
    this.#check();
    if (!this.#space.store.stat) throw new PinfoldError("ENOTSUP", `${this.name} has no stat`);
    const stats = await this.#space.store.stat();
    stats.size = this.#space.size;
    return stats;
  }

  /** The whole file, as FileHandle.readFile. */
  readFile(options?: { encoding?: null } | null): Promise<Buffer>;
  readFile(options: { encoding: BufferEncoding } | BufferEncoding): Promise<string>;
  async readFile(options?: { encoding?: BufferEncoding | null } | BufferEncoding | null): Promise<Buffer | string> {
    this.#check();
    const buffer = Buffer.alloc(Math.max(0, this.#space.size - this.#position));
    const { bytesRead } = await this.read(buffer, 0, buffer.length, null);
    const encoding = typeof options === "string" ? options : options?.encoding;
    return encoding ? buffer.toString(encoding, 0, bytesRead) : buffer.subarray(0, bytesRead);
  }

  /** Writes all of the data from the handle's position on, as FileHandle.writeFile. @throws PinfoldError as write */
  async writeFile(data: string | NodeJS.ArrayBufferView, options?: { encoding?: BufferEncoding } | BufferEncoding): Promise<void> {
    const encoding = typeof options === "string" ? options : options?.encoding;
    let bytes = typeof data === "string" ? Buffer.from(data, encoding) : bytesOf(data);
    while (bytes.length > 0) bytes = bytes.subarray((await this.write(bytes)).bytesWritten);
  }

  /** Writes all of the data at the end, as FileHandle.appendFile. @throws PinfoldError as write */
  async appendFile(data: string | NodeJS.ArrayBufferView, options?: { encoding?: BufferEncoding } | BufferEncoding): Promise<void> {
    this.#position = this.size;
    await this.writeFile(data, options);
  }

  /** As FileHandle.createReadStream: chunks are copies, since consumers keep them. */
  createReadStream(options: StreamOptions = {}): FileReadStream {
    this.#check();
    return readStream(this, options);
  }

  /** As FileHandle.createWriteStream. */
  createWriteStream(options: StreamOptions = {}): FileWriteStream {
    this.#check();
    return writeStream(this, options);
  }

  /** Writes a range to a socket or stream straight from the cache, page by page, without a copy of ours. @throws PinfoldError as getUserPages */
  async sendTo(target: NodeJS.WritableStream, position: number, length: number, options: { signal?: AbortSignal } = {}): Promise<void> {
    this.#check();
    await sendTo(this, target, position, length, options.signal);
  }

  /**
   * Ends this opener; the last one syncs and closes the file. `discard` gives up what is dirty.
   * @throws PinfoldError EBUSY while pages are pinned; what the sync throws; ERR_PINFOLD_DATA_LOST. The file stays open then.
   */
  async close(options: { discard?: boolean } = {}): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    try {
      await this.#context.close(options.discard === true);
    } catch (error) {
      this.#closed = false;
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
