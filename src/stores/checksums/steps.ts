/**
 * One way to write what is done both by calls that wait and by calls that block their thread: as a generator that yields each call of
 * a store, and a driver that makes it in one way or the other.
 */

/** A call that may wait. `now` blocks until it is done, or throws. */
export interface Step {
  later(): Promise<void> | void;
  now(): void;
}

/** Answers T after some steps. What a step throws is thrown where it was yielded. */
export type Steps<T> = Generator<Step, T, void>;

export async function runLater<T>(steps: Steps<T>): Promise<T> {
  let next = steps.next();
  while (!next.done) {
    try {
      await next.value.later();
    } catch (error) {
      next = steps.throw(error);
      continue;
    }
    next = steps.next();
  }
  return next.value;
}

export function runNow<T>(steps: Steps<T>): T {
  let next = steps.next();
  while (!next.done) {
    try {
      next.value.now();
    } catch (error) {
      next = steps.throw(error);
      continue;
    }
    next = steps.next();
  }
  return next.value;
}
