/**
 * Opens paths as file stores: what the package's entry gives to PageCache.open.
 */
import { stat } from "node:fs/promises";
import { toPinfoldError } from "../../base/errors.js";
import type { FileStoreOptions } from "./open.js";
import { FileStore } from "./file-store.js";

export const pathStore = {
  /** The key of the file at `path`, or undefined if there is none. @throws PinfoldError EACCES and what stat says */
  async identify(path: string): Promise<string | undefined> {
    try {
      const found = await stat(path, { bigint: true });
      return found.isBlockDevice() ? `device:${found.rdev}` : `file:${found.dev}:${found.ino}`;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw toPinfoldError(error, `open of ${path}`);
    }
  },

  open(path: string, options: FileStoreOptions, cells?: Int32Array): Promise<FileStore> {
    return FileStore.open(path, options, cells);
  },

  /** Closes what an open in a thread that died has left. */
  abandon(cells: Int32Array): void {
    FileStore.abandon(cells);
  },

  /** In another thread, from what the store there shared. @throws PinfoldError ENOTSUP, EINVAL */
  attach(shared: string, cells: Int32Array): FileStore {
    return FileStore.attach(shared, cells);
  },
};
