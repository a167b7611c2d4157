/**
 * One run of the torture: a cache, a file larger than it, workers that do all that can be done with it, a look at everything when
 * they are done. Each wrong byte that one of them sees, each lane that stands still, each breach of an invariant ends it.
 */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { type CachedFile, MemoryStore, PageCache, type PageCacheOptions } from "../../src/index.js";
import { type ForgetfulStore, forgetful } from "./forgetful-store.js";
import { Board, type Geometry } from "./torture-board.js";
import { operations } from "./torture-operations.js";
import { Random } from "./torture-page.js";
import type { TortureMessage, TortureWorkerData } from "./torture-worker.js";

export interface TortureOptions {
  readonly geometry: Geometry;
  readonly cache: PageCacheOptions;
  readonly forS: number;
  /** The store is the main thread's own, in memory. */
  readonly memoryStore?: boolean;
  /** Terminate workers at random, one in so many milliseconds: [least, most]. */
  readonly killMs?: readonly [number, number];
}

/** A lane that does not get on for so long hangs. */
const stallMs = 15_000;
const lookMs = 200;
/** How much longer a run may take where the machine has other things to do. */
const extraS = 30;
/** Of the syncs of the store in memory, one in so many fails. */
const failEvery = 12;
let runs = 0;

/** PINFOLD_SEED=... makes the same choices again; how the threads interleave is not chosen. */
function newSeed(): number {
  return Number(process.env["PINFOLD_SEED"] ?? process.pid * 7919 + Date.now()) % 0x7fffffff;
}

export class Torture {
  readonly board: Board;
  readonly kills: number[] = [];
  readonly #options: TortureOptions;
  readonly #seed = newSeed();
  readonly #random: Random;
  readonly #folder: string;
  readonly #path: string;
  readonly #sidePath: string;
  readonly #memory: MemoryStore | undefined;
  readonly #durable: SharedArrayBuffer | undefined;
  readonly #store: ForgetfulStore | undefined;
  readonly #name = `torture:${process.pid}:${++runs}`;
  readonly #wrong: string[] = [];
  readonly #workers: (Worker | undefined)[] = [];
  readonly #incarnations: number[];
  readonly #ended: Promise<unknown>[] = [];
  /** Ends of cuts of dead workers, with the slot that has to be cleaned up first. */
  readonly #burials: { slot: number; generation: number; end: () => void }[] = [];
  readonly #moved: { progress: number; atMs: number }[];
  /** The last kill, and how far the lanes of the others were then. */
  #resuming: { atMs: number; worker: number; progress: number[] } | undefined;
  attached = 0;
  /** How long it took at most, after a kill, until a lane of another worker went on. */
  resumedMs = 0;
  stalledMs = 0;
  #cache: PageCache | undefined;
  #file: CachedFile | undefined;

  constructor(options: TortureOptions) {
    const { geometry } = options;
    this.#options = options;
    this.#random = new Random(this.#seed);
    this.board = new Board(geometry);
    this.#folder = mkdtempSync(join(tmpdir(), "pinfold-torture-"));
    this.#path = join(this.#folder, "data");
    this.#sidePath = join(this.#folder, "side");
    const pages = geometry.stablePages + geometry.punchedPages + geometry.cutPages;
    const sizeBytes = pages * geometry.pageSize;
    this.#memory = options.memoryStore ? new MemoryStore({ sizeBytes }) : undefined;
    this.#durable = this.#memory && new SharedArrayBuffer(sizeBytes);
    this.#store =
      this.#memory &&
      forgetful(this.#memory, new Uint8Array(this.#durable as SharedArrayBuffer), this.#random, failEvery);
    if (!this.#store) {
      for (const [path, bytes] of [
        [this.#path, sizeBytes],
        [this.#sidePath, geometry.sidePages * geometry.pageSize],
      ] as const) {
        writeFileSync(path, "");
        truncateSync(path, bytes);
      }
    }
    this.#incarnations = new Array<number>(geometry.workers).fill(0);
    this.#moved = Array.from({ length: geometry.workers * (geometry.lanesPerWorker + 1) }, () => ({
      progress: 0,
      atMs: performance.now(),
    }));
  }

  get #main(): PageCache {
    return this.#cache as PageCache;
  }

  async run(t: TestContext): Promise<void> {
    t.diagnostic(`PINFOLD_SEED=${this.#seed}`);
    try {
      this.#cache = await PageCache.open(this.#options.cache);
      this.#file = await this.#cache.open(this.#store?.store ?? this.#path);
      for (let worker = 0; worker < this.#options.geometry.workers; worker++) this.#start(worker);
      await this.#watch();
      await this.#end();
    } catch (error) {
      const wrong = this.#wrong.length > 0 ? `${this.#wrong.join("\n")}\n` : "";
      throw new Error(`PINFOLD_SEED=${this.#seed}\n${wrong}${(error as Error).stack}`, { cause: error });
    } finally {
      for (const worker of this.#workers) await worker?.terminate();
      rmSync(this.#folder, { recursive: true, force: true });
    }
    for (const line of this.report()) t.diagnostic(line);
  }

  #start(worker: number): void {
    const incarnation = ++(this.#incarnations[worker] as number);
    const workerData: TortureWorkerData = {
      share: this.#main.share(),
      geometry: this.#options.geometry,
      board: this.board.buffer,
      worker,
      incarnation,
      seed: this.#seed,
      name: this.#name,
      target: this.#memory ? { key: this.#memory.key } : this.#path,
      durable: this.#durable,
      sidePath: this.#store ? undefined : this.#sidePath,
      mayBlock: worker % 2 === 1,
      attachedMs: 700 + this.#random.below(1_500),
    };
    const thread = new Worker(new URL("./torture-worker.js", import.meta.url), { workerData });
    this.#workers[worker] = thread;
    thread.on("message", (message: TortureMessage) => {
      if ("wrong" in message) this.#wrong.push(message.wrong);
      else this.attached += message.attached;
    });
    thread.on("error", (error) => this.#wrong.push(`worker ${worker}: ${error.stack}`));
    this.#ended[worker] = new Promise((resolve) => thread.once("exit", resolve));
  }

  /** Until the time is over: looks that lanes get on and that pages are as they may be, and kills. */
  async #watch(): Promise<void> {
    const startMs = performance.now();
    const isOver = () => {
      const forS = (performance.now() - startMs) / 1000;
      // On a machine that is busy with other things: until each operation was done.
      return forS > this.#options.forS + extraS || (forS > this.#options.forS && this.undone.length === 0);
    };
    const { killMs } = this.#options;
    const next = () => performance.now() + (killMs ? killMs[0] + this.#random.below(killMs[1] - killMs[0]) : Infinity);
    let killAtMs = next();
    while (!isOver() && this.#wrong.length === 0) {
      await sleep(Math.min(lookMs, Math.max(1, killAtMs - performance.now())));
      this.#look();
      if (performance.now() < killAtMs) continue;
      await this.#kill(this.#random.below(this.#options.geometry.workers));
      killAtMs = next();
    }
  }

  #look(): void {
    const nowMs = performance.now();
    this.#lookForProgress(nowMs);
    for (const burial of [...this.#burials]) {
      const { threads } = this.#main.core.frames;
      if (threads.isClaimed(burial.slot) && threads.generation(burial.slot) === burial.generation) continue;
      burial.end();
      this.#burials.splice(this.#burials.indexOf(burial), 1);
    }
    this.#wrong.push(...(this.#store?.unstable.splice(0) ?? []));
    this.#main.verify();
  }

  #lookForProgress(nowMs: number): void {
    for (const [lane, moved] of this.#moved.entries()) {
      const progress = this.board.progress(lane);
      if (progress !== moved.progress || this.board.operationOf(lane) < 0)
        Object.assign(moved, { progress, atMs: nowMs });
      this.stalledMs = Math.max(this.stalledMs, nowMs - moved.atMs);
      if (nowMs - moved.atMs > stallMs) this.#wrong.push(`lane ${lane} stands still in ${this.#doing(lane)}`);
    }
    if (!this.#resuming) return;
    const { atMs, worker, progress } = this.#resuming;
    this.resumedMs = Math.max(this.resumedMs, nowMs - atMs);
    const hasResumed = progress.some(
      (was, lane) => this.board.workerOf(lane) !== worker && this.board.progress(lane) !== was,
    );
    if (hasResumed) this.#resuming = undefined;
  }

  #doing(lane: number): string {
    return operations[this.board.operationOf(lane)]?.name ?? "nothing";
  }

  async #kill(worker: number): Promise<void> {
    const thread = this.#workers[worker];
    if (!thread) return;
    this.board.setDying(worker, true);
    const startMs = performance.now();
    await thread.terminate();
    this.kills.push(performance.now() - startMs);
    const end = this.board.bury(worker);
    this.#burials.push({ ...this.board.slotOf(worker), end });
    for (let at = 0; at <= this.#options.geometry.lanesPerWorker; at++)
      this.board.step(this.board.laneOf(worker, at), -1);
    this.board.setDying(worker, false);
    this.#resuming = { atMs: startMs, worker, progress: this.#moved.map((_, lane) => this.board.progress(lane)) };
    this.#start(worker);
  }

  async #end(): Promise<void> {
    this.board.stop();
    const timer = setTimeout(() => {
      const lanes = this.#moved.flatMap((_, lane) =>
        this.board.operationOf(lane) < 0 ? [] : [`${lane} in ${this.#doing(lane)}`],
      );
      this.#wrong.push(`lanes do not end: ${lanes.join(", ")}; pins: ${JSON.stringify(this.#main.pins())}`);
      for (const worker of this.#workers) void worker?.terminate();
    }, stallMs);
    await Promise.all(this.#ended);
    clearTimeout(timer);
    assert.equal(this.#wrong.length, 0, "a worker saw what it must not");
    const cache = this.#main;
    for (let tries = 0; tries < 100 && [...cache.core.frames.threads.claimed()].length > 1; tries++) {
      cache.core.lookForDead();
      await sleep(10);
    }
    await cache.core.recovery.settled();
    assert.equal(cache.stats().waiters, 0, "nobody waits");
    cache.verify({ quiesce: true });
    assert.deepEqual(cache.pins(), [], "nothing is pinned");
    assert.equal([...cache.core.frames.threads.claimed()].length, 1, "one thread is left");
    const size = this.#file?.size ?? 0;
    this.#store?.heal();
    await this.#file?.close();
    const after = cache.stats();
    assert.equal(after.freeFrames, after.frames, "no frame is lost");
    cache.verify({ quiesce: true });
    await cache.close();
    this.#readAll(size);
  }

  /** What is in the file now is what the last writers left. */
  #readAll(size: number): void {
    const { board } = this;
    const bytes = this.#memory ? Buffer.from(this.#memory.snapshot()) : readFileSync(this.#path);
    assert.equal(bytes.length, size);
    this.#compare(bytes, 0, board.sideCells);
    if (existsSync(this.#sidePath)) this.#compare(readFileSync(this.#sidePath), board.sideCells, board.cells);
  }

  /** Cells past the end of the file are zeros that a cut has made. */
  #compare(contents: Buffer, first: number, end: number): void {
    const { cellBytes } = this.board.geometry;
    const bytes = Buffer.from(new ArrayBuffer((end - first) * cellBytes));
    contents.copy(bytes);
    const wrong = this.board.check(bytes, first, this.board.sample(first, end - first));
    assert.equal(wrong?.what, undefined, "in the file after the close");
  }

  report(): string[] {
    const counts = operations.map(({ name }, at) => {
      const [tries, done, refused] = [0, 1, 2].map((what) => this.board.counted(at, what as 0 | 1 | 2));
      return `${name} ${done}/${tries}${refused === 0 ? "" : ` (${refused} refused)`}`;
    });
    const all = operations.reduce((sum, _, at) => sum + this.board.counted(at, 0), 0);
    const failures = this.#store ? `${this.#store.failures()} failed syncs, ` : "";
    return [
      failures +
        `${all} operations, ${this.attached} attachments, ${this.kills.length} kills, longest standstill ${Math.round(this.stalledMs)} ms, ` +
        (this.kills.length > 0 ? `others went on within ${Math.round(this.resumedMs)} ms, ` : "") +
        `${this.board.tornSeen} torn cells seen where they may be`,
      counts.join("; "),
    ];
  }

  /** Each operation was done: else the run shows nothing about it. Names of those that were not. */
  get undone(): string[] {
    return operations
      .filter(({ ownStoreOnly }, at) => this.board.counted(at, 1) === 0 && !(ownStoreOnly && this.#store))
      .map(({ name }) => name);
  }
}
