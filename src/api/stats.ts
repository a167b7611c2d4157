/**
 * stats() and pins(): what the cache tells about itself.
 */
import type { SpaceCounters } from "../cache/space.js";
import type { Core } from "../mapping/core.js";
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
  /** Pins that are held, and pages that they hold (a page twice if it is pinned twice). */
  readonly pins: number;
  readonly pinnedPages: number;
  readonly leakedPages: number;
  /** Tasks that wait for a page or a frame. */
  readonly waiters: number;
  readonly evictions: number;
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
    ...space.counters,
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
    waiters: core.locks.queues.waiting,
    evictions: core.reclaimer.evictions,
    hits: files.reduce((sum, file) => sum + file.hits, 0),
    misses: files.reduce((sum, file) => sum + file.misses, 0),
    files,
  };
}

export interface PinInfo {
  readonly file: string;
  readonly position: number;
  readonly length: number;
  readonly write: boolean;
  readonly protocol: "locked" | "counted";
  /** The scope that it belongs to, 0: none. */
  readonly scope: number;
  readonly ageMs: number;
  /** The caller's place, if the cache was opened with `pinSites: "all"`. */
  readonly site: string | undefined;
  readonly leaked: boolean;
}

export function collectPins(core: Core): PinInfo[] {
  const nowMs = core.clock.nowMs();
  return [...core.pins].map((pin) => ({
    file: pin.space.store.name,
    position: pin.position,
    length: pin.length,
    write: pin.write,
    protocol: pin.counted ? "counted" : "locked",
    scope: pin.scope?.id ?? 0,
    ageMs: nowMs - pin.sinceMs,
    site: pin.site,
    leaked: pin.leaked,
  }));
}
