/** Another thread with a mapped view of the same file, told what to do by the test. */
import { isMainThread, parentPort, workerData } from "node:worker_threads";
import { type CacheShare, PageCache } from "../../src/index.js";
import { viewWindow } from "../../src/sync/view-window.js";

export interface ViewerInput {
  readonly share: CacheShare;
  readonly path: string;
  readonly cells: SharedArrayBuffer;
}

/** Words of `cells`. */
export const cells = { go: 0, count: 1, stop: 2, wrong: 3 } as const;

export type Order =
  /** Opens a page to stores, then passes a store's look, waits for `go`, and only then writes. */
  | { readonly op: "park"; readonly index: number; readonly offset: number; readonly value: number }
  /** Counts up words of the page in a loop, telling in `count` how far it is, until `stop`. */
  | { readonly op: "count"; readonly position: number }
  /** Loads each page's pattern in a loop, over and over, until `stop`. */
  | { readonly op: "scan"; readonly pages: number }
  /** Loads a byte until that throws. */
  | { readonly op: "loadUntilRefused"; readonly position: number }
  | { readonly op: "store"; readonly position: number; readonly value: number }
  | { readonly op: "load"; readonly position: number }
  | { readonly op: "end" };

export interface Answer {
  readonly op: string;
  readonly value?: number;
  readonly code?: string;
}

export const scanStride = 64;

async function run({ share, path, cells: buffer }: ViewerInput): Promise<void> {
  const cache = PageCache.attach(share);
  const file = await cache.open(path);
  const view = file.map();
  const shared = new Int32Array(buffer);
  const { core } = cache;
  const { pageSize } = cache;
  const answer = (message: Answer) => parentPort?.postMessage(message);

  const park = (index: number, offset: number, value: number) => {
    view.setUint8(index * pageSize + offset, 0);
    const frame = core.table.find(0, index);
    const window = viewWindow(core.frames.wordsMemory, core.frames.thread, core.frames.hasPlainViews);
    const entered = window.enter(frame, core.frames.words.viewOf(frame));
    answer({ op: "parked", value: entered ? 1 : 0 });
    Atomics.wait(shared, cells.go, 0);
    core.frames.bytes(frame)[offset] = value;
    window.leave();
    answer({ op: "stored" });
  };
  const count = (position: number) => {
    for (let value = 1; Atomics.load(shared, cells.stop) === 0; value++) {
      for (let at = 0; at < 100; at++) view.setUint32(position + at * 8, value);
      Atomics.store(shared, cells.count, value);
    }
    answer({ op: "counted" });
  };
  const scan = (pages: number) => {
    let loads = 0;
    let at = 0;
    while (Atomics.load(shared, cells.stop) === 0) {
      let wrong = 0;
      for (let i = 0; i < 10_000; i++) {
        at = (at + 7) % pages;
        if (view.getUint32(at * pageSize + (i % 60) * scanStride) !== at) wrong += 1;
      }
      loads += 10_000;
      if (wrong > 0) Atomics.add(shared, cells.wrong, wrong);
      Atomics.store(shared, cells.count, loads);
    }
    answer({ op: "scanned", value: loads });
  };
  const loadUntilRefused = (position: number) => {
    try {
      for (;;) {
        view.getUint8(position);
        Atomics.add(shared, cells.count, 1);
      }
    } catch (error) {
      answer({ op: "refused", code: (error as { code: string }).code });
    }
  };
  const obey = async (order: Order) => {
    if (order.op === "park") park(order.index, order.offset, order.value);
    else if (order.op === "count") count(order.position);
    else if (order.op === "scan") scan(order.pages);
    else if (order.op === "loadUntilRefused") loadUntilRefused(order.position);
    else if (order.op === "end") {
      await cache.close();
      answer({ op: "ended" });
      parentPort?.close();
    } else {
      try {
        if (order.op === "store") view.setUint8(order.position, order.value);
        answer({ op: order.op, value: view.getUint8(order.position) });
      } catch (error) {
        answer({ op: order.op, code: (error as { code: string }).code });
      }
    }
  };
  parentPort?.on("message", (order: Order) => void obey(order));
  answer({ op: "ready" });
}

if (!isMainThread) await run(workerData as ViewerInput);
