/** The window of a mapped view's store and its revoker, one step at a time, in one thread (sync/view-window.ts, frames/views.ts). */
import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { systemClock } from "../../src/base/clock.js";
import { Frames } from "../../src/frames/frames.js";
import { Views } from "../../src/frames/views.js";
import { loadBarrier } from "../../src/sync/barrier.js";
import * as layout from "../../src/sync/layout.js";
import { type ViewWindow, viewWindow } from "../../src/sync/view-window.js";

const pageSize = 4096;
const memoryBytes = 64 * pageSize;
const mapping = 0;
const oneBlock = 1;

interface Scene {
  /** The storer's and the revoker's. */
  readonly frames: Frames;
  readonly other: Frames;
  readonly window: ViewWindow;
  readonly views: Views;
  /** Two pages, open to stores, whose locks the revoker has. */
  readonly pages: readonly [number, number];
  readonly hazards: () => number[];
  readonly stampOf: (frame: number) => number;
}

function scene(t: TestContext, isPlain: boolean): Scene {
  if (!isPlain) process.env["PINFOLD_ATOMIC_VIEWS"] = "1";
  const frames = Frames.create(memoryBytes, pageSize, false);
  delete process.env["PINFOLD_ATOMIC_VIEWS"];
  const other = Frames.attach(frames.share(memoryBytes));
  t.after(() => {
    frames.threads.release(frames.thread);
    frames.threads.release(other.thread);
  });
  const { words, thread } = other;
  const open = (index: number) => {
    const frame = words.reserve(thread);
    words.find(mapping, index, thread);
    assert.equal(words.insert(frame, mapping, index, thread), layout.OK);
    words.setUptodate(frame);
    assert.equal(words.markDirty(frame, thread, oneBlock, 0), 1);
    assert.equal(words.openView(frame, thread), layout.OK);
    return frame;
  };
  return {
    frames,
    other,
    window: viewWindow(frames.wordsMemory, frames.thread, frames.hasPlainViews),
    views: new Views(other, systemClock),
    pages: [open(0), open(1)],
    hazards: () =>
      [layout.THREAD_HAZARD_0, layout.THREAD_HAZARD_1].map((field) =>
        other.shared.load(other.threads.at(frames.thread, field)),
      ),
    stampOf: (frame) => words.viewOf(frame),
  };
}

const hasNoBarrier = (isPlain: boolean) =>
  (!isPlain || loadBarrier() === null) && "no barrier is needed, or there is none";

for (const isPlain of [true, false]) {
  describe(`a window, ${isPlain ? "plain" : "atomic"} build`, () => {
    it("names its page in the hazard slot from its look to its end", (t) => {
      const { window, pages, hazards, stampOf } = scene(t, isPlain);
      const [first, second] = pages;
      assert.deepEqual(hazards(), [0, 0]);
      assert.equal(window.enter(first, stampOf(first)), true);
      assert.deepEqual(hazards(), [first + 1, 0]);
      window.leave();
      assert.deepEqual(hazards(), [0, 0]);
      assert.equal(window.enterBoth(first, stampOf(first), second, stampOf(second)), true);
      assert.deepEqual(hazards(), [first + 1, second + 1]);
      window.leaveBoth();
      assert.deepEqual(hazards(), [0, 0]);
    });

    it("stays shut where the access was taken away, from either of two pages", (t) => {
      const { window, views, pages, stampOf } = scene(t, isPlain);
      const [first, second] = pages;
      const stamps = [stampOf(first), stampOf(second)] as const;
      assert.deepEqual(views.tryClose([second]), []);
      assert.equal(window.enterBoth(first, stamps[0], second, stamps[1]), false);
      window.leaveBoth();
      assert.equal(window.enterBoth(second, stamps[1], first, stamps[0]), false);
      window.leaveBoth();
      assert.equal(window.enter(first, stamps[0]), true);
      window.leave();
      assert.equal(window.enter(second, stamps[1]), false);
      window.leave();
    });

    it("stays shut, and its loads do not hold, where the page was sent to be looked up again", (t) => {
      const { window, other, pages, stampOf } = scene(t, isPlain);
      const [first] = pages;
      const stamp = stampOf(first);
      assert.equal(window.holds(first, stamp, 0), true);
      other.words.revokeView(first);
      assert.equal(window.holds(first, stamp, 0), true);
      assert.equal(window.holdsWide(first, stamp, 0n), true);
      other.words.ageView(first);
      assert.equal(window.holds(first, stamp, 0), false);
      assert.equal(window.holdsWide(first, stamp, 0n), false);
      assert.equal(window.enter(first, stamp), false);
      window.leave();
      assert.equal(window.holds(first, stampOf(first) | layout.VIEW_WRITABLE, 0), true);
    });

    it("that was opened before the barrier is seen after it", { skip: hasNoBarrier(isPlain) }, (t) => {
      const { window, other, pages, stampOf } = scene(t, isPlain);
      const [first] = pages;
      const stamp = stampOf(first);
      // A store that waits in its processor's buffer shows when the barrier has run; its look was done before.
      const views = new Views(other, systemClock, () => {
        assert.equal(stampOf(first) & layout.VIEW_WRITABLE, 0, "the access is taken away before the barrier");
        window.enter(first, stamp);
      });
      assert.deepEqual(views.tryClose([first]), [first]);
      assert.equal(views.isOpen(first), true);
    });

    it("keeps the revoker from closing its pages, and no others", (t) => {
      const { window, views, pages, stampOf } = scene(t, isPlain);
      const [first, second] = pages;
      window.enter(second, stampOf(second));
      assert.deepEqual(views.tryClose([first, second]), [second]);
      assert.deepEqual([views.isOpen(first), views.isOpen(second)], [false, true]);
      assert.equal(stampOf(second) & layout.VIEW_WRITABLE, 0);
      window.leave();
      assert.deepEqual(views.tryClose([first, second]), []);
      assert.equal(views.isOpen(second), false);
    });

    it("that an error has ended halfway is closed when its thread does something else", (t) => {
      const { frames, window, pages, hazards, stampOf } = scene(t, isPlain);
      const [first, second] = pages;
      window.enterBoth(first, stampOf(first), second, stampOf(second));
      new Views(frames, systemClock).settleOwn();
      assert.deepEqual(hazards(), [0, 0]);
    });

    it("blocks a revoker who may block for a bounded time, and is looked after meanwhile", (t) => {
      const { window, views, pages, stampOf } = scene(t, isPlain);
      const [first] = pages;
      window.enter(first, stampOf(first));
      let looks = 0;
      const leave = () => {
        looks += 1;
        if (looks === 3) window.leave();
      };
      assert.equal(views.closeBlocking([first], leave), true);
      assert.equal(looks, 3);
    });
  });
}

describe("a thread that cannot call the barrier", { skip: hasNoBarrier(true) }, () => {
  it("does not attach to a cache whose views need it, and makes caches whose views do not", (t) => {
    const { frames } = scene(t, true);
    process.env["PINFOLD_NO_KOFFI"] = "1";
    try {
      const claimed = [...frames.threads.claimed()].length;
      assert.throws(() => Frames.attach(frames.share(memoryBytes)), { code: "ENOTSUP" });
      assert.equal([...frames.threads.claimed()].length, claimed);
      const own = Frames.create(memoryBytes, pageSize, false);
      assert.equal(own.hasPlainViews, false);
      Frames.attach(own.share(memoryBytes));
    } finally {
      delete process.env["PINFOLD_NO_KOFFI"];
    }
  });
});
