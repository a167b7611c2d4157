/**
 * The names with `$` that the transformed sources use (../transform/rewrite.ts), for one machine.
 */
import { type Machine, SWITCH } from "./machine.js";
import { OwnAbortController, OwnAbortSignal, OwnPromise, isGenerator } from "./promises.js";
import type { Play } from "./play.js";
import type { VirtualThread } from "./thread.js";

type Callback = (...taken: unknown[]) => unknown;

class Item {
  readonly value: unknown;

  constructor(value: unknown) {
    this.value = value;
  }
}

function* run(made: unknown): Play<unknown> {
  return isGenerator(made) ? yield* made : made;
}

/** Arrays' methods whose callbacks can be stopped. */
const arrays = {
  *$map(list: Iterable<unknown>, work: Callback): Play<unknown[]> {
    const made: unknown[] = [];
    let at = 0;
    for (const one of list) made.push(yield* run(work(one, at++)));
    return made;
  },
  *$flatMap(list: Iterable<unknown>, work: Callback): Play<unknown[]> {
    return (yield* arrays.$map(list, work)).flat();
  },
  *$filter(list: Iterable<unknown>, work: Callback): Play<unknown[]> {
    const kept: unknown[] = [];
    let at = 0;
    for (const one of list) if (yield* run(work(one, at++))) kept.push(one);
    return kept;
  },
  *$some(list: Iterable<unknown>, work: Callback): Play<boolean> {
    let at = 0;
    for (const one of list) if (yield* run(work(one, at++))) return true;
    return false;
  },
  *$every(list: Iterable<unknown>, work: Callback): Play<boolean> {
    let at = 0;
    for (const one of list) if (!(yield* run(work(one, at++)))) return false;
    return true;
  },
  *$forEach(list: Iterable<unknown>, work: Callback): Play<void> {
    let at = 0;
    for (const one of list) yield* run(work(one, at++));
  },
  *$find(list: Iterable<unknown>, work: Callback): Play<unknown> {
    let at = 0;
    for (const one of list) if (yield* run(work(one, at++))) return one;
    return undefined;
  },
  *$findIndex(list: Iterable<unknown>, work: Callback): Play<number> {
    let at = 0;
    for (const one of list) {
      if (yield* run(work(one, at))) return at;
      at++;
    }
    return -1;
  },
  *$reduce(list: Iterable<unknown>, work: Callback, first: unknown): Play<unknown> {
    let sum = first;
    let at = 0;
    for (const one of list) sum = yield* run(work(sum, one, at++));
    return sum;
  },
};

/** Everything by name. */
export function globalsOf(machine: Machine): Readonly<Record<string, unknown>> {
  const here = (): VirtualThread => machine.current as VirtualThread;
  const { words } = machine;
  /** The word of an element, or -1 for memory that is no other thread's. */
  const wordOf = (array: Int32Array, at: number): number =>
    (array.buffer as unknown) === words.buffer ? (array.byteOffset >> 2) + at : -1;
  const learn = (value: number): number => {
    if (machine.quiet === 0) here().note(value);
    return value;
  };
  const operate = (site: number, array: Int32Array, at: number, name: string, work: (before: number) => number | undefined): unknown => {
    const word = wordOf(array, at);
    if (word < 0) {
      const before = array[at] as number;
      const after = work(before);
      if (after !== undefined) array[at] = after;
      return before;
    }
    const changes = name !== "load" && name !== "peek";
    return machine.operate(site, word, changes, () => `${name} ${word * 4}`, () => {
      const before = (words.words[word] as number) | 0;
      const after = work(before);
      if (after !== undefined) words.write(word, after);
      return learn(before);
    });
  };
  return {
    ...arrays,
    $switch: SWITCH,
    $isGenerator: isGenerator,
    $again: () => machine.again(),
    $async: (body: Play<unknown>) => machine.async(body),
    $await: (value: unknown) => machine.await(value),
    $now: (play: Play<unknown>) => machine.now(play),
    $nowIfAny: (value: unknown) => machine.nowIfAny(value),
    $atOnce(work: Callback, ...taken: unknown[]): unknown {
      machine.quiet++;
      try {
        return work(...taken);
      } finally {
        machine.quiet--;
      }
    },
    $native:
      (work: Callback) =>
      (...taken: unknown[]) =>
        machine.nowIfAny(work(...taken)),
    *$promise(executor: (resolve: Callback, reject: Callback) => unknown): Play<OwnPromise> {
      const promise = new OwnPromise();
      try {
        yield* run(executor((value) => promise.resolve(value), (reason) => promise.reject(reason)));
      } catch (error) {
        promise.reject(error);
      }
      return promise;
    },
    $item: (value: unknown) => new Item(value),
    $itemOf: (seen: unknown) => (seen instanceof Item ? seen.value : seen),
    *$collect(list: Iterable<unknown>): Play<unknown[]> {
      const all: unknown[] = [];
      for (const seen of list) {
        if (seen === undefined) yield undefined;
        else all.push(seen instanceof Item ? seen.value : seen);
      }
      return all;
    },
    $meta: { url: "file:///pinfold" },
    $unexplored: (what: string) => new Error(`not explored: ${what}`),
    $step: machine.step.bind(machine),
    $load: (site: number, array: Int32Array, at: number) => operate(site, array, at, "load", () => undefined),
    $peek: (site: number, array: Int32Array, at: number) => operate(site, array, at, "peek", () => undefined),
    $store: (site: number, array: Int32Array, at: number, value: number) => operate(site, array, at, "store", () => value),
    $poke: (site: number, array: Int32Array, at: number, value: number) => operate(site, array, at, "poke", () => value),
    $add: (site: number, array: Int32Array, at: number, value: number) => operate(site, array, at, "add", (before) => before + value),
    $or: (site: number, array: Int32Array, at: number, value: number) => operate(site, array, at, "or", (before) => before | value),
    $compareExchange: (site: number, array: Int32Array, at: number, expected: number, value: number) =>
      operate(site, array, at, "swap", (before) => (before === expected ? value : undefined)),
    $notify(site: number, array: Int32Array, at: number): unknown {
      const word = wordOf(array, at);
      return machine.operate(site, word, true, () => `notify ${word * 4}`, () => machine.notify(word));
    },
    $waitAsync(site: number, array: Int32Array, at: number, value: number): unknown {
      const word = wordOf(array, at);
      return machine.operate(site, word, true, () => `waitAsync ${word * 4}`, () => {
        if (learn((words.words[word] as number) | 0) !== value) return { async: false, value: "not-equal" };
        const promise = new OwnPromise();
        machine.sleep(word, promise);
        return { async: true, value: promise };
      });
    },
    $wait(site: number, array: Int32Array, at: number, value: number, timeoutMs: number): unknown {
      const word = wordOf(array, at);
      return machine.operate<unknown>(site, word, true, () => `wait ${word * 4}`, () => {
        if (learn((words.words[word] as number) | 0) !== value) return "not-equal";
        return machine.block(word, timeoutMs);
      });
    },
    $own: { Promise: OwnPromise, AbortController: OwnAbortController, AbortSignal: OwnAbortSignal, WebAssembly: {} },
  };
}
