/**
 * The contract suite on the memory store: both page sizes, sparse and not, and through a scripted store, which must be
 * invisible.
 */
import { ScriptedStore, storeContract } from "../../src/testing/index.js";
import { memoryOpener } from "./memory-opener.js";

const seeds = [1, 2, 3, 4, 5, 6, 7, 8];
storeContract({ name: "memory", open: memoryOpener({}, (store) => store), limitsCapacity: true, seeds });
storeContract({
  name: "memory, pages of 64 KiB",
  open: memoryOpener({}, (store) => store),
  limitsCapacity: true,
  pageSize: 65_536,
  seeds,
});
storeContract({ name: "memory, not sparse", open: memoryOpener({ sparse: false }, (store) => store), seeds: [1, 2] });
storeContract({
  name: "memory in a scripted store",
  open: memoryOpener({}, (store) => new ScriptedStore(store)),
  limitsCapacity: true,
});
storeContract({
  name: "memory in a scripted store without sync calls",
  open: memoryOpener({}, (store) => new ScriptedStore(store, { syncCalls: false })),
  limitsCapacity: true,
});
