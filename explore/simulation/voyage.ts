/**
 * A voyage: one file through several lives of a cache.
 *
 * Invariant: the same plan makes the same voyage, with the same code.
 *
 * See also: script.ts (plans), oracle.ts (what must hold), life.ts.
 */
import { SeededRandom } from "../../src/base/seeded.js";
import { blockBytes, pageBytes } from "../runtime/modules.js";
import type { Machine } from "../runtime/machine.js";
import { Rig } from "../runtime/rig.js";
import type { Traced } from "../runtime/scheduler.js";
import { Violation } from "../search/subject.js";
import type { Interleaved } from "../transform/emit.js";
import { Chances } from "./chances.js";
import { CutMedium } from "./cut-medium.js";
import { crash, live } from "./life.js";
import { Oracle } from "./oracle.js";
import type { Character, LifePlan, VoyagePlan } from "./script.js";
import { fileBytesMax } from "./task.js";

/** A run with more points, or more moves of its clock, goes on and on. */
const endlessAt = { points: 1_000_000, moves: 200_000 };
const blocks = fileBytesMax / blockBytes;

/** What was done. */
export interface Passage {
  voyages: number;
  tasks: number;
  points: number;
  lives: number;
  powerCuts: number;
  kills: number;
  /** Sectors that power cuts could leave in more than one state. */
  openSectors: number;
  /** Errors that tasks have met, by code. */
  errors: Record<string, number>;
}

/** Where it has gone wrong. */
export interface Wreck {
  readonly life: number;
  readonly point: number;
  readonly violation: Violation;
}

/** Who wants to know more. */
export interface Watch {
  readonly onTask?: (what: string) => void;
  readonly onStep?: (step: Traced) => void;
  /** A life begins, on this machine. */
  readonly onLife?: (life: number, machine: Machine) => void;
}

export function newPassage(): Passage {
  return { voyages: 0, tasks: 0, points: 0, lives: 0, powerCuts: 0, kills: 0, openSectors: 0, errors: {} };
}

export function add(sum: Passage, passage: Passage): void {
  for (const [name, count] of Object.entries(passage)) {
    if (typeof count === "number") sum[name as "tasks"] += count;
  }
  for (const [code, count] of Object.entries(passage.errors)) sum.errors[code] = (sum.errors[code] ?? 0) + count;
}

/** Makes the voyage; undefined: all went well. Counts what was done in `passage`. */
export function sail(
  source: Interleaved,
  plan: VoyagePlan,
  { mutant = "", passage = newPassage(), watch = {} }: { mutant?: string; passage?: Passage; watch?: Watch } = {},
): Wreck | undefined {
  const voyage = new Voyage(source, plan.character, mutant, watch);
  passage.voyages++;
  try {
    for (const [at, life] of plan.lives.entries()) {
      const wreck = voyage.live(at, life, passage);
      if (wreck) return wreck;
    }
    return undefined;
  } finally {
    passage.tasks += voyage.oracle.tasks;
    for (const [code, count] of voyage.oracle.errors) passage.errors[code] = (passage.errors[code] ?? 0) + count;
  }
}

class Voyage {
  readonly oracle = new Oracle(pageBytes);
  readonly #medium: CutMedium;
  readonly #rig: Rig;
  readonly #character: Character;
  readonly #watch: Watch;

  constructor(source: Interleaved, character: Character, mutant: string, watch: Watch) {
    this.#character = character;
    this.#watch = watch;
    const { capacity, dirtyPagesMax, failures, frames, grantsLater, hasScopes, isHasty, longterm } = character;
    this.#medium = new CutMedium({ blocks, blockBytes, pageBytes, capacity });
    const disk = { failuresMax: failures > 0 ? Infinity : 0, grantsLater, endsBeyond: true };
    const movesMax = isHasty ? Infinity : 0;
    const plan = { frames, protocol: "locked", dirtyPagesMax, hasViews: false, disk, movesMax, endlessAt } as const;
    this.#rig = new Rig(source, plan, this.#medium, mutant);
    const requestsFail = failures > 0;
    const isScarce = capacity < blocks;
    this.oracle.troubles = { requestsFail, isScarce, hasCounted: longterm > 0, hasScopes };
    this.oracle.onEvent = watch.onTask;
    this.#medium.onLost = () => this.oracle.storageLost();
  }

  live(at: number, life: LifePlan, passage: Passage): Wreck | undefined {
    this.#watch.onLife?.(at, this.#rig.machine);
    this.#rig.machine.onTrace = this.#watch.onStep;
    this.#rig.machine.everyPoint = false;
    const turns = new Chances(new SeededRandom(life.seed), life.odds);
    try {
      this.#live(life, turns, passage);
      return undefined;
    } catch (error) {
      const violation = error instanceof Violation ? error : new Violation("check", (error as Error).stack ?? "");
      return { life: at, point: turns.points, violation };
    } finally {
      passage.points += turns.points;
      passage.lives++;
    }
  }

  #live({ crew, end }: LifePlan, turns: Chances, passage: Passage): void {
    const medium = this.#medium;
    const { isDeadly } = this.#character;
    if (live(this.#rig, this.oracle, crew, isDeadly, turns)) {
      this.oracle.closed(medium.size, (at) => medium.bytes[at] ?? 0);
      return;
    }
    if (end.isPowerCut) {
      passage.powerCuts++;
      passage.openSectors += medium.openSectors;
    } else passage.kills++;
    crash(this.#rig, this.oracle, medium, end.isPowerCut, new SeededRandom(end.seed));
  }
}
