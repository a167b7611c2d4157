/**
 * A thread of a simulation: makes voyages of the seeds that are its share, until it is told to stop, the time is up or one goes wrong.
 */
import { parentPort, workerData } from "node:worker_threads";
import { readInterleaved } from "../check/tasks.js";
import { voyageFrom } from "./script.js";
import { type Passage, newPassage, sail } from "./voyage.js";

export interface SailorData {
  /** The first voyage's seed, and how far it is from one to the next. */
  readonly seed: number;
  readonly stride: number;
  /** Voyages; Infinity: until it is stopped. */
  readonly voyages: number;
  readonly mutant: string;
  /** A word of shared memory: another number than 0 stops it. */
  readonly stop: Int32Array;
}

/** What has been done since the last report; a seed that went wrong; the end. */
export type SailorReport = { readonly passage: Passage; readonly wrecked?: number; readonly isOver: boolean };

const voyagesOfReport = 8;

function work({ seed, stride, voyages, mutant, stop }: SailorData): void {
  const source = readInterleaved();
  let passage = newPassage();
  const report = (more: Omit<SailorReport, "passage">) => {
    parentPort?.postMessage({ passage, ...more } satisfies SailorReport);
    passage = newPassage();
  };
  for (let voyage = 0; voyage < voyages && Atomics.load(stop, 0) === 0; voyage++) {
    const own = seed + voyage * stride;
    const wreck = sail(source, voyageFrom(own), { mutant, passage });
    if (wreck) {
      report({ wrecked: own, isOver: true });
      return;
    }
    if (passage.voyages >= voyagesOfReport) report({ isOver: false });
  }
  report({ isOver: true });
}

// Loaded elsewhere, it does nothing.
if (parentPort) work(workerData as SailorData);
