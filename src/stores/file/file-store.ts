/**
 * The file store: a local file or block device behind the store contract.
 *
 * Reads and writes are node:fs's on the caller's own buffers; reservations are fallocate's (reserve.ts), or zeros written
 * into holes where that cannot be called (portable.ts); what is promised depends on the file system (detect.ts).
 *
 * What punch and truncate zero inside a block lies in the kernel's cache alone, where a failed write-back drops it and no
 * cache of ours could write it again: they make it durable at once (durability.ts), so that nothing has to be remembered.
 *
 * Invariants: this object holds the open file's facts and nothing of a page; another thread can use the same descriptors
 * through share() and attach(). A failed sync is never retried here: the cache writes its unstable pages again first.
 *
 * See also: README.md, open.ts, transfer.ts.
 */
import { fstat, fstatSync, ftruncate, ftruncateSync, type Stats } from "node:fs";
import { promisify } from "node:util";
import { assert, AssertionError } from "../../base/assert.js";
import { PinfoldError, toPinfoldError } from "../../base/errors.js";
import { limits } from "../../base/limits.js";
import { verifyMkwriteRequest } from "../../store/block-words.js";
import type { MkwriteRequest, Store, StoreCapabilities, SyncRequest } from "../../store/contract.js";
import { Durability } from "./durability.js";
import { lookAtData, lookAtExtents } from "./extents.js";
import { cells } from "./descriptors.js";
import { KnownBlocks } from "./known-blocks.js";
import { errno, expectLibc, falloc, loadLibc, systemError, type Libc } from "./libc.js";
import { closeDescriptors, openFile, type FileStoreOptions, type OpenFile } from "./open.js";
import { PortableReserve } from "./portable.js";
import { FallocateReserve, grantAll, isUnsupported, type Reserve } from "./reserve.js";
import { readAll, readAllSync, writeZeros, type Descriptors } from "./transfer.js";

const ftruncateLater = promisify(ftruncate);

/** What another thread needs to use the same open file, beside the cells: plain data. */
type FileStoreShare = OpenFile & { readonly kind: "pinfold-file-store" };

export class FileStore implements Store {
  readonly capabilities: StoreCapabilities;
  readonly key: string;
  readonly name: string;
  readonly sizeBytes: number;
  readonly #file: OpenFile;
  readonly #files: Descriptors;
  readonly #libc: Libc | null;
  readonly #reserve: Reserve;
  readonly #durability: Durability;
  readonly #known: KnownBlocks | undefined;
  #cells: Int32Array;
  #closed = false;

  private constructor(file: OpenFile, libc: Libc | null, shared: Int32Array) {
    this.#cells = shared;
    this.#file = file;
    this.#libc = libc;
    this.#files = { main: file.main, buffered: file.buffered, fixedSize: file.device ? file.sizeBytes : undefined };
    // Where files can share blocks, what is the file's own can become another's too.
    this.#known = file.policy.shares ? undefined : new KnownBlocks(shared);
    this.#reserve = reserveFor(file, this.#files, libc, this.#known);
    this.#durability = new Durability(file, this.#files, libc, shared);
    this.key = file.key;
    this.name = file.path;
    this.sizeBytes = file.sizeBytes;
    this.share = libc === null ? undefined : (words) => this.#share(words);
    this.capabilities = {
      reserves: file.policy.reserves,
      ...(file.policy.reason === undefined ? {} : { reservesNote: `${file.policy.fileSystem} ${file.policy.reason}` }),
      punchesHoles: file.policy.punchesHoles && libc !== null,
      atomicCommits: false,
      readOnly: file.readOnly,
      syncCalls: true,
      blockSize: limits.blockSize,
    };
  }

  /**
   * Opens a regular file or a block device. `own`: the cells that it will be shared by, if they are known already.
   * @throws PinfoldError ENOENT, EACCES, EISDIR; EBUSY when somebody else has it locked; EINVAL for options that exclude
   *   each other, another size than the file has, or a file system that refuses O_DIRECT.
   */
  static async open(
    path: string,
    options: FileStoreOptions = {},
    own: Int32Array = new Int32Array(cells.count),
  ): Promise<FileStore> {
    try {
      return new FileStore(await openFile(path, options, own), loadLibc(), own);
    } catch (error) {
      throw toPinfoldError(error, "open");
    }
  }

  /**
   * The same open file in another thread of the process; nothing is opened or locked again.
   * @throws PinfoldError ENOTSUP, EINVAL
   */
  static attach(shared: string, own: Int32Array): FileStore {
    const file = JSON.parse(shared) as FileStoreShare;
    if (file.kind !== "pinfold-file-store") throw new PinfoldError("EINVAL", "these are not the facts of a file store");
    const libc = expectLibc();
    if (libc === null)
      throw new PinfoldError("ENOTSUP", `attach '${file.path}': koffi loads in one thread and not in the other`);
    return new FileStore(file, libc, own);
  }

  /** Only with koffi: without it the descriptors end with the thread that opened them, and it keeps the store to itself. */
  readonly share: ((cells: Int32Array) => string) | undefined;

  #share(shared: Int32Array): string {
    this.#open("share");
    for (const [at, value] of this.#cells.entries()) shared[at] = value;
    this.#cells = shared;
    this.#durability.shareCells(shared);
    this.#known?.shareCells(shared);
    const facts: FileStoreShare = { ...this.#file, kind: "pinfold-file-store" };
    const text = JSON.stringify(facts);
    return text.length <= limits.storeFactsMax ? text : JSON.stringify({ ...facts, path: facts.path.slice(-256) });
  }

  /** Ends the use in this thread, and leaves the descriptors and the lock to those that still use them. */
  detach(): void {
    this.#open("detach");
    this.#closed = true;
  }

  /** For messages and `stats`: the kind of file system. */
  get fileSystem(): string {
    return this.#file.policy.fileSystem;
  }

  readPages(position: number, buffers: readonly Uint8Array[]): Promise<void> {
    try {
      this.#open("read");
    } catch (error) {
      return Promise.reject(this.#wrap(error, "read", position));
    }
    return readAll(this.#files, position, buffers).catch((error: unknown) => {
      throw this.#wrap(error, "read", position);
    });
  }

  readPagesSync(position: number, buffers: readonly Uint8Array[]): void {
    this.#open("read");
    try {
      readAllSync(this.#files, position, buffers);
    } catch (error) {
      throw this.#wrap(error, "read", position);
    }
  }

  pageMkwrite(request: MkwriteRequest): Promise<void> | void {
    this.#verifyMkwrite(request);
    try {
      const pending = this.#reserve.grant(request);
      if (pending === undefined) return undefined;
      return pending.catch((error: unknown) => {
        throw this.#wrap(error, "mkwrite", request.position);
      });
    } catch (error) {
      throw this.#wrap(error, "mkwrite", request.position);
    }
  }

  pageMkwriteSync(request: MkwriteRequest): void {
    this.#verifyMkwrite(request);
    try {
      this.#reserve.grantSync(request);
    } catch (error) {
      throw this.#wrap(error, "mkwrite", request.position);
    }
  }

  cancelMkwrite(position: number, pageSize: number, blocks: number): void {
    this.#open("cancelMkwrite");
    assert(position % pageSize === 0, "cancelMkwrite: the position is a page's");
    if (blocks !== 0) this.#reserve.cancel(position, pageSize, blocks);
  }

  setPageDirty(_position: number, _pageSize: number): void {}

  writePages(position: number, buffers: readonly Uint8Array[]): Promise<void> {
    try {
      this.#writable("write");
    } catch (error) {
      return Promise.reject(this.#wrap(error, "write", position));
    }
    return this.#durability.write(position, buffers).catch((error: unknown) => {
      throw this.#wrap(error, "write", position);
    });
  }

  writePagesSync(position: number, buffers: readonly Uint8Array[]): void {
    this.#writable("write");
    try {
      this.#durability.writeSync(position, buffers);
    } catch (error) {
      throw this.#wrap(error, "write", position);
    }
  }

  async sync(request: SyncRequest): Promise<void> {
    this.#open("sync");
    if (this.capabilities.readOnly) return;
    try {
      await this.#durability.sync(request);
    } catch (error) {
      throw this.#wrap(error, "sync");
    }
  }

  syncSync(request: SyncRequest): void {
    this.#open("sync");
    if (this.capabilities.readOnly) return;
    try {
      this.#durability.syncSync(request);
    } catch (error) {
      throw this.#wrap(error, "sync");
    }
  }

  setSize(size: number): void {
    this.#writable("setSize");
    assert(Number.isSafeInteger(size) && size >= 0, "setSize: a size is a byte count");
    try {
      if (this.#file.device) this.#refuseGrowth(size);
      else if (size > fstatSync(this.#files.main).size) ftruncateSync(this.#files.main, size);
    } catch (error) {
      throw this.#wrap(error, "setSize");
    }
  }

  invalidatePages(from: number, to: number): void {
    this.#open("invalidatePages");
    assert(from <= to, "invalidatePages: an ascending range");
  }

  releasePage(_position: number, _pageSize: number): boolean {
    return true;
  }

  async truncate(size: number): Promise<void> {
    this.#writable("truncate");
    assert(Number.isSafeInteger(size) && size >= 0, "truncate: a size is a byte count");
    try {
      if (this.#file.device) {
        if (size < this.#file.sizeBytes)
          throw new PinfoldError("ENOTSUP", "a block device cannot be cut", { operation: "truncate" });
        this.#refuseGrowth(size);
        return;
      }
      const before = fstatSync(this.#files.main).size;
      // Also when the size stays: the kernel then frees what is reserved past the end.
      const cut = () => ftruncateLater(this.#files.main, size);
      if (size < before && size % limits.blockSize !== 0) await this.#durability.settle(cut);
      else await cut();
    } catch (error) {
      throw this.#wrap(error, "truncate", size);
    } finally {
      this.#known?.forget();
    }
  }

  async punch(position: number, length: number): Promise<void> {
    this.#writable("punch");
    assert(position >= 0 && length > 0, "punch: a range of bytes");
    try {
      const isWhole = position % limits.blockSize === 0 && (position + length) % limits.blockSize === 0;
      if (!isWhole) await this.#durability.settle(() => this.#punch(position, length).then(() => {}));
      else if ((await this.#punch(position, length)) === "zeroed") await this.#durability.settle();
    } catch (error) {
      throw this.#wrap(error, "punch", position);
    } finally {
      this.#known?.forget();
    }
  }

  async allocate(position: number, length: number): Promise<void> {
    this.#writable("allocate");
    assert(position >= 0 && length > 0, "allocate: a range of bytes");
    if (this.capabilities.reserves === "none" || (this.#libc === null && !this.#file.device)) {
      throw new PinfoldError(
        "ENOTSUP",
        `allocate '${this.name}': ${this.#libc === null ? "koffi did not load" : `${this.fileSystem} does not keep space for later writes`}`,
        { operation: "allocate" },
      );
    }
    try {
      if (this.#file.device) this.#refuseGrowth(position + length);
      else await this.#allocate(position, length);
    } catch (error) {
      throw this.#wrap(error, "allocate", position);
    }
  }

  /** Closes what an open has left whose thread died: what stands in its cells. */
  static abandon(own: Int32Array): void {
    const libc = loadLibc();
    // Without koffi the descriptors have ended with the thread.
    if (libc !== null) closeDescriptors(libc, own);
  }

  loseSync(): void {
    this.#durability.loseSync();
  }

  /** Also where another thread has died at it: closes what that one had not. */
  async close(): Promise<void> {
    this.#open("close");
    // First what may fail: loading koffi, where this thread has not called it yet. The store stays open then.
    if (this.#libc !== null) loadLibc();
    this.#closed = true;
    try {
      closeDescriptors(this.#libc, this.#cells);
    } catch (error) {
      throw this.#wrap(error, "close");
    }
  }

  stat(): Promise<Stats> {
    this.#open("stat");
    return new Promise((resolve, reject) => {
      fstat(this.#files.main, (error, stats) => (error === null ? resolve(stats) : reject(this.#wrap(error, "stat"))));
    });
  }

  #open(operation: string): void {
    assert(!this.#closed, `${operation}: the store is open`);
  }

  #writable(operation: string): void {
    this.#open(operation);
    if (this.#file.readOnly)
      throw new PinfoldError("EROFS", `${operation}: '${this.name}' is open read-only`, { operation });
  }

  #verifyMkwrite(request: MkwriteRequest): void {
    this.#writable("mkwrite");
    verifyMkwriteRequest(request);
    const end = request.position + request.length;
    if (end > limits.fileBytesMax)
      throw new PinfoldError("EFBIG", `mkwrite '${this.name}': byte ${end}`, { operation: "mkwrite" });
    if (this.#file.device) this.#refuseGrowth(end);
  }

  #refuseGrowth(end: number): void {
    const { sizeBytes } = this.#file;
    if (end > sizeBytes) throw new PinfoldError("ENOSPC", `'${this.name}' is a block device of ${sizeBytes} bytes`);
  }

  async #allocate(position: number, length: number): Promise<void> {
    assert(this.#libc !== null, "allocate: the C library is there");
    let failed: number = errno.EINTR;
    for (let tries = 0; failed === errno.EINTR && tries <= limits.transientRetriesMax; tries++) {
      failed = await this.#libc.fallocateLater(this.#files.main, falloc.keepSize, position, length);
    }
    if (failed !== 0) throw systemError(failed, "fallocate");
  }

  /** Makes the hole, or writes zeros where there can be none. */
  async #punch(position: number, length: number): Promise<"punched" | "zeroed"> {
    const failed =
      this.#libc === null
        ? errno.EOPNOTSUPP
        : await this.#libc.fallocateLater(this.#files.main, falloc.punchHole | falloc.keepSize, position, length);
    const zero = isUnsupported(failed) || (this.#file.device && failed === errno.EINVAL);
    if (zero) await this.#zero(position, length);
    else if (failed !== 0) throw systemError(failed, "fallocate");
    return zero ? "zeroed" : "punched";
  }

  async #zero(position: number, length: number): Promise<void> {
    const size = this.#files.fixedSize ?? fstatSync(this.#files.main).size;
    await writeZeros(this.#files, position, Math.min(position + length, size));
  }

  #wrap(error: unknown, operation: string, position?: number): Error {
    if (error instanceof AssertionError) return error;
    return toPinfoldError(error, `${operation} '${this.name}'${position === undefined ? "" : ` at ${position}`}`);
  }
}

function reserveFor(file: OpenFile, files: Descriptors, libc: Libc | null, known: KnownBlocks | undefined): Reserve {
  if (file.device) return grantAll;
  const portable = new PortableReserve(files, file.policy.shares);
  const { policy } = file;
  if (policy.reserves === "none" && !(policy.fallocates && libc !== null)) return grantAll;
  if (libc === null) return portable;
  return new FallocateReserve(
    libc,
    file.main,
    policy.extents === "fiemap" ? lookAtExtents(libc) : lookAtData(libc),
    portable,
    known,
  );
}
