/**
 * What the contract suite is told about a store, and what one of its cases is.
 *
 * Invariant: a gate gives a reason in words, so that what did not run is listed with why.
 *
 * See also: contract-suite.ts, store-subject.ts.
 */
import type { TestContext } from "node:test";
import type { Store } from "../store/contract.js";
import type { StoreSubject } from "./store-subject.js";

export interface StoreOpenRequest {
  /** Size of the new storage; it reads as zeros. */
  sizeBytes: number;
  /** Only where `limitsCapacity` is true: there is room for so many bytes of data, and not for a block more. */
  capacityBytes?: number;
}

export interface StoreUnderTest {
  store: Store;
  /** Closes the present store and opens the same storage again. */
  reopen(options: { readOnly?: boolean }): Promise<Store>;
  /** The store that another thread would make of what `share(cells)` answered. Without it, tests of sharing are skipped. */
  attach?(shared: string, cells: Int32Array): Store;
  /** Space taken now, reservations included. Without it, tests of giving back space are skipped. */
  usedBytes?(): Promise<number>;
  /** Closes what is open and removes the storage. Runs also after a failed test. */
  cleanup(): Promise<void>;
}

export interface StoreContractOptions {
  name: string;
  open(request: StoreOpenRequest): Promise<StoreUnderTest>;
  /** `open` keeps to capacityBytes. */
  limitsCapacity?: boolean;
  /** False where cancelMkwrite keeps the space (the contract allows that). Default true. */
  cancelGivesBack?: boolean;
  /** False where blocks past the end of the file are granted without a reservation. Default true. */
  reservesPastEnd?: boolean;
  /** False where allocate is ENOTSUP although grants reserve. Default: as the capability `reserves` says. */
  allocates?: boolean;
  /** Page size that the suite's cache would have: 4096 to 65536. Default 4096. */
  pageSize?: number;
  /** `usedBytes` may be off by so much for the storage's own records. Default 0. */
  usedSlackBytes?: number;
  /** Seeds and steps of the random test. */
  seeds?: readonly number[];
  randomSteps?: number;
}

/** What a case needs of the subject; null: nothing. Otherwise the reason why it cannot run. */
export type CaseGate = (subject: StoreSubject) => string | null;

/** One behaviour. Registers itself as a test that opens a subject, runs, and always cleans up. */
export interface StoreCase {
  name: string;
  size?: number;
  capacityBytes?: number;
  needs?: readonly CaseGate[];
  run(subject: StoreSubject, t: TestContext): Promise<void>;
}

/** Whether allocate is expected to work. */
export function canAllocate(s: StoreSubject): boolean {
  return s.options.allocates ?? s.store.capabilities.reserves === "data";
}

/** The gates: what a case may need of a store or of the hooks. */
export const needs = {
  reservations: (s: StoreSubject) =>
    s.store.capabilities.reserves === "data" ? null : "the store declares reserves: none",
  holes: (s: StoreSubject) => (s.store.capabilities.punchesHoles ? null : "the store does not punch holes"),
  syncCalls: (s: StoreSubject) => (s.store.capabilities.syncCalls ? null : "the store has no sync calls"),
  capacity: (s: StoreSubject) =>
    s.options.limitsCapacity === true ? null : "the storage under test has no limit of its own",
  cancel: (s: StoreSubject) =>
    s.options.cancelGivesBack === false ? "the store keeps what a cancelled grant reserved" : null,
  pastEnd: (s: StoreSubject) =>
    s.options.reservesPastEnd === false ? "the store reserves nothing past the end" : null,
  allocate: (s: StoreSubject) => (canAllocate(s) ? null : "the store cannot allocate"),
  noAllocate: (s: StoreSubject) => (canAllocate(s) ? "the store can allocate" : null),
  usage: (s: StoreSubject) => (s.measuresUsage ? null : "the storage cannot say how much it uses"),
  share: (s: StoreSubject) =>
    s.store.share === undefined
      ? "the store stays with its thread"
      : s.canAttach
        ? null
        : "the suite was not told how to attach it",
  stat: (s: StoreSubject) => (s.store.stat === undefined ? "the store has no stat" : null),
} as const;
