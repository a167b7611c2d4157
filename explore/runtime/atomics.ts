/**
 * Atomics, and plain accesses to Int32Arrays, for one machine.
 *
 * Memory that is not the page words' is one thread's own, and is changed at once.
 */
import type { AtomicName, Machine } from "./machine.js";
import { OwnPromise } from "./promises.js";
import type { VirtualThread } from "./thread.js";
import type { TracedWords } from "./traced-words.js";

export function atomicsOf(machine: Machine): Readonly<Record<string, unknown>> {
  const here = (): VirtualThread => machine.current as VirtualThread;
  const { words } = machine;
  const wordOf = wordsOf(words);
  const learn = (value: number): number => {
    if (machine.quiet === 0) here().note(value);
    return value;
  };
  const atomic =
    (name: AtomicName) =>
    (site: number, array: Int32Array, at: number, a = 0, b = 0): unknown => {
      const word = wordOf(array, at);
      return word < 0 ? own(name, array, at, a, b) : machine.atomic(site, name, word, a, b);
    };
  return {
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
        () => {
          machine.buffers?.fence();
          return machine.notify(word);
        },
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
          machine.buffers?.fence();
          if (learn((words.words[word] as number) | 0) !== value) return { async: false, value: "not-equal" };
          const promise = new OwnPromise();
          machine.time.sleep(word, here(), promise);
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
          machine.buffers?.fence();
          if (learn((words.words[word] as number) | 0) !== value) return "not-equal";
          return machine.block(word, timeoutMs);
        },
      );
    },
  };
}

/** The word of an element, or -1 for memory that is no other thread's. */
function wordsOf(words: TracedWords): (array: Int32Array, at: number) => number {
  let known: Int32Array | undefined;
  let base = -1;
  return (array, at) => {
    if (array !== known) {
      known = array;
      base = (array.buffer as unknown) === words.buffer ? array.byteOffset >> 2 : -1;
    }
    return base < 0 ? -1 : base + at;
  };
}

/** Changes memory of one thread alone. */
function own(name: AtomicName, array: Int32Array, at: number, a: number, b: number): number {
  const before = array[at] as number;
  if (name === "store" || name === "poke") array[at] = a;
  else if (name === "add") array[at] = before + a;
  else if (name === "or") array[at] = before | a;
  else if (name === "swap" && before === a) array[at] = b;
  return before;
}
