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
  /** The record of a mapping's lock is `locksFrom + mapping * 2 + which`; the pool's comes last. */
  readonly locksFrom: number;
  readonly poolRecord: number;
  readonly buckets: number;
  readonly links: number;
  readonly logSequence: number;
  readonly blocks: number;
  readonly ghosts: number;
  readonly ledger: number;
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
  assert(layout.METADATA_BYTES_PER_FRAME <= limits.metadataBytesPerFrameMax, "metadata a frame is within its limit");
  return {
    frames,
    snapshots,
    pageSize,
    records,
    locksFrom,
    poolRecord: records - 1,
    buckets,
    links,
    logSequence,
    blocks,
    ghosts,
    ledger,
    bytes: at,
  };
}
