/**
 * PageCache: a bounded block of memory that holds pages of files. See the README for a first example.
 *
 * Invariants: a store is open once in a cache, however many files were opened on it (its key tells); each CachedFile is one
 * opener. The last one's close ends the store.
 */
import { type Clock, systemClock, type Timer } from "../base/clock.js";
import { PinfoldError, toPinfoldError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import { parseBytes } from "../base/sizes.js";
import type { AddressSpace } from "../cache/space.js";
import { Core } from "../mapping/core.js";
import type { LegacyCaller } from "../mapping/legacy.js";
import { closeSpace, flushAtExit, openSpace } from "../mapping/lifetime.js";
import { pinMany } from "../mapping/pin-many.js";
import { describePins } from "../mapping/pin-registry.js";
import { sync } from "../mapping/sync.js";
import { verify } from "../mapping/verify.js";
import type { Store } from "../store/contract.js";
import type { WriteFailure } from "../writeback/writer.js";
import { checkFlag, checkObject, checkPinned, checkSignal } from "./arguments.js";
import { CachedFile } from "./cached-file.js";
import { channels } from "./events.js";
import { LeakWatch } from "./leaks.js";
import { type PageCacheOptions, type ParsedOptions, checkMemory, parseOptions } from "./options.js";
import { pathOpener } from "./path-opener.js";
import { PinScope } from "./scope.js";
import { type CacheStats, type PinInfo, collectPins, collectStats } from "./stats.js";
import { UserPages } from "./user-pages.js";

export interface OpenOptions {
  /** Make the file if it is not there. */
  create?: boolean;
  /** Bytes, or "1GiB": of a new file; an existing one must have as many. */
  size?: number | string;
  readOnly?: boolean;
  /** Bypass the kernel's page cache (O_DIRECT). */
  direct?: boolean;
  /** Keep other processes out by a lock. Default true. */
  exclusive?: boolean;
}

export interface PinRange {
  file: CachedFile;
  position: number;
  length: number;
  write?: boolean;
}

/** Several pinned ranges, in the order they were asked for. */
export class PinnedRanges implements Disposable, Iterable<UserPages> {
  readonly ranges: readonly UserPages[];

  constructor(ranges: readonly UserPages[]) {
    this.ranges = ranges;
  }

  [Symbol.iterator](): IterableIterator<UserPages> {
    return this.ranges[Symbol.iterator]();
  }

  /** Puts those that are not put yet. */
  put(): void {
    for (const pages of this.ranges) pages[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.put();
  }
}

interface OpenStore {
  readonly space: AddressSpace;
  readonly options: string;
  openers: number;
  readonly files: Set<CachedFile>;
}

/** Caches of this thread that were not closed: what they have dirty is written when the process ends (F36). */
const openCores = new Set<Core>();
let flushesAtExit = false;

function flushAll(): void {
  for (const core of openCores) flushAtExit(core, (message) => process.stderr.write(`${message}\n`));
}

export class PageCache implements AsyncDisposable {
  /** What the entries of this package hand to each other; not for users. */
  readonly core: Core;
  readonly #options: ParsedOptions;
  readonly #stores = new Map<string, OpenStore>();
  readonly #leaks: LeakWatch;
  /** Opens and closes run one after the other: two opens of one path must meet. */
  #turn: Promise<unknown> = Promise.resolve();
  #flushTimer: Timer | undefined;
  #closed = false;

  private constructor(options: ParsedOptions, clock: Clock) {
    this.#options = options;
    this.core = new Core(options, clock);
    this.#leaks = new LeakWatch(this.core);
    this.core.locks.queues.onStuck = (wait) => this.#reportStuck(wait);
    this.core.writer.onFailed = (space, failure) => this.#reportFailure(space, failure);
    this.core.writer.onHealed = (space, index) => channels.healed.publish({ file: space.store.name, index });
    if (!flushesAtExit) process.on("exit", flushAll);
    flushesAtExit = true;
    openCores.add(this.core);
    this.#armFlusher();
  }

  /**
   * Takes the memory. Tests may drive the clock.
   * @throws PinfoldError EINVAL, ENOMEM
   */
  static async open(options: PageCacheOptions = {}, clock: Clock = systemClock): Promise<PageCache> {
    const parsed = parseOptions(options);
    checkMemory(parsed);
    return new PageCache(parsed, clock);
  }

  #armFlusher(): void {
    this.#flushTimer = this.core.clock.after(this.#options.writebackIntervalMs, () => {
      void this.core.flusher.step(false).finally(() => {
        if (!this.#closed) this.#armFlusher();
      });
    });
  }

  #check(): void {
    if (this.#closed) throw new PinfoldError("EBADF", "the cache was closed");
  }

  /** Bytes of a page. */
  get pageSize(): number {
    return this.core.frames.pageSize;
  }

  /**
   * Opens a file, or a store of your own. The same file opened twice is one mapping with two openers.
   * @throws PinfoldError EINVAL (conflicting options, a size that does not fit), ENOENT, EISDIR, EACCES, EBUSY (another process or
   * cache has it), EROFS, EFBIG, EMFILE, ERR_PINFOLD_TOO_MANY
   */
  async open(target: string | Store, options: OpenOptions = {}): Promise<CachedFile> {
    this.#check();
    const wanted = parseOpen(target, options);
    return this.#inTurn(() => this.#open(target, wanted));
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => {});
    return result;
  }

  async #open(target: string | Store, options: ParsedOpen): Promise<CachedFile> {
    this.#check();
    const key = typeof target === "string" ? await pathOpener().identify(target) : target.key;
    const known = key === undefined ? undefined : this.#stores.get(key);
    if (known) {
      checkSame(known, options, typeof target === "string" ? target : target.name);
      known.openers += 1;
      return this.#file(known);
    }
    const store = typeof target === "string" ? await openPath(target, options) : target;
    try {
      const space = openSpace(this.core, store);
      if (options.readOnly && !space.readOnly)
        throw new PinfoldError("EINVAL", `${store.name} was not opened read-only; open the store so`);
      const entry: OpenStore = { space, options: JSON.stringify(options.identity), openers: 1, files: new Set() };
      this.#stores.set(store.key, entry);
      return this.#file(entry);
    } catch (error) {
      if (typeof target === "string") await store.close();
      throw error;
    }
  }

  #file(entry: OpenStore): CachedFile {
    const file: CachedFile = new CachedFile(
      {
        core: this.core,
        debug: this.#options.debug,
        noteHandle: (pin, handle) => this.#leaks.note(pin, handle),
        close: (discard) =>
          this.#inTurn(async () => {
            await this.#closeFile(entry, discard);
            entry.files.delete(file);
          }),
      },
      entry.space,
    );
    entry.files.add(file);
    return file;
  }

  /** Tells a page's failed write to who listens. Handlers run after write-back has done its part: what they throw is theirs. */
  #reportFailure(space: AddressSpace, { index, error }: WriteFailure): void {
    channels.writeError.publish({ file: space.store.name, index, error });
    for (const file of this.#stores.get(space.store.key)?.files ?? []) {
      if (file.onError) queueMicrotask(() => file.onError?.(error, index * space.pageSize));
    }
  }

  async #closeFile(entry: OpenStore, discard: boolean): Promise<void> {
    if (entry.openers > 1) {
      if (!discard && !entry.space.readOnly) await sync(this.core, entry.space, {});
      entry.openers -= 1;
      return;
    }
    if (entry.openers === 1) await this.#closeStore(entry, discard);
  }

  async #closeStore(entry: OpenStore, discard: boolean): Promise<void> {
    await closeSpace(this.core, entry.space, discard);
    // The files that were open on it are closed with it; closing them again does nothing.
    entry.openers = 0;
    this.#stores.delete(entry.space.store.key);
  }

  /**
   * Pins several ranges, of several files, all or nothing, in one order for everybody: a B-tree split.
   * @throws PinfoldError as getUserPages
   */
  async pin(
    ranges: readonly PinRange[],
    options: { signal?: AbortSignal; scope?: PinScope } = {},
  ): Promise<PinnedRanges> {
    this.#check();
    if (!Array.isArray(ranges) || ranges.length === 0 || ranges.length > limits.pinRangesMax) {
      throw new PinfoldError("EINVAL", `ranges must be an array of 1 to ${limits.pinRangesMax}`);
    }
    checkObject(options, "options");
    checkSignal(options.signal);
    const requests = ranges.map((range) => {
      checkObject(range, "range");
      checkFlag(range.write, "write");
      const { file, position, length, write } = range;
      return { space: CachedFile.spaceOf(file, this.core), position, length, write };
    });
    const pins = await pinMany(this.core, requests, {
      signal: options.signal,
      scope: PinScope.unwrap(options.scope, this.core),
    });
    return new PinnedRanges(
      pins.map((pin) => {
        const pages = new UserPages(this.core, pin, this.#options.debug);
        this.#leaks.note(pin, pages);
        return pages;
      }),
    );
  }

  /** An owner of pins that is recognised across awaits. */
  scope(): PinScope {
    this.#check();
    return new PinScope(this.core);
  }

  /**
   * All files: what completed puts and writes left is durable.
   * @throws PinfoldError of the first file that fails; AggregateError as its cause where several do
   */
  async sync(options: { pinned?: "wait" | "fail"; signal?: AbortSignal; scope?: PinScope } = {}): Promise<void> {
    this.#check();
    checkObject(options, "options");
    checkPinned(options.pinned);
    checkSignal(options.signal);
    const scope = PinScope.unwrap(options.scope, this.core);
    const spaces = [...this.core.openSpaces()].filter((space) => !space.readOnly);
    const results = await Promise.allSettled(spaces.map((space) => sync(this.core, space, { ...options, scope })));
    const errors = results.flatMap((result) => (result.status === "rejected" ? [result.reason as unknown] : []));
    if (errors.length === 1) throw errors[0];
    if (errors.length > 1) {
      const first = toPinfoldError(errors[0], "sync");
      throw new PinfoldError(first.code, `${errors.length} files are not durable: ${first.message}`, {
        cause: new AggregateError(errors),
      });
    }
  }

  /** Counters and levels, in pages and bytes. */
  stats(): CacheStats {
    return collectStats(this.core);
  }

  /** Who has what pinned, since when, from where (`pinSites`). */
  pins(): PinInfo[] {
    return collectPins(this.core);
  }

  /** Places that still release pages with putPage. */
  legacyCallers(): LegacyCaller[] {
    return this.core.legacy.list();
  }

  /**
   * Executes the invariants. `quiesce`: also those that hold only while no operation is in progress.
   * @throws PinfoldError ERR_PINFOLD_VERIFY
   */
  verify(options: { quiesce?: boolean } = {}): void {
    verify(this.core, options.quiesce === true);
  }

  /**
   * Syncs and closes all files, then the cache.
   * @throws PinfoldError EBUSY while pages are pinned; what a sync throws. The cache stays open then; `discard` gives up what is dirty.
   */
  async close(options: { discard?: boolean } = {}): Promise<void> {
    checkObject(options, "options");
    checkFlag(options.discard, "discard");
    await this.#inTurn(async () => {
      if (this.#closed) return;
      const pins = [...this.core.pins];
      if (pins.length > 0)
        throw new PinfoldError("EBUSY", `pages are pinned: ${describePins(pins, this.core.clock.nowMs())}`);
      for (const entry of [...this.#stores.values()]) await this.#closeStore(entry, options.discard === true);
      this.#closed = true;
      this.#flushTimer?.cancel();
      this.#leaks.stop();
      openCores.delete(this.core);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #reportStuck(wait: { mapping: number; index: number; mode: number; sinceMs: number }): void {
    if (!channels.stuck.hasSubscribers) return;
    const space = this.core.spaces[wait.mapping];
    const nowMs = this.core.clock.nowMs();
    const holders = space ? this.core.pins.holders(space, wait.index, wait.index) : [...this.core.pins];
    channels.stuck.publish({
      file: space?.store.name ?? "all files",
      index: wait.index,
      mode: wait.mode,
      waitedMs: nowMs - wait.sinceMs,
      holders: describePins(holders, nowMs),
    });
  }
}

interface ParsedOpen {
  readonly create: boolean;
  readonly sizeBytes: number | undefined;
  readonly readOnly: boolean;
  /** What two opens of one file have to agree on. */
  readonly identity: { readonly readOnly: boolean; readonly direct: boolean; readonly lock: boolean };
}

function parseOpen(target: string | Store, options: OpenOptions): ParsedOpen {
  checkObject(options, "options");
  for (const flag of ["create", "readOnly", "direct", "exclusive"] as const) checkFlag(options[flag], flag);
  const isPath = typeof target === "string";
  if (!isPath && (typeof target !== "object" || target === null || typeof target.readPages !== "function")) {
    throw new PinfoldError("EINVAL", "open takes a path or a Store");
  }
  if (isPath && (target.length === 0 || target.includes("\0")))
    throw new PinfoldError("EINVAL", "the path is empty or has a zero byte");
  const readOnly = options.readOnly ?? (!isPath && target.capabilities.readOnly);
  if (readOnly && (options.create || options.size !== undefined)) {
    throw new PinfoldError("EINVAL", "readOnly and create or size exclude each other");
  }
  return {
    create: options.create ?? false,
    sizeBytes: options.size === undefined ? undefined : parseBytes(options.size, "size"),
    readOnly,
    identity: { readOnly, direct: options.direct ?? false, lock: options.exclusive ?? true },
  };
}

async function openPath(path: string, options: ParsedOpen): Promise<Store> {
  const { create, sizeBytes, identity } = options;
  return pathOpener().open(path, { create, ...identity, ...(sizeBytes === undefined ? {} : { sizeBytes }) });
}

function checkSame(known: OpenStore, options: ParsedOpen, name: string): void {
  if (known.options !== JSON.stringify(options.identity)) {
    throw new PinfoldError("EINVAL", `${name} is open with other options: ${known.options}`);
  }
  if (options.sizeBytes !== undefined && options.sizeBytes !== known.space.size) {
    throw new PinfoldError("EINVAL", `${name} is open with ${known.space.size} bytes, not ${options.sizeBytes}`);
  }
}
