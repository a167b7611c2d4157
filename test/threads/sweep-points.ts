/**
 * The points at which a thread can be stopped, counted: calls of the page words' module, changes of single shared words, calls of
 * node:fs and of the C library, stores of views, and what goes on after an await. To be imported before everything else.
 *
 * Points are told before what they name is done. At the chosen one the thread says so and stops for good, to be terminated.
 */
import fs from "node:fs";
import { createRequire, syncBuiltinESMExports } from "node:module";
import { promiseHooks } from "node:v8";
import { parentPort } from "node:worker_threads";
import { SharedIntegers } from "../../src/sync/shared.js";
import { hook } from "./words-hook.js";

/** What a worker says of itself. */
export interface PointsSay {
  readonly stopped?: { readonly count: number; readonly at: string };
}

const state = { counting: false, count: 0, stopAt: 0 };

/** Begins to count. The thread stops before the nth point from here; 0: before none. */
export function arm(stopAt: number): void {
  Object.assign(state, { counting: true, count: 0, stopAt });
}

/** Counts no more. How many points there were. */
export function disarm(): number {
  state.counting = false;
  return state.count;
}

function point(name: string): void {
  if (!state.counting || ++state.count !== state.stopAt) return;
  state.counting = false;
  parentPort?.postMessage({ stopped: { count: state.count, at: name } } satisfies PointsSay);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}

type Method = (this: unknown, ...given: unknown[]) => unknown;
type Methods = Record<string, Method>;

/** Makes a method a point, with whatever else the function carries. */
function watch(owner: object, name: string, kind: string): void {
  const original = (owner as Methods)[name];
  if (typeof original !== "function") return;
  const watched: Method = function (...given) {
    point(`${kind} ${name}`);
    return original.apply(this, given);
  };
  for (const key of Reflect.ownKeys(original)) {
    if (key === "prototype" || key === "length" || key === "name") continue;
    Object.defineProperty(watched, key, Object.getOwnPropertyDescriptor(original, key) as PropertyDescriptor);
  }
  Object.defineProperty(owner, name, { value: watched, configurable: true, writable: true });
}

const looking =
  "lowWord highWord linkWord versionOf ledgerEntry mappingIdOf indexOf blockWord dirtiedAt find nextResident viewOf sizeOf firstWaiter nextWaiter transferState transitOf queueHead";
const lookingAt = new Set(looking.split(" "));
hook.seen = (name) => {
  if (!lookingAt.has(name)) point(`step ${name}`);
};

for (const name of ["store", "add", "swap", "ring", "waitBlocking"]) watch(SharedIntegers.prototype, name, "word");
for (const name of "open close read readv write writev ftruncate fstat fsync fdatasync".split(" ")) {
  watch(fs, name, "fs");
  watch(fs, `${name}Sync`, "fs");
}
for (const name of ["open", "stat", "statfs", "unlink"]) watch(fs.promises, name, "fs");
syncBuiltinESMExports();
watch(DataView.prototype, "setUint8", "view");

interface Koffi {
  load(name: string): { func(declaration: string): Method & { async: Method } };
}

/** Calls of the C library are points like those of fs. */
function watchLibrary(): void {
  const koffi = createRequire(import.meta.url)("koffi") as Koffi;
  const load = koffi.load.bind(koffi);
  koffi.load = (name) => {
    const library = load(name);
    const func = (declaration: string) => {
      const call = library.func(declaration);
      const called = `libc ${declaration.split("(")[0]?.split(" ").at(-1)}`;
      const watched = (...given: unknown[]) => {
        point(called);
        return call(...given);
      };
      watched.async = (...given: unknown[]) => {
        point(called);
        return call.async(...given);
      };
      return watched;
    };
    return { func };
  };
}

watchLibrary();
promiseHooks.onBefore(() => point("await"));
