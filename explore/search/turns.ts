/**
 * The turns of one run, point after point: what was chosen, and in which state. The search writes them once and gives them again in
 * every later run that begins alike, which is why they lie in flat arrays that only grow.
 *
 * Invariant: entries below `length` are of the last run. A state is `unasked` where only one alternative was enabled.
 *
 * See also: exhaustive.ts, random.ts (who writes them), schedule.ts (how a schedule is made of them).
 */
import { type Subject, type Turns, Violation } from "./subject.js";

/** No hash is negative: there was nothing to choose, and nobody asked for the state. */
export const unasked = -1;

const pointsAtFirst = 256;

export class Path {
  length = 0;
  chosen = new Uint8Array(pointsAtFirst);
  states = new Float64Array(pointsAtFirst);

  /** Makes room for point `at`. */
  reach(at: number): void {
    if (at < this.chosen.length) return;
    this.chosen = grown(this.chosen, at);
    this.states = grown(this.states, at);
  }
}

/** A copy with at least twice the room, and room for index `at`. */
export function grown<Numbers extends Uint8Array | Int8Array | Int32Array | Float64Array>(
  numbers: Numbers,
  at: number,
): Numbers {
  const larger = new (numbers.constructor as new (length: number) => Numbers)(Math.max(2 * numbers.length, at + 1));
  larger.set(numbers);
  return larger;
}

/** The lowest alternative of a set that is not empty. */
export function lowest(alternatives: number): number {
  return 31 - Math.clz32(alternatives & -alternatives);
}

/** True for a set of one. */
export function isSingle(alternatives: number): boolean {
  return (alternatives & (alternatives - 1)) === 0;
}

/** Who goes on where nothing speaks for another: `current` while it can, else the lowest. `current` may be -1. */
export function usual(alternatives: number, current: number): number {
  // A shift by -1 is one by 31, and there is no alternative 31.
  return ((alternatives >>> current) & 1) !== 0 ? current : lowest(alternatives);
}

/** Runs the subject. True: to an end; false: it was stopped; or what went wrong. @throws what is no violation */
export function run(subject: Subject, turns: Turns): boolean | Violation {
  try {
    return subject.run(turns);
  } catch (error) {
    if (error instanceof Violation) return error;
    throw error;
  }
}
