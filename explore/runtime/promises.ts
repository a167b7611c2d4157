/**
 * Promises, jobs and abort signals of the explorer's threads: what the language and Node give to the sources, in a form that can be
 * stopped at any scheduling point.
 *
 * A job is what an event loop runs: a function; where it answers a generator, that is run to its end, or until it awaits.
 * Order is the language's (ECMA-262, NewPromiseReactionJob, NewPromiseResolveThenableJob): an await of a promise goes on one job
 * later, an async function that returns a promise settles three jobs later.
 *
 * See also: machine.ts (generators), thread.ts (event loops).
 */
import type { Play } from "./play.js";

export type Job = () => unknown;

/** Where jobs go, and who hears of rejections that nobody handles. */
export interface Loop {
  enqueue(job: Job): void;
  rejected(promise: OwnPromise): void;
}

interface Reaction {
  fulfilled(value: unknown): unknown;
  rejected(reason: unknown): unknown;
}

type Then = (this: unknown, resolve: (value: unknown) => void, reject: (reason: unknown) => void) => unknown;

type State = "pending" | "fulfilled" | "rejected";

/** `loop` of the thread that runs now; set by the machine. */
export const running: { loop: Loop | undefined } = { loop: undefined };

function enqueue(job: Job): void {
  running.loop?.enqueue(job);
}

export class OwnPromise {
  state: State = "pending";
  value: unknown;
  isHandled = false;
  #reactions: Reaction[] | undefined;
  #isResolved = false;

  constructor(executor?: (resolve: (value?: unknown) => void, reject: (reason: unknown) => void) => unknown) {
    if (!executor) return;
    try {
      executor(
        (value) => this.resolve(value),
        (reason) => this.reject(reason),
      );
    } catch (error) {
      this.reject(error);
    }
  }

  resolve(value: unknown): void {
    if (this.#isResolved) return;
    this.#isResolved = true;
    if (value instanceof OwnPromise) {
      enqueue(() => value.#react(this.#follower()));
      return;
    }
    try {
      const then = (value as { then?: unknown } | null | undefined)?.then;
      if (typeof then === "function") enqueue(() => this.#adopt(value, then as Then));
      else this.#settle("fulfilled", value);
    } catch (error) {
      this.#settle("rejected", error);
    }
  }

  /** Follows something that is no promise of ours, but has a `then`. */
  *#adopt(value: unknown, then: Then): Play<void> {
    let isDone = false;
    const once = (settle: (one: unknown) => void) => (one: unknown) => {
      if (isDone) return;
      isDone = true;
      this.#isResolved = false;
      settle(one);
    };
    const reject = once((reason) => this.reject(reason));
    try {
      const made = then.call(
        value,
        once((one) => this.resolve(one)),
        reject,
      );
      if (isGenerator(made)) yield* made;
    } catch (error) {
      reject(error);
    }
  }

  #follower(): Reaction {
    return {
      fulfilled: (value) => this.#settle("fulfilled", value),
      rejected: (reason) => this.#settle("rejected", reason),
    };
  }

  reject(reason: unknown): void {
    if (this.#isResolved) return;
    this.#isResolved = true;
    this.#settle("rejected", reason);
  }

  #settle(state: State, value: unknown): void {
    if (this.state !== "pending") return;
    this.state = state;
    this.value = value;
    const reactions = this.#reactions;
    this.#reactions = undefined;
    if (state === "rejected" && !this.isHandled) running.loop?.rejected(this);
    if (reactions) for (const reaction of reactions) this.#schedule(reaction);
  }

  #schedule(reaction: Reaction): void {
    if (this.state === "fulfilled") enqueue(() => reaction.fulfilled(this.value));
    else enqueue(() => reaction.rejected(this.value));
  }

  #react(reaction: Reaction): void {
    this.isHandled = true;
    if (this.state !== "pending") this.#schedule(reaction);
    else (this.#reactions ??= []).push(reaction);
  }

  /** As `then`, without a promise of its own: for await. */
  whenSettled(fulfilled: (value: unknown) => unknown, rejected: (reason: unknown) => unknown): void {
    this.#react({ fulfilled, rejected });
  }

  // oxlint-disable-next-line unicorn/no-thenable -- it is a promise
  then(fulfilled?: ((value: unknown) => unknown) | null, rejected?: ((reason: unknown) => unknown) | null): OwnPromise {
    const result = new OwnPromise();
    this.#react({
      fulfilled: fulfilled ? (value) => settleWith(result, fulfilled, value) : (value) => result.resolve(value),
      rejected: rejected ? (reason) => settleWith(result, rejected, reason) : (reason) => result.reject(reason),
    });
    return result;
  }

  catch(rejected?: ((reason: unknown) => unknown) | null): OwnPromise {
    return this.then(undefined, rejected);
  }

  finally(work: () => unknown): OwnPromise {
    return this.then(
      (value) => OwnPromise.#after(work, () => value),
      (reason) =>
        OwnPromise.#after(work, () => {
          throw reason;
        }),
    );
  }

  static *#after(work: () => unknown, then: () => unknown): Play<unknown> {
    let made = work();
    if (isGenerator(made)) made = yield* made;
    return OwnPromise.resolve(made).then(then);
  }

  static resolve(value?: unknown): OwnPromise {
    if (value instanceof OwnPromise) return value;
    const result = new OwnPromise();
    result.resolve(value);
    return result;
  }

  static reject(reason: unknown): OwnPromise {
    const result = new OwnPromise();
    result.reject(reason);
    return result;
  }

  static all(values: Iterable<unknown>): OwnPromise {
    return OwnPromise.#gather(values, (reason, _at, result) => result.reject(reason));
  }

  static allSettled(values: Iterable<unknown>): OwnPromise {
    return OwnPromise.#gather(
      values,
      (reason, tell) => tell({ status: "rejected", reason }),
      (value) => ({ status: "fulfilled", value }),
    );
  }

  static #gather(
    values: Iterable<unknown>,
    rejected: (reason: unknown, tell: (answer: unknown) => void, result: OwnPromise) => void,
    fulfilled: (value: unknown) => unknown = (value) => value,
  ): OwnPromise {
    const result = new OwnPromise();
    const all = [...values];
    const answers: unknown[] = [];
    let left = all.length;
    if (left === 0) result.resolve([]);
    all.forEach((value, at) => {
      const tell = (answer: unknown) => {
        answers[at] = answer;
        if (--left === 0) result.resolve(answers);
      };
      OwnPromise.resolve(value).whenSettled(
        (answer) => tell(fulfilled(answer)),
        (reason) => rejected(reason, tell, result),
      );
    });
    return result;
  }

  static race(values: Iterable<unknown>): OwnPromise {
    const result = new OwnPromise();
    for (const value of values)
      OwnPromise.resolve(value).whenSettled(
        (answer) => result.resolve(answer),
        (reason) => result.reject(reason),
      );
    return result;
  }
}

function* settleWith(result: OwnPromise, work: (value: unknown) => unknown, value: unknown): Play<void> {
  try {
    const made = work(value);
    result.resolve(isGenerator(made) ? yield* made : made);
  } catch (error) {
    result.reject(error);
  }
}

// oxlint-disable-next-line typescript/unbound-method -- it is compared, not called
const generatorNext = (function* () {})().next;

export function isGenerator(value: unknown): value is Play<unknown> {
  return value !== undefined && value !== null && (value as { next?: unknown }).next === generatorNext;
}

type Listener = () => unknown;

export class OwnAbortSignal {
  aborted = false;
  reason: unknown;
  readonly #listeners = new Set<Listener>();

  throwIfAborted(): void {
    if (this.aborted) throw this.reason;
  }

  addEventListener(_type: string, listener: Listener): void {
    this.#listeners.add(listener);
  }

  removeEventListener(_type: string, listener: Listener): void {
    this.#listeners.delete(listener);
  }

  *run(reason: unknown): Play<void> {
    if (this.aborted) return;
    this.aborted = true;
    this.reason = reason;
    for (const listener of [...this.#listeners]) {
      if (!this.#listeners.has(listener)) continue;
      const made = listener();
      if (isGenerator(made)) yield* made;
    }
    this.#listeners.clear();
  }
}

export class OwnAbortController {
  readonly signal = new OwnAbortSignal();

  abort(reason: unknown = new Error("aborted")): Play<void> {
    return this.signal.run(reason);
  }
}
