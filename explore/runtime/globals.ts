/**
 * The names with `$` that the transformed sources use (../transform/rewrite.ts), for one machine.
 */
import { type Callback, Item, arrays, run } from "./arrays.js";
import { atomicsOf } from "./atomics.js";
import type { BytesMethod, FrameBytes } from "./frame-bytes.js";
import { type Machine, SWITCH } from "./machine.js";
import { OwnAbortController, OwnAbortSignal, OwnPromise, type Job, isGenerator, running } from "./promises.js";
import type { Play } from "./play.js";
import { Tasks } from "./tasks.js";

/** Keeps values with their keys: a run has many maps of few keys, and ephemerons make collecting garbage slow. */
class OwnWeakMap {
  readonly #name = Symbol("value");

  get(key: object): unknown {
    return (key as Record<symbol, unknown>)[this.#name];
  }

  set(key: object, value: unknown): this {
    (key as Record<symbol, unknown>)[this.#name] = value;
    return this;
  }
}

function plainly(name: BytesMethod, target: Uint8Array, taken: readonly unknown[]): unknown {
  return (target[name] as Callback).apply(target, [...taken]);
}

/** Everything by name. `frames`: where they are; without, all bytes are the caller's own. */
export function globalsOf(machine: Machine, frames: FrameBytes | undefined): Readonly<Record<string, unknown>> {
  const tasks = new Tasks(machine);
  return {
    ...arrays,
    $switch: SWITCH,
    $isGenerator: isGenerator,
    $again: () => machine.again(),
    $at: (site: number) => void (machine.callSite = site),
    $async: (body: Play<unknown>) => tasks.async(body),
    $await: (value: unknown) => tasks.await(value),
    $now: (play: Play<unknown>) => tasks.now(play),
    $nowIfAny: (value: unknown) => tasks.nowIfAny(value),
    $atOnce(work: Callback, ...taken: unknown[]): unknown {
      machine.hurry();
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
        tasks.nowIfAny(work(...taken)),
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
    $bytes: (site: number, name: BytesMethod, target: Uint8Array, ...taken: unknown[]) =>
      frames ? frames.operate(site, name, target, ...taken) : plainly(name, target, taken),
    $bytesAtOnce: (site: number, name: BytesMethod, target: Uint8Array, ...taken: unknown[]) =>
      frames ? frames.atOnce(site, name, target, ...taken) : plainly(name, target, taken),
    ...atomicsOf(machine),
    $own: {
      Promise: OwnPromise,
      AbortController: OwnAbortController,
      AbortSignal: OwnAbortSignal,
      SharedArrayBuffer: ArrayBuffer,
      WeakMap: OwnWeakMap,
      queueMicrotask: (job: Job) => running.loop?.enqueue(job),
    },
  };
}
