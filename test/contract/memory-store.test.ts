/**
 * The contract suite on the memory store: both page sizes, sparse and not, and through a scripted store, which must be
 * invisible.
 */
import { MemoryStore, type MemoryStoreOptions } from "../../src/stores/memory/memory-store.js";
import type { Store } from "../../src/store/contract.js";
import { ScriptedStore, storeContract, type StoreOpenRequest, type StoreUnderTest } from "../../src/testing/index.js";

function opener(
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

const seeds = [1, 2, 3, 4, 5, 6, 7, 8];
storeContract({ name: "memory", open: opener({}, (store) => store), limitsCapacity: true, seeds });
storeContract({
  name: "memory, pages of 64 KiB",
  open: opener({}, (store) => store),
  limitsCapacity: true,
  pageSize: 65_536,
  seeds,
});
storeContract({ name: "memory, not sparse", open: opener({ sparse: false }, (store) => store), seeds: [1, 2] });
storeContract({
  name: "memory in a scripted store",
  open: opener({}, (store) => new ScriptedStore(store)),
  limitsCapacity: true,
});
storeContract({
  name: "memory in a scripted store without sync calls",
  open: opener({}, (store) => new ScriptedStore(store, { syncCalls: false })),
  limitsCapacity: true,
});
