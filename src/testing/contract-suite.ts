/**
 * The contract suite: every sentence of the store contract that a program can check, as node:test tests.
 *
 *     storeContract({
 *       name: "my store",
 *       open: async ({ sizeBytes }) => {
 *         const medium = ...;
 *         let store = await MyStore.open(medium, sizeBytes);
 *         return {
 *           store,
 *           reopen: async ({ readOnly }) => { await store.close(); return (store = await MyStore.open(medium, { readOnly })); },
 *           cleanup: async () => { await store.close(); },
 *         };
 *       },
 *     });
 *
 * Invariants: the suite never breaks the contract itself; what a store does not declare, or a hook does not offer, is
 * skipped by name and never counted as passed. Memory handed to the store is page-aligned and shared, as a cache's is.
 *
 * See also: ../store/contract.ts, store-case.ts, store-subject.ts, the *-cases.ts files.
 */
import { describe, it, type TestContext } from "node:test";
import { randomCases } from "./random-cases.js";
import { reservationCases } from "./reservation-cases.js";
import { sizeCases } from "./size-cases.js";
import type { StoreCase, StoreContractOptions } from "./store-case.js";
import { StoreSubject } from "./store-subject.js";
import { syncCases } from "./sync-cases.js";
import { transferCases } from "./transfer-cases.js";

/** Registers the suite for one kind of store. Call it at the top level of a test file. */
export function storeContract(options: StoreContractOptions): void {
  const groups: readonly (readonly [string, readonly StoreCase[]])[] = [
    ["reading and writing", transferCases],
    ["grants and reservations", reservationCases],
    ["sizes and holes", sizeCases],
    ["sync, sync calls and opening again", syncCases],
    ["random calls", randomCases(options)],
  ];
  describe(`store contract: ${options.name}`, () => {
    for (const [group, cases] of groups) {
      describe(group, () => {
        for (const one of cases) it(one.name, (t) => runCase(options, one, t));
      });
    }
  });
}

async function runCase(options: StoreContractOptions, one: StoreCase, t: TestContext): Promise<void> {
  const limited = options.limitsCapacity === true && one.capacityBytes !== undefined;
  const request = limited
    ? { sizeBytes: one.size ?? 0, capacityBytes: one.capacityBytes as number }
    : { sizeBytes: one.size ?? 0 };
  const subject = await StoreSubject.open(options, request);
  try {
    const reason = (one.needs ?? []).map((need) => need(subject)).find((found) => found !== null);
    if (reason !== undefined && reason !== null) t.skip(reason);
    else await one.run(subject, t);
  } finally {
    await subject.cleanup();
  }
}
