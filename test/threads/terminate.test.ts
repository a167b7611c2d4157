/**
 * Threads are terminated at random while they do all that can be done with a cache, and others take their places: 300 times, or as often
 * as PINFOLD_TERMINATIONS says. No call of the others hangs or sees half a page, every invariant holds, nothing is left of the dead.
 */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as after } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { type CachedFile, PageCache } from "../../src/index.js";
import * as layout from "../../src/sync/layout.js";
import { Random } from "../sync/random-calls.js";
import { hangReport } from "./hang-report.js";
import { until } from "./mortals.js";
import type { WatchdogData } from "./watchdog-worker.js";
import { type TerminateData, checkUniform, doOne, layoutOf, page } from "./terminate-worker.js";

const terminations = Number(process.env["PINFOLD_TERMINATIONS"] ?? 300);
const seed = Number(process.env["PINFOLD_SEED"] ?? Date.now() % 2 ** 31);
const lanes = 3;
/** Terminations between two looks at everything. */
const roundSize = 30;
const lifeMs = 40;
const operationMs = 20_000;
const hangMs = 60_000;
const koffiBytes = 30 * 1024;

class Terminator {
  readonly #cache: PageCache;
  readonly #file: CachedFile;
  readonly #path: string;
  readonly #random = new Random(seed);
  readonly #wrong: string[] = [];
  readonly watchdog: Watchdog;
  terminated = 0;
  operations = 0;

  constructor(cache: PageCache, file: CachedFile, path: string) {
    this.#cache = cache;
    this.#file = file;
    this.#path = path;
    this.watchdog = new Watchdog(cache);
  }

  /** One thread: lives for a while, and is terminated. */
  async #live(): Promise<void> {
    const done = new SharedArrayBuffer(4);
    const count = new Int32Array(done);
    const data: TerminateData = {
      share: this.#cache.share(),
      path: this.#path,
      seed: this.#random.below(2 ** 30),
      done,
    };
    const worker = new Worker(new URL("./terminate-worker.js", import.meta.url), { workerData: data });
    worker.on("message", (wrong: string) => this.#wrong.push(wrong));
    worker.on("error", (error: Error) => this.#wrong.push(String(error.stack)));
    await until(() => Atomics.load(count, 0) > 0 || this.#wrong.length > 0, "a worker does something");
    await after(this.#random.below(lifeMs));
    await this.#inTime("a thread's end", worker.terminate());
    this.terminated += 1;
    this.operations += Atomics.load(count, 0);
    this.#check();
  }

  /** What hangs is named, with what all threads wait for. */
  async #inTime<T>(what: string, work: Promise<T>): Promise<T> {
    const over = new AbortController();
    const late = after(hangMs, undefined, { signal: over.signal }).then(
      () => assert.fail(`${what} does not come, seed ${seed}:\n${hangReport(this.#cache.core.frames.wordsMemory)}`),
      () => undefined as never,
    );
    try {
      return await Promise.race([work, late]);
    } finally {
      over.abort();
    }
  }

  #check(): void {
    assert.deepEqual(this.#wrong, [], `seed ${seed}`);
    this.#cache.verify();
  }

  /** Some threads after each other in each lane, while this thread works too. */
  async round(count: number): Promise<void> {
    let left = count;
    const over = new AbortController();
    const own = (async () => {
      while (!over.signal.aborted) {
        const stalled = after(operationMs, "stalled", { ref: false });
        const load = { cache: this.#cache, file: this.#file, path: this.#path, random: this.#random };
        const first = await Promise.race([stalled, doOne(load)]);
        this.watchdog.note();
        assert.notEqual(first, "stalled", `an operation of the main thread hangs, seed ${seed}`);
        await after(1);
      }
    })();
    const lane = async () => {
      while (left-- > 0) await this.#live();
    };
    await Promise.all(Array.from({ length: lanes }, lane));
    over.abort();
    await this.#inTime("the end of the main thread's operation", own);
    await this.#inTime("a look at everything", this.#lookAtAll());
  }

  async #lookAtAll(): Promise<void> {
    const { core } = this.#cache;
    const { threads, shared } = core.frames;
    await until(() => [...threads.claimed()].length === 1, "all slots are given back");
    await until(() => core.recovery.unfinished === 0, "what the dead had begun is finished");
    await until(
      () => core.writer.runs === 0 && !core.flusher.isRunning && core.prefetches === 0,
      "nothing is under way",
    );
    this.#cache.verify({ quiesce: true });
    assert.equal(shared.load(layout.HEADER_CREDITS), core.frames.count);
    assert.equal([...core.directory.slots()].length, 1, "the files of the dead are closed");
    const bytes = new Uint8Array(page);
    for (let index = 0; index < layoutOf.uniform; index++) {
      await this.#file.read(bytes, 0, page, index * page);
      checkUniform(bytes, index);
    }
    await this.#cache.sync();
    this.#cache.verify({ quiesce: true });
  }
}

/** A thread that speaks up where this one hangs in a call that blocks it. */
class Watchdog {
  readonly #signs = new Int32Array(new SharedArrayBuffer(4));
  readonly #ended: Promise<unknown>;

  constructor(cache: PageCache) {
    const words = cache.core.frames.wordsMemory;
    const workerData: WatchdogData = { signs: this.#signs.buffer, words, silenceMs: hangMs };
    const worker = new Worker(new URL("./watchdog-worker.js", import.meta.url), { workerData });
    this.#ended = new Promise((resolve) => worker.once("exit", resolve));
  }

  note(): void {
    Atomics.add(this.#signs, 0, 1);
    Atomics.notify(this.#signs, 0);
  }

  async end(): Promise<void> {
    Atomics.store(this.#signs, 0, -1);
    Atomics.notify(this.#signs, 0);
    await this.#ended;
  }
}

/** What each open descriptor is of. */
function openDescriptors(): string[] {
  return readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      const about = readFileSync(`/proc/self/fdinfo/${fd}`, "latin1").replaceAll(/\s+/g, " ");
      return [`${fd}:${readlinkSync(`/proc/self/fd/${fd}`)} (${about})`];
    } catch {
      return []; // The directory's own.
    }
  });
}

test(`${terminations} threads are terminated at work, one after the other`, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "pinfold-terminate-"));
  const path = join(folder, "file");
  writeFileSync(path, Buffer.alloc(layoutOf.all * page));
  const cache = await PageCache.open({ memory: 64 * page, writebackIntervalMs: 50, dirtyExpireMs: 100 });
  const terminator = new Terminator(cache, await cache.open(path), path);
  let descriptors: string[] = [];
  let megabytes = 0;
  const sizes: number[] = [];
  for (let left = terminations; left > 0; left -= roundSize) {
    await terminator.round(Math.min(left, roundSize));
    const now = openDescriptors();
    const rss = process.memoryUsage().rss / 2 ** 20;
    sizes.push(Math.round(rss));
    // The first rounds load what is loaded once.
    if (terminator.terminated <= 2 * roundSize) [descriptors, megabytes] = [now, rss];
    assert.ok(now.length <= descriptors.length, `open are\n${now.join("\n")}\nand were\n${descriptors.join("\n")}`);
    // koffi 3.3 keeps some 25 KiB of each thread that has loaded it (seen without a cache, 1,800 threads); V8 does as it likes.
    const kept = (terminator.terminated * koffiBytes) / 2 ** 20;
    assert.ok(rss < megabytes + 100 + kept, `${rss} MiB, and were ${megabytes}`);
  }
  t.diagnostic(`${terminator.terminated} terminations, ${terminator.operations} operations of the dead, seed ${seed}`);
  t.diagnostic(`MiB: ${sizes.join(" ")}`);
  await terminator.watchdog.end();
  await cache.close();
  rmSync(folder, { recursive: true });
});
