/**
 * The address space of one open file: its slot in shared memory, as this thread sees it, and its store.
 *
 * Invariants: a slot is open from the first opener's open to the last one's close, in whichever threads; its generation tells one
 * use from the next. The size is in shared memory; whoever changes it holds the resize mutex. `changes` counts what only a store
 * sync makes durable; `durable` is its value that the last good store sync covered: they are equal when nothing is left to sync.
 * Nothing that another thread has to know stands in this object itself.
 *
 * See also: directory.ts (slots, openers), sync/layout.ts (MAPPING_...).
 */
import type { ErrorCode, PinfoldError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { Frames } from "../frames/frames.js";
import type { Store } from "../store/contract.js";
import * as layout from "../sync/layout.js";
import { type SpaceCounters, ThreadCounters } from "./counters.js";

/** Where these stand in a mapping's first line of words. */
const stateAt = layout.MAPPING_STATE >> 2;
const generationAt = layout.MAPPING_GENERATION >> 2;
const lineWords = 16;

/** What a storage may fail with, as others are told of it by number. */
const storageErrors: readonly ErrorCode[] = ["EIO", "ENOSPC", "EROFS", "EFBIG", "ESTALE", "EACCES", "ENOMEM"];

export type Durability = "device" | "kernel";

export class AddressSpace {
  readonly id: number;
  /** Of the slot: another one means that the file was closed, and the slot is another file's. */
  readonly generation: number;
  readonly store: Store;
  readonly pageSize: number;
  readonly readOnly: boolean;
  readonly durability: Durability;
  /** The store is in another thread, which is asked; `store` only knows its name, key and capabilities. */
  readonly isRemote: boolean;
  /** What this thread counts; stats() adds up those of all threads. */
  readonly counters: SpaceCounters;
  /** Set while this thread's background write-back waits after an error. */
  retryAtMs = 0;
  retryDelayMs = 0;
  /** What the last write-back or store sync of this thread that failed failed with. */
  lastError: PinfoldError | undefined;
  /** Under "kernel" durability: data that the store lost after the cache had let it go, as far as this thread was told. */
  dataLost: PinfoldError | undefined;
  readonly #frames: Frames;
  readonly #base: number;
  /** What every access looks at; without #, for V8's inlining (as in mapping/view-tlb.ts). */
  declare private readonly line: Int32Array;

  constructor(
    id: number,
    frames: Frames,
    store: Store,
    options: { readOnly: boolean; durability: Durability; isRemote: boolean },
  ) {
    this.id = id;
    this.#frames = frames;
    this.#base = layout.MAPPINGS + id * layout.MAPPING_BYTES;
    this.line = frames.shared.peekable(this.#base, lineWords);
    this.store = store;
    this.pageSize = frames.pageSize;
    this.readOnly = options.readOnly;
    this.durability = options.durability;
    this.isRemote = options.isRemote;
    this.counters = new ThreadCounters(frames, id);
    this.generation = this.#get(layout.MAPPING_GENERATION);
  }

  #get(offset: number): number {
    return this.#frames.shared.load(this.#base + offset);
  }

  #set(offset: number, value: number): void {
    this.#frames.shared.store(this.#base + offset, value);
  }

  /** A size or position in two words. Only where one lock guards both. */
  #setWide(offset: number, value: number): void {
    this.#set(offset, (value % 2 ** 32) | 0);
    this.#set(offset + 4, Math.floor(value / 2 ** 32));
  }

  #getWide(offset: number): number {
    return this.#get(offset + 4) * 2 ** 32 + (this.#get(offset) >>> 0);
  }

  /** True from the moment when the file begins to close, and for ever after. */
  get closing(): boolean {
    const { line } = this;
    return line[stateAt] !== layout.MAPPING_OPEN || line[generationAt] !== this.generation;
  }

  /**
   * The slot is not this file's any more. Asked after a page lock was taken: while it is this file's, and the page is locked, the
   * file cannot finish closing.
   */
  get isStale(): boolean {
    const { line } = this;
    return line[generationAt] !== this.generation || (line[stateAt] as number) <= layout.MAPPING_OPENING;
  }

  /** One of layout's MAPPING_FREE, ... */
  get state(): number {
    return this.#get(layout.MAPPING_STATE);
  }

  /** Bytes of the file. */
  get size(): number {
    return this.#frames.words.sizeOf(this.id);
  }

  /** Publishes a new size. The caller holds the resize mutex. */
  publishSize(bytes: number): void {
    this.#frames.words.setSize(this.id, bytes);
  }

  /** What is under way with the size: one of layout's CUT_ numbers (mapping/truncate.ts, punch.ts). */
  get cutPhase(): number {
    return this.#get(layout.MAPPING_PHASE) & layout.CUT_MASK;
  }

  /** The caller holds the resize mutex, or cleans up after who had it. */
  setCutPhase(phase: number): void {
    const before = this.#get(layout.MAPPING_PHASE) & ~layout.CUT_MASK;
    this.#set(layout.MAPPING_PHASE, (before + layout.CUT_STEP) | phase);
  }

  /** The size that is published next may be taken back; this one stands beside it. */
  beginCut(): void {
    this.#setWide(layout.MAPPING_OLD_SIZE, this.size);
    this.setCutPhase(layout.CUT_UNDOABLE);
  }

  /** The size to go back to. */
  get oldSize(): number {
    return this.#getWide(layout.MAPPING_OLD_SIZE);
  }

  /** A punch of [from, to) is under way: whoever finds its thread dead does it again. */
  beginPunch(from: number, to: number): void {
    this.#setWide(layout.MAPPING_HOLE_FROM, from);
    this.#setWide(layout.MAPPING_HOLE_TO, to);
    this.setCutPhase(layout.CUT_PUNCH);
  }

  get hole(): { readonly from: number; readonly to: number } {
    return { from: this.#getWide(layout.MAPPING_HOLE_FROM), to: this.#getWide(layout.MAPPING_HOLE_TO) };
  }

  /**
   * What write-back may write: up to the end, or, while a cut can be undone, up to the end that would come back. Guard of C28: the size
   * is of one phase, or a page that comes back would be taken for written. The caller holds the invalidate lock.
   */
  get writableEnd(): number {
    for (let tries = 0; tries < limits.swapRetriesMax; tries++) {
      const before = this.#get(layout.MAPPING_PHASE);
      const now = this.size;
      const end = (before & layout.CUT_MASK) === layout.CUT_UNDOABLE ? Math.max(now, this.oldSize) : now;
      if (this.#get(layout.MAPPING_PHASE) === before) return end;
    }
    throw new Error("the file's size keeps changing");
  }

  /** Whether the store may be longer than the file: one of layout's CUT_DUE numbers. */
  get cutDue(): number {
    return this.#get(layout.MAPPING_CUT_DUE);
  }

  set cutDue(due: number) {
    this.#set(layout.MAPPING_CUT_DUE, due);
  }

  /** What only a store sync makes durable has happened once more. Counts modulo 2^32. */
  noteChange(): void {
    this.#frames.shared.add(this.#base + layout.MAPPING_CHANGES, 1);
  }

  get changes(): number {
    return this.#get(layout.MAPPING_CHANGES);
  }

  /** True where a good store sync began after `changes` had that value. `data`: a sync of data alone suffices. */
  isDurable(changes: number, data: boolean): boolean {
    return ((this.#get(data ? layout.MAPPING_DURABLE : layout.MAPPING_DURABLE_WHOLE) - changes) | 0) >= 0;
  }

  /** A store sync that began at `changes` was good. The caller holds the sync lock. */
  noteDurable(changes: number, data: boolean): void {
    this.#set(layout.MAPPING_DURABLE, changes);
    if (!data) this.#set(layout.MAPPING_DURABLE_WHOLE, changes);
  }

  /** Store syncs that have failed, in all threads. */
  get syncErrors(): number {
    return this.#get(layout.MAPPING_SYNC_ERRORS);
  }

  noteSyncError(): void {
    this.#frames.shared.add(this.#base + layout.MAPPING_SYNC_ERRORS, 1);
  }

  /** The epoch of the store sync that is on its way, or -1. */
  get syncing(): number {
    return this.#get(layout.MAPPING_SYNCING) - 1;
  }

  set syncing(epoch: number) {
    this.#set(layout.MAPPING_SYNCING, epoch + 1);
  }

  /** Pages that are dirty again since their write failed, in all threads: counted by the step that moves them. */
  get writeErrors(): number {
    return this.#get(layout.MAPPING_WRITE_ERRORS);
  }

  /**
   * What write-back, or the store's sync, failed with last, in whichever thread, if nothing has been taken since. A file whose storage
   * stays so keeps its pages, and gets no new ones at the dirty limit (mapping/throttle.ts).
   */
  get failingWith(): ErrorCode | undefined {
    return storageErrors[this.#get(layout.MAPPING_FAILING) - 1];
  }

  noteFailing(error: PinfoldError): void {
    const number = storageErrors.indexOf(error.code);
    // Not the storage's: a lock that could not be had, say.
    if (number < 0) return;
    this.lastError = error;
    this.#set(layout.MAPPING_FAILING, 1 + number);
  }

  /** The storage has taken what was dirty, or made durable what it had. */
  noteTaken(): void {
    this.retryAtMs = 0;
    this.retryDelayMs = 0;
    if (this.#get(layout.MAPPING_FAILING) !== 0) this.#set(layout.MAPPING_FAILING, 0);
  }

  /** Keeps new pages of [first, last] out until `untilMs` of the shared clock: a punch that could not catch up with readers. */
  closeGate(first: number, last: number, untilMs: number): void {
    this.#set(layout.MAPPING_GATE_FIRST, first | 0);
    this.#set(layout.MAPPING_GATE_LAST, last | 0);
    this.#set(layout.MAPPING_GATE_UNTIL, Math.floor(untilMs) | 1);
  }

  openGate(): void {
    this.#set(layout.MAPPING_GATE_UNTIL, 0);
  }

  /** How long a page has to stay out yet; 0: it may come. */
  gateLeftMs(index: number, nowMs: () => number): number {
    const until = this.#get(layout.MAPPING_GATE_UNTIL);
    if (until === 0) return 0;
    if (index < this.#get(layout.MAPPING_GATE_FIRST) >>> 0 || index > this.#get(layout.MAPPING_GATE_LAST) >>> 0)
      return 0;
    return Math.max(0, (until - Math.floor(nowMs())) | 0);
  }

  get residentPages(): number {
    return this.#get(layout.MAPPING_RESIDENT);
  }

  get dirtyPages(): number {
    return this.#get(layout.MAPPING_DIRTY);
  }

  get writebackPages(): number {
    return this.#get(layout.MAPPING_WRITEBACK);
  }

  get unstablePages(): number {
    return this.#get(layout.MAPPING_UNSTABLE);
  }

  /** How often data was lost (dataLost): each opener compares it with what it has been told (errseq). */
  get losses(): number {
    return this.#get(layout.MAPPING_ERRSEQ);
  }

  noteLoss(): void {
    this.#frames.shared.add(this.#base + layout.MAPPING_ERRSEQ, 1);
  }

  /** The page that holds `position`. */
  pageOf(position: number): number {
    return Math.floor(position / this.pageSize);
  }

  get resizeLock(): number {
    return this.#frames.lockRecord(this.id, layout.LOCK_RESIZE);
  }

  get invalidateLock(): number {
    return this.#frames.lockRecord(this.id, layout.LOCK_INVALIDATE);
  }

  get walkLock(): number {
    return this.#frames.lockRecord(this.id, layout.LOCK_WALK);
  }

  get syncLock(): number {
    return this.#frames.lockRecord(this.id, layout.LOCK_SYNC);
  }
}
