/**
 * The parts of one cache in one thread, made once and handed to every function of this floor.
 *
 * See also: fault.ts (a miss), pin.ts, copy.ts, sync.ts, truncate.ts: each takes the core and the file it works on.
 */
import type { Clock } from "../base/clock.js";
import { PinfoldError } from "../base/errors.js";
import { PageTable } from "../cache/page-table.js";
import type { AddressSpace, Durability } from "../cache/space.js";
import { Frames } from "../frames/frames.js";
import { PageLocks } from "../frames/locks.js";
import { Scopes } from "../frames/scopes.js";
import { Reclaimer } from "../reclaim/reclaimer.js";
import { S3Fifo } from "../reclaim/s3-fifo.js";
import * as layout from "../sync/layout.js";
import { Flusher } from "../writeback/flusher.js";
import { StoreSync } from "../writeback/store-sync.js";
import { Writer } from "../writeback/writer.js";
import { LegacyCallers } from "./legacy.js";
import { type PinProtocols, pinProtocols } from "./protocols.js";
import { PinRegistry } from "./pin-registry.js";
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

export class Core {
  readonly options: CoreOptions;
  readonly clock: Clock;
  readonly frames: Frames;
  readonly scopes = new Scopes();
  readonly locks: PageLocks;
  readonly table: PageTable;
  readonly writer: Writer;
  readonly storeSync: StoreSync;
  readonly reclaimer: Reclaimer;
  readonly flusher: Flusher;
  readonly pins: PinRegistry;
  /** A seam: the explorer puts its `reference` protocol here. */
  protocols: PinProtocols = pinProtocols;
  readonly legacy = new LegacyCallers();
  readonly spaces: (AddressSpace | undefined)[] = new Array<AddressSpace | undefined>(layout.MAPPINGS_MAX);
  /** Store calls of loads and grants on their way: while there are any, frames may come free without a put. */
  storeCalls = 0;
  /** Loads that were started for callers who did not wait. */
  prefetches = 0;
  /** Misses that wait for a frame, and writers that wait below the dirty limit. */
  readonly frameTurns = new Turns();
  readonly writerTurns = new Turns();
  /** Since when pins alone have held all frames, as far as anybody has looked. */
  pinsAloneSinceMs: number | undefined;

  constructor(options: CoreOptions, clock: Clock) {
    this.options = options;
    this.clock = clock;
    this.frames = Frames.create(options.memoryBytes, options.pageSize, options.preTouch);
    this.locks = new PageLocks(this.frames, clock, this.scopes);
    this.table = new PageTable(this.frames, this.locks);
    this.writer = new Writer(this.frames, this.locks);
    this.storeSync = new StoreSync(this.frames, this.locks);
    this.pins = new PinRegistry(clock, options.pinSites);
    this.reclaimer = new Reclaimer({
      frames: this.frames,
      table: this.table,
      locks: this.locks,
      policy: new S3Fifo(this.frames),
      space: (id) => this.spaces[id],
    });
    this.flusher = new Flusher({
      frames: this.frames,
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
    });
  }

  *openSpaces(): IterableIterator<AddressSpace> {
    for (const space of this.spaces) if (space) yield space;
  }

  /** The lowest slot that no file has. */
  freeSlot(): number {
    const slot = this.spaces.findIndex((space) => space === undefined);
    if (slot < 0) throw new PinfoldError("ERR_PINFOLD_TOO_MANY", `${layout.MAPPINGS_MAX} files are open already`);
    return slot;
  }
}
