/** One of two contenders for a lock: takes it and lets go of it until it has changed hands often enough. Tells how often it had it. */
import { parentPort, workerData } from "node:worker_threads";
import { systemClock } from "../../src/base/clock.js";
import { Frames, type FramesShare } from "../../src/frames/frames.js";
import { PageLocks } from "../../src/frames/locks.js";
import { Scopes } from "../../src/frames/scopes.js";
import * as layout from "../../src/sync/layout.js";

export interface HandOverData {
  readonly share: FramesShare;
  readonly handOvers: number;
  readonly blocking: boolean;
}

export interface HandOverResult {
  readonly turns: number;
  readonly rescues: number;
}

/** Plain words in page memory that the lock alone guards: turns in all, who had the last one, how often that changed. */
export const cells = { turns: 0, last: 1, handOvers: 2 } as const;

const aloneMax = 100;
const naps = 20;
const waiters = 1 << layout.WAITERS_BIT;

/** The other one was taken off its processor on its way to the queue: it is given time to get there. */
function letOtherIn({ shared, words }: Frames, record: number): void {
  for (let i = 0; i < naps && (words.lowWord(record) & waiters) === 0; i++)
    shared.waitBlocking(layout.HEADER_MAGIC, shared.load(layout.HEADER_MAGIC), 0.05);
}

async function contend({ share, handOvers, blocking }: HandOverData): Promise<HandOverResult> {
  const frames = Frames.attach(share);
  const locks = new PageLocks(frames, systemClock, new Scopes(frames));
  const shared = new Int32Array(frames.segments[0]?.buffer as SharedArrayBuffer);
  const record = frames.lockRecord(0, layout.LOCK_RESIZE);
  const me = frames.thread;
  let turns = 0;
  let alone = 0;
  for (let isOver = false; !isOver; ) {
    if (blocking) locks.acquireBlocking(record, 0, layout.LOCK_RESIZE, layout.MODE_EXCLUSIVE);
    else await locks.acquire(record, 0, layout.LOCK_RESIZE, layout.MODE_EXCLUSIVE, {});
    turns += 1;
    (shared[cells.turns] as number) += 1;
    alone = shared[cells.last] === me ? alone + 1 : 0;
    if (alone === 0) (shared[cells.handOvers] as number) += 1;
    shared[cells.last] = me;
    if (alone > aloneMax) letOtherIn(frames, record);
    isOver = (shared[cells.handOvers] as number) >= handOvers;
    locks.unlockExclusive(record);
  }
  return { turns, rescues: locks.queues.rescues };
}

const data = workerData as HandOverData | undefined;
if (data?.share) void contend(data).then((result) => parentPort?.postMessage(result));
