/**
 * What makes written data durable, and what a failure of that leaves behind in the kernel.
 *
 * After a write-back failed, the kernel keeps the page, calls it clean, and reports the error once. Writing the same bytes
 * again is not enough: ext4 then remembers in the page that its block is mapped, writes the bytes there, and does not mark
 * the block as written; fsync succeeds, and once the page is dropped the block reads as zeros (seen on Linux 6.18). So from
 * a failed sync to the next good one each write first has its range flushed and dropped from the kernel's cache. Without the
 * C library that cannot be done: then all later syncs fail, which is the truth.
 *
 * Invariants: the main descriptor's error cursor is advanced by `sync` alone; other flushes use a description of their own,
 * opened for the purpose, so that no error meant for a sync is used up. A write that was under way while a sync failed is
 * done again. The counts are shared by all threads; what orders them is that the cache hands pages from thread to thread
 * with atomic operations.
 *
 * See also: file-store.ts; ../../store/contract.ts, sync.
 */
import { closeSync, fdatasync, fdatasyncSync, fsync, fsyncSync, openSync } from "node:fs";
import { promisify } from "node:util";
import { PinfoldError, isShortage } from "../../base/errors.js";
import type { SyncRequest } from "../../store/contract.js";
import { cells } from "./descriptors.js";
import type { Libc } from "./libc.js";
import { descriptorPath, type OpenFile } from "./open.js";
import { writeAll, writeAllSync, type Descriptors } from "./transfer.js";

const later = {
  fdatasync: promisify(fdatasync),
  fsync: promisify(fsync),
};

/** Cells that the threads share: failed syncs so far, and how many of them a later sync has made good. */
const failed = cells.failedSyncs;
const healed = cells.healedSyncs;

export class Durability {
  readonly #files: Descriptors;
  readonly #libc: Libc | null;
  readonly #path: string;
  #counts: Int32Array;

  constructor(file: OpenFile, files: Descriptors, libc: Libc | null, counts: Int32Array) {
    this.#files = files;
    this.#libc = libc;
    this.#path = descriptorPath(files.buffered, file.path);
    this.#counts = counts;
  }

  /** From now on the counts stand in cells that other threads see too. */
  shareCells(shared: Int32Array): void {
    this.#counts = shared;
  }

  /** The thread of a sync has died: the kernel may have told it of an error, and tells that once. */
  loseSync(): void {
    this.#counts[failed] = (this.#counts[failed] as number) + 1;
  }

  async sync(request: SyncRequest): Promise<void> {
    const before = this.#begin();
    try {
      if (request.data && !this.#tainted()) await later.fdatasync(this.#files.main);
      else await later.fsync(this.#files.main);
    } catch (error) {
      throw this.#failed(error);
    }
    this.#counts[healed] = before;
  }

  syncSync(request: SyncRequest): void {
    const before = this.#begin();
    try {
      if (request.data && !this.#tainted()) fdatasyncSync(this.#files.main);
      else fsyncSync(this.#files.main);
    } catch (error) {
      throw this.#failed(error);
    }
    this.#counts[healed] = before;
  }

  write(position: number, buffers: readonly Uint8Array[]): Promise<void> {
    if (this.#tainted()) return this.#writeAgain(position, buffers);
    const before = this.#counts[failed];
    return writeAll(this.#files, position, buffers).then(() =>
      this.#counts[failed] === before ? undefined : this.#writeAgain(position, buffers),
    );
  }

  /** A sync has failed: the kernel is made to forget the range first. */
  async #writeAgain(position: number, buffers: readonly Uint8Array[]): Promise<void> {
    await this.settle().catch((error: unknown) => {
      // What is wrong with the disk the sync that comes reports. Without a description the kernel would keep its pages.
      if (isShortage(error)) throw error;
    });
    this.#drop(position, buffers);
    await writeAll(this.#files, position, buffers);
  }

  writeSync(position: number, buffers: readonly Uint8Array[]): void {
    if (this.#tainted()) {
      const fd = openSync(this.#path, "r+");
      try {
        fdatasyncSync(fd);
      } catch {
        // The sync that comes reports it.
      } finally {
        closeSync(fd);
      }
      this.#drop(position, buffers);
    }
    writeAllSync(this.#files, position, buffers);
  }

  /**
   * Does `change`, and makes durable what was written so far, through a description of its own. That is opened first: where there is
   * none to be had nothing has changed. Opened and closed by sync calls: of an asynchronous one that is on its way when its thread is
   * terminated, Node loses the descriptor.
   */
  async settle(change?: () => Promise<void>): Promise<void> {
    const fd = openSync(this.#path, "r+");
    try {
      await change?.();
      await later.fdatasync(fd);
    } finally {
      closeSync(fd);
    }
  }

  /** A sync has failed and none was good since. */
  #tainted(): boolean {
    return this.#counts[failed] !== this.#counts[healed];
  }

  /** The failures that a success of the sync that now begins makes good. */
  #begin(): number {
    if (this.#libc === null && this.#tainted()) {
      throw new PinfoldError(
        "EIO",
        "an earlier sync failed, and without koffi the kernel's cache cannot be cleared, so that writing again proves nothing",
        { operation: "sync" },
      );
    }
    return this.#counts[failed] as number;
  }

  #failed(error: unknown): unknown {
    this.#counts[failed] = (this.#counts[failed] as number) + 1;
    return error;
  }

  #drop(position: number, buffers: readonly Uint8Array[]): void {
    let length = 0;
    for (const buffer of buffers) length += buffer.length;
    this.#libc?.dropCached(this.#files.buffered, position, length);
  }
}
