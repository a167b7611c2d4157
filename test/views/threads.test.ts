/** Mapped views of one file in several threads: what one thread takes away, all lose; what one stores, none loses (R24). */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { setTimeout as after } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { type CachedFile, PageCache, type PageCacheOptions } from "../../src/index.js";
import { scratchFolder, until } from "../api/fixture.js";
import { type Answer, cells, type Order, scanStride, type ViewerInput } from "./viewer-worker.js";

const page = 4096;
const runMs = 1_500;
const scannedPages = 12;

class Viewer {
  readonly worker: Worker;
  readonly cells: Int32Array;
  readonly #answers: Answer[] = [];
  readonly #waiting: ((answer: Answer) => void)[] = [];

  constructor(worker: Worker, buffer: SharedArrayBuffer) {
    this.worker = worker;
    this.cells = new Int32Array(buffer);
    worker.on("message", (answer: Answer) => {
      const next = this.#waiting.shift();
      if (next) next(answer);
      else this.#answers.push(answer);
    });
  }

  static async start(t: TestContext, cache: PageCache, path: string): Promise<Viewer> {
    const buffer = new SharedArrayBuffer(64);
    const input: ViewerInput = { share: cache.share(), path, cells: buffer };
    const viewer = new Viewer(
      new Worker(new URL("./viewer-worker.js", import.meta.url), { workerData: input }),
      buffer,
    );
    t.after(() => viewer.worker.terminate());
    assert.equal((await viewer.heard()).op, "ready");
    return viewer;
  }

  heard(): Promise<Answer> {
    const answer = this.#answers.shift();
    if (answer) return Promise.resolve(answer);
    return new Promise((resolve, reject) => {
      this.#waiting.push(resolve);
      this.worker.once("error", reject);
    });
  }

  tell(order: Order): void {
    this.worker.postMessage(order);
  }

  ask(order: Order): Promise<Answer> {
    this.tell(order);
    return this.heard();
  }

  set(cell: number, value: number): void {
    Atomics.store(this.cells, cell, value);
    Atomics.notify(this.cells, cell);
  }

  async end(): Promise<void> {
    assert.equal((await this.ask({ op: "end" })).op, "ended");
  }
}

interface Scene {
  readonly cache: PageCache;
  readonly file: CachedFile;
  readonly path: string;
}

/** A file whose pages hold their number, every 64 bytes, and a cache of 64 frames. */
async function open(t: TestContext, pages: number, options: PageCacheOptions = {}): Promise<Scene> {
  const path = join(scratchFolder(t), "data.bin");
  const contents = new DataView(new ArrayBuffer(pages * page));
  for (let at = 0; at < contents.byteLength; at += scanStride) contents.setUint32(at, Math.floor(at / page));
  writeFileSync(path, contents);
  const cache = await PageCache.open({ memory: 64 * page, writebackIntervalMs: 86_400_000, ...options });
  t.after(() => cache.close({ discard: true }));
  return { cache, file: await cache.open(path), path };
}

const builds = [
  { name: "plain", env: undefined },
  { name: "atomic", env: "1" },
] as const;

for (const { name, env } of builds) {
  describe(`views in two threads, ${name} build`, () => {
    const openBuild = async (t: TestContext, pages: number) => {
      if (env !== undefined) process.env["PINFOLD_ATOMIC_VIEWS"] = env;
      try {
        return await open(t, pages);
      } finally {
        delete process.env["PINFOLD_ATOMIC_VIEWS"];
      }
    };

    it("a store that was stopped between its look and its bytes survives sync and reopen", async (t) => {
      const { cache, file, path } = await openBuild(t, 16);
      const viewer = await Viewer.start(t, cache, path);
      assert.deepEqual(await viewer.ask({ op: "park", index: 3, offset: 77, value: 99 }), { op: "parked", value: 1 });
      let isDone = false;
      const synced = file.sync().then(() => {
        isDone = true;
      });
      await cache.core.flusher.step(true);
      await after(50);
      assert.equal(isDone, false);
      assert.equal(cache.stats().dirtyPages, 1);
      viewer.set(cells.go, 1);
      assert.equal((await viewer.heard()).op, "stored");
      await synced;
      assert.equal(readFileSync(path)[3 * page + 77], 99);
      assert.equal(cache.stats().dirtyPages, 0);
      await viewer.end();
      cache.verify({ quiesce: true });
      await file.close();
      const again = await cache.open(path);
      assert.equal(again.map().getUint8(3 * page + 77), 99);
    });

    it("truncate and punch wait for such a store, and it lands in no other page", async (t) => {
      const { cache, file, path } = await openBuild(t, 16);
      const viewer = await Viewer.start(t, cache, path);
      await viewer.ask({ op: "park", index: 3, offset: 77, value: 99 });
      let isDone = false;
      const cut = file.truncate(2 * page).then(() => {
        isDone = true;
      });
      await after(50);
      assert.equal(isDone, false);
      viewer.set(cells.go, 1);
      assert.equal((await viewer.heard()).op, "stored");
      await cut;
      assert.deepEqual(await viewer.ask({ op: "load", position: 3 * page + 77 }), {
        op: "load",
        code: "ERR_PINFOLD_OUT_OF_RANGE",
      });
      viewer.set(cells.go, 0);
      await viewer.ask({ op: "park", index: 1, offset: 5, value: 98 });
      const punched = file.punchHole(page, page);
      await after(20);
      viewer.set(cells.go, 1);
      await viewer.heard();
      await punched;
      assert.equal(file.map().getUint8(page + 5), 0);
      await viewer.end();
      cache.verify({ quiesce: true });
    });

    it("no store is lost while another thread syncs all the while", async (t) => {
      const { cache, file, path } = await openBuild(t, 16);
      const viewer = await Viewer.start(t, cache, path);
      const position = 5 * page - 400;
      viewer.tell({ op: "count", position });
      let syncs = 0;
      for (const untilMs = performance.now() + runMs; performance.now() < untilMs; syncs++) {
        const before = Atomics.load(viewer.cells, cells.count);
        await file.sync();
        const stored = readFileSync(path);
        for (let at = 0; at < 100; at++) {
          const value = stored.readUInt32BE(position + at * 8);
          assert.ok(value >= before, `word ${at} is ${value} after a sync that began at ${before}`);
        }
      }
      viewer.set(cells.stop, 1);
      assert.equal((await viewer.heard()).op, "counted");
      const last = Atomics.load(viewer.cells, cells.count);
      t.diagnostic(`${syncs} syncs, ${last * 100} stores`);
      await file.sync();
      for (let at = 0; at < 100; at++) assert.equal(readFileSync(path).readUInt32BE(position + at * 8), last);
      await viewer.end();
      cache.verify({ quiesce: true });
    });

    it("a load never takes another page's bytes while another thread makes pages come and go", async (t) => {
      const pages = 300;
      const { cache, file, path } = await openBuild(t, pages);
      const viewer = await Viewer.start(t, cache, path);
      // Few pages, so that the other thread finds them in its table; they are evicted all the same.
      viewer.tell({ op: "scan", pages: scannedPages });
      const view = file.map();
      let wrong = 0;
      for (const untilMs = performance.now() + runMs; performance.now() < untilMs; ) {
        for (let i = 0; i < 300; i++) {
          const at = (i * 13) % pages;
          if (view.getUint32(at * page + 128) !== at) wrong += 1;
        }
        await after(0);
      }
      viewer.set(cells.stop, 1);
      const { value } = await viewer.heard();
      t.diagnostic(`${value} loads, ${cache.stats().evictions} evictions`);
      assert.deepEqual([wrong, Atomics.load(viewer.cells, cells.wrong)], [0, 0]);
      assert.ok(cache.stats().evictions > 1_000 && (value ?? 0) > 100_000);
      await viewer.end();
      cache.verify({ quiesce: true });
    });

    it("what one thread cuts off is refused to a load in the midst of another's loop", async (t) => {
      const { cache, file, path } = await openBuild(t, 16);
      const viewer = await Viewer.start(t, cache, path);
      for (const cut of [8 * page, 6 * page + 100]) {
        viewer.set(cells.count, 0);
        viewer.tell({ op: "loadUntilRefused", position: cut === 8 * page ? 8 * page : 6 * page + 100 });
        await until(() => Atomics.load(viewer.cells, cells.count) > 10_000, "the other thread loads");
        await file.truncate(cut);
        assert.deepEqual(await viewer.heard(), { op: "refused", code: "ERR_PINFOLD_OUT_OF_RANGE" });
      }
      await viewer.end();
      cache.verify({ quiesce: true });
    });
  });
}

describe("a view of another thread", () => {
  it("sees what this one stores, and goes on storing after this one's write-back", async (t) => {
    const { cache, file, path } = await open(t, 16);
    const viewer = await Viewer.start(t, cache, path);
    const view = file.map();
    assert.deepEqual(await viewer.ask({ op: "store", position: 9, value: 1 }), { op: "store", value: 1 });
    assert.equal(view.getUint8(9), 1);
    view.setUint8(9, 2);
    assert.deepEqual(await viewer.ask({ op: "load", position: 9 }), { op: "load", value: 2 });
    await file.sync();
    assert.equal(readFileSync(path)[9], 2);
    assert.deepEqual(await viewer.ask({ op: "store", position: 9, value: 3 }), { op: "store", value: 3 });
    await file.sync();
    assert.equal(readFileSync(path)[9], 3);
    await viewer.end();
    cache.verify({ quiesce: true });
  });

  it("waits for a page that this thread has locked for writing", async (t) => {
    const { cache, file, path } = await open(t, 16);
    const viewer = await Viewer.start(t, cache, path);
    const pages = await file.getUserPages(0, page, { write: true });
    const stored = viewer.ask({ op: "store", position: 9, value: 1 });
    await after(50);
    pages.bytes.fill(7);
    pages.put();
    assert.deepEqual(await stored, { op: "store", value: 1 });
    assert.deepEqual([file.map().getUint8(8), file.map().getUint8(9)], [7, 1]);
    await viewer.end();
    cache.verify({ quiesce: true });
  });

  it("that is terminated in the midst of a store keeps nobody from syncing", async (t) => {
    const { cache, file, path } = await open(t, 16);
    const viewer = await Viewer.start(t, cache, path);
    await viewer.ask({ op: "park", index: 3, offset: 77, value: 99 });
    const synced = file.sync();
    await viewer.worker.terminate();
    const startedMs = performance.now();
    await synced;
    t.diagnostic(`synced ${Math.round(performance.now() - startedMs)} ms after the thread's end`);
    assert.ok(performance.now() - startedMs < 1_000);
    assert.equal(cache.stats().dirtyPages, 0);
    cache.verify({ quiesce: true });
  });
});
