/**
 * Every limit of Pinfold in one table, and the relations between them, checked when this file is loaded.
 * A loop, queue or table anywhere in src/ is bounded by one of these.
 *
 * See also: options.ts (what a user may set within these).
 */
import { assert } from "./assert.js";

export const KiB = 1024;
export const MiB = 1024 * KiB;
export const GiB = 1024 * MiB;

export const limits = {
  /** How long a thread waits to load an addon while others are terminated, or the other way round; either takes milliseconds of a processor. */
  loadWaitMs: 10_000,
  /** Frames of a cache: at least, at most (a frame number has 24 bits in list links). */
  framesMin: 64,
  framesMax: 2 ** 24 - 1,
  pageSizeMin: 4 * KiB,
  pageSizeMax: 64 * KiB,
  pageSizeDefault: 4 * KiB,
  memoryDefault: 64 * MiB,
  /** One WebAssembly memory holds at most 65,536 pages of 64 KiB. */
  segmentBytesMax: 4 * GiB,
  /** A store block: the unit of reservation, also under larger pages. */
  blockSize: 4 * KiB,
  /** Pages of one file (page numbers have 32 bits). */
  filePagesMax: 2 ** 32,
  /** Positions are exact integers in a double. */
  fileBytesMax: Number.MAX_SAFE_INTEGER - 64 * KiB,
  /** Metadata a frame, ledgers apart. */
  metadataBytesPerFrameMax: 64,

  threadsMax: 16,
  waitersMax: 4096,
  mappingsMax: 1024,
  sharedHoldersMax: 2 ** 12 - 2,
  countedReadsMax: 2 ** 10 - 2,
  countedWritesMax: 2 ** 10 - 2,
  /** Attempts of one step before we call it a defect: a lost swap means that somebody else got on. */
  swapRetriesMax: 10_000_000,
  lookupRetriesMax: 1_000_000,
  /** Looks at a page that is leaving its frame, before whoever wants it does something else for a moment. */
  leavingSpins: 1_000,
  leavingPauseMs: 1,

  dirtyShare: 0.4,
  dirtyBackgroundShare: 0.1,
  pinnedShare: 0.4,
  /** Dirty + pinned + snapshots together, at most. */
  heldShareMax: 0.9,
  dirtyExpireMs: 30_000,
  writebackIntervalMs: 5_000,
  throttleMs: 200,
  frameWaitMs: 1_000,
  stuckMs: 5_000,
  /**
   * A waiter looks for itself this often, since a thread may have died between letting go and waking it; one that waits for any
   * change of the pool looks this often whether there was one; records that one look wakes.
   */
  waitLookMs: 50,
  poolLookMs: 250,
  waitLooksMax: 256,
  gateDelayMs: 10,
  gateClosedMs: 100,
  /** A page lock of another thread that lasts this long is taken for a pin, where a caller asked not to wait for pins. */
  operationMs: 100,
  leakCheckMs: 1_000,
  leakedPagesMax: 64,
  snapshotFramesMax: 256,
  snapshotFramesShare: 1 / 64,

  /** Bytes of one store call, and writes of one file in flight: where the store does not say, and at most. */
  runBytesMax: 1 * MiB,
  runPagesMax: 256,
  writesInFlight: 8,
  writesInFlightMax: 256,
  /** Pages that write-back chooses and sorts at a time; and each of several threads that need frames or clean pages. */
  roundPagesMax: 4_096,
  sharedRoundPagesMax: 64,
  /** Retries of a store call after EINTR or EAGAIN. */
  transientRetriesMax: 16,
  /** After a failed write the same page is tried again in the background after this long, doubled up to the maximum. */
  retryDelayMs: 1_000,
  retryDelayMaxMs: 30_000,
  punchRetriesMax: 3,
  /** How long verify() looks again where another thread may be in the middle of a step. */
  verifyMs: 1_000,
  reclaimScanMax: 128,
  reclaimBatch: 32,
  /** Loads on their way above which a missed try starts none. */
  prefetchesMax: 256,
  readaheadShare: 1 / 8,
  readaheadPagesMax: 64,
  readaheadTriggerPages: 2,
  /** Pages that one multi-page pin may hold, whatever the pool. */
  pinPagesMax: 65_536,
  pinRangesMax: 1_024,
  copyPagesMax: 64,
  /** How often a read without a lock is begun anew, since the page was written to meanwhile, before it takes the lock. */
  optimisticTriesMax: 4,
  /** Reads without a lock that a raw file knows apart. */
  openReadsMax: 64,
  /** Entries of the table that the mapped views of a file have in a thread: 16 bytes each, touched as they are used. */
  viewEntriesMax: 65_536,
  errorRangesMax: 64,
  /** Characters by which a store is attached in another thread. */
  storeFactsMax: 4_096,
  /** How often somebody looks who waits for another thread's close, or for work of his own that ends by itself. */
  closingPollMs: 2,
  /** How long a thread that leaves a cache waits for its own calls that are still on their way. */
  detachWaitMs: 10_000,
  /** How often the threads of a cache are looked at, and, while somebody waits, at the latest. */
  threadWatchMs: 250,
  threadWatchWaitingMs: 100,
  /** How long a thread that blocks leaves a dead one to others, where it takes an event loop to finish what that one had begun. */
  recoveryDelayMs: 2_000,
  legacyCallersMax: 1_024,
  stackFrames: 12,

  /** Pages of 4 KiB of a log of checksums, twice; of their table in memory, for 4 MiB of data each; pages whose space is known to be taken. */
  checksumLogPages: 256,
  checksumPagesMax: 1_024,
  checksumReservationsMax: 65_536,
  /** Holes that are not durable yet: how many, and blocks in them, before a sync is made for them. */
  checksumRangesMax: 256,
  checksumRangeBlocksMax: 65_536,
  /** How often what failed under way is begun anew, where the log of checksums is emptied. */
  checksumTriesMax: 16,
  /** Ranges that a verification lists. */
  checksumFindingsMax: 1_000,

  nbdConnectionsMax: 256,
  nbdRequestsPerConnectionMax: 128,
  nbdPieceBytes: 256 * KiB,
  nbdRequestBytesMax: 32 * MiB,
  nbdReceiveBytesMax: 32 * MiB,
  nbdOptionBytesMax: 8 * KiB,
  nbdExportNameBytesMax: 4096,
  nbdOptionsMax: 64,
  nbdHandshakeMs: 30_000,
  nbdExportsMax: 1024,
  /** A connection gets this much for its own payloads in receipt and read replies, however busy the shared budgets are. */
  nbdReserveBytes: 64 * KiB,
  nbdReceiveBytesPerConnectionMax: 512 * KiB,
  /** Read replies that wait to be sent, in all and for one connection (one larger reply may stand alone). */
  nbdReplyBytesMax: 64 * MiB,
  nbdReplyBytesPerConnectionMax: 4 * MiB,
  /** Payload of a refused write that is read and dropped; for more the connection ends. */
  nbdSkipBytesMax: 64 * MiB,
  /** Replies are gathered in slabs; longer reads have a buffer of their own. */
  nbdReplySlabBytes: 64 * KiB,
  nbdInlineReadBytesMax: 32 * KiB,
  nbdSocketWriteBytesMax: 1 * MiB,
  /** Free buffers kept for reuse, of all connections. */
  nbdPooledBytesMax: 4 * MiB,
  nbdErrorMessageBytesMax: 256,
  /** While others wait for buffers, whoever holds some has to move this much in this time. */
  nbdStallMs: 10_000,
  nbdStallBytesMin: 64 * KiB,
  /** After our last reply the peer has this long to hang up. */
  nbdLingerMs: 5_000,
  nbdCloseGraceMs: 5_000,
  nbdBacklog: 128,
  /** How often connections are looked at for what does not move. */
  nbdWatchMs: 5_000,
  /** Half a request has this long to go on (nbdStallBytesMin of a long payload). */
  nbdHalfRequestMs: 60_000,
  /** A reply that was handed to the socket has this long to be read (nbdSocketWriteBytesMax at once). */
  nbdUnreadReplyMs: 60_000,
  /** The shortest idle time-out that may be asked for. */
  nbdIdleMsMin: 1_000,
  /** A silent TCP peer is probed after this long, so that the place of a dead one becomes free. */
  nbdKeepAliveMs: 60_000,
  /** Pre-shared keys, and names that are let in. */
  nbdTlsNamesMax: 1024,
  /** Bytes of an identity in TLS (RFC 4279 has everybody support so many). */
  nbdTlsNameBytesMax: 128,
  nbdTlsKeyBytesMin: 16,
  nbdTlsKeyBytesMax: 64,
  /** A file with a key or certificates. */
  nbdTlsFileBytesMax: 1 * MiB,
  /** TLS servers kept for the next handshakes; each runs one at a time. */
  nbdTlsLanesKept: 8,
  /** Requests of one kind (reads, writes) that wait in one cache for pages or space; those beyond wait for their turn. */
  nbdWaitsMax: 256,
} as const;

/** True for 1, 2, 4, ... up to 2^52. */
export function isPowerOfTwo(value: number): boolean {
  return Number.isSafeInteger(value) && value > 0 && 2 ** Math.round(Math.log2(value)) === value;
}

assert(isPowerOfTwo(limits.pageSizeMin) && isPowerOfTwo(limits.pageSizeMax), "page sizes are powers of two");
assert(limits.pageSizeMin % limits.blockSize === 0, "a page is whole blocks");
assert(limits.pageSizeMax / limits.blockSize <= 16, "16 blocks a page fit a 32-bit block word, 2 bits each");
assert(
  limits.dirtyShare + limits.pinnedShare + limits.snapshotFramesShare <= limits.heldShareMax,
  "held pages leave room",
);
assert(limits.dirtyBackgroundShare < limits.dirtyShare, "the flusher starts before writers are delayed");
assert(
  limits.gateDelayMs < limits.gateClosedMs && limits.gateClosedMs < limits.stuckMs,
  "the gate opens before a wait counts as stuck",
);
assert(limits.throttleMs < limits.stuckMs, "a throttled writer is not stuck");
assert(isPowerOfTwo(limits.openReadsMax), "the place of an open read is a part of its number");
assert(
  limits.gateDelayMs <= limits.waitLookMs && limits.waitLookMs <= limits.threadWatchWaitingMs,
  "a waiter looks for itself before it looks for dead threads",
);
assert(
  limits.nbdPieceBytes <= limits.nbdRequestBytesMax && limits.nbdRequestBytesMax <= limits.nbdReceiveBytesMax,
  "one request fits",
);
assert(
  limits.nbdRequestBytesMax <= limits.nbdReplyBytesMax && limits.nbdRequestBytesMax <= limits.nbdSkipBytesMax,
  "one reply fits",
);
assert(limits.nbdInlineReadBytesMax * 2 <= limits.nbdReplySlabBytes, "a reply slab holds a few replies");
assert(limits.nbdPieceBytes <= limits.nbdReplyBytesPerConnectionMax, "a piece of a read fits its connection's share");
assert(limits.nbdWaitsMax * 2 <= limits.waitersMax / 4, "waiting requests leave the table of waiters to others");
assert(limits.nbdStallBytesMin <= limits.nbdReserveBytes, "who holds shared bytes has more than this to move");
