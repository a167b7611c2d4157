/**
 * What can go wrong in a store, and when it does.
 *
 * See also: faulty-store.ts (what each does to a call).
 */
import { assert } from "../../base/assert.js";
import { type ErrorCode, PinfoldError } from "../../base/errors.js";
import type { SeededRandom } from "../../base/seeded.js";

/** Calls that can be faulted. What cannot fail (cancelMkwrite, setPageDirty, invalidatePages, releasePage) goes through. */
export type FaultedCall =
  | "readPages"
  | "readPagesSync"
  | "pageMkwrite"
  | "pageMkwriteSync"
  | "writePages"
  | "writePagesSync"
  | "sync"
  | "syncSync"
  | "setSize"
  | "truncate"
  | "punch"
  | "allocate";

export type Fault =
  /** It fails: before the store is asked (default), or after the store has done it. */
  | { readonly kind: "error"; readonly code?: ErrorCode; readonly stage?: "before" | "after" }
  /** A read or write moves its first bytes only, and then fails. `bytes`: how many; without it, any number. */
  | { readonly kind: "short"; readonly bytes?: number; readonly code?: ErrorCode }
  /** It begins so much later. Goes together with others. */
  | { readonly kind: "delay"; readonly milliseconds: number }
  /** The store does it, and so much later the caller is told. Goes together with others. */
  | { readonly kind: "late"; readonly milliseconds: number }
  /** It never ends; the store does not do it. */
  | { readonly kind: "never" }
  /** It ends twice: well, and then with an error. */
  | { readonly kind: "twice" }
  /** It is reported done, and was not: a write, a sync, a cut that never reached the medium. */
  | { readonly kind: "lost" }
  /** A write of which a part of the sectors is done, any of them, and all reported. */
  | { readonly kind: "torn" }
  /** A write that is reported done, and is done after the next `writes` other ones, or with the next sync. */
  | { readonly kind: "reordered"; readonly writes?: number }
  /** A read or write goes so many bytes from where it should. */
  | { readonly kind: "misdirected"; readonly bytes: number }
  /** So many bits of what is read are flipped (default 1), though the medium has them right. */
  | { readonly kind: "rot"; readonly bits?: number };

export type FaultKind = Fault["kind"];

/** When a fault strikes. What is left out does not matter. */
export interface FaultRule {
  readonly fault: Fault;
  /** Only these calls; default all that the fault is possible for. */
  readonly calls?: readonly FaultedCall[];
  /** Only calls that touch a byte of [from, to). Those without bytes (sync, setSize) touch all. */
  readonly from?: number;
  readonly to?: number;
  /** Only from then on, and only until then, on the store's clock, in milliseconds since the store was made. */
  readonly afterMs?: number;
  readonly beforeMs?: number;
  /** So many calls to which all of this applies go through first. Default 0. */
  readonly skip?: number;
  /** So many calls are struck. Default 1 without `chance`, else all. */
  readonly times?: number;
  /** From 0 to 1: how likely each of these calls is struck. Default 1. */
  readonly chance?: number;
}

const reads: readonly FaultedCall[] = ["readPages", "readPagesSync"];
const writes: readonly FaultedCall[] = ["writePages", "writePagesSync"];
const waits: readonly FaultedCall[] = [
  ...(["readPages", "pageMkwrite", "writePages", "sync"] as const),
  ...(["setSize", "truncate", "punch", "allocate"] as const),
];
const blocking: readonly FaultedCall[] = ["readPagesSync", "pageMkwriteSync", "writePagesSync", "syncSync"];

/** Which calls a fault can strike. */
const possible: Readonly<Record<FaultKind, readonly FaultedCall[]>> = {
  error: [...waits, ...blocking],
  short: [...reads, ...writes],
  delay: waits,
  late: waits,
  never: waits,
  twice: waits,
  // A grant that was never given is an error of the store, and no fault of its medium.
  lost: ["writePages", "writePagesSync", "sync", "syncSync", "truncate", "punch"],
  torn: writes,
  reordered: ["writePages"],
  misdirected: [...reads, ...writes],
  rot: reads,
};

/** What a rule looks at. */
export interface FaultedRange {
  readonly name: FaultedCall;
  /** Undefined for calls without bytes. */
  readonly position: number | undefined;
  readonly length: number;
}

/** A rule, and how often it has applied. */
export class ActiveRule {
  readonly fault: Fault;
  readonly #rule: FaultRule;
  readonly #calls: readonly FaultedCall[];
  #skip: number;
  #left: number;

  /** @throws PinfoldError EINVAL for a rule that makes no sense, or can never apply */
  constructor(rule: FaultRule) {
    const { fault, calls, skip = 0, chance = 1, times = rule.chance === undefined ? 1 : Infinity } = rule;
    const known = possible[fault.kind];
    const wrong = calls?.find((name) => !known?.includes(name));
    const isTime = "milliseconds" in fault && !(fault.milliseconds >= 0);
    if (known === undefined) throw new PinfoldError("EINVAL", `there is no fault "${fault.kind}"`);
    if (wrong !== undefined) throw new PinfoldError("EINVAL", `a fault "${fault.kind}" cannot strike ${wrong}`);
    if (!(chance >= 0 && chance <= 1)) throw new PinfoldError("EINVAL", `a chance is from 0 to 1, not ${chance}`);
    if (!(skip >= 0) || !(times >= 0) || isTime) throw new PinfoldError("EINVAL", "counts and times are 0 or more");
    this.fault = fault;
    this.#rule = rule;
    this.#calls = calls ?? known;
    this.#skip = skip;
    this.#left = times;
  }

  /** It will never apply again. */
  get isOver(): boolean {
    return this.#left <= 0;
  }

  /** True where it strikes this call. Draws a number where it has a chance. */
  strikes(call: FaultedRange, nowMs: number, random: SeededRandom): boolean {
    const { from = 0, to = Infinity, afterMs = 0, beforeMs = Infinity, chance = 1 } = this.#rule;
    if (this.isOver || !this.#calls.includes(call.name) || nowMs < afterMs || nowMs >= beforeMs) return false;
    const { position, length } = call;
    if (position !== undefined && (position >= to || position + length <= from)) return false;
    if (chance < 1 && random.fraction() >= chance) return false;
    if (this.#skip-- > 0) return false;
    assert(this.#left > 0, "a rule that is over strikes nothing");
    this.#left--;
    return true;
  }
}
