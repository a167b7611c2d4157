/**
 * pinfold/raw: pins without handles, for hot paths. Frames are plain numbers; nothing is registered, so pins() does not know
 * these pins, no leak is found, and an `unpin` too few holds a page for ever.
 *
 * `const frame = tryPin(file, index, false); if (frame >= 0) try { ... memory(file, frame)[offset(file, frame)] ... } finally { unpin(file, frame); }`
 */
import { PinfoldError } from "../base/errors.js";
import { isExclusive } from "../frames/page-word.js";
import type { Core } from "../mapping/core.js";
import { pinResident } from "../mapping/fault.js";
import { tryLockForWriting } from "../mapping/try-pin.js";
import { CachedFile } from "./cached-file.js";

/** The parts of a file that the calls below need, looked up once. */
export interface RawFile {
  readonly core: Core;
  readonly mapping: number;
}

/** Prepares a file for raw pins. @throws PinfoldError EINVAL, EBADF */
export function rawFile(file: CachedFile): RawFile {
  const core = CachedFile.coreOf(file);
  return { core, mapping: CachedFile.spaceOf(file, core).id };
}

/**
 * Pins page `index` now: for reading (shared) or writing (exclusive, dirty). The frame, or -1 where it would have to wait.
 * Whole pages: bytes of a last page beyond the end of the file must be left alone.
 * @throws PinfoldError ENOSPC, EROFS, EIO for writing
 */
export function tryPin(file: RawFile, index: number, write: boolean): number {
  const { core, mapping } = file;
  if (!write) return pinResident(core, mapping, index);
  const space = core.spaces[mapping];
  if (!space) throw new PinfoldError("EBADF", "the file was closed");
  return tryLockForWriting(core, space, index);
}

/** Ends a pin that tryPin gave. `modified` false: a write pin changed nothing. */
export function unpin(file: RawFile, frame: number, modified = true): void {
  const { core } = file;
  if (isExclusive(core.frames.words, frame)) core.locks.unlockExclusive(frame, modified);
  else core.locks.unlockShared(frame);
}

/** The memory that holds `frame`: page bytes from `offset(file, frame)` on. */
export function memory(file: RawFile, frame: number): Uint8Array {
  return file.core.frames.segment(frame);
}

/** Where `frame` begins in `memory(file, frame)`, in bytes; a multiple of the page size. */
export function offset(file: RawFile, frame: number): number {
  return file.core.frames.offset(frame);
}
