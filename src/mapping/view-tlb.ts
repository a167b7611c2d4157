/**
 * The translation table of a file's mapped views in one thread, as a processor's TLB: where in memory a page is, and what a
 * view may do there. A fixed number of entries, each for the pages of one residue; nothing is registered with anybody. Whoever
 * takes a page away changes its frame's view word, and the entry's stamp no longer fits (sync/view-window.ts).
 *
 * A load: `find` answers an offset in `bytes`; the caller reads there, and believes what he read where `holds` says so, else
 * begins again. A store: `open` answers an offset, the caller writes there, then `close`. Between these he does nothing else.
 * What crosses two pages goes by way of a few bytes of this thread's own; a store then has both pages before it writes either.
 *
 * Invariants: an entry is four words: page (its low 32 bits, which are all of it), frame, stamp, how many bytes may be touched;
 * an empty one allows none. An offset that was answered lies within `bytes`, whatever becomes of the page meanwhile.
 *
 * See also: view-fault.ts (what happens on a miss).
 */
import { limits } from "../base/limits.js";
import type { AddressSpace } from "../cache/space.js";
import * as layout from "../sync/layout.js";
import { type ViewWindow, viewWindow } from "../sync/view-window.js";
import type { Core } from "./core.js";
import { outOfRange } from "./fault.js";
import { type Sight, faultForLoad, faultForStore, lookUp } from "./view-fault.js";

const pageAt = 0;
const frameAt = 1;
const stampAt = 2;
const allowedAt = 3;
const entryShift = 2;
/** No frame has this number: the current segment is none. */
const noFrame = 2 ** 30;
const wideBytes = 8;

export class ViewTlb {
  /** Holds what the offset was last answered for. */
  declare bytes: DataView;
  readonly #core: Core;
  readonly #space: AddressSpace;
  /** Throws where the opener that the views belong to was closed. */
  readonly #check: () => void;
  readonly #segments: readonly DataView[];
  /** An entry behind the others, of a record that is no page and never changes: for what does not lie in a page. */
  readonly #constantEntry: number;
  readonly #sight: Sight = { frame: 0, stamp: 0, isWritable: false, inFile: 0, granted: 0 };
  readonly #own = new DataView(new ArrayBuffer(wideBytes));
  #crossingAt = 0;
  /** False while two pages are wanted together: to make room for one of them could take the other one away. */
  #makesRoom = true;
  // What each access uses. Without #, since V8 inlines by the length of the bytecode and a private name takes more of it; and only
  // declared, since a field that begins as undefined could hold anything for all that V8 knows.
  declare private readonly window: ViewWindow;
  declare private readonly entries: Int32Array;
  declare private readonly mask: number;
  declare private readonly pageSize: number;
  declare private readonly perByte: number;
  declare private readonly offsetMask: number;
  declare private readonly framesPerSegment: number;
  /** The first frame of the segment that `bytes` is. */
  private firstFrame = 0;
  /** What the last find went by. */
  private entry = 0;
  /** A store of so many bytes across two pages is open. */
  private crossing = 0;

  constructor(core: Core, space: AddressSpace, check: () => void) {
    const { frames } = core;
    this.#core = core;
    this.#space = space;
    this.#check = check;
    this.window = viewWindow(frames.wordsMemory, frames.thread, frames.hasPlainViews);
    this.#segments = frames.segments.map(({ buffer }) => new DataView(buffer));
    this.bytes = this.#segments[0] as DataView;
    const count = 2 ** Math.ceil(Math.log2(Math.min(frames.count, limits.viewEntriesMax)));
    this.mask = count - 1;
    this.#constantEntry = count << entryShift;
    this.entries = new Int32Array((count + 1) << entryShift);
    this.entries[this.#constantEntry + frameAt] = frames.plan.poolRecord;
    this.entries[this.#constantEntry + stampAt] = frames.words.viewOf(frames.plan.poolRecord) | layout.VIEW_WRITABLE;
    this.pageSize = frames.pageSize;
    this.perByte = 1 / frames.pageSize;
    this.offsetMask = frames.pageSize - 1;
    this.framesPerSegment = frames.framesPerSegment;
  }

  /** Forgets all entries: the next access of each page looks it up, and is told if the file was closed. */
  clear(): void {
    this.entries.fill(0, 0, this.#constantEntry);
  }

  /**
   * Where in `bytes` to load `width` bytes, 8 at most, of the file's `position`.
   * @throws PinfoldError EBADF, ERR_PINFOLD_OUT_OF_RANGE, EIO, EDEADLK, ERR_PINFOLD_NO_FRAMES
   */
  find(position: number, width: number): number {
    // In whole numbers of 32 bits: a file has no more pages than that has values, and a page fewer bytes.
    const page = (position * this.perByte) | 0;
    const offset = (position | 0) & this.offsetMask;
    const { entries } = this;
    const entry = (page & this.mask) << entryShift;
    if (entries[entry + pageAt] === page && offset + width <= (entries[entry + allowedAt] as number)) {
      const inSegment = (entries[entry + frameAt] as number) - this.firstFrame;
      if (inSegment >>> 0 < this.framesPerSegment) {
        this.entry = entry;
        return inSegment * this.pageSize + offset;
      }
    }
    return this.#slowly(Math.trunc(position), width, false);
  }

  /** True where `value`, which was read where `find` said, is what the file has there. False: `forget`, and find it again. */
  holds(value: number): boolean {
    const { entries, entry } = this;
    return this.window.holds(entries[entry + frameAt] as number, entries[entry + stampAt] as number, value);
  }

  /** As holds, for a value of 64 bits. */
  holdsWide(value: bigint): boolean {
    const { entries, entry } = this;
    return this.window.holdsWide(entries[entry + frameAt] as number, entries[entry + stampAt] as number, value);
  }

  /** What the last find went by is no longer true. */
  forget(): void {
    this.entries[this.entry + allowedAt] = 0;
  }

  /**
   * Where in `bytes` to store `width` bytes, 8 at most, of the file's `position`. The caller stores, and calls `close`.
   * @throws PinfoldError as find; EROFS, ENOSPC. Nothing is open then.
   */
  open(position: number, width: number): number {
    const page = (position * this.perByte) | 0;
    const offset = (position | 0) & this.offsetMask;
    const { entries } = this;
    const entry = (page & this.mask) << entryShift;
    if (entries[entry + pageAt] === page && offset + width <= (entries[entry + allowedAt] as number)) {
      const frame = entries[entry + frameAt] as number;
      const inSegment = frame - this.firstFrame;
      if (inSegment >>> 0 < this.framesPerSegment) {
        if (this.window.enter(frame, entries[entry + stampAt] as number)) return inSegment * this.pageSize + offset;
        this.window.leave();
      }
    }
    return this.#slowly(Math.trunc(position), width, true);
  }

  /** The store that `open` has opened was made. @throws PinfoldError as open, where it crosses two pages: nothing is stored then */
  close(): void {
    if (this.crossing === 0) this.window.leave();
    else this.#storeAcross();
  }

  /**
   * As find or open, with a look, and a fault where the look does not allow the access. In one piece for both, and so too long to be inlined:
   * V8 takes up to 460 bytes of its bytecode, and what this would be a part of would be too long itself then.
   */
  #slowly(position: number, width: number, isStore: boolean): number {
    const sight = this.#sight;
    const index = Math.floor(position * this.perByte);
    const start = index * this.pageSize;
    const end = position - start + width;
    if (end > this.pageSize) {
      if (!isStore) return this.#gather(position, width);
      this.crossing = width;
      this.#crossingAt = position;
      return this.#useOwn();
    }
    for (let tries = 0; tries < limits.lookupRetriesMax; tries++) {
      this.#check();
      const isThere = lookUp(this.#core, this.#space, index, sight);
      if (!isStore) {
        if (!isThere) {
          faultForLoad(this.#core, this.#space, index);
          continue;
        }
        if (end > sight.inFile) throw outOfRange(this.#space, position + width - 1);
      } else if (!isThere || !sight.isWritable || end > sight.granted) {
        if (start + end > this.#space.size) throw outOfRange(this.#space, position + width - 1);
        faultForStore(this.#core, this.#space, index, sight, this.#makesRoom);
        if (end > sight.granted) throw outOfRange(this.#space, position + width - 1);
      }
      const page = index | 0;
      const entry = (page & this.mask) << entryShift;
      this.entries[entry + pageAt] = page;
      this.entries[entry + frameAt] = sight.frame;
      this.entries[entry + stampAt] = sight.stamp;
      this.entries[entry + allowedAt] = Math.min(sight.inFile, sight.granted);
      this.entry = entry;
      const segment = Math.floor(sight.frame / this.framesPerSegment);
      this.firstFrame = (segment * this.framesPerSegment) | 0;
      this.bytes = this.#segments[segment] as DataView;
      const at = (sight.frame - this.firstFrame) * this.pageSize + end - width;
      if (!isStore || this.window.enter(sight.frame, sight.stamp)) return at;
      this.window.leave();
    }
    throw keptChanging();
  }

  /** The bytes of a load that crosses two pages, one after the other. */
  #gather(position: number, width: number): number {
    for (let done = 0, tries = 0; done < width; tries++) {
      if (tries > limits.lookupRetriesMax) throw keptChanging();
      const at = this.find(position + done, 1);
      const value = this.bytes.getUint8(at);
      if (this.holds(value)) this.#own.setUint8(done++, value);
      else this.forget();
    }
    return this.#useOwn();
  }

  /** Rule 16: both pages are there, and both windows open, before either page is written. */
  #storeAcross(): void {
    const width = this.crossing;
    const position = this.#crossingAt;
    this.crossing = 0;
    const index = Math.floor(position * this.perByte);
    const before = (index + 1) * this.pageSize - position;
    for (let tries = 0; tries < limits.lookupRetriesMax; tries++) {
      const firstAt = this.#place(position, before, tries === 0);
      const firstBytes = this.bytes;
      const secondAt = this.#place(position + before, width - before, tries === 0);
      const secondBytes = this.bytes;
      if (this.#enterBoth(index)) {
        for (let at = 0; at < before; at++) firstBytes.setUint8(firstAt + at, this.#own.getUint8(at));
        for (let at = before; at < width; at++) secondBytes.setUint8(secondAt + at - before, this.#own.getUint8(at));
        this.window.leaveBoth();
        return;
      }
      this.window.leaveBoth();
    }
    throw keptChanging();
  }

  /** Where to store, as open, with the window shut again. */
  #place(position: number, width: number, makesRoom: boolean): number {
    this.#makesRoom = makesRoom;
    try {
      return this.open(position, width);
    } finally {
      this.window.leave();
      this.#makesRoom = true;
    }
  }

  /** Opens the windows of a page and of the next one, as their entries have them. */
  #enterBoth(index: number): boolean {
    const { entries } = this;
    const first = (index & this.mask) << entryShift;
    const second = ((index + 1) & this.mask) << entryShift;
    return this.window.enterBoth(
      entries[first + frameAt] as number,
      entries[first + stampAt] as number,
      entries[second + frameAt] as number,
      entries[second + stampAt] as number,
    );
  }

  /** Copies bytes of the file into `target`. @throws PinfoldError as find; pages before the one that failed were copied */
  read(target: Uint8Array, position: number): void {
    for (let done = 0, tries = 0; done < target.length; tries++) {
      if (tries > limits.lookupRetriesMax) throw keptChanging();
      const count = Math.min(target.length - done, this.pageSize - ((position + done) % this.pageSize));
      const at = this.find(position + done, count);
      target.set(this.#segmentBytes().subarray(at, at + count), done);
      if (this.holds(target[done] as number)) {
        done += count;
        tries = 0;
      } else {
        this.forget();
      }
    }
  }

  /** Copies `source` into the file. @throws PinfoldError as open; pages before the one that failed were written */
  write(source: Uint8Array, position: number): void {
    for (let done = 0; done < source.length; ) {
      const count = Math.min(source.length - done, this.pageSize - ((position + done) % this.pageSize));
      const piece = source.subarray(done, done + count);
      const at = this.open(position + done, count);
      try {
        this.#segmentBytes().set(piece, at);
      } finally {
        this.close();
      }
      done += count;
    }
  }

  /** The same memory as `bytes`, where that is a segment. */
  #segmentBytes(): Uint8Array {
    return this.#core.frames.segment(this.firstFrame);
  }

  #useOwn(): number {
    this.firstFrame = noFrame;
    this.entry = this.#constantEntry;
    this.bytes = this.#own;
    return 0;
  }
}

function keptChanging(): Error {
  return new Error("a page was taken away as often as it was looked up");
}
