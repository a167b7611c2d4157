/**
 * Every public call, made by a thread that is stopped and terminated before its kth step, change of a shared word, call of the system or
 * continuation: for all k with PINFOLD_KILL_POINTS=all, for a sample of some 200 else. The others go on: every invariant holds, each
 * page is as it was or as the call would have left it, and the storage says the same.
 *
 * See also: sweep-points.ts, sweep-calls.ts.
 */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { type CachedFile, MemoryStore, PageCache, type UserPages } from "../../src/index.js";
import { Random } from "../sync/random-calls.js";
import { until } from "./mortals.js";
import { type Call, calls, filePages, fresh, page } from "./sweep-calls.js";
import type { SweepData, SweepSays } from "./sweep-worker.js";

const isWhole = process.env["PINFOLD_KILL_POINTS"] === "all";
const sampled = 200;
const lanes = 2;
const deadlineMs = 20_000;
const seed = Number(process.env["PINFOLD_SEED"] ?? Date.now() % 2 ** 31);
const names = Object.keys(calls).filter((name) => name.includes(process.env["PINFOLD_CALL"] ?? ""));

const oldByte = (index: number): number => index % 251;
const oldPages = Array.from({ length: filePages }, (_, index) => Buffer.alloc(page, oldByte(index)));

/** A cache with a file, over which threads die one after the other. */
class Lane {
  readonly #folder: string;
  readonly #path: string;
  readonly #cache: PageCache;
  readonly #file: CachedFile;
  #served: Promise<void> | undefined;
  /** Of a store that only this thread has. */
  readonly #asked: CachedFile;

  private constructor(cache: PageCache, files: { file: CachedFile; asked: CachedFile }, folder: string) {
    this.#cache = cache;
    this.#folder = folder;
    this.#path = join(folder, "file");
    this.#file = files.file;
    this.#asked = files.asked;
  }

  static async open(): Promise<Lane> {
    const folder = mkdtempSync(join(tmpdir(), "pinfold-sweep-"));
    const path = join(folder, "file");
    writeFileSync(path, Buffer.concat(oldPages));
    const cache = await PageCache.open({ memory: 128 * page, writebackIntervalMs: 86_400_000 });
    const file = await cache.open(path);
    const asked = await cache.open(new MemoryStore({ key: "asked", sizeBytes: 16 * page }));
    return new Lane(cache, { file, asked }, folder);
  }

  /** Makes a call in a thread of its own, to the given point. How many points there were; undefined where it was stopped. */
  async run(name: string, stopAt: number): Promise<number | undefined> {
    const call = calls[name] as Call;
    const before = call.token ? await this.#pinned() : undefined;
    const held = call.contended ? await this.#file.getUserPages(3 * page, page, { write: true }) : undefined;
    const data: SweepData = {
      share: this.#cache.share(),
      path: this.#path,
      call: name,
      stopAt,
      token: before?.transfer(),
    };
    const worker = new Worker(new URL("./sweep-worker.js", import.meta.url), { workerData: data });
    const said = new Said(worker);
    const slot = await said.slot;
    if (held) {
      worker.postMessage("go");
      await new Promise((resolve) => setTimeout(resolve, 15));
      held.put();
    }
    if (call.serves) void this.#beServed().then(() => worker.postMessage("done"));
    const { points, stopped, error } = await said.end;
    assert.equal(error, undefined, `${name} up to ${stopAt}`);
    await worker.terminate();
    const kind = stopped?.at.split(" ")[0];
    if (kind !== undefined) kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    const where = stopped ? `${name}, before point ${stopped.count} (${stopped.at})` : `${name}, to its end`;
    try {
      await this.#recovered(slot);
      if (before?.isPinned === false) putBack(before);
      await this.#check(call, points !== undefined);
    } catch (cause) {
      throw new Error(`${where}, seed ${seed}: ${(cause as Error).message}`, { cause });
    }
    return points;
  }

  /** Uses a store of another thread, which may die meanwhile: then each call has an end, and EIO is it. */
  async #beServed(): Promise<void> {
    const served = await this.#cache.open({ key: "served" });
    this.#served = (async () => {
      const asked: Promise<unknown>[] = [
        served.write(new Uint8Array(3 * page).fill(fresh), 0, 3 * page, 10),
        served.readFile(),
        served.sync(),
        served.truncate(9 * page),
      ];
      asked.push(served.getUserPages(0, page, { longterm: true, write: true }).then((pages) => pages.put()));
      for (const { status, reason } of (await Promise.allSettled(asked)) as PromiseRejectedResult[])
        if (status === "rejected")
          assert.ok(["EIO", "EBADF"].includes((reason as { code: string }).code), String(reason));
    })();
    await this.#served;
    this.#served = (async () => served.close({ discard: true }))();
  }

  async #pinned(): Promise<UserPages> {
    return this.#file.getUserPages(30 * page, 2 * page, { write: true, longterm: true });
  }

  async #recovered(slot: number): Promise<void> {
    const { recovery, frames } = this.#cache.core;
    recovery.look();
    await until(() => !frames.threads.isClaimed(slot), "the slot is given back");
    await until(() => recovery.unfinished === 0, "what it had begun is finished");
    await this.#served;
    await this.#served;
    this.#served = undefined;
  }

  async #check(call: Call, isDone: boolean): Promise<void> {
    const file = this.#file;
    this.#cache.verify({ quiesce: true });
    assert.equal([...this.#cache.core.directory.slots()].length, 2, "no other file is open");
    for (const byte of await this.#asked.readFile())
      if (byte !== 0 && byte !== fresh) assert.fail(`byte ${byte} in memory`);
    const pages = file.size / page;
    if (!isDone && Number.isInteger(pages))
      assert.ok([filePages, call.pages].includes(pages) || pages <= (call.pages ?? 0), `${pages} pages`);
    if (isDone) assert.equal(Math.ceil(pages), call.pages ?? filePages);
    const bytes = Buffer.alloc(file.size);
    for (let done = 0; done < bytes.length; )
      done += (await file.read(bytes.subarray(done), 0, bytes.length - done, done)).bytesRead;
    const [first, last] = call.changes ?? [1, 0];
    const changed: number[] = [];
    for (let index = 0; index * page < bytes.length; index++) {
      const found = bytes.subarray(index * page, (index + 1) * page);
      const old = oldPages[index];
      if (old?.subarray(0, found.length).equals(found)) continue;
      changed.push(index);
      const mayBe = index >= first && index <= last ? [fresh, call.zeros ? 0 : fresh] : [];
      mayBe.push(old?.[0] ?? 0);
      const wrong = found.findIndex((byte) => !mayBe.includes(byte));
      if (wrong >= 0) assert.fail(`byte ${wrong} of page ${index} is ${found[wrong]}`);
    }
    await this.#restore(bytes, changed);
  }

  /** The others write and sync the same pages, and the storage has what the cache has. */
  async #restore(bytes: Buffer, changed: readonly number[]): Promise<void> {
    const file = this.#file;
    await this.#asked.write(new Uint8Array(4 * page), 0, 4 * page, 0);
    await this.#asked.truncate(16 * page);
    await this.#cache.sync();
    assert.ok(readFileSync(this.#path).equals(bytes), "the storage has what the cache has");
    const intact = Math.floor(Math.min(file.size / page, filePages));
    if (file.size !== filePages * page) await file.truncate(filePages * page);
    for (let index = 0; index < filePages; index++) {
      if (index >= intact || changed.includes(index))
        await file.write(oldPages[index] as Buffer, 0, page, index * page);
    }
    for (let index = 0; index < 8; index++) {
      const pages = await file.getUserPages(index * page, page, { write: true });
      pages.put();
    }
    await file.sync();
    this.#cache.verify({ quiesce: true });
    rmSync(`${this.#path}.other`, { force: true });
  }

  async close(): Promise<void> {
    await this.#cache.close();
    const stored = readFileSync(this.#path);
    assert.ok(stored.equals(Buffer.concat(oldPages)));
    rmSync(this.#folder, { recursive: true });
  }
}

/** The pin may have been adopted: then its adopter's end has put it. */
function putBack(pages: UserPages): void {
  try {
    pages.put();
  } catch (error) {
    assert.equal((error as { code?: string }).code, "ESTALE");
  }
}

/** What a worker says, in order. */
class Said {
  readonly slot: Promise<number>;
  readonly end: Promise<SweepSays>;

  constructor(worker: Worker) {
    let begin: (slot: number) => void = () => {};
    this.slot = new Promise((resolve) => (begin = resolve));
    this.end = new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error("the call neither ends nor stops")), deadlineMs);
      worker.on("message", (says: SweepSays) => {
        if (says.slot !== undefined) begin(says.slot);
        else {
          clearTimeout(timer);
          resolve(says);
        }
      });
      worker.on("error", reject);
    });
  }
}

/** Does all of `work`, some at a time, each in a lane of its own. */
async function inLanes<T>(work: readonly T[], run: (lane: Lane, item: T) => Promise<void>): Promise<void> {
  let next = 0;
  const open = await Promise.all(Array.from({ length: lanes }, () => Lane.open()));
  await Promise.all(
    open.map(async (lane) => {
      while (next < work.length) await run(lane, work[next++] as T);
      await lane.close();
    }),
  );
}

const points = new Map<string, number>();
const kinds = new Map<string, number>();

test("each call is done by a thread that ends without leaving the cache", async (t) => {
  await inLanes(names, async (lane, name) => {
    points.set(name, (await lane.run(name, 0)) ?? 0);
  });
  t.diagnostic([...points].map(([name, count]) => `${name}: ${count}`).join(", "));
});

test(`a thread is terminated at any point of any call${isWhole ? "" : `: ${sampled} of them`}`, async (t) => {
  const chosen = choose();
  let stopped = 0;
  await inLanes(chosen, async (lane, { name, at }) => {
    if ((await lane.run(name, at)) === undefined) stopped += 1;
  });
  const all = [...points.values()].reduce((sum, count) => sum + count, 0);
  t.diagnostic(`${stopped} threads stopped, of ${chosen.length} at ${all} points, seed ${seed}`);
  t.diagnostic([...kinds].map(([kind, count]) => `${kind}: ${count}`).join(", "));
  // A few points are not there each time: how long one waits, and for how much, depends on the others.
  assert.ok(stopped >= chosen.length * 0.8, "the points are there each time");
});

/** Of each call some points, evenly, and more where there are more. */
function choose(): { name: string; at: number }[] {
  const random = new Random(seed);
  const weightOf = (count: number) => Math.sqrt(count);
  const weights = [...points.values()].reduce((sum, count) => sum + weightOf(count), 0);
  return [...points].flatMap(([name, count]) => {
    const share = isWhole ? count : Math.min(count, Math.max(2, Math.round((sampled * weightOf(count)) / weights)));
    const from = isWhole ? 0 : random.below(1000) / 1000;
    return Array.from({ length: share }, (_, at) => ({ name, at: 1 + Math.floor(((at + from) * count) / share) }));
  });
}
