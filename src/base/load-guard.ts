/**
 * Keeps the loading of an addon apart from the termination of threads.
 *
 * An addon's binary sets itself up anew in each thread. A thread that is terminated in the midst of that takes the whole process
 * with it (koffi 3.3: a call into the ending environment fails, and so does the report of that, which is fatal). So there is a word in
 * the memory that threads share: whoever loads has it, and whoever terminates a thread. `Worker.prototype.terminate` is wrapped
 * for that in threads that share a cache; the main thread takes the word for good when the process exits.
 *
 * Not covered: threads ended by one that does not share their cache, or has closed it. Their own `process.exit` and errors need no
 * cover, since they do not come in between.
 *
 * Invariants: the word has the system's number of the thread that has it, or 0. Whoever has it needs nothing of anybody, so that the
 * wait ends; who has it for too long even so loses it.
 *
 * See also: c-library.ts (what is loaded).
 */
import { Worker, isMainThread } from "node:worker_threads";
import { limits } from "./limits.js";
import { isThreadAlive, thisThreadId } from "./thread-identity.js";

/** The words of the caches that this thread shares with others: Int32, of shared memory. */
const words = new Set<Int32Array>();
const waitMs = 5;
let isWrapped = false;

/** From now on other threads may load and terminate too. The same word again is undone by one `unshareLoads`. */
export function shareLoads(word: Int32Array): void {
  words.add(word);
  if (isWrapped) return;
  isWrapped = true;
  const { prototype } = Worker;
  // oxlint-disable-next-line typescript/unbound-method -- it is called with the worker it was called with.
  const { terminate } = prototype;
  // Where it is frozen, it stays as it is.
  Reflect.set(prototype, "terminate", function guarded(this: Worker): Promise<number> {
    return apart(() => terminate.call(this));
  });
  if (isMainThread) process.on("exit", takeAll);
}

export function unshareLoads(word: Int32Array): void {
  words.delete(word);
}

/** Does `work`, which loads or sets up an addon, while nobody who shares a cache with this thread terminates one. */
export function whileNobodyEnds<T>(work: () => T): T {
  return apart(work);
}

function apart<T>(work: () => T): T {
  const taken = takeAll();
  try {
    return work();
  } finally {
    for (const { word, id } of taken) give(word, id);
  }
}

interface Taken {
  readonly word: Int32Array;
  readonly id: number;
}

function takeAll(): Taken[] {
  if (words.size === 0) return [];
  const id = thisThreadId();
  return [...words].filter((word) => take(word, id)).map((word) => ({ word, id }));
}

/** False where this thread has it already. Who was waited for for too long has it no more: the next one does not wait as long. */
function take(word: Int32Array, id: number): boolean {
  for (let waitedMs = 0; ; waitedMs += waitMs) {
    const found = Atomics.compareExchange(word, 0, 0, id);
    if (found === 0) return true;
    if (found === id) return false;
    const isOver = waitedMs >= limits.loadWaitMs || !isThreadAlive({ id: found, start: 0 });
    if (isOver && Atomics.compareExchange(word, 0, found, id) === found) return true;
    Atomics.wait(word, 0, found, waitMs);
  }
}

function give(word: Int32Array, id: number): void {
  Atomics.compareExchange(word, 0, id, 0);
  Atomics.notify(word, 0);
}
