/**
 * Where everything lies in the words memory of a cache, computed once from the number of frames, the same in all threads.
 *
 * Invariants: regions follow each other without overlap; all begin at multiples of 8; metadata takes at most
 * limits.metadataBytesPerFrameMax bytes a frame, ledgers apart (4 bytes a frame and thread, touched only by attached threads).
 */
import { assert } from "../base/assert.js";
import { limits } from "../base/limits.js";
import * as layout from "../sync/layout.js";

export interface FramePlan {
  /** Frames that hold pages of files. */
  readonly frames: number;
  /** Frames set aside for snapshots; they are numbered from `frames` on. */
  readonly snapshots: number;
  readonly pageSize: number;
  /** Records: frames, snapshots, locks that hold no page. */
  readonly records: number;
  /** The record of a mapping's lock is `locksFrom + mapping * LOCKS_PER_MAPPING + which`; the cache's own two come last. */
  readonly locksFrom: number;
  readonly directoryRecord: number;
  readonly poolRecord: number;
  readonly buckets: number;
  readonly links: number;
  readonly logSequence: number;
  readonly blocks: number;
  readonly ghosts: number;
  readonly ledger: number;
  readonly transfers: number;
  readonly transits: number;
  readonly scopeHolds: number;
  readonly facts: number;
  readonly counters: number;
  /** Bytes of the words memory. */
  readonly bytes: number;
}

/** The plan of a cache with `memoryBytes` of pages; snapshot frames are part of these. */
export function planFrames(memoryBytes: number, pageSize: number): FramePlan {
  const all = Math.floor(memoryBytes / pageSize);
  const snapshots = Math.max(1, Math.min(limits.snapshotFramesMax, Math.floor(all * limits.snapshotFramesShare)));
  const frames = all - snapshots;
  const locksFrom = all;
  const records = all + layout.LOCKS_MAX;
  let at = layout.RECORDS + records * 2 ** layout.RECORD_SHIFT;
  const region = (bytes: number) => {
    const start = at;
    at += Math.ceil(bytes / 8) * 8;
    return start;
  };
  const buckets = region(frames * 8);
  const links = region(all * 8);
  const logSequence = region(frames * 8);
  const blocks = region(all * 4);
  const ghosts = region(frames * 4);
  const ledger = region(records * 4 * layout.THREADS_MAX);
  const transfers = region(layout.TRANSFERS_MAX * layout.TRANSFER_BYTES);
  const transits = region(layout.TRANSITS_MAX * layout.TRANSIT_BYTES);
  const scopeHolds = region(layout.SCOPE_HOLDS_MAX * layout.SCOPE_HOLD_BYTES);
  const facts = region(layout.MAPPINGS_MAX * layout.FACTS_BYTES);
  const counters = region(layout.THREADS_MAX * (layout.MAPPINGS_MAX + 1) * layout.COUNTERS * 8);
  assert(layout.METADATA_BYTES_PER_FRAME <= limits.metadataBytesPerFrameMax, "metadata a frame is within its limit");
  return {
    frames,
    snapshots,
    pageSize,
    records,
    locksFrom,
    directoryRecord: records - 2 + layout.LOCK_DIRECTORY,
    poolRecord: records - 2 + layout.LOCK_POOL,
    buckets,
    links,
    logSequence,
    blocks,
    ghosts,
    ledger,
    transfers,
    transits,
    scopeHolds,
    facts,
    counters,
    bytes: at,
  };
}
