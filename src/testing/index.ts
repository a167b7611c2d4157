/**
 * `pinfold/testing`: for people who write a store of their own, and for this project's tests.
 *
 * See also: README.md.
 */
export { storeContract } from "./contract-suite.js";
export type { StoreContractOptions, StoreOpenRequest, StoreUnderTest } from "./store-case.js";
export { SeededRandom } from "../base/seeded.js";
export { alignedBytes, patternBytes } from "./bytes.js";
export { FaultyStore, type FaultyStoreOptions, type StruckCall } from "../stores/faulty/faulty-store.js";
export type { Fault, FaultedCall, FaultKind, FaultRule } from "../stores/faulty/faults.js";
export { type PowerCut, VolatileStore, type VolatileStoreOptions } from "../stores/faulty/volatile-store.js";
export {
  ScriptedStore,
  type HeldCall,
  type ScriptedStoreOptions,
  type StoreCall,
  type StoreCallName,
  type StoreHook,
} from "./scripted-store.js";
