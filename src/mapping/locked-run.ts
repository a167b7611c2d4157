/**
 * A run: consecutive pages of a file that one task has locked, and how they are let go.
 *
 * See also: fault.ts (locks runs), load.ts (gets the bytes of those pages that were not there).
 */
import type { AddressSpace } from "../cache/space.js";
import * as layout from "../sync/layout.js";
import type { Core } from "./core.js";

export type PageMode = typeof layout.MODE_SHARED | typeof layout.MODE_EXCLUSIVE;

export interface RunRequest {
  readonly first: number;
  /** The last page that the run may reach. */
  readonly last: number;
  readonly mode: PageMode;
  /** Pages that will be overwritten whole are not loaded; they come back exclusive and not uptodate. */
  readonly needsBytes: (index: number) => boolean;
  /** Pages past the end of the file may be mapped (by who extends it). */
  readonly pastEnd: boolean;
  /** Take frames that are free, and reclaim none; where there is none, ERR_PINFOLD_NO_FRAMES at once. */
  readonly freeFramesOnly?: boolean;
}

/** For a request of pages that are all loaded. */
export function allBytes(): boolean {
  return true;
}

/** Consecutive pages, all locked in the mode asked for. */
export interface LockedRun {
  readonly first: number;
  readonly frames: number[];
}

/** A page that was just mapped, exclusive and without its bytes, by its place in the run. */
export interface FreshPage {
  readonly at: number;
  readonly frame: number;
}

/** Lets one page go; one that was mapped to be overwritten and has no bytes leaves the cache. */
export function unlock(core: Core, space: AddressSpace, frame: number, mode: PageMode, empty: boolean): void {
  if (empty) dropEmpty(core, space, frame);
  else if (mode === layout.MODE_SHARED) core.locks.unlockShared(frame);
  else core.locks.unlockExclusive(frame);
}

/** Takes a page that never got its bytes out of the cache again, its grant with it. The caller owns its exclusive lock. */
export function dropEmpty(core: Core, space: AddressSpace, frame: number): void {
  const blocks = core.frames.words.blockWord(frame);
  const position = (core.frames.words.indexOf(frame) >>> 0) * space.pageSize;
  if (blocks !== 0) space.store.cancelMkwrite(position, space.pageSize, blocks);
  core.table.remove(frame);
  core.table.release(frame);
}
