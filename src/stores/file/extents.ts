/**
 * What a range of a file has of its own on the disk, and so what a grant still has to reserve.
 *
 * FIEMAP where the file system has it; else SEEK_DATA and SEEK_HOLE, which cannot tell reserved space from a hole.
 * A range comes out as pieces of whole 4 KiB blocks, each of one kind:
 *
 * | kind | what it is | the grant | a cancel may punch it |
 * | --- | --- | --- | --- |
 * | (none) | mapped or unwritten, its own | nothing to do | no |
 * | hole | no byte of the block is mapped | fallocate | yes |
 * | part | mapped in part (blocks of 1 KiB), inline, or unknown | fallocate | no |
 * | shared | reflinked: a write would take new space | fallocate, unshare | no |
 *
 * Delayed allocation counts as mapped: the file system has set the space aside. Past the end, XFS may trim such space
 * again; the cache extends a file before it asks.
 *
 * Invariants: pieces ascend, lie in the range, and a *hole* piece has only whole blocks that were holes when looked at
 * (the page locks keep them so). The request buffer is one a thread; a look is synchronous, so that calls do not mix.
 *
 * See also: reserve.ts (what is done with it), libc.ts.
 */
import { assert } from "../../base/assert.js";
import { limits } from "../../base/limits.js";
import { errno, seek, type Libc } from "./libc.js";

export type PieceKind = "hole" | "part" | "shared";

/** Blocks [first, end) of one kind. */
export interface Piece {
  readonly kind: PieceKind;
  readonly first: number;
  readonly end: number;
}

/** Looks at blocks [first, end). An empty answer: all of it is the file's own. An errno where that cannot be found out. */
export type Look = (fd: number, first: number, end: number) => readonly Piece[] | number;

const blockSize = limits.blockSize;
const nothing: readonly Piece[] = [];

// struct fiemap, in 32-bit words, little-endian: start, start, length, length, flags, mapped, count, reserved.
const headWords = 8;
const extentWords = 14;
const extentsMax = 64;
const flag = {
  last: 0x1,
  unknown: 0x2,
  delayed: 0x4,
  notAligned: 0x100,
  inline: 0x200,
  tail: 0x400,
  shared: 0x2000,
} as const;
const request = new Uint32Array(headWords + extentsMax * extentWords);
const requestBytes = new Uint8Array(request.buffer);
const word32 = 2 ** 32;

function longAt(index: number): number {
  return (request[index] as number) + (request[index + 1] as number) * word32;
}

/** One FIEMAP call from byte `from` on; the number of extents that it found, or minus the errno. */
function askExtents(libc: Libc, fd: number, from: number, to: number): number {
  request[0] = from % word32;
  request[1] = Math.floor(from / word32);
  request[2] = (to - from) % word32;
  request[3] = Math.floor((to - from) / word32);
  request[4] = 0;
  request[5] = 0;
  request[6] = extentsMax;
  request[7] = 0;
  const failed = libc.fiemap(fd, requestBytes);
  return failed === 0 ? (request[5] ?? 0) : -failed;
}

/** Pieces of [from, to) without an extent: whole blocks are holes, blocks cut by an edge are in part mapped. */
function addGap(pieces: Piece[], from: number, to: number): void {
  const first = Math.ceil(from / blockSize);
  const end = Math.floor(to / blockSize);
  if (from % blockSize !== 0) add(pieces, "part", first - 1, first);
  if (first < end) add(pieces, "hole", first, end);
  if (to % blockSize !== 0 && end >= first) add(pieces, "part", end, end + 1);
}

function add(pieces: Piece[], kind: PieceKind, first: number, end: number): void {
  const last = pieces.at(-1);
  if (last !== undefined && last.end > first && kind === "part" && last.kind !== "hole") return;
  pieces.push({ kind, first, end });
}

function kindOf(flags: number): PieceKind | null {
  if ((flags & flag.shared) !== 0) return "shared";
  if ((flags & (flag.inline | flag.tail | flag.notAligned)) !== 0) return "part";
  if ((flags & flag.unknown) !== 0 && (flags & flag.delayed) === 0) return "part";
  return null;
}

/** Looks with FIEMAP. */
export function lookAtExtents(libc: Libc): Look {
  return (fd, first, end) => {
    const to = end * blockSize;
    let cursor = first * blockSize;
    let pieces: Piece[] | undefined;
    let last = false;
    // Each turn passes at least one extent, and an extent in the range is at least a file system block of 512 bytes.
    for (let turns = (end - first) * 8 + 2; cursor < to && !last; turns--) {
      assert(turns > 0, "fiemap gets on");
      const count = askExtents(libc, fd, cursor, to);
      if (count < 0) return -count;
      last = count < extentsMax;
      for (let i = 0; i < count; i++) {
        const at = headWords + i * extentWords;
        const start = Math.max(longAt(at), cursor);
        const stop = Math.min(longAt(at) + longAt(at + 4), to);
        if (stop <= cursor) continue;
        const flags = request[at + 10] as number;
        const kind = kindOf(flags);
        if (start > cursor) addGap((pieces ??= []), cursor, start);
        if (kind !== null) add((pieces ??= []), kind, Math.floor(start / blockSize), Math.ceil(stop / blockSize));
        cursor = stop;
        if ((flags & flag.last) !== 0) last = true;
      }
    }
    if (cursor < to) addGap((pieces ??= []), cursor, to);
    return pieces ?? nothing;
  };
}

/** Looks with SEEK_DATA and SEEK_HOLE: what is not data may be reserved space, so that it never counts as a hole of ours. */
export function lookAtData(libc: Libc): Look {
  return (fd, first, end) => {
    const to = end * blockSize;
    let cursor = first * blockSize;
    let pieces: Piece[] | undefined;
    for (let turns = (end - first) * 8 + 2; cursor < to; turns--) {
      assert(turns > 0, "lseek gets on");
      const data = libc.lseek(fd, cursor, seek.data);
      if (data < 0 && data !== -errno.ENXIO) return -data;
      const start = data < 0 ? to : Math.min(data, to);
      if (start > cursor) add((pieces ??= []), "part", Math.floor(cursor / blockSize), Math.ceil(start / blockSize));
      if (start >= to) break;
      const hole = libc.lseek(fd, start, seek.hole);
      if (hole < 0) return -hole;
      cursor = Math.min(hole, to);
    }
    return pieces ?? nothing;
  };
}
