/**
 * The names with `$` that the transformed sources use (../transform/rewrite.ts), for one machine.
 */
import { type AtomicName, type Machine, SWITCH } from "./machine.js";
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
  /** Memory of one thread alone is changed at once. */
  const own = (name: AtomicName, array: Int32Array, at: number, a: number, b: number): number => {
    const before = array[at] as number;
    if (name === "store" || name === "poke") array[at] = a;
    else if (name === "add") array[at] = before + a;
    else if (name === "or") array[at] = before | a;
    else if (name === "swap" && before === a) array[at] = b;
    return before;
  };
  const atomic =
    (name: AtomicName) =>
    (site: number, array: Int32Array, at: number, a = 0, b = 0): unknown => {
      const word = wordOf(array, at);
      return word < 0 ? own(name, array, at, a, b) : machine.atomic(site, name, word, a, b);
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
        yield* run(
          executor(
            (value) => promise.resolve(value),
            (reason) => promise.reject(reason),
          ),
        );
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
    $load: atomic("load"),
    $peek: atomic("peek"),
    $store: atomic("store"),
    $poke: atomic("poke"),
    $add: atomic("add"),
    $or: atomic("or"),
    $compareExchange: atomic("swap"),
    $notify(site: number, array: Int32Array, at: number): unknown {
      const word = wordOf(array, at);
      return machine.operate(
        site,
        word,
        true,
        () => `notify ${word * 4}`,
        () => machine.notify(word),
      );
    },
    $waitAsync(site: number, array: Int32Array, at: number, value: number): unknown {
      const word = wordOf(array, at);
      return machine.operate(
        site,
        word,
        true,
        () => `waitAsync ${word * 4}`,
        () => {
          if (learn((words.words[word] as number) | 0) !== value) return { async: false, value: "not-equal" };
          const promise = new OwnPromise();
          machine.sleep(word, promise);
          return { async: true, value: promise };
        },
      );
    },
    $wait(site: number, array: Int32Array, at: number, value: number, timeoutMs: number): unknown {
      const word = wordOf(array, at);
      return machine.operate<unknown>(
        site,
        word,
        true,
        () => `wait ${word * 4}`,
        () => {
          if (learn((words.words[word] as number) | 0) !== value) return "not-equal";
          return machine.block(word, timeoutMs);
        },
      );
    },
    $own: {
      Promise: OwnPromise,
      AbortController: OwnAbortController,
      AbortSignal: OwnAbortSignal,
      SharedArrayBuffer: ArrayBuffer,
    },
  };
}
