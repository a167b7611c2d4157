/**
 * The only place that reads a clock or starts a timer. `Clock` is a seam: tests and the explorer drive their own.
 * Times are milliseconds since an arbitrary point, the same in every thread of the process: that of
 * hrtime, whose zero they share. Each call reads performance.now, which counts on from it and makes no BigInt.
 */

export interface Timer {
  /** Stops it; nothing happens if it has fired. */
  cancel(): void;
}

export interface Clock {
  nowMs(): number;
  /** Calls `run` once, after `delayMs`. A timer that is not `keepAlive` lets the process end. */
  after(delayMs: number, run: () => void, keepAlive?: boolean): Timer;
}

/** What to add to this thread's performance.now. */
const zeroMs = Number(process.hrtime.bigint() / 1000n) / 1000 - performance.now();

export const systemClock: Clock = {
  nowMs: () => zeroMs + performance.now(),
  after(delayMs, run, keepAlive = false) {
    const handle = setTimeout(run, delayMs);
    if (!keepAlive) handle.unref();
    return { cancel: () => clearTimeout(handle) };
  },
};

/** Whole seconds, modulo 65,536: the unit in which a page remembers when it became dirty. */
export function coarseSeconds(nowMs: number): number {
  return Math.floor(nowMs / 1000) & 0xffff;
}

/** Calls `run` in a later turn of the event loop, after the input that is ready now: for who shares the thread with others. */
export function nextTurn(run: () => void): void {
  setImmediate(run);
}
