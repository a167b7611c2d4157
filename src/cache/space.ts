/**
 * The address space of one open file: its slot in shared memory and its store, with what this thread knows beside them.
 *
 * Invariants: `id` is taken from open to close and names the slot. The size is in shared memory; whoever changes it holds
 * the resize mutex. `changes` counts what only a store sync makes durable; `durable` is its value that the last good store
 * sync covered: they are equal when nothing is left to sync.
 */
import type { PinfoldError } from "../base/errors.js";
import type { Frames } from "../frames/frames.js";
import type { Store } from "../store/contract.js";
import * as layout from "../sync/layout.js";

export type Durability = "device" | "kernel";

export interface SpaceCounters {
  hits: number;
  misses: number;
  reads: number;
  writes: number;
  readBytes: number;
  writtenBytes: number;
  writeErrors: number;
  healedErrors: number;
  syncs: number;
  syncErrors: number;
}

export class AddressSpace {
  readonly id: number;
  readonly store: Store;
  readonly pageSize: number;
  readonly readOnly: boolean;
  readonly durability: Durability;
  /** Runs on their way to the store; each settles without error. */
  readonly inFlight = new Set<Promise<void>>();
  /** The pages of these runs. */
  readonly departed = new Set<{ readonly frame: number; readonly index: number }>();
  readonly counters: SpaceCounters = {
    hits: 0,
    misses: 0,
    reads: 0,
    writes: 0,
    readBytes: 0,
    writtenBytes: 0,
    writeErrors: 0,
    healedErrors: 0,
    syncs: 0,
    syncErrors: 0,
  };
  changes = 0;
  durable = 0;
  /** The same for a sync of everything, metadata that nobody needs to read the data back included. */
  durableWhole = 0;
  /** Set while background write-back waits after an error. */
  retryAtMs = 0;
  retryDelayMs = 0;
  /** What the last store sync that failed failed with. */
  lastError: PinfoldError | undefined;
  /** Under "kernel" durability: data that the store lost after the cache had let it go. */
  dataLost: PinfoldError | undefined;
  /** The store is still longer than this: a truncate whose last step failed, tried again before anything depends on it. */
  pendingTruncate: number | undefined;
  /** Keeps new pages of [first, last] out until `opened` resolves: a punch that could not catch up with readers. */
  gate: { readonly first: number; readonly last: number; readonly opened: Promise<void> } | undefined;
  /** Closing: no new work is taken. */
  closing = false;
  readonly #frames: Frames;

  constructor(id: number, frames: Frames, store: Store, options: { readOnly: boolean; durability: Durability }) {
    this.id = id;
    this.#frames = frames;
    this.store = store;
    this.pageSize = frames.pageSize;
    this.readOnly = options.readOnly;
    this.durability = options.durability;
    frames.words.setSize(id, store.sizeBytes);
    this.setCutPhase(0);
    this.losses = 0;
  }

  /** Bytes of the file. */
  get size(): number {
    return this.#frames.words.sizeOf(this.id);
  }

  /** Publishes a new size. The caller holds the resize mutex. */
  publishSize(bytes: number): void {
    this.#frames.words.setSize(this.id, bytes);
  }

  #count(offset: number): number {
    return this.#frames.shared.load(this.#at(offset));
  }

  #at(offset: number): number {
    return layout.MAPPINGS + this.id * layout.MAPPING_BYTES + offset;
  }

  /** Phase of a cut: 0 none, 1 it can be undone, 2 it has to be finished (mapping/truncate.ts). */
  get cutPhase(): number {
    return this.#count(layout.MAPPING_PHASE);
  }

  /** Phase 1: the size that is published next may be taken back; this one stands beside it. */
  beginCut(): void {
    const { shared } = this.#frames;
    shared.store(this.#at(layout.MAPPING_OLD_SIZE), (this.size % 2 ** 32) | 0);
    shared.store(this.#at(layout.MAPPING_OLD_SIZE) + 4, Math.floor(this.size / 2 ** 32));
    shared.store(this.#at(layout.MAPPING_PHASE), 1);
  }

  setCutPhase(phase: 0 | 2): void {
    this.#frames.shared.store(this.#at(layout.MAPPING_PHASE), phase);
  }

  /** What write-back may write: up to the end, or, while a cut can be undone, up to the end that would come back. */
  get writableEnd(): number {
    if (this.cutPhase !== 1) return this.size;
    const low = this.#count(layout.MAPPING_OLD_SIZE) >>> 0;
    return this.#count(layout.MAPPING_OLD_SIZE + 4) * 2 ** 32 + low;
  }

  get residentPages(): number {
    return this.#count(layout.MAPPING_RESIDENT);
  }

  get dirtyPages(): number {
    return this.#count(layout.MAPPING_DIRTY);
  }

  get writebackPages(): number {
    return this.#count(layout.MAPPING_WRITEBACK);
  }

  get unstablePages(): number {
    return this.#count(layout.MAPPING_UNSTABLE);
  }

  /** How often data was lost (dataLost), in shared memory: each opener compares it with what it has been told (errseq). */
  get losses(): number {
    return this.#count(layout.MAPPING_ERRSEQ);
  }

  set losses(count: number) {
    this.#frames.shared.store(layout.MAPPINGS + this.id * layout.MAPPING_BYTES + layout.MAPPING_ERRSEQ, count);
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
}
