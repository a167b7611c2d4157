/**
 * Chooses dirty pages of a file. Costs a step a dirty page of that file, whatever the size of file or cache.
 *
 * Invariant: a walk turns a list under the file's walk lock (two at a time would each meet half of it). A sync's walk turns it once
 * around: it meets every page that was on it when it began and is still. A round's walks go on where the last one stopped.
 * Which pages a sync has to write is fixed before it writes any (the towrite tag), so that it ends however fast others dirty.
 */
import { countedWrites, flagsOf, isExclusive, wordBits } from "../frames/page-word.js";
import type { Frames } from "../frames/frames.js";
import type { PageLocks } from "../frames/locks.js";
import type { AddressSpace } from "../cache/space.js";
import * as layout from "../sync/layout.js";

export interface DirtyPage {
  readonly frame: number;
  readonly index: number;
}

export interface IndexRange {
  readonly first: number;
  readonly last: number;
}

/** Goes through a list of a file under its walk lock. `walk` does not wait. */
export async function walking<T>(locks: PageLocks, space: AddressSpace, walk: () => T): Promise<T> {
  const lock = space.walkLock;
  await locks.acquire(lock, space.id, layout.LOCK_WALK, layout.MODE_EXCLUSIVE, {});
  try {
    return walk();
  } finally {
    locks.unlockExclusive(lock);
  }
}

/** As walking, now; undefined where somebody else goes through a list of the file. */
export function tryWalking<T>(locks: PageLocks, space: AddressSpace, walk: () => T): T | undefined {
  const lock = space.walkLock;
  if (locks.tryExclusive(lock, space.id, layout.LOCK_WALK) !== layout.OK) return undefined;
  try {
    return walk();
  } finally {
    locks.unlockExclusive(lock);
  }
}

/** The dirty pages of `space` that `choose` wants, ascending by index. At most `most` are looked at; the next call goes on with the others. */
export function collectDirty(
  frames: Frames,
  space: AddressSpace,
  choose: (frame: number, index: number) => boolean,
  most = frames.count,
): DirtyPage[] {
  const { words } = frames;
  const chosen: DirtyPage[] = [];
  for (let left = Math.min(space.dirtyPages, most); left > 0; left--) {
    let frame: number;
    do frame = words.nextDirty(space.id);
    while (frame === layout.LOST);
    if (frame < 0) break;
    const index = words.indexOf(frame) >>> 0;
    if (choose(frame, index)) chosen.push({ frame, index });
  }
  return chosen.sort((a, b) => a.index - b.index);
}

/** Pages of a range that are on their way to the store, in whichever thread, and not dirty meanwhile; by index. */
export function collectDeparted(frames: Frames, space: AddressSpace, range: IndexRange): DirtyPage[] {
  const found = new Map<number, DirtyPage>();
  for (let left = space.writebackPages; left > 0; left--) {
    let frame: number;
    do frame = frames.words.nextWriteback(space.id);
    while (frame === layout.LOST);
    if (frame < 0) break;
    const index = frames.words.indexOf(frame) >>> 0;
    if (index >= range.first && index <= range.last) found.set(frame, { frame, index });
  }
  return [...found.values()].sort((a, b) => a.index - b.index);
}

/**
 * Guard of rule 8: what a sync of `range` covers, tagged. Left out are pages that were clean when somebody's present locked
 * pin (or running write) came and that nobody finished changing since: no completed put is on them.
 */
export function tagForSync(frames: Frames, space: AddressSpace, range: IndexRange): DirtyPage[] {
  const { words } = frames;
  return collectDirty(frames, space, (frame, index) => {
    if (index < range.first || index > range.last) return false;
    const flags = flagsOf(words, frame);
    const untouched = (flags & (wordBits.fresh | wordBits.modified)) === wordBits.fresh;
    if (untouched && isExclusive(words, frame) && countedWrites(words, frame) === 0) return false;
    while (words.tagTowrite(frame) === layout.LOST);
    return true;
  });
}

/** True for a page that became dirty `expireSeconds` ago or earlier. Seconds count modulo 65,536. */
export function isExpired(frames: Frames, frame: number, nowSeconds: number, expireSeconds: number): boolean {
  return ((nowSeconds - frames.words.dirtiedAt(frame)) & 0xffff) >= expireSeconds;
}
