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
 *
 * Or without a pin, so that threads that read the same page do not slow each other down: the bytes are read while others may
 * write them, and believed only if nobody did.
 *
 *     const read = optimisticBegin(raw, index);
 *     if (read >= 0) {
 *       const value = memory(raw, read)[offset(raw, read)];
 *       if (optimisticValidate(raw, read)) return value;
 *     }
 *     // else: try again, or tryPin
 *
 * See also: docs/access-rules.md ("Reading without a lock").
 */
import { PinfoldError } from "../base/errors.js";
import type { AddressSpace } from "../cache/space.js";
import { isExclusive } from "../frames/page-word.js";
import type { Core } from "../mapping/core.js";
import { lockResident } from "../mapping/fault.js";
import { OpenReads, OptimisticReader, firstRead } from "../mapping/optimistic.js";
import { startWriteThrough } from "../mapping/sync.js";
import { tryLockForWriting } from "../mapping/try-pin.js";
import { CachedFile } from "./cached-file.js";

/** The parts of a file that the calls below need, looked up once. */
export interface RawFile {
  readonly core: Core;
  readonly space: AddressSpace;
  readonly reads: OpenReads;
}

/** Prepares a file for raw pins. @throws PinfoldError EINVAL, EBADF */
export function rawFile(file: CachedFile): RawFile {
  const core = CachedFile.coreOf(file);
  const space = CachedFile.spaceOf(file, core);
  return { core, space, reads: new OpenReads(new OptimisticReader(core, space)) };
}

/**
 * Pins page `index` now: for reading (shared) or writing (exclusive, dirty). The frame, or -1 where it would have to wait.
 * Whole pages: bytes of a last page beyond the end of the file must be left alone.
 * @throws PinfoldError EINVAL, EBADF; ERR_PINFOLD_OUT_OF_RANGE, ENOSPC, EROFS, EIO for writing
 */
export function tryPin(file: RawFile, index: number, write: boolean): number {
  const { core, space } = file;
  if (typeof index !== "number" || index >>> 0 !== index) throw notAnIndex(index);
  if (write && space.closing) throw closed(space);
  const frame = write ? tryLockForWriting(core, space, index) : lockResident(core, space.id, index);
  if (!write && space.closing) throw releasedOf(file, frame);
  return frame;
}

/** A pin that came too late: a file's slot is given to another only when its pages have left. */
function releasedOf({ core, space }: RawFile, frame: number): PinfoldError {
  if (frame >= 0) core.locks.unlockShared(frame);
  return closed(space);
}

function notAnIndex(index: unknown): PinfoldError {
  return new PinfoldError("EINVAL", `index must be a whole number below 2^32, not ${String(index)}`);
}

function closed(space: AddressSpace): PinfoldError {
  return new PinfoldError("EBADF", `${space.store.name} was closed`);
}

/**
 * Ends a pin that tryPin gave. `modified` false: a write pin changed nothing, and a page that was clean is clean again.
 * @throws PinfoldError EINVAL for a read that optimisticBegin gave
 */
export function unpin(file: RawFile, frame: number, modified = true): void {
  const { core } = file;
  if (frame >= firstRead) throw new PinfoldError("EINVAL", "a read without a pin is not unpinned");
  if (!isExclusive(core.frames.words, frame)) core.locks.unlockShared(frame);
  else if (!modified || core.options.writeThrough) unpinWritten(file, frame, modified);
  else core.locks.unlockExclusive(frame, true);
}

function unpinWritten({ core, space }: RawFile, frame: number, modified: boolean): void {
  const page = { space, frame, index: core.frames.words.indexOf(frame) >>> 0 };
  core.protocols.locked.put(core, page, { write: true, modified, mayClean: !modified });
  if (modified) startWriteThrough(core, space, page.index, [frame]);
}

/**
 * Begins to read page `index` without a pin. The read: a number for memory, offset and optimisticValidate, good for as many as
 * 64 of them that are open at once. Or -1: the page is not there, or somebody may be writing to it; tryPin then.
 *
 * What is read may be half of an update, or another page's: it may not be acted upon (not even followed, as an offset) without
 * bounds of the reader's own, until optimisticValidate has said that it is good. Nothing ends a read; it is just not used any more.
 * @throws PinfoldError EINVAL, EBADF
 */
export function optimisticBegin(file: RawFile, index: number): number {
  if (typeof index !== "number" || index >>> 0 !== index) throw notAnIndex(index);
  const read = file.reads.begin(index);
  // After the beginning: a file's slot is given to another only when its pages have left.
  if (file.space.closing) throw closed(file.space);
  return read;
}

/**
 * True if all that was read from the page since optimisticBegin was there at one moment, unlocked and whole. Can be asked again, for
 * what was read since. False: it may not have been, or 64 other reads have begun since; begin again.
 */
export function optimisticValidate(file: RawFile, read: number): boolean {
  return file.reads.isGood(read);
}

/** The memory that holds a pinned frame, or the page of a read: its bytes from `offset(file, frame)` on. */
export function memory(file: RawFile, frame: number): Uint8Array {
  return file.core.frames.segment(frame < firstRead ? frame : file.reads.frameOf(frame));
}

/** Where the page begins in `memory(file, frame)`, in bytes; a multiple of the page size. */
export function offset(file: RawFile, frame: number): number {
  return file.core.frames.offset(frame < firstRead ? frame : file.reads.frameOf(frame));
}
