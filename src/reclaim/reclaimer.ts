/**
 * Frees frames: takes clean, unheld pages out of the cache.
 *
 * Rule 9: a page is made unreachable first (one swap, from unlocked and unpinned to exclusive and evicting, which also tests
 * that it is clean), then its store is asked to let its metadata go, then it leaves the table. Pinned pages leave the queues
 * when a scan meets them and come back at their last put. A scan is bounded; nothing here waits.
 */
import { limits } from "../base/limits.js";
import { evictionCounter } from "../cache/counters.js";
import type { PageTable } from "../cache/page-table.js";
import type { AddressSpace } from "../cache/space.js";
import type { Frames } from "../frames/frames.js";
import type { PageLocks } from "../frames/locks.js";
import * as layout from "../sync/layout.js";
import type { ReclaimPolicy } from "./policy.js";

export class Reclaimer {
  readonly #frames: Frames;
  readonly #table: PageTable;
  readonly #locks: PageLocks;
  readonly #policy: ReclaimPolicy;
  readonly #space: (id: number) => AddressSpace | undefined;
  readonly #evictions: Float64Array;
  /** The last scan ended at its bound, with candidates left: another one gets further. */
  unfinished = false;

  constructor(parts: {
    frames: Frames;
    table: PageTable;
    locks: PageLocks;
    policy: ReclaimPolicy;
    space: (id: number) => AddressSpace | undefined;
  }) {
    this.#frames = parts.frames;
    this.#table = parts.table;
    this.#locks = parts.locks;
    this.#policy = parts.policy;
    this.#space = parts.space;
    this.#evictions = evictionCounter(parts.frames);
  }

  /** A frame, reserved for this thread, whose page has left; or -1 if a bounded scan found none that may leave. */
  take(): number {
    this.unfinished = false;
    for (let scanned = 0; scanned < limits.reclaimScanMax; scanned++) {
      const candidate = this.#policy.candidate();
      if (!candidate) return -1;
      const { frame, list } = candidate;
      if (this.#setAside(frame, list)) continue;
      if (this.#policy.judge(frame, list) === "kept") continue;
      if (this.#evict(frame, list)) return frame;
    }
    this.unfinished = true;
    return -1;
  }

  /** A frame that somebody holds goes off its queue. */
  #setAside(frame: number, list: number): boolean {
    let answer: number;
    do answer = this.#frames.words.setAside(frame, list);
    while (answer === layout.LOST);
    return answer === layout.OK;
  }

  #evict(frame: number, list: number): boolean {
    const { words, thread } = this.#frames;
    let answer: number;
    do answer = words.freeze(frame, thread);
    while (answer === layout.LOST);
    if (answer !== layout.OK) return false;
    const mapping = words.mappingIdOf(frame);
    const index = words.indexOf(frame) >>> 0;
    if (this.#refused(mapping, index)) {
      while (words.moveTo(frame, list, layout.LIST_MAIN, 1) === layout.LOST);
      while (words.thaw(frame, thread) === layout.LOST);
      this.#locks.unlockExclusive(frame);
      return false;
    }
    this.#policy.evicted(mapping, index, list);
    this.#table.removeFrozen(frame);
    this.#evictions[0] = (this.#evictions[0] as number) + 1;
    return true;
  }

  #refused(mapping: number, index: number): boolean {
    const space = this.#space(mapping);
    // A store that has ended with its thread keeps nothing for its pages any more.
    if (space === undefined || space.state === layout.MAPPING_ORPHANED) return false;
    return !space.store.releasePage(index * this.#frames.pageSize, this.#frames.pageSize);
  }
}
