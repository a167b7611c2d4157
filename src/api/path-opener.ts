/**
 * How a path becomes a store. This floor knows no store; the package's entry (src/index.ts) says which one opens paths.
 */
import { PinfoldError } from "../base/errors.js";
import type { Store } from "../store/contract.js";

export interface PathOptions {
  /** Make the file if it is not there. */
  create?: boolean;
  /** Bytes of a new file, or what an existing one must have. */
  sizeBytes?: number;
  readOnly?: boolean;
  /** Bypass the kernel's page cache (O_DIRECT). */
  direct?: boolean;
  /** Take the lock that keeps other processes out. */
  lock?: boolean;
  /** Checksums of its blocks: beside it, at a path, or none; left out: where they are there already. */
  checksums?: boolean | string;
}

export interface PathOpener {
  /** The key that the path's store has or would have, or undefined if there is no such file. */
  identify(path: string): Promise<string | undefined>;
  /** `cells`: those that the store will share with other threads. What it opens stands there at once. */
  open(path: string, options: PathOptions, cells: Int32Array): Promise<Store>;
  /** Closes what an open has left whose thread died. */
  abandon(cells: Int32Array): void;
  /** In another thread: the store that shared these facts (store/contract.ts, share). */
  attach(shared: string, cells: Int32Array): Store;
}

let opener: PathOpener | undefined;

export function usePathOpener(chosen: PathOpener): void {
  opener = chosen;
}

export function pathOpener(): PathOpener {
  if (!opener)
    throw new PinfoldError("ENOTSUP", "nothing here opens paths: import from the package's entry, or pass a Store");
  return opener;
}
