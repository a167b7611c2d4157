/**
 * Which frame holds which page: the words' table steps with their retries.
 *
 * Invariant: what `find` answers may be gone at the next moment; only a lock taken on the frame with its key proves it.
 *
 * See also: words/table.ts; mapping/fault.ts, which alone puts pages in; reclaim/ and mapping/truncate.ts, which take them out.
 */
import { assert } from "../base/assert.js";
import type { PinfoldError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { Frames } from "../frames/frames.js";
import type { PageLocks } from "../frames/locks.js";
import * as layout from "../sync/layout.js";
import type { Words } from "../sync/words.js";
import type { AddressSpace } from "./space.js";

export interface Resident {
  readonly frame: number;
  readonly index: number;
}

export class PageTable {
  readonly #frames: Frames;
  readonly #words: Words;
  readonly #locks: PageLocks;

  constructor(frames: Frames, locks: PageLocks) {
    this.#frames = frames;
    this.#words = frames.words;
    this.#locks = locks;
  }

  /** The frame of a page, or -1. */
  find(mapping: number, index: number): number {
    for (let i = 0; i < limits.lookupRetriesMax; i++) {
      const frame = this.#words.find(mapping, index, this.#frames.thread);
      if (frame >= 0) return frame;
      if (frame === layout.NONE) return -1;
    }
    throw new Error("a chain of the page table kept changing");
  }

  /** A free frame, reserved for this thread, or -1. Never waits and never reclaims. */
  reserve(): number {
    for (let i = 0; i < limits.swapRetriesMax; i++) {
      const frame = this.#words.reserve(this.#frames.thread);
      if (frame >= 0) return frame;
      if (frame === layout.NONE) return -1;
    }
    throw new Error("the lists' latch is stuck");
  }

  /** Gives a reserved frame back. */
  release(frame: number): void {
    while (this.#words.release(frame) === layout.LOST);
    this.#locks.notifyPool();
  }

  /** Maps a reserved frame: loading, exclusive, off the queues. False if the page is there by now. */
  insert(frame: number, mapping: number, index: number): boolean {
    for (let i = 0; i < limits.lookupRetriesMax; i++) {
      if (this.find(mapping, index) >= 0) return false;
      const answer = this.#words.insert(frame, mapping, index, this.#frames.thread);
      if (answer !== layout.OK) continue;
      if (this.#words.ghostTake(mapping, index) === 1) while (this.#words.setHomeMain(frame) === layout.LOST);
      return true;
    }
    throw new Error("a chain of the page table kept changing");
  }

  /**
   * Takes a page out of the table. The caller owns its exclusive lock; nobody has it pinned. Whoever waits for it looks it up
   * again, or, with `error`, gets that. The frame is reserved for this thread then.
   */
  remove(frame: number, error?: PinfoldError): void {
    const { thread } = this.#frames;
    let answer: number;
    do answer = this.#words.condemn(frame, thread);
    while (answer === layout.LOST);
    assert(answer === layout.OK, "only its owner removes a page");
    this.#locks.queues.dismissAll(frame, error);
    this.removeFrozen(frame);
  }

  /** The last step of `remove`, for a frame that nobody waits for. */
  removeFrozen(frame: number): void {
    const mapping = this.#words.mappingIdOf(frame);
    const index = this.#words.indexOf(frame);
    for (let i = 0; i < limits.lookupRetriesMax; i++) {
      const found = this.find(mapping, index);
      assert(found === frame, "a page is found under its key until it is removed");
      const answer = this.#words.remove(frame, this.#frames.thread);
      if (answer === layout.OK) return;
      if (answer === layout.BUSY) while (this.#words.clearWaiters(frame) === layout.LOST);
    }
    throw new Error("a page could not be removed");
  }

  /**
   * The pages of a file in [first, last] that are in the cache, ascending. Costs a look-up a page, or one pass over all frames
   * where that is less.
   */
  residents(space: AddressSpace, first: number, last: number): Resident[] {
    const found: Resident[] = [];
    const left = space.residentPages;
    if (left === 0 || last < first) return found;
    if (last - first < this.#frames.count / 4) {
      for (let index = first; index <= last && found.length < left; index++) {
        const frame = this.find(space.id, index);
        if (frame >= 0) found.push({ frame, index });
      }
      return found;
    }
    let frame = this.#words.nextResident(space.id, first, last, 0);
    while (frame >= 0) {
      const index = this.#words.indexOf(frame) >>> 0;
      // Another page may have come into the frame since it was found.
      if (index >= first && index <= last) found.push({ frame, index });
      frame = this.#words.nextResident(space.id, first, last, frame + 1);
    }
    return found.sort((a, b) => a.index - b.index);
  }
}
