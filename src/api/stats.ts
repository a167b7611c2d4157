/**
 * stats() and pins(): what the cache tells about itself.
 *
 * Levels and counters are the cache's, of all threads that use it; pins and leaked pages are counted in the thread that asks.
 */
import { type SpaceCounters, sumCounters, sumEvictions } from "../cache/counters.js";
import type { Core } from "../mapping/core.js";
import { type ForeignHold, foreignHolds, nameOfFile } from "../mapping/holders.js";
import type { PinRecord } from "../mapping/pin-registry.js";
import * as layout from "../sync/layout.js";

export interface FileStats extends SpaceCounters {
  readonly name: string;
  readonly sizeBytes: number;
  readonly residentPages: number;
  readonly dirtyPages: number;
  readonly writebackPages: number;
  readonly unstablePages: number;
}

export interface CacheStats {
  readonly pageSize: number;
  /** Frames that hold or can hold pages. */
  readonly frames: number;
  readonly freeFrames: number;
  readonly dirtyPages: number;
  readonly writebackPages: number;
  /** Written, not yet made durable by the store's sync. */
  readonly unstablePages: number;
  /** Pins that this thread holds, and pages that they hold (a page twice if it is pinned twice). */
  readonly pins: number;
  readonly pinnedPages: number;
  /** Of this thread. */
  readonly leakedPages: number;
  /** Tasks that wait for a page or a frame, or for a store in another thread. */
  readonly waiters: number;
  readonly evictions: number;
  /** Threads that ended without leaving the cache, and were cleaned up after. */
  readonly recoveredThreads: number;
  readonly hits: number;
  readonly misses: number;
  readonly files: readonly FileStats[];
}

export function collectStats(core: Core): CacheStats {
  const { frames } = core;
  const files: FileStats[] = [...core.openSpaces()].map((space) => ({
    name: space.store.name,
    sizeBytes: space.size,
    residentPages: space.residentPages,
    dirtyPages: space.dirtyPages,
    writebackPages: space.writebackPages,
    unstablePages: space.unstablePages,
    ...sumCounters(frames, space.id),
  }));
  let pinnedPages = 0;
  for (const pin of core.pins) pinnedPages += pin.frames.length;
  return {
    pageSize: frames.pageSize,
    frames: frames.count,
    freeFrames: frames.listLength(layout.LIST_FREE),
    dirtyPages: frames.counter(layout.HEADER_DIRTY),
    writebackPages: frames.counter(layout.HEADER_WRITEBACK),
    unstablePages: frames.counter(layout.HEADER_UNSTABLE),
    pins: core.pins.size,
    pinnedPages,
    leakedPages: core.pins.leakedPages,
    waiters: frames.counter(layout.HEADER_NODES_USED),
    evictions: sumEvictions(frames),
    recoveredThreads: frames.counter(layout.HEADER_RECOVERED),
    hits: files.reduce((sum, file) => sum + file.hits, 0),
    misses: files.reduce((sum, file) => sum + file.misses, 0),
    files,
  };
}

/**
 * A pin of this thread; or neighbouring pages that another thread holds in one way, in whole pages: which calls took them is
 * not known here.
 */
export interface PinInfo {
  readonly file: string;
  /** Bytes. */
  readonly position: number;
  readonly length: number;
  readonly write: boolean;
  readonly protocol: "locked" | "counted";
  /** The slot of the thread that holds it. */
  readonly thread: number;
  /** The system's number of that thread, where it is known. */
  readonly threadId: number | undefined;
  /** Handed over to another thread (`transfer`), and not adopted yet. */
  readonly inTransit: boolean;
  /** The scope that it belongs to, 0: none, or not known. */
  readonly scope: number;
  /** Undefined for what another thread holds. */
  readonly ageMs: number | undefined;
  /** The caller's place, if it is this thread's and the cache was opened with `pinSites: "all"`. */
  readonly site: string | undefined;
  readonly leaked: boolean;
}

/** This thread's pins, then what other threads hold. */
export function collectPins(core: Core): PinInfo[] {
  const nowMs = core.clock.nowMs();
  const own = [...core.pins].map((pin) => ownPin(core, pin, nowMs));
  return [...own, ...foreignHolds(core).map((hold) => foreignPin(core, hold))];
}

function holder({ frames }: Core, thread: number): Pick<PinInfo, "thread" | "threadId"> {
  return { thread, threadId: frames.threads.identity(thread).id || undefined };
}

function ownPin(core: Core, pin: PinRecord, nowMs: number): PinInfo {
  return {
    file: pin.space.store.name,
    position: pin.position,
    length: pin.length,
    write: pin.write,
    protocol: pin.counted ? "counted" : "locked",
    ...holder(core, core.frames.thread),
    inTransit: pin.transit !== undefined,
    scope: pin.scope?.id ?? 0,
    ageMs: nowMs - pin.sinceMs,
    site: pin.site,
    leaked: pin.leaked,
  };
}

function foreignPin(core: Core, hold: ForeignHold): PinInfo {
  const { pageSize } = core.frames;
  return {
    file: nameOfFile(core, hold.mapping),
    position: hold.firstIndex * pageSize,
    length: hold.pages * pageSize,
    write: hold.write,
    protocol: hold.counted ? "counted" : "locked",
    ...holder(core, hold.thread),
    inTransit: hold.inTransit,
    scope: 0,
    ageMs: undefined,
    site: undefined,
    leaked: false,
  };
}
