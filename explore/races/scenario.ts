/**
 * What a scenario is: actors that meet in one of the ways in which page caches lose writes.
 *
 * See also: docs/testing.md (how to write one), stage.ts (what actors can do).
 */
import type { Replacement } from "../transform/program.js";
import type { Actor } from "./stage.js";

export type ProtocolName = "reference" | "locked" | "counted";

export interface Scenario {
  /** "R6". */
  readonly race: string;
  readonly title: string;
  /** Frames for pages. */
  readonly frames: number;
  /** Pages of the file at the beginning; page n is full of bytes n + 1. */
  readonly pages: number;
  /** Requests to the storage that may fail. Default 0. */
  readonly failuresMax?: number;
  /** Blocks of the storage that can be in use at once. Default 16. */
  readonly capacity?: number;
  /** Dirty pages beyond which writers are kept waiting. Default: more than there are frames. */
  readonly dirtyPagesMax?: number;
  /** Leave to write comes later. Default false. */
  readonly grantsLater?: boolean;
  /** Threads have mapped views; plain stores are seen by others later, as on x86 (../runtime/store-buffer.ts). Default false. */
  readonly hasViews?: boolean;
  /** How often the clock may go on while somebody else could. Default 0: time passes only when nobody can go on. */
  readonly movesMax?: number;
  /** Actors whose threads may end in the midst of what they do: one of them, once in a run. */
  readonly mortal?: readonly string[];
  /** Preemptions up to which a check searches. */
  readonly bound: number;
  /** Preemptions up to which a quick check searches. Default 1, or `bound` if that is less. */
  readonly quickBound?: number;
  /** Runs alone, in the first actor's thread, before all others. */
  prepare?(actor: Actor): Promise<void>;
  /** Each in a thread of its own. */
  readonly actors: Readonly<Record<string, (actor: Actor) => Promise<void>>>;
  /** Runs alone when all have ended; `stored` reads the storage's bytes after a sync. */
  check(actor: Actor, stored: (position: number) => number): Promise<void>;
  /** What is expected under the bare reference. */
  readonly underReference: "none" | "some";
  /** The guard of this race, taken out. */
  readonly without: readonly Replacement[];
  /** Where the race is found without its guard. Default "locked". */
  readonly found?: "locked" | "counted";
}
