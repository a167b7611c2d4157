/**
 * The options of `cache.open`: parsed, checked, compared with those of a file that is open already.
 */
import { PinfoldError } from "../base/errors.js";
import { parseBytes } from "../base/sizes.js";
import type { AddressSpace } from "../cache/space.js";
import type { Store } from "../store/contract.js";
import { checkFlag, checkObject } from "./arguments.js";
import { pathOpener } from "./path-opener.js";

/** What can be opened: a path, a store, or the key of a file that is open in the cache already. */
export type OpenTarget = string | Store | { key: string };

export interface OpenOptions {
  /** Make the file if it is not there. */
  create?: boolean;
  /** Bytes, or "1GiB": of a new file; an existing one must have as many. */
  size?: number | string;
  readOnly?: boolean;
  /** Bypass the kernel's page cache (O_DIRECT). */
  direct?: boolean;
  /** Keep other processes out by a lock. Default true. */
  exclusive?: boolean;
  /**
   * Keep a checksum of each block of 4 KiB in `PATH.sums`, or at this path, and compare it at each read. Left out: where that file is
   * there already. A file that has data and no checksums gets them from `pinfold verify --rebuild`.
   */
  checksums?: boolean | string;
}

export interface ParsedOpen {
  readonly create: boolean;
  readonly sizeBytes: number | undefined;
  readonly readOnly: boolean;
  readonly checksums: boolean | string | undefined;
  /** What two opens of one file have to agree on. */
  readonly identity: { readonly readOnly: boolean; readonly direct: boolean; readonly lock: boolean };
}

export function isStore(target: Store | { key: string }): target is Store {
  return typeof (target as Partial<Store>).readPages === "function";
}

export function parseOpen(target: OpenTarget, options: OpenOptions): ParsedOpen {
  checkObject(options, "options");
  for (const flag of ["create", "readOnly", "direct", "exclusive"] as const) checkFlag(options[flag], flag);
  const isPath = typeof target === "string";
  if (!isPath && (typeof target !== "object" || target === null || typeof target.key !== "string")) {
    throw new PinfoldError("EINVAL", "open takes a path, a Store, or the key of a file that is open in the cache");
  }
  if (isPath && (target.length === 0 || target.includes("\0")))
    throw new PinfoldError("EINVAL", "the path is empty or has a zero byte");
  const { checksums } = options;
  if (checksums !== undefined && typeof checksums !== "boolean" && (typeof checksums !== "string" || checksums === ""))
    throw new PinfoldError("EINVAL", "checksums must be true, false, or a path");
  if (checksums !== undefined && !isPath)
    throw new PinfoldError("EINVAL", "checksums is for paths; around a store of your own, open a ChecksumStore");
  const readOnly = options.readOnly ?? (!isPath && isStore(target) && target.capabilities.readOnly);
  if (readOnly && (options.create || options.size !== undefined)) {
    throw new PinfoldError("EINVAL", "readOnly and create or size exclude each other");
  }
  return {
    create: options.create ?? false,
    sizeBytes: options.size === undefined ? undefined : parseBytes(options.size, "size"),
    readOnly,
    checksums,
    identity: { readOnly, direct: options.direct ?? false, lock: options.exclusive ?? true },
  };
}

export async function openPath(path: string, options: ParsedOpen, cells: Int32Array): Promise<Store> {
  const { create, sizeBytes, checksums, identity } = options;
  const given = {
    ...(sizeBytes === undefined ? {} : { sizeBytes }),
    ...(checksums === undefined ? {} : { checksums }),
  };
  return pathOpener().open(path, { create, ...identity, ...given }, cells);
}

/** @throws PinfoldError EINVAL */
export function checkSame(known: AddressSpace, identity: string, options: ParsedOpen): void {
  const { name } = known.store;
  if (identity !== JSON.stringify(options.identity))
    throw new PinfoldError("EINVAL", `${name} is open with other options: ${identity}`);
  const hasSums = known.store.capabilities.checksums ?? false;
  if (options.checksums !== undefined && (options.checksums !== false) !== hasSums)
    throw new PinfoldError("EINVAL", `${name} is open ${hasSums ? "with" : "without"} checksums`);
  if (options.sizeBytes !== undefined && options.sizeBytes !== known.size)
    throw new PinfoldError("EINVAL", `${name} is open with ${known.size} bytes, not ${options.sizeBytes}`);
}
