/**
 * The store contract: what a page cache asks of its storage, who holds what while it asks, what may wait and may fail.
 *
 * | call | page lock | invalidate lock | may wait | may fail |
 * | --- | --- | --- | --- | --- |
 * | readPages | exclusive | shared | yes | yes |
 * | pageMkwrite | exclusive | shared | yes | yes |
 * | cancelMkwrite | exclusive | - | no | no |
 * | setPageDirty | exclusive or pinned | - | no | no |
 * | writePages | stable (shared, or a snapshot) | shared | yes | yes |
 * | sync | - | - | yes | yes |
 * | setSize | last page | - | yes | yes |
 * | invalidatePages | exclusive | exclusive | yes | no |
 * | releasePage | exclusive, clean, unpinned | - | no | may refuse |
 * | truncate, punch | - | exclusive | yes | yes |
 * | allocate | - | shared | yes | yes |
 *
 * Positions and lengths are bytes. The cache keeps to `blockSize` where it says so. A store keeps no state of a page in
 * the heap of one thread: what it has to remember of a page's blocks it returns in the page's *block word*, which the
 * cache keeps in shared memory and hands back (races R1, R17, R19 live inside a page).
 *
 * See also: docs/stores.md; pinfold/testing, whose suite checks every sentence here that a program can check.
 */

/** What a store can do. Fixed from open to close. */
export interface StoreCapabilities {
  /**
   * "data": after pageMkwrite returned, writePages of these blocks does not fail for lack of data blocks or quota.
   * "none": it may, and then sync and writers are told late (fault F11).
   */
  readonly reserves: "data" | "none";
  /** Where reserves is "none", why: a few words for people ("btrfs writes every change to a new place, ..."). */
  readonly reservesNote?: string | undefined;
  /** punch gives space back (else it only zeroes). */
  readonly punchesHoles: boolean;
  /** Several pages can be written all or nothing. */
  readonly atomicCommits: boolean;
  /** Calls of writePages that it takes at once to do best, at most 256; default 8. */
  readonly writesInFlight?: number | undefined;
  /** readPages fails where the storage does not have what writePages was given. */
  readonly checksums?: boolean | undefined;
  readonly readOnly: boolean;
  /** readPagesSync, pageMkwriteSync, writePagesSync and syncSync are there. */
  readonly syncCalls: boolean;
  /** Reservation is counted in these; a power of two, at least 512 and at most 4096 bytes. */
  readonly blockSize: number;
}

/**
 * A request to make bytes of consecutive pages writable. All or nothing.
 * `blocks[i]` is the block word of page `position / pageSize + i`, in and out (see {@link blockBits}).
 */
export interface MkwriteRequest {
  /**
   * First byte that may change. Need not be aligned; the store rounds out to blocks. The cache extends the file first
   * (setSize): past the end a store may grant without a reservation.
   */
  readonly position: number;
  readonly length: number;
  readonly pageSize: number;
  /** One word for each page that the range touches; on failure unchanged. */
  readonly blocks: Uint32Array;
}

/**
 * A block word has 2 bits for each of a page's blocks of 4 KiB, lowest first:
 * bit 0 *granted*: bytes of this block may change, and write-back has to write it;
 * bit 1 *reserved*: the grant took new space for it (the block was a hole), which cancelMkwrite gives back.
 * 0: clean, nothing known.
 */
export const blockBits = { granted: 1, reserved: 2, width: 2 } as const;

export interface SyncRequest {
  /** True: file data and what is needed to read it back suffices (fdatasync). False: all metadata too (fsync). */
  readonly data: boolean;
}

export interface Store {
  readonly capabilities: StoreCapabilities;
  /** Two stores with the same key are the same storage; the cache opens it once. */
  readonly key: string;
  /** For messages. */
  readonly name: string;
  /** Bytes at open. Afterwards the cache knows better. */
  readonly sizeBytes: number;

  /**
   * Fills `buffers` in order from `position`. Holes and what lies past the end read as zeros; a short read in the
   * middle of the file is continued, never zero-filled (F3, F4).
   */
  readPages(position: number, buffers: readonly Uint8Array[]): Promise<void>;
  readPagesSync?(position: number, buffers: readonly Uint8Array[]): void;

  /** The permission step clean -> writable. ENOSPC, EROFS, EFBIG, EIO: here or never. May answer at once (no promise). */
  pageMkwrite(request: MkwriteRequest): Promise<void> | void;
  pageMkwriteSync?(request: MkwriteRequest): void;
  /**
   * Gives grants back unused: for the page at `position` (aligned to pageSize), blocks whose words say *reserved* become
   * holes again if that can be done at once, else keep their (unwritten, zero) space. Must not touch other blocks.
   * A word says *reserved* only of blocks that were not written since: the cache clears the bit when writePages took the
   * block, because a store may punch what it is told here without looking.
   */
  cancelMkwrite(position: number, pageSize: number, blocks: number): void;
  /** A page with a grant has just become dirty. For stores that keep their own record (transactions). */
  setPageDirty(position: number, pageSize: number): void;

  /**
   * Writes `buffers` in order from `position`: one ascending run. Resolves when all of it was taken; short writes are
   * completed. Never writes past `position + sum of lengths`. The buffers do not change until it settled.
   */
  writePages(position: number, buffers: readonly Uint8Array[]): Promise<void>;
  writePagesSync?(position: number, buffers: readonly Uint8Array[]): void;

  /**
   * After it resolved, all that writePages, setSize, truncate and punch completed before the call is durable.
   * A failure is reported, and is never followed by a silent success: the cache first writes again all that writePages took
   * since the last good sync and until the failure was reported, what came in during the call included (a kernel does not
   * say which of its pages failed). Size changes, truncate and punch are the store's to keep.
   */
  sync(request: SyncRequest): Promise<void>;
  syncSync?(request: SyncRequest): void;

  /** Extends to `size` bytes (never shrinks); the new bytes read as zeros. Durable with the next sync. May answer at once. */
  setSize(size: number): Promise<void> | void;

  /** Cached bytes [from, to) were dropped; `to` may be Infinity. Whatever the store keeps about them in memory ends. */
  invalidatePages(from: number, to: number): void;
  /** A clean page is about to leave the cache: drop what you keep for it. False refuses, and the page stays. */
  releasePage(position: number, pageSize: number): boolean;

  /** Cuts to `size` bytes; space past it is freed, reservations past the old end included. */
  truncate(size: number): Promise<void>;
  /** Bytes [position, position + length) read as zeros from now on; whole blocks in it are freed where that is possible. The size stays. */
  punch(position: number, length: number): Promise<void>;
  /**
   * Reserves space for the range for good, without changing size or contents. ENOTSUP where the store cannot, always where
   * reserves is "none". The cache first takes the *reserved* bits of the range's pages away, under their locks: else a
   * later cancelMkwrite would give the space back.
   */
  allocate(position: number, length: number): Promise<void>;

  /**
   * Ends the use of the store. The cache has written and synced what it wanted to. Never called twice, by whichever thread; but where
   * the thread that called it died at it, another one calls it, and it closes what is left.
   */
  close(): Promise<void>;

  /**
   * Where every thread of the process can use the same storage at once: what another thread needs for that, as JSON text of at
   * most 4,096 characters. Called once, right after the open. `cells` are 8 words of memory that all these threads share, zero
   * at first, for the store's own use from now on. Every call of the contract may then come from any thread, and the thread that
   * called share may end at any moment. Without it only the thread that opened the store calls it, for all others too.
   */
  readonly share?: ((cells: Int32Array) => string) | undefined;
  /** The thread of a sync has died, and nobody knows what came of it: as if it had failed. For stores that are shared. */
  loseSync?(): void;
  /** Ends the use in this thread; others go on, and one of them closes. */
  detach?(): void;
  /** Facts for `stat()`: what node:fs/promises FileHandle.stat would give, where there is a file. */
  stat?(): Promise<import("node:fs").Stats>;
}
