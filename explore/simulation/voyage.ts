/**
 * A voyage: one file through several lives of a cache, all of it from one seed.
 *
 * Invariant: the same seed makes the same voyage, with the same code.
 *
 * See also: script.ts (what it is like), oracle.ts (what must hold), life.ts.
 */
import { SeededRandom } from "../../src/base/seeded.js";
import { blockBytes, pageBytes } from "../runtime/modules.js";
import { Rig } from "../runtime/rig.js";
import { Violation } from "../search/subject.js";
import type { Interleaved } from "../transform/emit.js";
import { Chances } from "./chances.js";
import { CutMedium } from "./cut-medium.js";
import { crash, live } from "./life.js";
import { Oracle } from "./oracle.js";
import { type Character, Script, characterFrom } from "./script.js";
import { fileBytesMax } from "./task.js";

/** About as many points as a task has. */
const pointsOfTask = 40;
const endlessAt = { points: 1_000_000, moves: 200_000 };

/** What was done. */
export interface Passage {
  tasks: number;
  points: number;
  lives: number;
  powerCuts: number;
  kills: number;
  /** Sectors that power cuts could leave in more than one state. */
  openSectors: number;
  readonly errors: Map<string, number>;
}

export interface Wreck {
  readonly seed: number;
  readonly life: number;
  readonly point: number;
  readonly violation: Violation;
}

export function newPassage(): Passage {
  return { tasks: 0, points: 0, lives: 0, powerCuts: 0, kills: 0, openSectors: 0, errors: new Map() };
}

function rigFor(source: Interleaved, character: Character, medium: CutMedium, mutant: string): Rig {
  const { frames, dirtyPagesMax, grantsLater, isHasty } = character;
  const disk = { failuresMax: character.failures > 0 ? Infinity : 0, grantsLater, endsBeyond: true };
  const movesMax = isHasty ? Infinity : 0;
  const plan = { frames, protocol: "locked", dirtyPagesMax, hasViews: false, disk, movesMax, endlessAt } as const;
  return new Rig(source, plan, medium, mutant);
}

/** Makes the voyage of a seed; undefined: all went well. Counts what was done in `passage`. */
export function sail(
  source: Interleaved,
  seed: number,
  passage: Passage,
  mutant = "",
  onEvent?: (what: string) => void,
): Wreck | undefined {
  const random = new SeededRandom(seed);
  const character = characterFrom(random);
  const blocks = fileBytesMax / blockBytes;
  const medium = new CutMedium({ blocks, blockBytes, pageBytes, capacity: character.capacity });
  const rig = rigFor(source, character, medium, mutant);
  const oracle = new Oracle(pageBytes);
  oracle.onEvent = onEvent;
  const { hasScopes } = character;
  oracle.troubles = {
    requestsFail: character.failures > 0,
    isScarce: character.capacity < blocks,
    hasCounted: character.longterm > 0,
    hasScopes,
  };
  const script = new Script(random, character);
  for (let life = 0; life < character.lives; life++) {
    const turns = turnsOf(random, character);
    try {
      sailOn({ rig, oracle, medium, random, script, character, passage }, turns);
    } catch (error) {
      const violation = error instanceof Violation ? error : new Violation("check", String((error as Error).stack));
      return { seed, life, point: turns.chosen.length, violation };
    } finally {
      passage.points += turns.chosen.length;
      passage.lives++;
    }
  }
  passage.tasks += oracle.tasks;
  for (const [code, count] of oracle.errors) passage.errors.set(code, (passage.errors.get(code) ?? 0) + count);
  return undefined;
}

interface Ship {
  readonly rig: Rig;
  readonly oracle: Oracle;
  readonly medium: CutMedium;
  readonly random: SeededRandom;
  readonly script: Script;
  readonly character: Character;
  readonly passage: Passage;
}

function turnsOf(random: SeededRandom, character: Character): Chances {
  const { cuts, failures, steadiness, tasksOfUser, threads, users } = character;
  const isCut = random.below(100) < 2 * cuts;
  const cutAt = isCut ? 1 + random.below(threads * users * tasksOfUser * pointsOfTask) : Infinity;
  return new Chances(new SeededRandom(random.below(2 ** 32)), { steadiness, failures, cutAt });
}

function sailOn({ rig, oracle, medium, random, script, character, passage }: Ship, turns: Chances): void {
  const { threads, users, isDeadly } = character;
  const crew = Array.from({ length: threads }, () => Array.from({ length: users }, () => script.tasks()));
  if (live(rig, oracle, { crew, isDeadly }, turns)) {
    oracle.closed(medium.size, (at) => medium.bytes[at] ?? 0);
    return;
  }
  const isPowerCut = random.below(2) === 0;
  if (isPowerCut) {
    passage.powerCuts++;
    passage.openSectors += medium.openSectors;
  } else passage.kills++;
  crash(rig, oracle, medium, isPowerCut, random);
}
