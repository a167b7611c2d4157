/**
 * S3-FIFO (Yang, Zhang, Qiu, Yue, Rashmi: "FIFO queues are all you need for cache eviction", SOSP 2023): a small queue for
 * newcomers, a main queue, and a ghost of what left the small one. A page met in the small queue that was used again moves
 * to the main one; in the main queue it goes round once for each use that was counted (at most 3, in the page word).
 *
 * Invariants: as in words/queues.ts. Each call does a bounded amount of work.
 */
import type { Frames } from "../frames/frames.js";
import * as layout from "../sync/layout.js";
import type { ReclaimPolicy } from "./policy.js";

/** Share of the pages on the queues that the small one may have before it is the one to give. */
const smallShare = 0.1;
/** Uses after the first that make a page of the small queue worth keeping. */
const keepUses = 2;

export class S3Fifo implements ReclaimPolicy {
  readonly name = "s3-fifo";
  readonly #frames: Frames;

  constructor(frames: Frames) {
    this.#frames = frames;
  }

  candidate(): { frame: number; list: number } | undefined {
    const small = this.#frames.listLength(layout.LIST_SMALL);
    const main = this.#frames.listLength(layout.LIST_MAIN);
    const first = small > (small + main) * smallShare || main === 0 ? layout.LIST_SMALL : layout.LIST_MAIN;
    for (const list of [first, first === layout.LIST_SMALL ? layout.LIST_MAIN : layout.LIST_SMALL]) {
      const frame = this.#frames.words.queueHead(list);
      if (frame >= 0) return { frame, list };
    }
    return undefined;
  }

  judge(frame: number, list: number): "evict" | "kept" {
    const uses = (this.#frames.words.highWord(frame) >>> (layout.FREQUENCY_SHIFT - 32)) & layout.FREQUENCY_MASK;
    if (list === layout.LIST_SMALL && uses >= keepUses) {
      this.#move(frame, list, layout.LIST_MAIN, 0);
      return "kept";
    }
    if (list === layout.LIST_MAIN && uses > 0) {
      this.#move(frame, list, layout.LIST_MAIN, uses - 1);
      return "kept";
    }
    return "evict";
  }

  evicted(mapping: number, index: number, list: number): void {
    if (list === layout.LIST_SMALL) this.#frames.words.ghostRemember(mapping, index);
  }

  #move(frame: number, from: number, to: number, uses: number): void {
    while (this.#frames.words.moveTo(frame, from, to, uses) === layout.LOST);
  }
}
