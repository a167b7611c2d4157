/**
 * A store around any store, in which things go wrong: scripted, or by chance from a seed.
 *
 *     const store = new FaultyStore(new MemoryStore({ sizeBytes: 1 << 20 }), { seed: 7 });
 *     store.add({ fault: { kind: "error", code: "EIO" }, calls: ["writePages"], from: 4096, to: 8192 });   // once
 *     store.add({ fault: { kind: "torn" }, chance: 0.01 });                                               // now and then
 *     // ...
 *     store.struck;                                                    // what has gone wrong, in turn
 *
 * Of the rules that apply to a call, delays add up, and of all others the one that was added first strikes. Invariants: a call that no rule
 * strikes goes through unchanged; the same seed and the same calls give the same faults.
 *
 * See also: faults.ts (kinds and rules), volatile-store.ts (power cuts), ../../testing/scripted-store.ts (calls held by hand).
 */
import { type Clock, systemClock } from "../../base/clock.js";
import { type ErrorCode, PinfoldError } from "../../base/errors.js";
import { SeededRandom } from "../../base/seeded.js";
import type { MkwriteRequest, Store, StoreCapabilities, SyncRequest } from "../../store/contract.js";
import {
  ActiveRule,
  type Fault,
  type FaultedCall,
  type FaultedRange,
  type FaultKind,
  type FaultRule,
} from "./faults.js";

export interface FaultyStoreOptions {
  /** Of the chances, and of what is left open in a fault. Default 1. */
  readonly seed?: number;
  readonly clock?: Clock;
  /** False hides the calls that block. */
  readonly syncCalls?: boolean;
  /** Bytes that a torn write writes as a whole. Default 512. */
  readonly sectorBytes?: number;
}

/** A fault that has struck. */
export interface StruckCall {
  readonly call: FaultedCall;
  readonly kind: FaultKind;
  readonly position: number;
  readonly length: number;
  /** Milliseconds since the store was made. */
  readonly atMs: number;
}

type Buffers = readonly Uint8Array[];

/** A call as faults see it. */
interface Call extends FaultedRange {
  readonly buffers?: Buffers;
  /** Does it, there or elsewhere, with other buffers or its own. */
  readonly run: (position: number, buffers: Buffers) => Promise<void> | void;
}

/** A write that is done later than it was reported. */
interface HeldWrite {
  readonly position: number;
  readonly bytes: Uint8Array;
  left: number;
}

const rulesMax = 1_000;
const struckMax = 10_000;
const heldMax = 1_000;
const none: Buffers = [];

export class FaultyStore<Inner extends Store = Store> implements Store {
  readonly inner: Inner;
  readonly capabilities: StoreCapabilities;
  readonly readPagesSync?: NonNullable<Store["readPagesSync"]>;
  readonly pageMkwriteSync?: NonNullable<Store["pageMkwriteSync"]>;
  readonly writePagesSync?: NonNullable<Store["writePagesSync"]>;
  readonly syncSync?: NonNullable<Store["syncSync"]>;
  readonly #random: SeededRandom;
  readonly #clock: Clock;
  readonly #beganMs: number;
  readonly #sectorBytes: number;
  #rules: ActiveRule[] = [];
  readonly #struck: StruckCall[] = [];
  readonly #held: HeldWrite[] = [];

  constructor(inner: Inner, options: FaultyStoreOptions = {}) {
    const { seed = 1, clock = systemClock, sectorBytes = 512 } = options;
    this.inner = inner;
    this.#random = new SeededRandom(seed);
    this.#clock = clock;
    this.#beganMs = clock.nowMs();
    this.#sectorBytes = sectorBytes;
    const syncCalls = inner.capabilities.syncCalls && (options.syncCalls ?? true);
    this.capabilities = { ...inner.capabilities, syncCalls };
    if (!syncCalls) return;
    this.readPagesSync = (position, buffers) => {
      const run = (at: number, into: Buffers) => inner.readPagesSync?.(at, into);
      this.#runNow({ name: "readPagesSync", position, length: lengthOf(buffers), buffers, run });
    };
    this.pageMkwriteSync = (request) => {
      const { position, length } = request;
      this.#runNow({ name: "pageMkwriteSync", position, length, run: () => inner.pageMkwriteSync?.(request) });
    };
    this.writePagesSync = (position, buffers) => {
      const run = (at: number, from: Buffers) => inner.writePagesSync?.(at, from);
      this.#runNow({ name: "writePagesSync", position, length: lengthOf(buffers), buffers, run });
    };
    this.syncSync = (request) =>
      this.#runNow({ name: "syncSync", position: undefined, length: 0, run: () => inner.syncSync?.(request) });
  }

  get key(): string {
    return this.inner.key;
  }

  get name(): string {
    return this.inner.name;
  }

  get sizeBytes(): number {
    return this.inner.sizeBytes;
  }

  // --- faults ------------------------------------------------------------------------------------------------------

  /** Adds a rule; what it answers takes it away. @throws PinfoldError EINVAL */
  add(rule: FaultRule): () => void {
    if (this.#rules.length >= rulesMax) throw new PinfoldError("EINVAL", `at most ${rulesMax} rules`);
    const active = new ActiveRule(rule);
    this.#rules.push(active);
    return () => {
      this.#rules = this.#rules.filter((other) => other !== active);
    };
  }

  /** Nothing goes wrong from now on; what has gone wrong stays so. */
  heal(): void {
    this.#rules = [];
  }

  /** What has gone wrong, in turn: the first 10,000. */
  get struck(): readonly StruckCall[] {
    return this.#struck;
  }

  /** The faults that strike a call: how long it is put off, how late it is told of, and what else. */
  #faultsOf(call: Call): { delayMs: number; lateMs: number; fault: Fault | undefined } {
    const atMs = this.#clock.nowMs() - this.#beganMs;
    let delayMs = 0;
    let lateMs = 0;
    let fault: Fault | undefined;
    for (const rule of this.#rules) {
      const { kind } = rule.fault;
      const isTime = kind === "delay" || kind === "late";
      if ((fault !== undefined && !isTime) || !rule.strikes(call, atMs, this.#random)) continue;
      if (rule.fault.kind === "delay") delayMs += rule.fault.milliseconds;
      else if (rule.fault.kind === "late") lateMs += rule.fault.milliseconds;
      else fault = rule.fault;
      const { name, position = 0, length } = call;
      if (this.#struck.length < struckMax) this.#struck.push({ call: name, kind, position, length, atMs });
    }
    this.#rules = this.#rules.filter(({ isOver }) => !isOver);
    return { delayMs, lateMs, fault };
  }

  // --- the store -----------------------------------------------------------------------------------------------------

  readPages(position: number, buffers: Buffers): Promise<void> {
    const run = (at: number, into: Buffers) => this.inner.readPages(at, into);
    return promised(this.#run({ name: "readPages", position, length: lengthOf(buffers), buffers, run }));
  }

  pageMkwrite(request: MkwriteRequest): Promise<void> | void {
    const { position, length } = request;
    return this.#run({ name: "pageMkwrite", position, length, run: () => this.inner.pageMkwrite(request) });
  }

  cancelMkwrite(position: number, pageSize: number, blocks: number): void {
    this.inner.cancelMkwrite(position, pageSize, blocks);
  }

  setPageDirty(position: number, pageSize: number): void {
    this.inner.setPageDirty(position, pageSize);
  }

  writePages(position: number, buffers: Buffers): Promise<void> {
    const run = (at: number, from: Buffers) => this.inner.writePages(at, from);
    const running = this.#run({ name: "writePages", position, length: lengthOf(buffers), buffers, run });
    return promised(this.#held.length === 0 ? running : then(running, () => this.#writeHeld(1)));
  }

  sync(request: SyncRequest): Promise<void> {
    const run = () => this.inner.sync(request);
    return this.#afterHeld({ name: "sync", position: undefined, length: 0, run });
  }

  setSize(size: number): Promise<void> | void {
    return this.#run({ name: "setSize", position: undefined, length: 0, run: () => this.inner.setSize(size) });
  }

  invalidatePages(from: number, to: number): void {
    this.inner.invalidatePages(from, to);
  }

  releasePage(position: number, pageSize: number): boolean {
    return this.inner.releasePage(position, pageSize);
  }

  truncate(size: number): Promise<void> {
    return this.#afterHeld({
      name: "truncate",
      position: size,
      length: Infinity,
      run: () => this.inner.truncate(size),
    });
  }

  punch(position: number, length: number): Promise<void> {
    return this.#afterHeld({ name: "punch", position, length, run: () => this.inner.punch(position, length) });
  }

  allocate(position: number, length: number): Promise<void> {
    const run = () => this.inner.allocate(position, length);
    return promised(this.#run({ name: "allocate", position, length, run }));
  }

  async close(): Promise<void> {
    await this.#writeHeld(Infinity);
    await this.inner.close();
  }

  /** Writes that are held back do not pass a sync, a cut or a punch. */
  #afterHeld(call: Call): Promise<void> {
    return promised(this.#held.length === 0 ? this.#run(call) : then(this.#writeHeld(Infinity), () => this.#run(call)));
  }

  // --- how a call goes -------------------------------------------------------------------------------------------------

  /** Stays synchronous where the store does, and no fault makes it wait. */
  #run(call: Call): Promise<void> | void {
    const { delayMs, lateMs, fault } = this.#faultsOf(call);
    if (fault === undefined && delayMs + lateMs === 0) return call.run(call.position ?? 0, call.buffers ?? none);
    if (fault?.kind === "never") return new Promise(() => {});
    const done = this.#struckRun(call, fault, delayMs, lateMs);
    return fault?.kind === "twice" ? endingTwice(done) : done;
  }

  async #struckRun(call: Call, fault: Fault | undefined, delayMs: number, lateMs: number): Promise<void> {
    if (delayMs > 0) await this.#pass(delayMs);
    try {
      await this.#strike(call, fault);
    } finally {
      if (lateMs > 0) await this.#pass(lateMs);
    }
  }

  #pass(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      this.#clock.after(milliseconds, resolve, true);
    });
  }

  /** A call that blocks: none of its faults waits. */
  #runNow(call: Call): void {
    void this.#strike(call, this.#faultsOf(call).fault);
  }

  /** Does a call as the fault has it. Answers a promise only where the store does. */
  #strike(call: Call, fault: Fault | undefined): Promise<void> | void {
    const position = call.position ?? 0;
    const buffers = call.buffers ?? none;
    if (fault?.kind === "error") {
      const failing = () => fail(call, fault.code);
      return fault.stage === "after" ? then(call.run(position, buffers), failing) : failing();
    }
    if (fault?.kind === "short") {
      const bytes = Math.min(fault.bytes ?? this.#random.below(call.length + 1), call.length);
      const moved = bytes > 0 ? call.run(position, cut(buffers, 0, bytes)) : undefined;
      return then(moved, () => fail(call, fault.code));
    }
    if (fault?.kind === "lost") return;
    if (fault?.kind === "torn") return this.#tear(call, position, buffers);
    if (fault?.kind === "reordered") return this.#hold(position, buffers, fault.writes ?? 1);
    if (fault?.kind === "misdirected") return call.run(Math.max(0, position + fault.bytes), buffers);
    const running = call.run(position, buffers);
    return fault?.kind === "rot" ? then(running, () => this.#rot(buffers, fault.bits ?? 1)) : running;
  }

  /** Writes some of the sectors, never all of them. */
  #tear(call: Call, position: number, buffers: Buffers): Promise<void> | void {
    const sectors = this.#sectorsOf(position, call.length);
    const lost = this.#random.below(sectors.length);
    let running: Promise<void> | void = undefined;
    sectors.forEach(({ from, to }, at) => {
      if (at === lost || this.#random.below(2) === 0) return;
      running = then(running, () => call.run(from, cut(buffers, from - position, to - position)));
    });
    return running;
  }

  #sectorsOf(position: number, length: number): { from: number; to: number }[] {
    const sectors: { from: number; to: number }[] = [];
    for (let from = position; from < position + length; ) {
      const to = Math.min(position + length, (Math.floor(from / this.#sectorBytes) + 1) * this.#sectorBytes);
      sectors.push({ from, to });
      from = to;
    }
    return sectors;
  }

  #rot(buffers: Buffers, bits: number): void {
    for (let count = 0; count < bits; count++) {
      const buffer = buffers[this.#random.below(buffers.length)];
      if (buffer === undefined || buffer.length === 0) continue;
      const at = this.#random.below(buffer.length);
      buffer[at] = (buffer[at] as number) ^ (1 << this.#random.below(8));
    }
  }

  /** Keeps a write for later, as its bytes are now. */
  #hold(position: number, buffers: Buffers, left: number): Promise<void> | void {
    const bytes = new Uint8Array(lengthOf(buffers));
    let at = 0;
    for (const buffer of buffers) {
      bytes.set(buffer, at);
      at += buffer.length;
    }
    this.#held.push({ position, bytes, left: left + 1 });
    if (this.#held.length > heldMax) return this.#writeHeld(Infinity);
  }

  /** Does what was held back long enough, after `writes` further ones. */
  async #writeHeld(writes: number): Promise<void> {
    for (const held of [...this.#held]) {
      held.left -= writes;
      if (held.left > 0) continue;
      this.#held.splice(this.#held.indexOf(held), 1);
      await this.inner.writePages(held.position, [held.bytes]);
    }
  }
}

function fail(call: Call, code: ErrorCode = "EIO"): never {
  throw new PinfoldError(code, `${call.name} at ${call.position ?? 0}: an injected fault`, { operation: call.name });
}

/** After `running`, at once where it is no promise. */
function then(running: Promise<void> | void, next: () => Promise<void> | void): Promise<void> | void {
  return running === undefined ? next() : Promise.resolve(running).then(next);
}

function lengthOf(buffers: Buffers): number {
  return buffers.reduce((sum, { length }) => sum + length, 0);
}

/** Bytes [from, to) of all buffers together. */
function cut(buffers: Buffers, from: number, to: number): Uint8Array[] {
  const parts: Uint8Array[] = [];
  let at = 0;
  for (const buffer of buffers) {
    const part = buffer.subarray(Math.max(0, from - at), Math.max(0, Math.min(buffer.length, to - at)));
    if (part.length > 0) parts.push(part);
    at += buffer.length;
  }
  return parts;
}

function promised(running: Promise<void> | void): Promise<void> {
  return running ?? Promise.resolve();
}

/** Looks like a promise, and tells its listeners twice how it has ended. */
function endingTwice(done: Promise<void>): Promise<void> {
  const again = new PinfoldError("EIO", "an injected fault: it has ended already");
  const listen = (
    resolve: ((value: void) => unknown) | null = null,
    reject: ((error: unknown) => unknown) | null = null,
  ) =>
    done.then(
      () => {
        resolve?.();
        reject?.(again);
      },
      (error: unknown) => {
        reject?.(error);
        resolve?.();
      },
    );
  // oxlint-disable-next-line unicorn/no-thenable -- that is what it is for
  return { then: listen } as unknown as Promise<void>;
}
