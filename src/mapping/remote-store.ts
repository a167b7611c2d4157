/**
 * What stands for a store that lives in another thread: its name, key and capabilities. This thread never calls it (calls.ts
 * asks the other one), so that its methods say no more than that.
 */
import { assert } from "../base/assert.js";
import type { FileFacts } from "../cache/directory.js";
import type { Store } from "../store/contract.js";

function elsewhere(): never {
  assert(false, "a store is called in the thread that has it");
}

export function remoteStore(facts: FileFacts): Store {
  return {
    key: facts.key,
    name: facts.name,
    sizeBytes: 0,
    capabilities: { ...facts.capabilities, syncCalls: false },
    readPages: elsewhere,
    pageMkwrite: elsewhere,
    cancelMkwrite: elsewhere,
    // Said by the thread that had it make the page dirty.
    setPageDirty: () => {},
    writePages: elsewhere,
    sync: elsewhere,
    setSize: elsewhere,
    invalidatePages: elsewhere,
    // Nobody here can ask it: its pages leave in its own thread.
    releasePage: () => false,
    truncate: elsewhere,
    punch: elsewhere,
    allocate: elsewhere,
    close: elsewhere,
  };
}
