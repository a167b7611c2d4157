/**
 * The other thread of view-litmus.test.ts: stores through windows, or loads through them, as fast as it can, over a frame that
 * the test opens, closes and ages all the while.
 */
import { isMainThread, parentPort, workerData } from "node:worker_threads";
import { Frames, type FramesShare } from "../../src/frames/frames.js";
import { VIEW_WRITABLE } from "../../src/sync/layout.js";
import { viewWindow } from "../../src/sync/view-window.js";

export interface LitmusInput {
  readonly share: FramesShare;
  readonly frame: number;
  readonly role: "storer" | "loader";
  /** See `cells`. */
  readonly cells: SharedArrayBuffer;
}

/** Words of `cells`. */
export const cells = { stop: 0, rounds: 1, refused: 2, wrong: 3 } as const;

const batch = 1_000;
/** Stores to memory that no cache has keep those that follow them, a hazard slot's too, from being seen for long. */
const coldWords = 2 ** 24;
const coldStride = 1_040;
const coldStores = 24;

/** Counts up a word of the page, each time within a window. */
function storer(frames: Frames, frame: number, shared: Int32Array): void {
  const window = viewWindow(frames.wordsMemory, frames.thread, frames.hasPlainViews);
  const bytes = new DataView((frames.segments[0] as WebAssembly.Memory).buffer);
  const at = frames.offset(frame);
  const cold = new Int32Array(coldWords);
  let coldAt = 0;
  let value = 0;
  const storeMany = (stamp: number) => {
    let stored = 0;
    for (let i = 0; i < batch; i++) {
      for (let slow = 0; slow < coldStores; slow++) {
        coldAt = (coldAt + coldStride) & (coldWords - 1);
        cold[coldAt] = value;
      }
      if (window.enter(frame, stamp)) {
        bytes.setInt32(at, ++value, true);
        stored += 1;
      }
      window.leave();
    }
    return stored;
  };
  while (Atomics.load(shared, cells.stop) === 0) {
    const stored = storeMany(frames.words.viewOf(frame) | VIEW_WRITABLE);
    Atomics.add(shared, cells.rounds, stored);
    Atomics.add(shared, cells.refused, batch - stored);
  }
}

/** The page's word is the generation in its stamp, or an older one: a newer one belongs to another page. */
function loader(frames: Frames, frame: number, shared: Int32Array): void {
  const window = viewWindow(frames.wordsMemory, frames.thread, frames.hasPlainViews);
  const bytes = new DataView((frames.segments[0] as WebAssembly.Memory).buffer);
  const at = frames.offset(frame);
  const loadMany = (stamp: number) => {
    const newest = stamp >>> 1;
    let accepted = 0;
    let wrong = 0;
    for (let i = 0; i < batch; i++) {
      const value = bytes.getInt32(at, true);
      if (!window.holds(frame, stamp, value)) break;
      accepted += 1;
      if (value > newest) wrong += 1;
    }
    if (wrong > 0) Atomics.add(shared, cells.wrong, wrong);
    return accepted;
  };
  while (Atomics.load(shared, cells.stop) === 0) {
    const accepted = loadMany(frames.words.viewOf(frame) | VIEW_WRITABLE);
    Atomics.add(shared, cells.rounds, accepted);
    if (accepted < batch) Atomics.add(shared, cells.refused, 1);
  }
}

if (!isMainThread) {
  const input = workerData as LitmusInput;
  const frames = Frames.attach(input.share);
  parentPort?.postMessage("begun");
  (input.role === "storer" ? storer : loader)(frames, input.frame, new Int32Array(input.cells));
}
