/**
 * CachedFile: one opener of a file in the cache.
 *
 * Three families of calls: pins (getUserPages and its kin), copies with the signatures and results of node:fs/promises'
 * FileHandle (file-bytes.ts), and the file as a whole (size, space, sync). Positions and lengths are bytes.
 *
 * Invariant: after close every call is EBADF, and nothing of the file is touched.
 *
 * See also: user-pages.ts, transfer-arguments.ts, streams.ts; docs/access-rules.md.
 */
import type { Stats } from "node:fs";
import { PinfoldError } from "../base/errors.js";
import { checkEnd, checkRange, checkWhole } from "../base/ranges.js";
import type { AddressSpace } from "../cache/space.js";
import { pinRangeSync } from "../mapping/blocking.js";
import type { Core } from "../mapping/core.js";
import { invalidate } from "../mapping/lifetime.js";
import { type PinRequest, pinRange } from "../mapping/pin.js";
import type { PinRecord } from "../mapping/pin-registry.js";
import { allocate, punchHole } from "../mapping/punch.js";
import { loadRange, prefetch, tryPinRange } from "../mapping/try-pin.js";
import { truncate } from "../mapping/truncate.js";
import type { StoreCapabilities } from "../store/contract.js";
import { checkFlag, checkObject, checkPinned, checkSignal } from "./arguments.js";
import { FileBytes } from "./file-bytes.js";
import { FileSync, type SyncCallOptions, type SyncRange } from "./file-sync.js";
import { FileViews } from "./file-views.js";
import type { MappedView } from "./mapped-view.js";
import { PinScope } from "./scope.js";
import {
  type FileReadStream,
  type FileWriteStream,
  type StreamOptions,
  readStream,
  sendTo,
  writeStream,
} from "./streams.js";
import { UserPages } from "./user-pages.js";

export interface GetOptions {
  /** The bytes may be changed. Default false. */
  write?: boolean;
  /** Counted instead of locked: for an unbounded time, a hand-over, a device. Default false. */
  longterm?: boolean;
  signal?: AbortSignal;
  scope?: PinScope;
}

export interface TruncateCallOptions {
  /** Wait for locked pins of the range (default), or fail and name them. */
  pinned?: "wait" | "fail";
  signal?: AbortSignal;
  /** The caller's scope: a pin of its own in the range is EDEADLK instead of a hang. */
  scope?: PinScope;
}

export type Advice = "normal" | "sequential" | "random" | "willneed" | "dontneed" | "noreuse";
const advices: readonly Advice[] = ["normal", "sequential", "random", "willneed", "dontneed", "noreuse"];
const noOptions: GetOptions = {};

/** What a file needs of its cache. */
export interface FileContext {
  readonly core: Core;
  readonly debug: boolean;
  noteHandle(pin: PinRecord, handle: object): void;
  close(discard: boolean): Promise<void>;
}

export class CachedFile extends FileBytes implements AsyncDisposable {
  readonly #context: FileContext;
  readonly #core: Core;
  readonly #space: AddressSpace;
  #closing: Promise<void> | undefined;
  readonly #views: FileViews;
  /**
   * Called when write-back could not write a page: the error, and the page's position in bytes. News, not a verdict: the page stays
   * dirty and is tried again, and sync says what is not durable.
   */
  onError: ((error: PinfoldError, position: number) => void) | undefined;
  readonly #syncs: FileSync;

  /** Made by PageCache.open. */
  constructor(context: FileContext, space: AddressSpace) {
    super(context.core, space, context.debug);
    this.#context = context;
    this.#core = context.core;
    this.#space = space;
    this.#syncs = new FileSync(context.core, space);
    this.#views = new FileViews(context.core, space, this, () => this.check());
  }

  /** The address space of an open file of this cache: for the package's other entries. @throws PinfoldError EINVAL, EBADF */
  static spaceOf(file: CachedFile, core: Core): AddressSpace {
    if (CachedFile.coreOf(file) !== core) throw new PinfoldError("EINVAL", "the file belongs to another cache");
    file.check();
    return file.#space;
  }

  /** Whether a file is an opener of this address space. */
  static isOf(file: CachedFile, space: AddressSpace): boolean {
    return file.#space === space;
  }

  /** Closes a file as its cache does, which does not come back through the file. @throws PinfoldError what `close` throws */
  static async end(file: CachedFile, close: (space: AddressSpace) => Promise<void>): Promise<void> {
    await close(file.#space);
    file.closed = true;
    file.#views.end();
  }

  /** The core of a file's cache: for the package's other entries. @throws PinfoldError EINVAL */
  static coreOf(file: CachedFile): Core {
    if (!(file instanceof CachedFile)) throw new PinfoldError("EINVAL", "not a file of a page cache");
    return file.#core;
  }

  /** Bytes of the file. @throws PinfoldError EBADF */
  get size(): number {
    this.check();
    return this.#space.size;
  }

  /** Bytes of a page of the cache. */
  get pageSize(): number {
    return this.#space.pageSize;
  }

  get readOnly(): boolean {
    return this.#space.readOnly;
  }

  /** What the storage promises: whether granted space is certain (`reserves`), and what it can. */
  get capabilities(): StoreCapabilities {
    return this.#space.store.capabilities;
  }

  /** What messages call the file. */
  get name(): string {
    return this.#space.store.name;
  }

  #request(position: number, length: number, options: GetOptions): PinRequest {
    this.check();
    if (options === noOptions)
      return { position, length, write: false, longterm: false, signal: undefined, scope: undefined };
    checkObject(options, "options");
    const { write, longterm, signal } = options;
    checkFlag(write, "write");
    checkFlag(longterm, "longterm");
    checkSignal(signal);
    return { position, length, write, longterm, signal, scope: PinScope.unwrap(options.scope, this.#core) };
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
  async getUserPages(position: number, length: number, options: GetOptions = noOptions): Promise<UserPages> {
    const request = this.#request(position, length, options);
    request.signal?.throwIfAborted();
    const now = tryPinRange(this.#core, this.#space, request);
    return this.#handle(now ?? (await pinRange(this.#core, this.#space, request)));
  }

  /**
   * As getUserPages, now, or `undefined` if it would have to wait. A miss starts the read.
   * @throws PinfoldError as getUserPages
   */
  tryGetUserPages(
    position: number,
    length: number,
    options: Omit<GetOptions, "signal"> = noOptions,
  ): UserPages | undefined {
    const pin = tryPinRange(this.#core, this.#space, this.#request(position, length, options));
    if (pin) return this.#handle(pin);
    prefetch(this.#core, this.#space, position, length);
    return undefined;
  }

  /**
   * As getUserPages, blocking this thread where the store has sync calls.
   * @throws PinfoldError as getUserPages; EDEADLK where the wait depends on this thread's own event loop; ENOTSUP
   */
  getUserPagesSync(position: number, length: number, options: Omit<GetOptions, "signal"> = noOptions): UserPages {
    return this.#handle(pinRangeSync(this.#core, this.#space, this.#request(position, length, options)));
  }

  /**
   * The file, or a part of it (default: from `position` to the end as it is now), as memory. Nothing is read yet, and nothing pinned.
   * @throws PinfoldError EINVAL, EFBIG, EBADF, ERR_PINFOLD_OUT_OF_RANGE past the end of the file; ENOTSUP for a store without sync calls
   */
  map(position = 0, length?: number): MappedView {
    this.check();
    return this.#views.map(position, length);
  }

  /**
   * Sets the size: cuts (bytes past it are lost by request) or extends with zeros. Waits for locked pins of the range.
   * @throws PinfoldError EINVAL, EFBIG, EBADF, EROFS; EBUSY for counted pins in the range; ERR_PINFOLD_PINNED; EDEADLK; ENOSPC, EIO; the signal's reason
   */
  async truncate(length: number | null = 0, options: TruncateCallOptions = {}): Promise<void> {
    this.check();
    checkWhole(length ?? 0, "length");
    checkEnd(length ?? 0, this.#space.pageSize);
    checkObject(options, "options");
    checkPinned(options.pinned);
    checkSignal(options.signal);
    const scope = PinScope.unwrap(options.scope, this.#core);
    this.#checkWritable();
    options.signal?.throwIfAborted();
    await truncate(this.#core, this.#space, length ?? 0, { ...options, scope });
  }

  #checkWritable(): void {
    if (this.#space.readOnly) throw new PinfoldError("EROFS", `${this.name} was opened read-only`);
  }

  /**
   * Resolves when everything that completed puts and writes left (in the range) is durable; else it throws, with ranges and causes.
   * @throws PinfoldError EIO, ENOSPC and what the store says; EDEADLK, ERR_PINFOLD_PINNED, ERR_PINFOLD_DATA_LOST; the signal's reason
   */
  async sync(options: SyncCallOptions = {}): Promise<void> {
    this.check();
    await this.#syncs.sync(options, false);
  }

  /** As sync, for the data and what is needed to read it back (fdatasync). @throws PinfoldError as sync */
  async datasync(options: SyncCallOptions = {}): Promise<void> {
    this.check();
    await this.#syncs.sync(options, true);
  }

  /**
   * As sync, blocking this thread: for stores with sync calls, and for those that another thread has.
   * @throws PinfoldError as sync; EDEADLK where it would wait for this thread's own event loop (its write pins, what it has on its
   * way to the store already); ENOTSUP
   */
  syncSync(options: SyncRange = {}): void {
    this.check();
    this.#syncs.syncBlocking(options, false);
  }

  /** As syncSync, for the data and what is needed to read it back (fdatasync). @throws PinfoldError as syncSync */
  datasyncSync(options: SyncRange = {}): void {
    this.check();
    this.#syncs.syncBlocking(options, true);
  }

  /**
   * Drops clean pages of a range (default: to the end of the file) from the cache.
   * @throws PinfoldError EBUSY if a page is dirty or pinned; EINVAL, EFBIG, EBADF
   */
  invalidate(position = 0, length?: number): void {
    this.check();
    checkWhole(position, "position");
    const bytes = length === undefined ? Math.max(0, this.#space.size - position) : length;
    checkRange(position, bytes, this.#space.pageSize);
    invalidate(this.#core, this.#space, position, bytes);
  }

  /** Reserves space for a range for good (posix_fallocate, without changing the size). @throws PinfoldError EINVAL, EFBIG, EBADF, ENOSPC, ENOTSUP, EROFS, EIO */
  async allocate(position: number, length: number): Promise<void> {
    this.check();
    checkRange(position, length, this.#space.pageSize);
    this.#checkWritable();
    if (length > 0) await allocate(this.#core, this.#space, position, length);
  }

  /**
   * Bytes of the range read as zeros; whole blocks are given back. The size stays.
   * @throws PinfoldError EINVAL, EFBIG, EBADF, EBUSY for counted pins in the range, EROFS, EDEADLK, EIO; the signal's reason
   */
  async punchHole(
    position: number,
    length: number,
    options: { signal?: AbortSignal; scope?: PinScope } = {},
  ): Promise<void> {
    this.check();
    checkRange(position, length, this.#space.pageSize);
    checkObject(options, "options");
    checkSignal(options.signal);
    const scope = PinScope.unwrap(options.scope, this.#core);
    this.#checkWritable();
    options.signal?.throwIfAborted();
    await punchHole(this.#core, this.#space, position, length, { signal: options.signal, scope });
  }

  /**
   * What the range (length 0: to the end) will be used for, named as posix_fadvise does. "willneed" resolves when the pages are
   * there; "dontneed" drops those that are clean and free; the others change nothing yet.
   * @throws PinfoldError EINVAL, EFBIG, EBADF, EIO, ERR_PINFOLD_NO_FRAMES
   */
  async advise(position: number, length: number, advice: Advice): Promise<void> {
    this.check();
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

  /**
   * As FileHandle.stat: the store's facts, with the size that the cache knows. Times and blocks are those of what was written back.
   * @throws PinfoldError ENOTSUP for a store that has none, and for `bigint`; EBADF
   */
  async stat(options: { bigint?: false } = {}): Promise<Stats> {
    this.check();
    checkObject(options, "options");
    if (options.bigint !== undefined && (options.bigint as unknown) !== false)
      throw new PinfoldError("ENOTSUP", "stat has no bigint form");
    if (!this.#space.store.stat) throw new PinfoldError("ENOTSUP", `${this.name} has no stat`);
    const stats = await this.#space.store.stat();
    stats.size = this.#space.size;
    return stats;
  }

  /** As FileHandle.createReadStream: chunks are copies, since consumers keep them. @throws PinfoldError EINVAL, EFBIG, EBADF */
  createReadStream(options: StreamOptions | BufferEncoding = {}): FileReadStream {
    this.check();
    return readStream(this, options);
  }

  /** As FileHandle.createWriteStream. @throws PinfoldError EINVAL, EFBIG, EBADF */
  createWriteStream(options: StreamOptions | BufferEncoding = {}): FileWriteStream {
    this.check();
    return writeStream(this, options);
  }

  /**
   * Writes a range to a socket or other sink straight from the cache, without a copy of ours, and resolves when the sink has
   * taken it. Only for sinks that are done with a chunk when its write calls back (sockets, files), not for those that pass it on
   * (PassThrough). An abort destroys the target, as pipeline does: the pages cannot be let go while it may still send them.
   * @throws PinfoldError as getUserPages; what the target says; the signal's reason
   */
  async sendTo(
    target: NodeJS.WritableStream,
    position: number,
    length: number,
    options: { signal?: AbortSignal } = {},
  ): Promise<void> {
    this.check();
    checkObject(options, "options");
    checkSignal(options.signal);
    await sendTo(this, target, position, length, options.signal);
  }

  /**
   * Ends this opener; the last one syncs and closes the file. `discard` gives up what is dirty. Once closed, closing again does nothing.
   * @throws PinfoldError EBUSY while pages are pinned; what the sync throws; ERR_PINFOLD_DATA_LOST. The file stays open then.
   */
  async close(options: { discard?: boolean } = {}): Promise<void> {
    checkObject(options, "options");
    checkFlag(options.discard, "discard");
    if (this.closed) return this.#closing;
    this.closed = true;
    this.#views.end();
    this.#closing = this.#context.close(options.discard === true);
    try {
      await this.#closing;
    } catch (error) {
      this.closed = false;
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
