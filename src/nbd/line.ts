/**
 * A line of tasks of which a fixed number is let in at a time, first come first served.
 *
 * Invariant: whoever entered leaves, however its work ends; `inside` is the number of those that have not left. A task in line
 * has no signal of its own: it is let in soon after those before it were aborted, and then meets its own signal.
 *
 * See also: file-device.ts (the user).
 */
import { assert } from "../base/assert.js";

export class Line {
  inside = 0;
  readonly #most: number;
  readonly #waiting = new Set<() => void>();

  constructor(most: number) {
    this.#most = most;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  enter(): Promise<void> | undefined {
    if (this.inside < this.#most) {
      this.inside += 1;
      return undefined;
    }
    return new Promise((resolve) => this.#waiting.add(resolve));
  }

  /** The place of who leaves goes to the first in line. */
  leave(): void {
    assert(this.inside > 0, "who leaves has entered");
    for (const next of this.#waiting) {
      this.#waiting.delete(next);
      next();
      return;
    }
    this.inside -= 1;
  }
}
