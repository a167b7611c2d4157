/**
 * Async functions, and what is run at once: generators of the transformed sources, driven.
 *
 * See also: promises.ts (jobs), machine.ts (where they are stopped), ../transform/rewrite.ts.
 */
import { Violation } from "../search/subject.js";
import { type Machine, SWITCH } from "./machine.js";
import type { Play } from "./play.js";
import { OwnPromise, isGenerator } from "./promises.js";

/** Yielded where a task awaits. */
const AWAIT = Symbol("await");

export class Tasks {
  readonly #machine: Machine;
  /** What the task that yields AWAIT awaits. */
  #awaited: unknown;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** Starts an async function: runs until its first await, answers its promise. */
  *async(body: Play<unknown>): Play<OwnPromise> {
    const promise = new OwnPromise();
    yield* this.#drive(body, promise, undefined, false);
    return promise;
  }

  await(value: unknown): typeof AWAIT {
    this.#awaited = value;
    return AWAIT;
  }

  *#drive(body: Play<unknown>, promise: OwnPromise, given: unknown, isThrown: boolean): Play<void> {
    let value = given;
    let throws = isThrown;
    for (;;) {
      let result: IteratorResult<unknown, unknown>;
      try {
        result = throws ? body.throw(value) : body.next(value);
      } catch (error) {
        if (error instanceof Violation) throw error;
        promise.reject(error);
        return;
      }
      if (result.done === true) {
        promise.resolve(result.value);
        return;
      }
      if (result.value === AWAIT) {
        OwnPromise.resolve(this.#awaited).whenSettled(
          (answer) => this.#drive(body, promise, answer, false),
          (reason) => this.#drive(body, promise, reason, true),
        );
        return;
      }
      yield undefined;
      value = undefined;
      throws = false;
    }
  }

  /** Runs something that could be stopped without stopping it. */
  now<T>(play: Play<T>): T {
    this.#machine.hurry();
    this.#machine.quiet++;
    try {
      for (;;) {
        const { done, value } = play.next();
        if (done === true) return value;
        if (value === AWAIT) throw new Error("an await where nothing can be awaited");
      }
    } finally {
      this.#machine.quiet--;
    }
  }

  nowIfAny(value: unknown): unknown {
    if (value === SWITCH) this.#machine.fail(new Error("an operation was not done, and nobody will do it"));
    return isGenerator(value) ? this.now(value) : value;
  }
}
