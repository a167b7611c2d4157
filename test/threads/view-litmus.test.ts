/**
 * What the plain windows of mapped views take for granted of processor and V8, tried on the Node that runs (sync/view-window.ts):
 * a store's look is not done before its hazard slot is seen, where a membarrier stands between; a load's check is not done
 * before the load. A thread stores or loads through a window, in a hot loop; this one takes the frame away and watches it.
 *
 * Without the barrier stores do slip through, which this test sees: so it would see them with it.
 */
import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { Worker } from "node:worker_threads";
import { Frames } from "../../src/frames/frames.js";
import { Views } from "../../src/frames/views.js";
import { systemClock } from "../../src/base/clock.js";
import { loadBarrier } from "../../src/sync/barrier.js";
import * as layout from "../../src/sync/layout.js";
import { cells, type LitmusInput } from "./view-litmus.js";

const mapping = 0;
const thread0Blocks = 1;
const pageSize = 4096;
const memoryBytes = 64 * pageSize;
const runMs = 2_000;
/** How long a closed frame is watched. */
const watchLoads = 60;
const isX64Linux = process.platform === "linux" && process.arch === "x64";

interface Litmus {
  readonly frames: Frames;
  readonly frame: number;
  readonly shared: Int32Array;
  readonly bytes: DataView;
  readonly at: number;
}

/** A frame with a page that this thread has locked, and another thread that stores to it, or loads from it. */
async function begin(t: TestContext, role: LitmusInput["role"], isPlain: boolean): Promise<Litmus> {
  const before = process.env["PINFOLD_ATOMIC_VIEWS"];
  if (!isPlain) process.env["PINFOLD_ATOMIC_VIEWS"] = "1";
  const frames = Frames.create(memoryBytes, pageSize, false);
  if (before === undefined) delete process.env["PINFOLD_ATOMIC_VIEWS"];
  else process.env["PINFOLD_ATOMIC_VIEWS"] = before;
  assert.equal(frames.hasPlainViews, isPlain);
  const { words, thread } = frames;
  const frame = words.reserve(thread);
  assert.equal(words.find(mapping, 0, thread), layout.NONE);
  assert.equal(words.insert(frame, mapping, 0, thread), layout.OK);
  words.setUptodate(frame);
  assert.equal(words.markDirty(frame, thread, thread0Blocks, 0), 1);
  const buffer = new SharedArrayBuffer(16);
  const input: LitmusInput = { share: frames.share(memoryBytes), frame, role, cells: buffer };
  const worker = new Worker(new URL("./view-litmus.js", import.meta.url), { workerData: input });
  const shared = new Int32Array(buffer);
  t.after(async () => {
    Atomics.store(shared, cells.stop, 1);
    await worker.terminate();
  });
  await new Promise((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
  const bytes = new DataView((frames.segments[0] as WebAssembly.Memory).buffer);
  return { frames, frame, shared, bytes, at: frames.offset(frame) };
}

/** How often a store landed after the frame was taken away. Ends at the first one where `enough`. */
function watchStores(litmus: Litmus, close: () => boolean, enough: boolean): { closes: number; late: number } {
  const { frames, frame, bytes, at } = litmus;
  const result = { closes: 0, late: 0 };
  for (const untilMs = performance.now() + runMs; performance.now() < untilMs; ) {
    while (frames.words.openView(frame, frames.thread) !== layout.OK);
    for (let spin = result.closes % 97; spin > 0; spin--) bytes.getInt32(at, true);
    while (!close());
    const first = bytes.getInt32(at, true);
    let last = first;
    for (let i = 0; i < watchLoads && last === first; i++) last = bytes.getInt32(at, true);
    result.closes += 1;
    if (last !== first) result.late += 1;
    if (enough && result.late > 0) break;
  }
  return result;
}

function reportStores(t: TestContext, { shared }: Litmus, { closes, late }: { closes: number; late: number }): void {
  const [, stored, refused] = shared;
  t.diagnostic(`${stored} stores, ${refused} refused, taken away ${closes} times: ${late} stores landed after that`);
}

describe("a store through a window", () => {
  it("never lands after the access was taken away", {
    skip: loadBarrier() === null && "no membarrier here",
  }, async (t) => {
    const litmus = await begin(t, "storer", true);
    const views = new Views(litmus.frames, systemClock);
    const seen = watchStores(litmus, () => views.tryClose([litmus.frame]).length === 0, false);
    reportStores(t, litmus, seen);
    assert.equal(seen.late, 0);
    assert.ok(seen.closes > 100);
  });

  it("never lands after the access was taken away, in the build with atomic operations", async (t) => {
    const litmus = await begin(t, "storer", false);
    const views = new Views(litmus.frames, systemClock);
    const seen = watchStores(litmus, () => views.tryClose([litmus.frame]).length === 0, false);
    reportStores(t, litmus, seen);
    assert.equal(seen.late, 0);
    assert.ok(seen.closes > 100);
  });

  it("does land late without the barrier, which this test sees", {
    skip: (loadBarrier() === null || !isX64Linux) && "the plain build does not run here",
  }, async (t) => {
    const litmus = await begin(t, "storer", true);
    const { words, shared } = litmus.frames;
    const closeWithoutBarrier = () => {
      words.revokeView(litmus.frame);
      const slots = Array.from({ length: 2 }, (_, slot) => layout.THREADS + slot * layout.THREAD_BYTES);
      if (slots.some((slot) => shared.load(slot + layout.THREAD_HAZARD_0) === litmus.frame + 1)) return false;
      return words.closeView(litmus.frame) === layout.OK;
    };
    let seen = { closes: 0, late: 0 };
    for (let tries = 0; tries < 10 && seen.late === 0; tries++) seen = watchStores(litmus, closeWithoutBarrier, true);
    reportStores(t, litmus, seen);
    assert.ok(seen.late > 0, "no store landed late without the barrier: the test would see nothing");
  });
});

describe("a load through a window", () => {
  for (const isPlain of [true, false]) {
    const skip = isPlain && loadBarrier() === null && "no membarrier here";
    it(`never takes bytes of a later page, ${isPlain ? "plain" : "atomic"}`, { skip }, async (t) => {
      const { frames, frame, bytes, at, shared } = await begin(t, "loader", isPlain);
      let ages = 0;
      for (const untilMs = performance.now() + runMs; performance.now() < untilMs; ages++) {
        frames.words.ageView(frame);
        bytes.setInt32(at, frames.words.viewOf(frame) >>> 1, true);
        for (let spin = ages % 97; spin > 0; spin--) bytes.getInt32(at, true);
      }
      const [, accepted, refused, wrong] = shared;
      t.diagnostic(`${ages} pages, ${accepted} loads accepted, ${refused} times refused, ${wrong} wrong`);
      assert.equal(wrong, 0);
      assert.ok((accepted ?? 0) > 100_000 && (refused ?? 0) > 100);
    });
  }
});
