/**
 * PageCache: a bounded block of memory that holds pages of files. See the README for a first example.
 *
 * Every thread of the process can use the same cache: `share()` in one, `PageCache.attach()` in another. No thread is special; the
 * memory lives as long as anybody has it.
 *
 * Invariants: a store is open once in a cache, however many files were opened on it, in whichever threads (its key tells); each
 * CachedFile is one opener. The last one's close ends the store.
 */
import { isMainThread } from "node:worker_threads";
import { type Clock, systemClock, type Timer } from "../base/clock.js";
import { PinfoldError, toPinfoldError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { AddressSpace } from "../cache/space.js";
import { Frames, type FramesShare } from "../frames/frames.js";
import { Core } from "../mapping/core.js";
import { shareLoads, unshareLoads } from "../base/load-guard.js";
import { addCore, removeCore } from "../mapping/core-registry.js";
import { leaveCache } from "../mapping/detach.js";
import type { LegacyCaller } from "../mapping/legacy.js";
import { closeFile, closeForAll, flushAtExit, openFile } from "../mapping/lifetime.js";
import { pinMany } from "../mapping/pin-many.js";
import { makeRoom } from "../mapping/room.js";
import { describeHolders, describeHolds } from "../mapping/holders.js";
import { sync } from "../mapping/sync.js";
import { verify } from "../mapping/verify.js";
import type { WriteFailure } from "../writeback/writer.js";
import { checkFlag, checkObject, checkPinned, checkSignal } from "./arguments.js";
import { CachedFile } from "./cached-file.js";
import { channels } from "./events.js";
import { LeakWatch } from "./leaks.js";
import { type PageCacheOptions, type ParsedOptions, checkMemory, parseOptions } from "./options.js";
import {
  type OpenOptions,
  type OpenTarget,
  type ParsedOpen,
  checkSame,
  isStore,
  openPath,
  parseOpen,
} from "./open-options.js";
import { pathOpener } from "./path-opener.js";
import { PinScope } from "./scope.js";
import { type CacheStats, type PinInfo, collectPins, collectStats } from "./stats.js";
import { UserPages } from "./user-pages.js";

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

/** A cache as another thread can attach it: plain data and shared memory, for `workerData` or `postMessage`. */
export interface CacheShare {
  readonly kind: "pinfold-cache";
  readonly frames: FramesShare;
  readonly options: ParsedOptions;
}

/** Caches of this thread that were not closed: what they have dirty is written when the process ends (F36). */
const openCores = new Set<Core>();
let flushesAtExit = false;

/** While other threads go on, only the main thread's end is the end of all; what they hold is passed over then. */
function flushAll(): void {
  for (const core of openCores) {
    if (!core.hasOthers()) flushAtExit(core, (message) => process.stderr.write(`${message}\n`));
    else if (isMainThread) makeRoom(core);
  }
}

export class PageCache implements AsyncDisposable {
  /** What the entries of this package hand to each other; not for users. */
  readonly core: Core;
  readonly #options: ParsedOptions;
  /** The files that this thread has open. */
  readonly #files = new Set<CachedFile>();
  readonly #leaks: LeakWatch;
  /** Opens and closes run one after the other: two opens of one path must meet. */
  #turn: Promise<unknown> = Promise.resolve();
  /** See base/load-guard.ts. */
  readonly #loading: Int32Array;
  #flushTimer: Timer | undefined;
  #watchTimer: Timer | undefined;
  #closed = false;

  private constructor(options: ParsedOptions, clock: Clock, frames: Frames) {
    this.#options = options;
    this.core = new Core(options, clock, frames, (facts, cells) => pathOpener().attach(facts, cells));
    this.#loading = frames.loadingWord();
    this.#leaks = new LeakWatch(this.core);
    this.core.locks.queues.onStuck = (wait) => this.#reportStuck(wait);
    this.core.recovery.onRecovered = (recovered) => channels.recovered.publish(recovered);
    this.core.recovery.abandonStore = (cells) => pathOpener().abandon(cells);
    this.core.writer.onFailed = (space, failure) => this.#reportFailure(space, failure);
    this.core.writer.onHealed = (space, index) => channels.healed.publish({ file: space.store.name, index });
    if (!flushesAtExit) process.on("exit", flushAll);
    flushesAtExit = true;
    openCores.add(this.core);
    addCore({
      core: this.core,
      debug: options.debug,
      noteHandle: (pin, handle) => this.#leaks.note(pin, handle),
    });
    this.#armFlusher();
    this.#armWatch();
  }

  /**
   * Takes the memory. Tests may drive the clock.
   * @throws PinfoldError EINVAL, ENOMEM, EMFILE
   */
  static async open(options: PageCacheOptions = {}, clock: Clock = systemClock): Promise<PageCache> {
    const parsed = parseOptions(options);
    checkMemory(parsed);
    const { memoryBytes, pageSize, preTouch } = parsed;
    return new PageCache(parsed, clock, Frames.create(memoryBytes, pageSize, preTouch));
  }

  /**
   * What another thread of the process needs to use this cache: pass it as `workerData` or post it.
   * @throws PinfoldError EBADF
   */
  share(): CacheShare {
    this.#check();
    shareLoads(this.#loading);
    return {
      kind: "pinfold-cache",
      frames: this.core.frames.share(this.#options.memoryBytes),
      options: this.#options,
    };
  }

  /**
   * The cache of another thread, in this one: the same pages, files and limits. Each thread that is done closes its own.
   * @throws PinfoldError EINVAL for what is no share; ERR_PINFOLD_TOO_MANY for more than 16 threads; EMFILE; ENOMEM
   */
  static attach(share: CacheShare, clock: Clock = systemClock): PageCache {
    if (share?.kind !== "pinfold-cache" || typeof share.options !== "object" || share.options === null)
      throw new PinfoldError("EINVAL", "attach takes what cache.share() gave");
    const cache = new PageCache(share.options, clock, Frames.attach(share.frames));
    shareLoads(cache.#loading);
    return cache;
  }

  #armFlusher(): void {
    this.#flushTimer = this.core.clock.after(this.#options.writebackIntervalMs, () => {
      const round = this.core.holdsFlusher() ? this.core.flusher.step(false, limits.roundPagesMax) : Promise.resolve();
      void round.finally(() => {
        if (!this.#closed) this.#armFlusher();
      });
    });
  }

  /** Looks for threads that have ended without closing the cache, and cleans up after them. */
  #armWatch(): void {
    this.#watchTimer = this.core.clock.after(limits.threadWatchMs, () => {
      this.core.lookForDead();
      if (!this.#closed) this.#armWatch();
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
   * Opens a file, or a store of your own. The same file opened twice, in whichever threads, is one mapping with two openers.
   * `{ key }`: a file that is open in the cache already, by its store's key; for stores that only another thread has.
   * @throws PinfoldError EINVAL (conflicting options, a size that does not fit), ENOENT, EISDIR, EACCES, EBUSY (another process or
   * cache has it), EROFS, EFBIG, EMFILE, ERR_PINFOLD_TOO_MANY
   */
  async open(target: OpenTarget, options: OpenOptions = {}): Promise<CachedFile> {
    this.#check();
    const wanted = parseOpen(target, options);
    return this.#inTurn(() => this.#open(target, wanted));
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => {});
    return result;
  }

  async #open(target: OpenTarget, options: ParsedOpen): Promise<CachedFile> {
    this.#check();
    const name = typeof target === "string" ? target : "key" in target ? target.key : "";
    const isKey = typeof target === "object" && !isStore(target);
    const space = await openFile(this.core, {
      identify: () => (typeof target === "string" ? pathOpener().identify(target) : target.key),
      identity: JSON.stringify(options.identity),
      open: async (cells) => {
        if (isKey) throw new PinfoldError("ENOENT", `no file with the key ${name} is open in the cache`);
        return typeof target === "string" ? openPath(target, options, cells) : target;
      },
      checkOpen: (known, identity) => {
        if (!isKey) checkSame(known, identity, options);
      },
    });
    const file: CachedFile = new CachedFile(
      {
        core: this.core,
        debug: this.#options.debug,
        noteHandle: (pin, handle) => this.#leaks.note(pin, handle),
        close: (discard) =>
          this.#inTurn(async () => {
            await closeFile(this.core, space, discard);
            this.#files.delete(file);
          }),
      },
      space,
    );
    this.#files.add(file);
    return file;
  }

  /** Tells a page's failed write to who listens. Handlers run after write-back has done its part: what they throw is theirs. */
  #reportFailure(space: AddressSpace, { index, error }: WriteFailure): void {
    channels.writeError.publish({ file: space.store.name, index, error });
    for (const file of this.#files) {
      if (file.onError && CachedFile.isOf(file, space))
        queueMicrotask(() => file.onError?.(error, index * space.pageSize));
    }
  }

  /**
   * Pins several ranges, of several files, all or nothing, in one order for everybody: a B-tree split. Such pins never wait for
   * each other in a circle; with a scope that takes its pages in another order they may, which is EDEADLK for one of the two.
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
   * Syncs and closes the files that this thread has open, then leaves the cache; the last thread's close ends it. A file whose store
   * only this thread has is closed for all: other threads get EBADF from then on.
   * @throws PinfoldError EBUSY while pages are pinned; what a sync throws. The cache stays open then; `discard` gives up what is dirty.
   */
  async close(options: { discard?: boolean } = {}): Promise<void> {
    checkObject(options, "options");
    checkFlag(options.discard, "discard");
    await this.#inTurn(async () => {
      if (this.#closed) return;
      const pins = [...this.core.pins];
      if (pins.length > 0) throw new PinfoldError("EBUSY", `pages are pinned: ${describeHolds(this.core, pins)}`);
      // What a thread that has just ended had open is this one's to close, if nobody else comes to it.
      this.core.recovery.look();
      await this.#closeFiles(options.discard === true);
      await this.core.recovery.close(options.discard === true);
      await leaveCache(this.core);
      this.#closed = true;
      this.#flushTimer?.cancel();
      this.#watchTimer?.cancel();
      this.#leaks.stop();
      openCores.delete(this.core);
      removeCore(this.core);
      unshareLoads(this.#loading);
    });
  }

  /** Each opener of this thread; and files whose store only this thread has, for everybody. */
  async #closeFiles(discard: boolean): Promise<void> {
    for (const file of this.#files) {
      await CachedFile.end(file, (space) => closeFile(this.core, space, discard));
      this.#files.delete(file);
    }
    const { directory, frames } = this.core;
    for (const slot of directory.slots()) {
      const space = directory.storeThread(slot) === frames.thread ? this.core.space(slot) : undefined;
      if (space) await closeForAll(this.core, space, discard);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #reportStuck(wait: { mapping: number; index: number; mode: number; sinceMs: number }): void {
    if (!channels.stuck.hasSubscribers) return;
    const space = this.core.spaces[wait.mapping];
    const nowMs = this.core.clock.nowMs();
    channels.stuck.publish({
      file: space?.store.name ?? "all files",
      index: wait.index,
      mode: wait.mode,
      waitedMs: nowMs - wait.sinceMs,
      holders: space ? describeHolders(this.core, space, wait.index, wait.index) : describeHolders(this.core),
    });
  }
}
