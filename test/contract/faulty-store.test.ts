/** The contract suite through the stores that make things go wrong, while nothing does: they are invisible. */
import { FaultyStore } from "../../src/stores/faulty/faulty-store.js";
import { VolatileStore } from "../../src/stores/faulty/volatile-store.js";
import { storeContract } from "../../src/testing/index.js";
import { memoryOpener } from "./memory-opener.js";

storeContract({
  name: "memory in a faulty store",
  open: memoryOpener({}, (store) => new FaultyStore(store)),
  limitsCapacity: true,
});
storeContract({
  name: "memory in a store that can lose power",
  open: memoryOpener({}, (store) => new VolatileStore(store)),
  limitsCapacity: true,
});
storeContract({
  name: "memory in both",
  open: memoryOpener({}, (store) => new FaultyStore(new VolatileStore(store), { syncCalls: false })),
  limitsCapacity: true,
});
