/**
 * Many voyages side by side, in threads. The first that goes wrong ends all.
 *
 * Invariant: with a number of voyages and no time limit, the same seeds are sailed, however many threads there are.
 *
 * See also: sailor-thread.ts.
 */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import type { SailorData, SailorReport } from "./sailor-thread.js";
import { type Passage, add, newPassage } from "./voyage.js";

export interface FleetOptions {
  /** Of the first voyage; each next one has the next. */
  readonly seed: number;
  /** Voyages in all; without it, as many as the time allows. */
  readonly voyages?: number | undefined;
  readonly millisecondsMax?: number | undefined;
  readonly jobs?: number | undefined;
  /** A planted defect, by name. */
  readonly mutant?: string | undefined;
  /** A word of shared memory: whoever makes it not 0 ends it all. */
  readonly stop: Int32Array;
  readonly onProgress?: (passage: Passage) => void;
}

export interface FleetReport {
  readonly passage: Passage;
  /** The lowest seed that was found to go wrong. */
  readonly wrecked?: number;
}

/** @throws Error where a thread fails */
export async function sailAll(options: FleetOptions): Promise<FleetReport> {
  const { seed, voyages = Infinity, millisecondsMax, mutant = "", stop } = options;
  const jobs = Math.min(options.jobs ?? availableParallelism(), voyages);
  const passage = newPassage();
  const wrecked: number[] = [];
  const timer =
    millisecondsMax === undefined ? undefined : setTimeout(() => Atomics.store(stop, 0, 1), millisecondsMax);
  const sailor = (at: number): Promise<void> => {
    const share = voyages === Infinity ? Infinity : Math.ceil((voyages - at) / jobs);
    const data: SailorData = { seed: seed + at, stride: jobs, voyages: share, mutant, stop };
    return new Promise((resolve, reject) => {
      const thread = new Worker(new URL("./sailor-thread.js", import.meta.url), { workerData: data });
      thread.on("message", (report: SailorReport) => {
        add(passage, report.passage);
        options.onProgress?.(passage);
        if (report.wrecked !== undefined) {
          wrecked.push(report.wrecked);
          Atomics.store(stop, 0, 1);
        }
      });
      thread.on("error", reject);
      thread.on("exit", (status) =>
        status === 0 ? resolve() : reject(new Error(`a thread ended with status ${status}`)),
      );
    });
  };
  try {
    await Promise.all(Array.from({ length: jobs }, (_, at) => sailor(at)));
  } finally {
    clearTimeout(timer);
  }
  return wrecked.length > 0 ? { passage, wrecked: Math.min(...wrecked) } : { passage };
}
