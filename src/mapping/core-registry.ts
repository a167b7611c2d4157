/**
 * The caches that this thread uses, by the number in their header: what a message from another thread refers to is found by it.
 *
 * Invariant: a cache is in the table from its opening or attaching in this thread to its closing here.
 */
import * as layout from "../sync/layout.js";
import type { Core } from "./core.js";
import type { PinRecord } from "./pin-registry.js";

/** A cache of this thread, and what its handles need. */
export interface CoreEntry {
  readonly core: Core;
  readonly debug: boolean;
  /** A pin has got its handle. */
  noteHandle(pin: PinRecord, handle: object): void;
}

const entries = new Set<CoreEntry>();

/** The number that tells a cache from others of the process. */
export function numberOfCache({ frames }: Core): number {
  return frames.counter(layout.HEADER_CACHE);
}

export function addCore(entry: CoreEntry): void {
  entries.add(entry);
}

export function removeCore(core: Core): void {
  for (const entry of entries) if (entry.core === core) entries.delete(entry);
}

/** The cache with this number, where this thread uses it. */
export function findCore(cache: number): CoreEntry | undefined {
  for (const entry of entries) if (numberOfCache(entry.core) === cache) return entry;
  return undefined;
}
