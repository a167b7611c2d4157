/**
 * The shared memory of one cache as one thread sees it: page bytes in one or more segments, page words in a memory of
 * their own, the words' module over it, and this thread's slot. `create` takes the memory; `attach` gives another thread the same.
 *
 * Invariants: all memory is taken in `create` and never grows. Frame f's bytes lie in segment f / framesPerSegment; a
 * segment begins page-aligned, so every frame does (O_DIRECT). Views of a frame are made when they are asked for; they do not pin.
 *
 * See also: plan.ts (the words memory), locks.ts (waiting).
 */
import { assert } from "../base/assert.js";
import { PinfoldError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import { newNumber } from "../base/random.js";
import { choosePlainViews, hasBarrier, lacking } from "../sync/barrier.js";
import * as layout from "../sync/layout.js";
import { SharedIntegers, sharedMemory } from "../sync/shared.js";
import { type Words, loadWords } from "../sync/words.js";
import { type FramePlan, planFrames } from "./plan.js";
import { ThreadTable } from "./threads.js";

const magic = 0x50464c44;
const layoutVersion = 2;
const touchBytes = 4096;

/** What another thread needs to use the same memory; can be posted to it. */
export interface FramesShare {
  readonly memoryBytes: number;
  readonly pageSize: number;
  readonly words: WebAssembly.Memory;
  readonly segments: readonly WebAssembly.Memory[];
}

export class Frames {
  readonly plan: FramePlan;
  readonly words: Words;
  readonly shared: SharedIntegers;
  readonly threads: ThreadTable;
  readonly pageSize: number;
  /** Frames that hold pages. */
  readonly count: number;
  /** This thread's slot. */
  readonly thread: number;
  readonly wordsMemory: WebAssembly.Memory;
  readonly segments: readonly WebAssembly.Memory[];
  readonly framesPerSegment: number;
  /** Which build of the mapped views' windows all threads of the cache use (sync/view-window.ts). */
  readonly hasPlainViews: boolean;
  readonly #buffers: readonly SharedArrayBuffer[];
  readonly #bytes: readonly Uint8Array[];

  private constructor(
    plan: FramePlan,
    wordsMemory: WebAssembly.Memory,
    segments: readonly WebAssembly.Memory[],
    isNew: boolean,
  ) {
    this.plan = plan;
    this.shared = new SharedIntegers(wordsMemory);
    this.threads = new ThreadTable(this.shared);
    // All that may fail for want of memory or descriptors comes before the slot is taken, which nobody else would give back.
    this.words = loadWords(wordsMemory);
    if (isNew) this.#initialise(new Uint32Array(wordsMemory.buffer));
    this.thread = this.threads.claim();
    this.hasPlainViews = this.shared.load(layout.HEADER_PLAIN_VIEWS) === 1;
    this.pageSize = plan.pageSize;
    this.count = plan.frames;
    this.wordsMemory = wordsMemory;
    this.segments = segments;
    this.framesPerSegment = limits.segmentBytesMax / plan.pageSize;
    this.#buffers = segments.map((memory) => memory.buffer);
    this.#bytes = this.#buffers.map((buffer) => new Uint8Array(buffer));
    const { records, buckets, links, blocks, ghosts, ledger, transfers, transits } = plan;
    this.words.configure(plan.frames, records, buckets, links, blocks, ghosts, ledger, transfers, transits);
  }

  /**
   * Takes the memory and sets all words. `preTouch` touches every page now: memory that the system cannot give is missed
   * here and not at some later access.
   * @throws PinfoldError ENOMEM, EMFILE
   */
  static create(memoryBytes: number, pageSize: number, preTouch: boolean): Frames {
    const plan = planFrames(memoryBytes, pageSize);
    const all = plan.frames + plan.snapshots;
    const perSegment = limits.segmentBytesMax / pageSize;
    const segments: WebAssembly.Memory[] = [];
    let wordsMemory: WebAssembly.Memory;
    try {
      wordsMemory = sharedMemory(plan.bytes);
      for (let from = 0; from < all; from += perSegment) {
        segments.push(sharedMemory(Math.min(perSegment, all - from) * pageSize));
      }
    } catch (error) {
      throw new PinfoldError("ENOMEM", `the system did not give ${memoryBytes} bytes for pages`, { cause: error });
    }
    const frames = new Frames(plan, wordsMemory, segments, true);
    if (preTouch) frames.#touch(all * pageSize);
    return frames;
  }

  /**
   * The same memory in another thread, in a slot of its own.
   * @throws PinfoldError EINVAL for what is no share of this version; ERR_PINFOLD_TOO_MANY; EMFILE; ENOMEM; ENOTSUP where this thread cannot call
   * what the cache's mapped views need
   */
  static attach(share: FramesShare): Frames {
    const plan = planOf(share);
    if (!plan) throw new PinfoldError("EINVAL", "the share is not of a cache of this version of Pinfold");
    const header = new Int32Array(share.words.buffer);
    if (header[layout.HEADER_PLAIN_VIEWS >> 2] === 1 && !hasBarrier()) throw lacking();
    return new Frames(plan, share.words, share.segments, false);
  }

  /** For base/load-guard.ts. */
  loadingWord(): Int32Array {
    return new Int32Array(this.wordsMemory.buffer, layout.HEADER_LOADING, 1);
  }

  /** For `attach`. */
  share(memoryBytes: number): FramesShare {
    return { memoryBytes, pageSize: this.pageSize, words: this.wordsMemory, segments: this.segments };
  }

  /** Sets the words of a memory that nobody else sees yet; plain stores will do. */
  #initialise(words: Uint32Array): void {
    const { plan } = this;
    words[layout.HEADER_MAGIC >> 2] = magic;
    words[layout.HEADER_VERSION >> 2] = layoutVersion;
    words[layout.HEADER_FRAMES >> 2] = plan.frames;
    words[layout.HEADER_PAGE_SIZE >> 2] = plan.pageSize;
    words[layout.HEADER_CREDITS >> 2] = plan.frames;
    words[layout.HEADER_CACHE >> 2] = newNumber();
    words[layout.HEADER_PLAIN_VIEWS >> 2] = choosePlainViews() ? 1 : 0;
    this.#chain(words, layout.LIST_FREE, 0, plan.frames);
    this.#chain(words, layout.LIST_SNAPSHOT, plan.frames, plan.snapshots);
    for (let frame = 0; frame < plan.frames + plan.snapshots; frame++) {
      const record = (layout.RECORDS + frame * 2 ** layout.RECORD_SHIFT) >> 2;
      words[record] = frame < plan.frames ? layout.STATE_FREE : layout.STATE_SNAPSHOT;
      words[record + (layout.RECORD_VERSION >> 2)] = 1;
    }
    for (let node = 0; node < layout.NODES_MAX; node++) {
      words[(layout.NODES + node * layout.NODE_BYTES + layout.NODE_NEXT) >> 2] =
        node + 1 < layout.NODES_MAX ? node + 2 : 0;
    }
    words[layout.HEADER_NODES_FREE >> 2] = 1;
    for (let lock = plan.locksFrom; lock < plan.records; lock++) {
      const mapping = Math.floor((lock - plan.locksFrom) / layout.LOCKS_PER_MAPPING);
      const record = (layout.RECORDS + lock * 2 ** layout.RECORD_SHIFT) >> 2;
      words[record] = layout.STATE_MAPPED;
      words[record + 1] = 1 << (layout.UPTODATE_BIT - 32);
      words[record + (layout.RECORD_INDEX >> 2)] = (lock - plan.locksFrom) % layout.LOCKS_PER_MAPPING;
      words[record + (layout.RECORD_MAPPING >> 2)] = mapping;
    }
  }

  /** Links `count` frames from `first` into a list. */
  #chain(words: Uint32Array, list: number, first: number, count: number): void {
    const head = (layout.HEADER_LISTS + list * 16) >> 2;
    words[head] = first + 1;
    words[head + 1] = first + count;
    words[head + 2] = count;
    for (let frame = first; frame < first + count; frame++) {
      const link = (this.plan.links + frame * 8) >> 2;
      words[link] = ((list << layout.LINK_LIST_SHIFT) | (frame === first ? 0 : frame)) >>> 0;
      words[link + 1] = frame + 1 === first + count ? 0 : frame + 2;
    }
  }

  #touch(bytes: number): void {
    for (const segment of this.#bytes) {
      const end = Math.min(segment.length, bytes);
      for (let at = 0; at < end; at += touchBytes) segment[at] = 0;
    }
  }

  /** The bytes of a whole frame: a view of the cache itself, valid as long as the caller holds the frame. */
  bytes(frame: number): Uint8Array {
    return this.slice(frame, 0, this.pageSize);
  }

  /** A part of a frame's bytes. */
  slice(frame: number, from: number, to: number): Uint8Array {
    assert(from >= 0 && from <= to && to <= this.pageSize, "a slice lies within its page");
    const buffer = this.#buffers[Math.floor(frame / this.framesPerSegment)] as SharedArrayBuffer;
    return new Uint8Array(buffer, (frame % this.framesPerSegment) * this.pageSize + from, to - from);
  }

  /** The whole segment that holds `frame`. */
  segment(frame: number): Uint8Array {
    return this.#bytes[Math.floor(frame / this.framesPerSegment)] as Uint8Array;
  }

  /** Where `frame` begins in its segment. */
  offset(frame: number): number {
    return (frame % this.framesPerSegment) * this.pageSize;
  }

  /** The record of a mapping's resize mutex or invalidate lock. */
  lockRecord(mapping: number, which: number): number {
    return this.plan.locksFrom + mapping * layout.LOCKS_PER_MAPPING + which;
  }

  /** Sum over one header counter. */
  counter(address: number): number {
    return this.shared.load(address);
  }

  /** Frames on one of the cache-wide lists. */
  listLength(list: number): number {
    return this.shared.load(layout.HEADER_LISTS + list * 16 + 8);
  }
}

/** Where everything lies in the memory of a share; undefined where the memory is not what the share says, or of another version. */
function planOf(share: FramesShare | undefined): FramePlan | undefined {
  const { memoryBytes = 0, pageSize = 0, words, segments } = share ?? ({} as Partial<FramesShare>);
  const isMemory = (memory: unknown) => memory instanceof WebAssembly.Memory;
  if (!words || !isMemory(words) || !Array.isArray(segments) || !segments.every(isMemory)) return undefined;
  const header = new Int32Array(words.buffer, 0, layout.HEADER_BYTES >> 2);
  if (header[layout.HEADER_MAGIC >> 2] !== magic || header[layout.HEADER_VERSION >> 2] !== layoutVersion)
    return undefined;
  if (pageSize !== header[layout.HEADER_PAGE_SIZE >> 2] || !isMemorySize(memoryBytes, pageSize)) return undefined;
  const plan = planFrames(memoryBytes, pageSize);
  const bytes = segments.reduce((sum, { buffer }: WebAssembly.Memory) => sum + buffer.byteLength, 0);
  const isWhole = words.buffer.byteLength >= plan.bytes && bytes >= (plan.frames + plan.snapshots) * pageSize;
  return isWhole && header[layout.HEADER_FRAMES >> 2] === plan.frames ? plan : undefined;
}

function isMemorySize(bytes: unknown, pageSize: number): bytes is number {
  return Number.isSafeInteger(bytes) && (bytes as number) >= limits.framesMin * pageSize;
}
