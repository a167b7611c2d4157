/**
 * What a simulated voyage is like, what its users do, and what befalls them: all of it from a seed, and then plain data, which can be
 * made shorter (shorten.ts).
 *
 * A voyage is one file through several lives of a cache; each ends in order, by a kill or by a power cut.
 */
import { SeededRandom } from "../../src/base/seeded.js";
import { pageBytes } from "../runtime/modules.js";
import type { Odds } from "./chances.js";
import { type Task, fileBytesMax } from "./task.js";

/** The tasks of each user in each thread. */
export type Crew = readonly (readonly (readonly Task[])[])[];

export interface LifePlan {
  readonly crew: Crew;
  /** Of its turns. */
  readonly seed: number;
  readonly odds: Odds;
  /** What happens where the turns stop it, or nobody is left; with a seed of its own. */
  readonly end: { readonly isPowerCut: boolean; readonly seed: number };
}

export interface VoyagePlan {
  readonly character: Character;
  readonly lives: readonly LifePlan[];
}

const seedsMax = 2 ** 32;
/** About as many points as a task has, and half as many again. */
const pointsOfTask = 40;

/** The point at which a life of so many tasks may be stopped. */
export function cutPoint(random: SeededRandom, crew: Crew): number {
  return 1 + random.below((1 + crew.flat(2).length) * pointsOfTask);
}

export function voyageFrom(seed: number): VoyagePlan {
  const random = new SeededRandom(seed);
  const character = characterFrom(random);
  const script = new Script(random, character);
  const { cuts, failures, lives, steadiness, threads, users } = character;
  const lifeOf = (): LifePlan => {
    const crew = Array.from({ length: threads }, () => Array.from({ length: users }, () => script.tasks()));
    const cutAt = random.below(100) < 2 * cuts ? cutPoint(random, crew) : undefined;
    const odds = { steadiness, failures, cutAt };
    const end = { isPowerCut: random.below(2) === 0, seed: random.below(seedsMax) };
    return { crew, seed: random.below(seedsMax), odds, end };
  };
  return { character, lives: Array.from({ length: lives }, lifeOf) };
}

export interface Character {
  readonly threads: number;
  /** Users in each thread, who do their tasks side by side. */
  readonly users: number;
  readonly tasksOfUser: number;
  readonly lives: number;
  readonly frames: number;
  readonly dirtyPagesMax: number;
  /** Blocks that the storage has. */
  readonly capacity: number;
  /** Of a thousand requests. */
  readonly failures: number;
  /** Whether threads end in the midst of what they do. */
  readonly isDeadly: boolean;
  /** Of a hundred pins. */
  readonly longterm: number;
  readonly hasScopes: boolean;
  readonly grantsLater: boolean;
  /** Of a hundred tasks. */
  readonly aborts: number;
  /** Of a hundred points, those at which whoever goes on goes on. */
  readonly steadiness: number;
  /** Time passes also while somebody can go on: threads are held up for as long as one likes. */
  readonly isHasty: boolean;
  /** Of a hundred lives, those that end by a power cut; as many others by a kill. */
  readonly cuts: number;
  readonly pages: number;
}

function oneOf<Value>(random: SeededRandom, values: readonly Value[]): Value {
  return values[random.below(values.length)] as Value;
}

function characterFrom(random: SeededRandom): Character {
  const frames = 1 + random.below(5);
  return {
    threads: 1 + random.below(3),
    users: 1 + random.below(2),
    tasksOfUser: 20 + random.below(80),
    lives: 4,
    frames,
    dirtyPagesMax: oneOf(random, [1, 2, frames, frames * 4]),
    capacity: oneOf(random, [4, 8, 12, 16, 16, 16]),
    failures: oneOf(random, [0, 0, 2, 20, 100]),
    isDeadly: random.below(4) === 0,
    longterm: oneOf(random, [0, 0, 20, 60]),
    hasScopes: random.below(3) === 0,
    grantsLater: random.below(3) === 0,
    aborts: oneOf(random, [0, 5, 20]),
    steadiness: oneOf(random, [0, 50, 80, 95, 99]),
    isHasty: random.below(2) === 0,
    cuts: 40,
    pages: oneOf(random, [2, 4, 8]),
  };
}

/** How often what is done: kinds, with a weight. */
const weights = {
  "pin to write": 24,
  "pin to read": 14,
  "pin two": 6,
  write: 14,
  read: 12,
  sync: 10,
  truncate: 4,
  punch: 4,
  invalidate: 4,
  "write back": 5,
  evict: 4,
  sleep: 3,
  "look for dead": 1,
} as const satisfies Record<Task["kind"], number>;

class Script {
  readonly #random: SeededRandom;
  readonly #character: Character;
  #value = 0;

  constructor(random: SeededRandom, character: Character) {
    this.#random = random;
    this.#character = character;
  }

  /** The tasks of one user in one life. */
  tasks(): Task[] {
    return Array.from({ length: this.#character.tasksOfUser }, () => this.#task());
  }

  #kind(): Task["kind"] {
    const kinds = Object.entries(weights) as [Task["kind"], number][];
    const usable = kinds.filter(([kind]) => kind !== "pin two" || (this.#character.hasScopes && this.#fits(2)));
    let left = this.#random.below(usable.reduce((sum, [, weight]) => sum + weight, 0));
    for (const [kind, weight] of usable) {
      if (left < weight) return kind;
      left -= weight;
    }
    throw new Error("weights add up");
  }

  /** Whether each user can have so many pages at once, and one be left. */
  #fits(pages: number): boolean {
    const { frames, threads, users } = this.#character;
    return frames > pages * threads * users;
  }

  #task(): Task {
    const random = this.#random;
    const { aborts, longterm, pages } = this.#character;
    const kind = this.#kind();
    const abortAfterMs = random.below(100) < aborts ? random.below(20) : undefined;
    const isLongterm = random.below(100) < longterm;
    const holdMs = random.below(4) === 0 ? random.below(60) : 0;
    // A task with two pages that is in no scope can be in a circle with a scope, which nobody finds (rule 14).
    const range = this.#range(this.#character.hasScopes ? 1 : Math.min(this.#character.frames, 3));
    switch (kind) {
      case "pin to write":
        return {
          kind,
          ...range,
          value: this.#nextValue(),
          longterm: isLongterm,
          isUnused: random.below(5) === 0,
          holdMs,
          abortAfterMs,
        };
      case "pin to read":
        return { kind, ...range, longterm: isLongterm, holdMs, abortAfterMs };
      case "pin two": {
        const first = random.below(pages);
        const second = (first + 1 + random.below(pages - 1)) % pages;
        return { kind, first, second, value: this.#nextValue(), abortAfterMs };
      }
      case "write":
        return { kind, ...range, value: this.#nextValue(), abortAfterMs };
      case "sync":
        return random.below(3) === 0
          ? { kind, ...range, abortAfterMs }
          : { kind, position: 0, length: 0, abortAfterMs };
      case "truncate":
        // Half of them make it as long as it may be, so that most other tasks have something to do.
        return {
          kind,
          size: random.below(2) === 0 ? pages * pageBytes : random.below(pages * pageBytes),
          abortAfterMs,
        };
      case "read":
      case "punch":
        return { kind, ...range, abortAfterMs };
      case "invalidate":
        return { kind, ...range };
      case "sleep":
        return { kind, delayMs: random.below(300) };
      case "evict":
      case "look for dead":
      case "write back":
        return { kind };
    }
  }

  /** A range of the file of at most so many pages. */
  #range(pagesMax: number): { position: number; length: number } {
    const random = this.#random;
    const bytes = Math.min(fileBytesMax, this.#character.pages * pageBytes);
    const position = random.below(bytes);
    // Up to the end of the last page that may be touched.
    const most =
      Math.min(bytes, (Math.floor(position / pageBytes) + 1 + random.below(pagesMax)) * pageBytes) - position;
    return { position, length: random.below(3) === 0 ? most : 1 + random.below(most) };
  }

  /** Never 0, which is a hole's. */
  #nextValue(): number {
    this.#value = (this.#value % 255) + 1;
    return this.#value;
  }
}
