/**
 * pinfold/raw: pins without handles, for hot paths. Frames are plain numbers; nothing is registered, so pins() does not know
 * these pins, no leak is found, and an `unpin` too few holds a page for ever.
 *
 *     const raw = rawFile(file);
 *     const frame = tryPin(raw, index, false);
 *     if (frame >= 0) {
 *       const value = memory(raw, frame)[offset(raw, frame)];
 *       unpin(raw, frame);
 *     }
 *
 * Each call takes the file beside the frame: a frame's number says nothing without its cache, and a program can have several.
 */
import { PinfoldError } from "../base/errors.js";
import type { AddressSpace } from "../cache/space.js";
import { isExclusive } from "../frames/page-word.js";
import type { Core } from "../mapping/core.js";
import { pinResident } from "../mapping/fault.js";
import { tryLockForWriting } from "../mapping/try-pin.js";
import { CachedFile } from "./cached-file.js";

/** The parts of a file that the calls below need, looked up once. */
export interface RawFile {
  readonly core: Core;
  readonly space: AddressSpace;
}

/** Prepares a file for raw pins. @throws PinfoldError EINVAL, EBADF */
export function rawFile(file: CachedFile): RawFile {
  const core = CachedFile.coreOf(file);
  return { core, space: CachedFile.spaceOf(file, core) };
}

/**
 * Pins page `index` now: for reading (shared) or writing (exclusive, dirty). The frame, or -1 where it would have to wait.
 * Whole pages: bytes of a last page beyond the end of the file must be left alone.
 * @throws PinfoldError EINVAL, EBADF; ERR_PINFOLD_OUT_OF_RANGE, ENOSPC, EROFS, EIO for writing
 */
export function tryPin(file: RawFile, index: number, write: boolean): number {
  const { core, space } = file;
  if (typeof index !== "number" || index >>> 0 !== index)
    throw new PinfoldError("EINVAL", `index must be a whole number below 2^32, not ${String(index)}`);
  if (space.closing) throw new PinfoldError("EBADF", `${space.store.name} was closed`);
  return write ? tryLockForWriting(core, space, index) : pinResident(core, space.id, index);
}

/** Ends a pin that tryPin gave. `modified` false: a write pin changed nothing, and a page that was clean is clean again. */
export function unpin(file: RawFile, frame: number, modified = true): void {
  const { core } = file;
  if (!isExclusive(core.frames.words, frame)) core.locks.unlockShared(frame);
  else if (!modified || core.options.writeThrough) unpinWritten(file, frame, modified);
  else core.locks.unlockExclusive(frame, true);
}

function unpinWritten({ core, space }: RawFile, frame: number, modified: boolean): void {
  const page = { space, frame, index: core.frames.words.indexOf(frame) >>> 0 };
  core.protocols.locked.put(core, page, { write: true, modified, mayClean: !modified });
  if (modified) void core.writer.writeNow(space, [page]);
}

/** The memory that holds `frame`: page bytes from `offset(file, frame)` on. */
export function memory(file: RawFile, frame: number): Uint8Array {
  return file.core.frames.segment(frame);
}

/** Where `frame` begins in `memory(file, frame)`, in bytes; a multiple of the page size. */
export function offset(file: RawFile, frame: number): number {
  return file.core.frames.offset(frame);
}
