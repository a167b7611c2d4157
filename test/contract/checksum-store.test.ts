/** The contract suite on checksums over memory: what they do shows only where something is wrong. */
import { ChecksumStore } from "../../src/stores/checksums/checksum-store.js";
import { MemoryStore, type MemoryStoreOptions } from "../../src/stores/memory/memory-store.js";
import { ScriptedStore, type StoreOpenRequest, storeContract, type StoreUnderTest } from "../../src/testing/index.js";

function opener(options: MemoryStoreOptions, syncCalls = true): (request: StoreOpenRequest) => Promise<StoreUnderTest> {
  const wrap = (store: MemoryStore) => (syncCalls ? store : new ScriptedStore(store, { syncCalls }));
  return async (request) => {
    let data = new MemoryStore({ ...options, ...request });
    let sums = new MemoryStore();
    let store = await ChecksumStore.open(wrap(data), wrap(sums), { fresh: true });
    return {
      store,
      reopen: async (how) => {
        await store.close();
        data = data.reopen(how);
        sums = sums.reopen(how);
        store = await ChecksumStore.open(wrap(data), wrap(sums));
        return store;
      },
      usedBytes: async () => {
        const { allocatedBlocks, reservedBlocks, keptBlocks } = data.usage();
        return (allocatedBlocks + reservedBlocks + keptBlocks) * 4096;
      },
      cleanup: () => store.close(),
    };
  };
}

const seeds = [1, 2, 3, 4, 5, 6, 7, 8];
storeContract({ name: "checksums over memory", open: opener({}), limitsCapacity: true, seeds });
storeContract({
  name: "checksums over memory, pages of 64 KiB",
  open: opener({}),
  limitsCapacity: true,
  pageSize: 65_536,
  seeds,
});
storeContract({ name: "checksums without sync calls", open: opener({}, false), limitsCapacity: true, seeds: [1, 2] });
