/**
 * The sources, loaded for a machine of their own. Worlds of the same sources and the same size share one, one after the other: code
 * that has run before is many times as fast as code that is run first.
 *
 * Invariant: what a world has set in the machine it sets again before each run; nothing else is left of the one before.
 *
 * See also: world.ts, modules.ts.
 */
import type { Interleaved } from "../transform/emit.js";
import { FrameBytes } from "./frame-bytes.js";
import { Machine } from "./machine.js";
import { type Exports, Modules, pageBytes, plainModules } from "./modules.js";

/** Storage, and the bytes of each frame, are contended for beside words. */
export const extrasMax = 32;

export class Loaded {
  readonly machine: Machine;
  readonly frames: FrameBytes;
  readonly modules: Modules;
  #isFirstMemory = true;

  constructor(source: Interleaved, mutant: string, memoryBytes: number) {
    this.machine = new Machine(planBytes(plainModules(source), memoryBytes), extrasMax);
    this.frames = new FrameBytes(this.machine, memoryBytes, pageBytes);
    this.modules = new Modules(source, this.machine, mutant, this.#memoryClass(), this.frames);
  }

  /** The next memory that the sources make is that of the page words. */
  forgetMemories(): void {
    this.#isFirstMemory = true;
  }

  /** In place of WebAssembly.Memory: the first of a run is that of the page words, then come pages. */
  #memoryClass(): unknown {
    const next = () => {
      const isFirst = this.#isFirstMemory;
      this.#isFirstMemory = false;
      return isFirst ? this.machine.words.buffer : this.frames.all.buffer;
    };
    return class {
      readonly buffer = next();
    };
  }
}

/** Those without a mutant, by size. */
const kept = new WeakMap<Interleaved, Map<number, Loaded>>();

/** The sources for a memory of this size; those with a mutant are not kept. */
export function loadedFor(source: Interleaved, mutant: string, memoryBytes: number): Loaded {
  if (mutant !== "") return new Loaded(source, mutant, memoryBytes);
  const all = kept.get(source) ?? new Map<number, Loaded>();
  kept.set(source, all);
  const known = all.get(memoryBytes) ?? new Loaded(source, mutant, memoryBytes);
  all.set(memoryBytes, known);
  return known;
}

function planBytes(modules: Modules, memoryBytes: number): number {
  const plans = modules.load("src/frames/plan.js") as Exports & {
    planFrames(memory: number, page: number): { bytes: number };
  };
  return plans.planFrames(memoryBytes, pageBytes).bytes;
}
