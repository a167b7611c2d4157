/**
 * How much a search may do, and how far it is. Whatever a limit cuts short is not complete.
 *
 * Invariant: no clock here; who wants a limit in time hands one in.
 */

export interface Progress {
  /** Runs so far. */
  readonly schedules: number;
  /** States met in this pass. */
  readonly states: number;
}

export interface SearchLimits {
  /** Runs in all passes, those to warm up included. */
  readonly schedulesMax?: number;
  /** States of one pass; a slot of the table has 13 bytes. */
  readonly statesMax?: number;
  /** Points of one run. */
  readonly pointsMax?: number;
  /** Counted on `nowMs`, which has to be given with it. */
  readonly millisecondsMax?: number;
  /** Milliseconds since any time. */
  readonly nowMs?: () => number;
  /** Asked now and then: true ends the search. */
  readonly isStopped?: () => boolean;
  /** Called now and then, after a number of runs. */
  readonly progress?: (progress: Progress) => void;
}

/** What a search was cut short by; "violation": as many were found as were asked for. */
export type CutBy = "schedules" | "states" | "points" | "milliseconds" | "stopped" | "passes" | "violation";

export const pointsMaxDefault = 20_000;
export const statesMaxDefault = 2_000_000;

/** Runs from one look at the clock, and for a stop, to the next, and from one report of progress to the next. */
const runsPerLook = 32;
const runsPerReport = 1024;

/** Counts runs against the limits. */
export class Meter {
  runs = 0;
  readonly #schedulesMax: number;
  readonly #nowMs: (() => number) | undefined;
  readonly #endMs: number;
  readonly #isStopped: (() => boolean) | undefined;
  readonly #progress: ((progress: Progress) => void) | undefined;

  /** @throws Error for a time limit without a clock */
  constructor(limits: SearchLimits) {
    const { millisecondsMax, nowMs } = limits;
    if (millisecondsMax !== undefined && nowMs === undefined) throw new Error("millisecondsMax needs nowMs");
    this.#schedulesMax = limits.schedulesMax ?? Infinity;
    this.#nowMs = millisecondsMax === undefined ? undefined : nowMs;
    this.#endMs = (this.#nowMs?.() ?? 0) + (millisecondsMax ?? 0);
    this.#isStopped = limits.isStopped;
    this.#progress = limits.progress;
  }

  /** Before a run: counts it, unless a limit forbids it. */
  begin(states: number): CutBy | undefined {
    if (this.runs >= this.#schedulesMax) return "schedules";
    if (this.runs % runsPerLook === 0) {
      if (this.#nowMs !== undefined && this.#nowMs() >= this.#endMs) return "milliseconds";
      if (this.#isStopped?.() === true) return "stopped";
    }
    this.runs++;
    if (this.#progress !== undefined && this.runs % runsPerReport === 0)
      this.#progress({ schedules: this.runs, states });
    return undefined;
  }
}
