/**
 * Reservation with fallocate: what pageMkwrite, cancelMkwrite and allocate do on a file system that keeps the promise.
 *
 * A grant looks at what the range has (extents.ts) and calls fallocate for exactly the pieces that it lacks, with
 * KEEP_SIZE, so that a crash never shows a rounded-up size. What the range has already costs the look alone, and not even
 * that where it is remembered (known-blocks.ts).
 *
 * Invariants: all or nothing: when a piece fails, the holes filled before it are punched again, and no word changes; only
 * blocks that were whole holes get the *reserved* bit, so that a cancel cannot punch anything that was there; nothing
 * outside the range is touched.
 *
 * Past the end of the file ext4 does not punch: space that a failed or cancelled grant took there stays, unwritten and zero,
 * until a truncate. The contract allows that of a cancel.
 *
 * See also: extents.ts, portable.ts, ../../store/contract.ts.
 */
import { limits } from "../../base/limits.js";
import { addBlockBits, endBlock, firstBlock, forEachReserved } from "../../store/block-words.js";
import { blockBits, type MkwriteRequest } from "../../store/contract.js";
import type { Look, Piece } from "./extents.js";
import type { KnownBlocks } from "./known-blocks.js";
import { errno, falloc, systemError, type Libc } from "./libc.js";
import type { PortableReserve } from "./portable.js";

/** How a store's grants come about. */
export interface Reserve {
  grant(request: MkwriteRequest): Promise<void> | void;
  grantSync(request: MkwriteRequest): void;
  cancel(position: number, pageSize: number, blocks: number): void;
}

const blockSize = limits.blockSize;

/** Marks all blocks of a request granted. */
export function markGranted(request: MkwriteRequest): void {
  const end = endBlock(request.position, request.length);
  for (let block = firstBlock(request.position); block < end; block++) addBlockBits(request, block, blockBits.granted);
}

/** Grants everything and reserves nothing: block devices, and file systems where reserving would promise too much. */
export const grantAll: Reserve = {
  grant: markGranted,
  grantSync: markGranted,
  cancel() {},
};

export class FallocateReserve implements Reserve {
  readonly #libc: Libc;
  readonly #fd: number;
  readonly #look: Look;
  /** For files on which fallocate turns out not to work (ext3, say). */
  readonly #portable: PortableReserve;
  /** Where blocks can be remembered. */
  readonly #known: KnownBlocks | undefined;

  constructor(libc: Libc, fd: number, look: Look, portable: PortableReserve, known: KnownBlocks | undefined) {
    this.#libc = libc;
    this.#fd = fd;
    this.#look = look;
    this.#portable = portable;
    this.#known = known;
  }

  grant(request: MkwriteRequest): Promise<void> | void {
    const pieces = this.#missing(request);
    if (pieces.length === 0) return markGranted(request);
    return this.#reserve(request, pieces);
  }

  grantSync(request: MkwriteRequest): void {
    const pieces = this.#missing(request);
    let done = 0;
    try {
      for (const piece of pieces) {
        done++;
        let failed: number = errno.EINTR;
        for (let tries = 0; failed === errno.EINTR && tries <= limits.transientRetriesMax; tries++) {
          failed = this.#libc.fallocate(
            this.#fd,
            modeOf(piece),
            piece.first * blockSize,
            (piece.end - piece.first) * blockSize,
          );
        }
        if (isUnsupported(failed)) this.#portable.fillSync(piece.first, piece.end, piece.kind === "shared");
        else if (failed !== 0) throw systemError(failed, "fallocate");
      }
    } catch (error) {
      this.#undo(pieces.slice(0, done));
      throw error;
    }
    this.#mark(request, pieces);
  }

  cancel(position: number, pageSize: number, blocks: number): void {
    let first = -1;
    let end = -1;
    const punch = (): void => {
      if (end > first) this.#punch(first, end);
    };
    forEachReserved(position, pageSize, blocks, (block) => {
      if (block !== end) {
        punch();
        first = block;
      }
      end = block + 1;
    });
    punch();
  }

  #missing(request: MkwriteRequest): readonly Piece[] {
    const first = firstBlock(request.position);
    const end = endBlock(request.position, request.length);
    const look = (from: number, to: number) => this.#look(this.#fd, from, to);
    const found = this.#known ? this.#known.missing(first, end, look) : look(first, end);
    if (typeof found !== "number") return found;
    // Cannot be found out here: reserve all of it, and never take it for a hole.
    if (isUnsupported(found)) return [{ kind: "part", first, end }];
    throw systemError(found, "fiemap");
  }

  async #reserve(request: MkwriteRequest, pieces: readonly Piece[]): Promise<void> {
    let done = 0;
    try {
      for (const piece of pieces) {
        done++;
        let failed: number = errno.EINTR;
        for (let tries = 0; failed === errno.EINTR && tries <= limits.transientRetriesMax; tries++) {
          failed = await this.#libc.fallocateLater(
            this.#fd,
            modeOf(piece),
            piece.first * blockSize,
            (piece.end - piece.first) * blockSize,
          );
        }
        if (isUnsupported(failed)) await this.#portable.fill(piece.first, piece.end, piece.kind === "shared");
        else if (failed !== 0) throw systemError(failed, "fallocate");
      }
    } catch (error) {
      this.#undo(pieces.slice(0, done));
      throw error;
    }
    this.#mark(request, pieces);
  }

  #mark(request: MkwriteRequest, pieces: readonly Piece[]): void {
    markGranted(request);
    for (const piece of pieces) {
      if (piece.kind !== "hole") continue;
      for (let block = piece.first; block < piece.end; block++) addBlockBits(request, block, blockBits.reserved);
      this.#known?.add(piece.first, piece.end);
    }
  }

  /** Punches what this grant filled, the failed piece included: it may have got some of its blocks. */
  #undo(pieces: readonly Piece[]): void {
    for (const piece of pieces) if (piece.kind === "hole") this.#punch(piece.first, piece.end);
  }

  /** A failure is no harm: the space stays, unwritten, and reads as zeros. */
  #punch(first: number, end: number): void {
    this.#libc.fallocate(this.#fd, falloc.punchHole | falloc.keepSize, first * blockSize, (end - first) * blockSize);
    this.#known?.forget();
  }
}

function modeOf(piece: Piece): number {
  return piece.kind === "shared" ? falloc.unshareRange | falloc.keepSize : falloc.keepSize;
}

export function isUnsupported(number: number): boolean {
  return number === errno.EOPNOTSUPP || number === errno.ENOSYS;
}
