/**
 * The options of PageCache.open: parsed, defaulted, checked together before any memory is taken.
 */
import { freemem, totalmem } from "node:os";
import { PinfoldError } from "../base/errors.js";
import { isPowerOfTwo, limits } from "../base/limits.js";
import { checkOption } from "../base/ranges.js";
import { parseBytes } from "../base/sizes.js";
import type { Durability } from "../cache/space.js";
import type { CoreOptions } from "../mapping/core.js";
import { checkFlag } from "./arguments.js";

export interface PageCacheOptions {
  /** Bytes of pages, or a size such as "256MiB". Taken now, never grows. Default 64 MiB. */
  memory?: number | string;
  /** A power of two from 4096 to 65536. Default 4096. */
  pageSize?: number;
  /** Writers are delayed above this many dirty bytes. Default 40% of the memory. */
  dirtyBytesMax?: number | string;
  /** Background write-back writes everything above this. Default 10% of the memory. */
  dirtyBackgroundBytes?: number | string;
  /** A page is written at the latest this long after it became dirty. Default 30 s. */
  dirtyExpireMs?: number;
  /** How often background write-back looks. Default 5 s. */
  writebackIntervalMs?: number;
  /** Bytes that may be under counted (long-term) write pins. Default 40% of the memory. */
  pinnedBytesMax?: number | string;
  /** How long a miss waits when pins alone hold all frames. Default 1 s. */
  frameWaitMs?: number;
  /** Pages of leaked pins from which on new write pins are refused. Default 64. */
  leakedPagesMax?: number;
  /** Touch all memory at open, so that a lack of it shows now. Default true. */
  preTouch?: boolean;
  /** "device": a written page is kept until the store's sync succeeded. "kernel": it may leave as soon as it was written. */
  durability?: Durability;
  /** `write*` resolves after the store took the bytes; `put()` starts the write. Default false. */
  writeThrough?: boolean;
  /** Whether pins() knows call sites (about 3 µs a pin). Default "off". */
  pinSites?: "off" | "all";
  /** Pins hand out private copies that are detached at the put, so that late touches are caught. Default false. */
  debug?: boolean;
}

export type ParsedOptions = CoreOptions & { readonly debug: boolean };

/**
 * Guard of F34: memory that is not there is refused here, where it is asked for, and not by the system's killing the process later.
 * @throws PinfoldError ENOMEM
 */
export function checkMemory({ memoryBytes, preTouch }: ParsedOptions): void {
  // 0 or undefined: no limit is set for the process; without one the number may be beyond all memory.
  const most = Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY);
  if (memoryBytes > most)
    throw new PinfoldError("ENOMEM", `memory (${memoryBytes} bytes) is more than this system has (${most})`);
  // Elsewhere what is free says little about what can be had.
  const free = process.platform === "linux" ? freemem() : Number.POSITIVE_INFINITY;
  if (preTouch && memoryBytes > free)
    throw new PinfoldError("ENOMEM", `memory (${memoryBytes} bytes) is more than is available (${free})`);
}

/** @throws PinfoldError EINVAL */
export function parseOptions(options: PageCacheOptions): ParsedOptions {
  if (typeof options !== "object" || options === null) throw new PinfoldError("EINVAL", "options must be an object");
  checkFlag(options.preTouch, "preTouch");
  checkFlag(options.writeThrough, "writeThrough");
  checkFlag(options.debug, "debug");
  const pageSize = options.pageSize ?? limits.pageSizeDefault;
  if (!isPowerOfTwo(pageSize) || pageSize < limits.pageSizeMin || pageSize > limits.pageSizeMax) {
    throw new PinfoldError(
      "EINVAL",
      `pageSize must be a power of two from ${limits.pageSizeMin} to ${limits.pageSizeMax}, not ${String(pageSize)}`,
    );
  }
  const memoryBytes = parseBytes(options.memory ?? limits.memoryDefault, "memory");
  const frames = Math.floor(memoryBytes / pageSize);
  if (frames < limits.framesMin || frames > limits.framesMax) {
    throw new PinfoldError(
      "EINVAL",
      `memory must be ${limits.framesMin} to ${limits.framesMax} pages of ${pageSize} bytes, not ${frames}`,
    );
  }
  const share = (value: number | string | undefined, part: number, name: string) =>
    checkOption(parseBytes(value ?? Math.floor(memoryBytes * part), name), name, pageSize, memoryBytes);
  const parsed: ParsedOptions = {
    memoryBytes,
    pageSize,
    preTouch: options.preTouch ?? true,
    dirtyBytesMax: share(options.dirtyBytesMax, limits.dirtyShare, "dirtyBytesMax"),
    dirtyBackgroundBytes: share(options.dirtyBackgroundBytes, limits.dirtyBackgroundShare, "dirtyBackgroundBytes"),
    dirtyExpireMs: checkOption(options.dirtyExpireMs ?? limits.dirtyExpireMs, "dirtyExpireMs", 1, 86_400_000),
    writebackIntervalMs: checkOption(
      options.writebackIntervalMs ?? limits.writebackIntervalMs,
      "writebackIntervalMs",
      1,
      86_400_000,
    ),
    pinnedBytesMax: share(options.pinnedBytesMax, limits.pinnedShare, "pinnedBytesMax"),
    frameWaitMs: checkOption(options.frameWaitMs ?? limits.frameWaitMs, "frameWaitMs", 1, 86_400_000),
    leakedPagesMax: checkOption(options.leakedPagesMax ?? limits.leakedPagesMax, "leakedPagesMax", 1, limits.framesMax),
    durability: oneOf(options.durability ?? "device", ["device", "kernel"], "durability"),
    writeThrough: options.writeThrough ?? false,
    pinSites: oneOf(options.pinSites ?? "off", ["off", "all"], "pinSites") === "all",
    debug: options.debug ?? false,
  };
  checkTogether(parsed);
  return parsed;
}

function oneOf<T extends string>(value: T, allowed: readonly T[], name: string): T {
  if (!allowed.includes(value))
    throw new PinfoldError(
      "EINVAL",
      `${name} must be one of ${allowed.join(", ")}, not ${typeof value === "string" ? value : typeof value}`,
    );
  return value;
}

/** Dirty, pinned and snapshot pages together leave room for the pages that everybody else needs. */
function checkTogether(options: ParsedOptions): void {
  const snapshots = Math.min(
    limits.snapshotFramesMax * options.pageSize,
    options.memoryBytes * limits.snapshotFramesShare,
  );
  const held = options.dirtyBytesMax + options.pinnedBytesMax + snapshots;
  if (held > options.memoryBytes * limits.heldShareMax) {
    throw new PinfoldError(
      "EINVAL",
      `dirtyBytesMax (${options.dirtyBytesMax}) and pinnedBytesMax (${options.pinnedBytesMax}) leave less than 10% of the memory for other pages`,
    );
  }
  if (options.dirtyBackgroundBytes > options.dirtyBytesMax) {
    throw new PinfoldError(
      "EINVAL",
      "dirtyBackgroundBytes is above dirtyBytesMax: write-back would start after writers are delayed",
    );
  }
}
