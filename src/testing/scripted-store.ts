/**
 * A store around any store, whose every call a test can see, hold, fail or change.
 *
 *     const store = new ScriptedStore(new MemoryStore({ sizeBytes: 1 << 20 }));
 *     store.fail("writePages", "EIO");                       // the next one fails, the one after works
 *     const hold = store.hold("sync");                       // the next one waits
 *     const synced = file.sync();
 *     await hold.entered;  hold.release();  await synced;
 *     store.on("readPages", { before: (call) => { if (call.position === 0) throw new PinfoldError("EIO", "bad sector"); } });
 *     store.calls("writePages").map((call) => [call.position, call.length]);
 *
 * Invariants: a call that no hook touches goes through unchanged, also its being synchronous; hooks run in the order in
 * which they were added; a hook that returns a promise makes the call asynchronous, which calls that may not wait refuse.
 *
 * See also: ../store/contract.ts, README.md.
 */
import { assert } from "../base/assert.js";
import { PinfoldError, type ErrorCode } from "../base/errors.js";
import type { MkwriteRequest, Store, StoreCapabilities, SyncRequest } from "../store/contract.js";

export type StoreCallName =
  | "readPages"
  | "readPagesSync"
  | "pageMkwrite"
  | "pageMkwriteSync"
  | "cancelMkwrite"
  | "setPageDirty"
  | "writePages"
  | "writePagesSync"
  | "sync"
  | "syncSync"
  | "setSize"
  | "invalidatePages"
  | "releasePage"
  | "truncate"
  | "punch"
  | "allocate"
  | "close";

/** One call as a hook and `calls()` see it. */
export interface StoreCall {
  readonly name: StoreCallName;
  /** 1 for the first call of the store, whatever its name. */
  readonly sequence: number;
  /** First byte; for setSize and truncate the size; 0 where there is none. */
  readonly position: number;
  /** Bytes; for invalidatePages up to Infinity; 0 where there is none. */
  readonly length: number;
  /** The caller's own buffers (readPages, writePages). Kept only while hooks run. */
  readonly buffers: readonly Uint8Array[];
  /** pageMkwrite's request. */
  readonly request: MkwriteRequest | undefined;
  /** sync's `data`. */
  readonly data: boolean | undefined;
  /** cancelMkwrite's block word. */
  readonly blocks: number | undefined;
  outcome: "running" | "ok" | "failed";
}

export interface StoreHook {
  /** Runs before the store is called; a throw is the call's failure, and the store never sees it. */
  before?(call: StoreCall): void | Promise<void>;
  /** Runs after the store succeeded; a throw turns that into a failure ("done but reported failed"). */
  after?(call: StoreCall): void | Promise<void>;
  /** How many calls it applies to; default: all. */
  times?: number;
  /** Only calls for which this is true; others do not count. */
  when?(call: StoreCall): boolean;
}

/** A call that waits until the test lets it go. */
export interface HeldCall {
  /** Resolves when a call has arrived. */
  readonly entered: Promise<StoreCall>;
  /** Lets it go on; before it arrived: it will not wait. */
  release(): void;
  /** Makes it fail. */
  fail(error: ErrorCode | Error): void;
}

export interface ScriptedStoreOptions {
  /** False: hides the sync calls, and says so in the capabilities. */
  syncCalls?: boolean;
  /** Replaces single capabilities, for example `{ reserves: "none" }`. */
  capabilities?: Partial<StoreCapabilities>;
}

interface Entry {
  readonly hook: StoreHook;
  left: number;
}

const hooksMax = 64;
const recordsMax = 65_536;
const noBuffers: readonly Uint8Array[] = [];

export class ScriptedStore implements Store {
  readonly inner: Store;
  readonly capabilities: StoreCapabilities;
  readonly readPagesSync?: (position: number, buffers: readonly Uint8Array[]) => void;
  readonly pageMkwriteSync?: (request: MkwriteRequest) => void;
  readonly writePagesSync?: (position: number, buffers: readonly Uint8Array[]) => void;
  readonly syncSync?: (request: SyncRequest) => void;
  readonly stat?: NonNullable<Store["stat"]>;
  readonly #hooks = new Map<StoreCallName, Entry[]>();
  readonly #records: StoreCall[] = [];
  readonly #counts = new Map<StoreCallName, number>();
  #sequence = 0;

  constructor(inner: Store, options: ScriptedStoreOptions = {}) {
    this.inner = inner;
    const syncCalls = inner.capabilities.syncCalls && (options.syncCalls ?? true);
    this.capabilities = { ...inner.capabilities, ...options.capabilities, syncCalls };
    if (syncCalls) {
      this.readPagesSync = (position, buffers) =>
        this.#now("readPagesSync", { position, buffers }, () => inner.readPagesSync?.(position, buffers));
      this.pageMkwriteSync = (request) =>
        this.#now("pageMkwriteSync", rangeOf(request), () => inner.pageMkwriteSync?.(request));
      this.writePagesSync = (position, buffers) =>
        this.#now("writePagesSync", { position, buffers }, () => inner.writePagesSync?.(position, buffers));
      this.syncSync = (request) => this.#now("syncSync", { data: request.data }, () => inner.syncSync?.(request));
    }
    const stat = inner.stat?.bind(inner);
    if (stat !== undefined) this.stat = stat;
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

  // --- what tests use -------------------------------------------------------------------------------------------

  /** Adds a hook; the function that it returns takes it away. */
  on(name: StoreCallName, hook: StoreHook): () => void {
    const list = this.#hooks.get(name) ?? [];
    assert(list.length < hooksMax, `scripted store: at most ${hooksMax} hooks a call`);
    const entry: Entry = { hook, left: hook.times ?? Infinity };
    list.push(entry);
    this.#hooks.set(name, list);
    return () => this.#remove(name, entry);
  }

  /** The next `times` calls fail (default 1). `stage: "after"`: the store did it, and still it is reported failed. */
  fail(
    name: StoreCallName,
    error: ErrorCode | Error,
    options: { times?: number; when?: (call: StoreCall) => boolean; stage?: "before" | "after" } = {},
  ): () => void {
    const { times = 1, when, stage = "before" } = options;
    const hook: StoreHook = {
      times,
      [stage]: (call: StoreCall) => {
        throw toError(error, call);
      },
    };
    if (when !== undefined) hook.when = when;
    return this.on(name, hook);
  }

  /** The next call waits, before the store sees it (or after it was done there), until it is released. */
  hold(
    name: StoreCallName,
    options: { when?: (call: StoreCall) => boolean; stage?: "before" | "after" } = {},
  ): HeldCall {
    const { when, stage = "before" } = options;
    const entered = deferred<StoreCall>();
    const gate = deferred<void>();
    gate.promise.catch(() => {});
    const hook: StoreHook = {
      times: 1,
      [stage]: (call: StoreCall) => {
        entered.resolve(call);
        return gate.promise;
      },
    };
    if (when !== undefined) hook.when = when;
    this.on(name, hook);
    return {
      entered: entered.promise,
      release: () => gate.resolve(),
      fail: (error) =>
        gate.reject(typeof error === "string" ? new PinfoldError(error, `scripted failure of ${name}`) : error),
    };
  }

  /** Takes all hooks away, and forgets the records. */
  clear(): void {
    this.#hooks.clear();
    this.#records.length = 0;
    this.#counts.clear();
  }

  /** How often it was called, sync and async apart. */
  count(name: StoreCallName): number {
    return this.#counts.get(name) ?? 0;
  }

  /** The calls so far, of one name or all, oldest first (the first 65,536). */
  calls(name?: StoreCallName): StoreCall[] {
    return name === undefined ? [...this.#records] : this.#records.filter((call) => call.name === name);
  }

  // --- the store ------------------------------------------------------------------------------------------------

  async readPages(position: number, buffers: readonly Uint8Array[]): Promise<void> {
    await this.#run("readPages", { position, buffers }, () => this.inner.readPages(position, buffers));
  }

  pageMkwrite(request: MkwriteRequest): Promise<void> | void {
    return this.#run("pageMkwrite", rangeOf(request), () => this.inner.pageMkwrite(request));
  }

  cancelMkwrite(position: number, pageSize: number, blocks: number): void {
    this.#now("cancelMkwrite", { position, length: pageSize, blocks }, () =>
      this.inner.cancelMkwrite(position, pageSize, blocks),
    );
  }

  setPageDirty(position: number, pageSize: number): void {
    this.#now("setPageDirty", { position, length: pageSize }, () => this.inner.setPageDirty(position, pageSize));
  }

  async writePages(position: number, buffers: readonly Uint8Array[]): Promise<void> {
    await this.#run("writePages", { position, buffers }, () => this.inner.writePages(position, buffers));
  }

  async sync(request: SyncRequest): Promise<void> {
    await this.#run("sync", { data: request.data }, () => this.inner.sync(request));
  }

  setSize(size: number): Promise<void> | void {
    return this.#run("setSize", { position: size }, () => this.inner.setSize(size));
  }

  invalidatePages(from: number, to: number): void {
    this.#now("invalidatePages", { position: from, length: to - from }, () => this.inner.invalidatePages(from, to));
  }

  releasePage(position: number, pageSize: number): boolean {
    return this.#now("releasePage", { position, length: pageSize }, () => this.inner.releasePage(position, pageSize));
  }

  async truncate(size: number): Promise<void> {
    await this.#run("truncate", { position: size }, () => this.inner.truncate(size));
  }

  async punch(position: number, length: number): Promise<void> {
    await this.#run("punch", { position, length }, () => this.inner.punch(position, length));
  }

  async allocate(position: number, length: number): Promise<void> {
    await this.#run("allocate", { position, length }, () => this.inner.allocate(position, length));
  }

  async close(): Promise<void> {
    await this.#run("close", {}, () => this.inner.close());
  }

  // --- how a call goes ------------------------------------------------------------------------------------------

  #remove(name: StoreCallName, entry: Entry): void {
    this.#hooks.set(
      name,
      (this.#hooks.get(name) ?? []).filter((other) => other !== entry),
    );
  }

  /** Notes the call and finds the hooks that apply to it. */
  #begin(name: StoreCallName, facts: Partial<StoreCall>): { call: StoreCall; hooks: StoreHook[] } {
    const buffers = facts.buffers ?? noBuffers;
    const length = facts.length ?? buffers.reduce((sum, buffer) => sum + buffer.length, 0);
    const call: StoreCall = {
      name,
      sequence: ++this.#sequence,
      position: facts.position ?? 0,
      length,
      buffers,
      request: facts.request,
      data: facts.data,
      blocks: facts.blocks,
      outcome: "running",
    };
    this.#counts.set(name, this.count(name) + 1);
    if (this.#records.length < recordsMax) this.#records.push({ ...call, buffers: noBuffers, request: undefined });
    const record = this.#records.at(-1);
    const hooks: StoreHook[] = [];
    for (const entry of [...(this.#hooks.get(name) ?? [])]) {
      if (entry.left <= 0 || entry.hook.when?.(call) === false) continue;
      entry.left--;
      if (entry.left === 0) this.#remove(name, entry);
      hooks.push(entry.hook);
    }
    // The record mirrors the outcome, without keeping the caller's buffers alive.
    return { call: record?.sequence === call.sequence ? mirrored(call, record) : call, hooks };
  }

  /** A call that may wait. Stays synchronous as long as the hooks and the store do. */
  #run(name: StoreCallName, facts: Partial<StoreCall>, inner: () => Promise<void> | void): Promise<void> | void {
    const { call, hooks } = this.#begin(name, facts);
    const steps = [
      ...hooks.map((hook) => () => hook.before?.(call)),
      inner,
      ...hooks.map((hook) => () => hook.after?.(call)),
    ];
    try {
      for (let i = 0; i < steps.length; i++) {
        const pending = steps[i]?.();
        if (pending instanceof Promise) return finish(call, pending, steps.slice(i + 1));
      }
    } catch (error) {
      call.outcome = "failed";
      throw error;
    }
    call.outcome = "ok";
  }

  /** A call that may not wait. */
  #now<T>(name: StoreCallName, facts: Partial<StoreCall>, inner: () => T): T {
    const { call, hooks } = this.#begin(name, facts);
    try {
      for (const hook of hooks)
        assert(!(hook.before?.(call) instanceof Promise), `${name} cannot wait: its hook returned a promise`);
      const result = inner();
      for (const hook of hooks)
        assert(!(hook.after?.(call) instanceof Promise), `${name} cannot wait: its hook returned a promise`);
      call.outcome = "ok";
      return result;
    } catch (error) {
      call.outcome = "failed";
      throw error;
    }
  }
}

async function finish(
  call: StoreCall,
  pending: Promise<void>,
  rest: readonly (() => Promise<void> | void)[],
): Promise<void> {
  try {
    await pending;
    for (const step of rest) await step();
    call.outcome = "ok";
  } catch (error) {
    call.outcome = "failed";
    throw error;
  }
}

interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(error: Error): void;
}

/** Promise.withResolvers, which Node 20 does not have. */
function deferred<T>(): Deferred<T> {
  let parts: Omit<Deferred<T>, "promise"> | undefined;
  const promise = new Promise<T>((resolve, reject) => {
    parts = { resolve, reject };
  });
  assert(parts !== undefined, "a promise runs its executor at once");
  return { promise, ...parts };
}

function mirrored(call: StoreCall, record: StoreCall): StoreCall {
  return Object.defineProperty(call, "outcome", {
    get: () => record.outcome,
    set: (value: StoreCall["outcome"]) => {
      record.outcome = value;
    },
    enumerable: true,
  });
}

function rangeOf(request: MkwriteRequest): Partial<StoreCall> {
  return { position: request.position, length: request.length, request };
}

function toError(error: ErrorCode | Error, call: StoreCall): Error {
  return typeof error === "string"
    ? new PinfoldError(error, `scripted failure of ${call.name} at ${call.position}`, { operation: call.name })
    : error;
}
