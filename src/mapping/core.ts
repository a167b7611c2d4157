/**
 * The parts of one cache in one thread, made once and handed to every function of this floor. Each thread that uses the cache has
 * a core of its own over the same shared memory.
 *
 * See also: fault.ts (a miss), pin.ts, copy.ts, sync.ts, truncate.ts: each takes the core and the file it works on.
 */
import type { Clock } from "../base/clock.js";
import { Directory } from "../cache/directory.js";
import { PageTable } from "../cache/page-table.js";
import { AddressSpace, type Durability } from "../cache/space.js";
import type { Frames } from "../frames/frames.js";
import { PageLocks } from "../frames/locks.js";
import { Scopes } from "../frames/scopes.js";
import { Views } from "../frames/views.js";
import { Reclaimer } from "../reclaim/reclaimer.js";
import { S3Fifo } from "../reclaim/s3-fifo.js";
import * as layout from "../sync/layout.js";
import { Flusher } from "../writeback/flusher.js";
import { StoreSync } from "../writeback/store-sync.js";
import { Writer } from "../writeback/writer.js";
import type { Store } from "../store/contract.js";
import { StoreCalls } from "./calls.js";
import { LegacyCallers } from "./legacy.js";
import { type PinProtocols, pinProtocols } from "./protocols.js";
import { PinRegistry } from "./pin-registry.js";
import { Recovery } from "./recovery.js";
import { remoteStore } from "./remote-store.js";
import { Turns } from "./turns.js";

export interface CoreOptions {
  readonly memoryBytes: number;
  readonly pageSize: number;
  readonly preTouch: boolean;
  readonly dirtyBytesMax: number;
  readonly dirtyBackgroundBytes: number;
  readonly dirtyExpireMs: number;
  readonly writebackIntervalMs: number;
  readonly pinnedBytesMax: number;
  readonly frameWaitMs: number;
  readonly leakedPagesMax: number;
  readonly durability: Durability;
  readonly writeThrough: boolean;
  readonly pinSites: boolean;
}

/** Attaches a shared store in this thread, from its facts. */
export type AttachStore = (facts: string, cells: Int32Array) => Store;

export class Core {
  readonly options: CoreOptions;
  readonly clock: Clock;
  readonly frames: Frames;
  readonly scopes: Scopes;
  readonly locks: PageLocks;
  readonly table: PageTable;
  readonly directory: Directory;
  /** What is asked of stores in other threads, and answered for those in this one. */
  readonly calls: StoreCalls;
  /** How access is taken away from mapped views. */
  readonly views: Views;
  readonly writer: Writer;
  readonly storeSync: StoreSync;
  readonly reclaimer: Reclaimer;
  readonly flusher: Flusher;
  readonly pins: PinRegistry;
  /** Cleans up after threads that have ended without leaving the cache. */
  readonly recovery: Recovery;
  /** A seam: the explorer puts its `reference` protocol here. */
  protocols: PinProtocols = pinProtocols;
  readonly legacy = new LegacyCallers();
  /** Files by slot, as far as this thread has met them. */
  readonly spaces: (AddressSpace | undefined)[] = new Array<AddressSpace | undefined>(layout.MAPPINGS_MAX);
  /** Loads that were started for callers who did not wait. */
  prefetches = 0;
  /** Misses that wait for a frame, and writers that wait below the dirty limit. */
  readonly frameTurns = new Turns();
  readonly writerTurns = new Turns();
  /** Since when pins alone have held all frames, as far as anybody has looked. */
  pinsAloneSinceMs: number | undefined;

  readonly #attachStore: AttachStore;

  constructor(options: CoreOptions, clock: Clock, frames: Frames, attachStore: AttachStore) {
    this.#attachStore = attachStore;
    this.options = options;
    this.clock = clock;
    this.frames = frames;
    this.directory = new Directory(frames);
    this.scopes = new Scopes(frames);
    this.locks = new PageLocks(this.frames, clock, this.scopes);
    this.table = new PageTable(this.frames, this.locks);
    this.views = new Views(this.frames, clock);
    this.writer = new Writer(this.frames, this.locks, this.views);
    this.storeSync = new StoreSync(this.frames, this.locks);
    this.pins = new PinRegistry(clock, options.pinSites, this.frames);
    this.reclaimer = new Reclaimer({
      frames: this.frames,
      table: this.table,
      locks: this.locks,
      policy: new S3Fifo(this.frames),
      space: (id) => this.space(id),
    });
    this.calls = new StoreCalls(this);
    this.recovery = new Recovery(this);
    this.locks.queues.onWaiting = () => this.recovery.look();
    this.flusher = new Flusher({
      frames: this.frames,
      locks: this.locks,
      writer: this.writer,
      storeSync: this.storeSync,
      spaces: () => this.openSpaces(),
      limits: {
        dirtyPagesMax: Math.floor(options.dirtyBytesMax / options.pageSize),
        dirtyBackgroundPages: Math.floor(options.dirtyBackgroundBytes / options.pageSize),
        dirtyExpireMs: options.dirtyExpireMs,
      },
      clock,
      onProgress: () => this.locks.notifyPool(),
      onRemote: (space, urgent) => this.calls.tell(space, { op: "flush", urgent }),
    });
  }

  /** The file of a slot: known to this thread already, or made known now, whichever thread opened it. */
  space(slot: number): AddressSpace | undefined {
    if (isGone(this.directory.stateOf(slot))) return undefined;
    const known = this.spaces[slot];
    if (known?.generation === this.directory.get(slot, layout.MAPPING_GENERATION)) return known;
    known?.store.detach?.();
    const generation = this.directory.get(slot, layout.MAPPING_GENERATION);
    try {
      const space = this.adopt(slot, undefined);
      if (!space.isStale && space.generation === generation) return space;
    } catch (error) {
      if (this.directory.get(slot, layout.MAPPING_GENERATION) === generation && !isGone(this.directory.stateOf(slot)))
        throw error;
    }
    // It was closed at this moment, and its slot may be another file's.
    this.spaces[slot] = undefined;
    return undefined;
  }

  /** Makes the file of a slot known to this thread: with its store where this thread opened that, else attached, else remote. */
  adopt(slot: number, store: Store | undefined): AddressSpace {
    const facts = this.directory.factsOf(slot);
    const attached =
      store ?? (facts.store === undefined ? undefined : this.#attachStore(facts.store, this.directory.cellsOf(slot)));
    const space = new AddressSpace(slot, this.frames, attached ?? remoteStore(facts), {
      readOnly: facts.capabilities.readOnly,
      durability: this.options.durability,
      isRemote: attached === undefined,
    });
    this.spaces[slot] = space;
    return space;
  }

  /** All files of the cache, whichever threads have them open. */
  *openSpaces(): IterableIterator<AddressSpace> {
    for (const slot of this.directory.slots()) {
      const space = this.space(slot);
      if (space) yield space;
    }
  }

  /** A load, grant or round of write-back of this thread begins (1) or ends (-1). */
  noteStoreCall(delta: 1 | -1): void {
    this.frames.shared.add(this.frames.threads.at(this.frames.thread, layout.THREAD_STORE_CALLS), delta);
  }

  /** Those of all threads: while there are any, frames may come free without a put. */
  get storeCalls(): number {
    const { shared, threads } = this.frames;
    let sum = 0;
    for (const slot of threads.claimed()) sum += shared.load(threads.at(slot, layout.THREAD_STORE_CALLS));
    return sum;
  }

  /** Cleans up after threads that have ended, and after a store of this one that an error has ended halfway. */
  lookForDead(): void {
    this.views.settleOwn();
    this.recovery.look();
  }

  /** Whether other threads, living ones, use the cache. */
  hasOthers(): boolean {
    const { threads, thread } = this.frames;
    return [...threads.claimed()].some((slot) => slot !== thread && !threads.isDead(slot));
  }

  /** True in one thread at a time: the one that does background write-back for all. */
  holdsFlusher(): boolean {
    const { shared, threads, thread } = this.frames;
    const holder = shared.load(layout.HEADER_FLUSHER) - 1;
    if (holder === thread) return true;
    if (holder >= 0 && threads.isClaimed(holder) && !threads.isDead(holder)) return false;
    return shared.swap(layout.HEADER_FLUSHER, holder + 1, thread + 1);
  }

  /** This thread leaves: somebody else does background write-back from now on. */
  releaseFlusher(): void {
    this.frames.shared.swap(layout.HEADER_FLUSHER, this.frames.thread + 1, 0);
  }
}

function isGone(state: number): boolean {
  return state === layout.MAPPING_FREE || state === layout.MAPPING_OPENING;
}
