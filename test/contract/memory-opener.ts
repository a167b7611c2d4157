/** Opens memory stores, in whatever is around them, for the contract suite. */
import type { Store } from "../../src/store/contract.js";
import { MemoryStore, type MemoryStoreOptions } from "../../src/stores/memory/memory-store.js";
import type { StoreOpenRequest, StoreUnderTest } from "../../src/testing/index.js";

export function memoryOpener(
  options: MemoryStoreOptions,
  wrap: (store: MemoryStore) => Store,
): (request: StoreOpenRequest) => Promise<StoreUnderTest> {
  return async (request) => {
    let memory = new MemoryStore({ ...options, ...request });
    let open = wrap(memory);
    return {
      store: open,
      reopen: async (how) => {
        await open.close();
        memory = memory.reopen(how);
        open = wrap(memory);
        return open;
      },
      usedBytes: async () => {
        const { allocatedBlocks, reservedBlocks, keptBlocks } = memory.usage();
        return (allocatedBlocks + reservedBlocks + keptBlocks) * 4096;
      },
      cleanup: () => open.close(),
    };
  };
}
