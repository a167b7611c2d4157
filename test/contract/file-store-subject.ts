/**
 * Opens file stores on temporary files for the contract suite.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FileStore } from "../../src/stores/file/file-store.js";
import type { FileStoreOptions } from "../../src/stores/file/open.js";
import type { StoreOpenRequest, StoreUnderTest } from "../../src/testing/index.js";

/** An `open` for storeContract: a fresh directory each time, under `parent`. */
export function fileOpener(
  options: FileStoreOptions = {},
  parent = tmpdir(),
): (request: StoreOpenRequest) => Promise<StoreUnderTest> {
  return async (request) => {
    const directory = await mkdtemp(join(parent, "pinfold-contract-"));
    const path = join(directory, "file");
    let store = await FileStore.open(path, { ...options, create: true, sizeBytes: request.sizeBytes });
    return {
      store,
      reopen: async (how) => {
        await store.close();
        store = await FileStore.open(path, { ...options, ...how });
        return store;
      },
      attach: (shared, cells) => FileStore.attach(shared, cells),
      usedBytes: async () => (await store.stat()).blocks * 512,
      cleanup: async () => {
        await store.close();
        await rm(directory, { recursive: true });
      },
    };
  };
}
