/**
 * Loads the transformed sources for one machine: each module's text as a function, with the machine's names, with small
 * numbers in place of the limits that decide how much memory a cache takes, and with stand-ins for what reaches out of the process.
 *
 * See also: ../transform/emit.ts, substitutes in this file.
 */
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type { Interleaved } from "../transform/emit.js";
import { makeBuild } from "../words/reference.js";
import { globalsOf } from "./globals.js";
import { Violation } from "../search/subject.js";
import type { FrameBytes } from "./frame-bytes.js";
import { Machine } from "./machine.js";
import type { Play } from "./play.js";

/** What modules export. */
export type Exports = Readonly<Record<string, unknown>>;

/** Pages of two blocks of 8 bytes: block state inside a page matters (R1, R17, R19), the number of bytes does not. */
export const pageBytes = 16;
export const blockBytes = 8;
const smallLimits: Readonly<Record<string, number>> = {
  blockSize: blockBytes,
  pageSizeMin: pageBytes,
  pageSizeDefault: pageBytes,
  framesMin: 1,
  swapRetriesMax: 1000,
  lookupRetriesMax: 100,
  leavingSpins: 1,
  snapshotFramesMax: 1,
};

const requireReal = createRequire(import.meta.url);

export class Modules {
  readonly #loaded = new Map<string, Record<string, unknown>>();
  readonly #source: Interleaved;
  readonly #mutated: Readonly<Record<string, string>>;
  readonly #globals: Readonly<Record<string, unknown>>;
  readonly #substitutes: Readonly<Record<string, Exports>>;

  constructor(source: Interleaved, machine: Machine, mutant: string, memory: unknown, frames?: FrameBytes) {
    this.#source = source;
    this.#mutated = source.mutants[mutant] ?? {};
    const globals = globalsOf(machine, frames);
    this.#globals = { ...globals, $own: { ...(globals["$own"] as object), WebAssembly: { Memory: memory } } };
    const words = source.words[mutant] ?? source.words[""];
    if (words === undefined) throw new Error("the page words were not transformed");
    this.#substitutes = substitutesFor(machine, makeBuild(words, machine.words));
  }

  /** @throws Error for a module that was not transformed */
  load(path: string): Exports {
    const known = this.#loaded.get(path);
    if (known) return known;
    const substitute = this.#substitutes[path];
    const text = this.#source.modules[this.#mutated[path] ?? path];
    if (text === undefined) throw new Error(`the explorer has no ${path}`);
    const exports: Record<string, unknown> = {};
    this.#loaded.set(path, exports);
    if (substitute) return Object.assign(exports, substitute);
    const names = Object.keys(this.#globals);
    // oxlint-disable-next-line typescript/no-implied-eval -- the text is made from this repository's own sources
    const run = new Function("exports", "require", ...names, `${text}\n//# sourceURL=interleaved/${path}`);
    run(exports, (name: string) => this.#require(path, name), ...Object.values(this.#globals));
    if (path === "src/base/limits.js")
      Object.assign(exports, { limits: { ...(exports["limits"] as object), ...smallLimits } });
    return exports;
  }

  #require(from: string, name: string): unknown {
    if (!name.startsWith(".")) return requireReal(name) as unknown;
    return this.load(join(dirname(from), name));
  }
}

/** Whoever catches what they throw: the run has gone wrong. */
function assertions(machine: Machine): Exports {
  const broken = (message: string) => machine.fail(new Violation("assertion", message));
  return {
    AssertionError: Violation,
    assert: (condition: boolean, message: string) => void (condition || broken(message)),
    unreachable: (value: unknown) => broken(`unreachable: ${String(value)}`),
  };
}

/** In place of membarrier: where there are store buffers, it empties them. */
function barriers(machine: Machine): Exports {
  const answer = (value: unknown) =>
    // oxlint-disable-next-line require-yield -- it is called as what can be stopped
    function* (): Play<unknown> {
      return value;
    };
  const has = () => machine.buffers !== undefined;
  const barrier = () => machine.buffers?.barrier();
  return {
    hasBarrier: has,
    choosePlainViews: () => answer(has())(),
    loadBarrier: () => answer(has() ? barrier : null)(),
    requireBarrier: answer(barrier),
    lacking: () => new Error("there is no barrier"),
  };
}

/** What scenarios and limits are read from: by source, so that it is loaded once. */
const plain = new WeakMap<Interleaved, Modules>();

/** The sources without a mutant, for what does not run in a world. */
export function plainModules(source: Interleaved): Modules {
  const known = plain.get(source) ?? new Modules(source, new Machine(8, 1), "", Object);
  plain.set(source, known);
  return known;
}

function substitutesFor(machine: Machine, words: unknown): Record<string, Exports> {
  return {
    "src/sync/words.js": { loadWords: () => words },
    "src/base/assert.js": assertions(machine),
    "src/base/random.js": { newNumber: () => 1 },
    "src/base/thread-identity.js": {
      thisThread: () => ({ id: (machine.current?.number ?? 0) + 1, start: 1 }),
      isThreadAlive: ({ id }: { id: number }) => {
        const thread = machine.threads[id - 1];
        const isAlive = !thread?.isDead || thread.requests > 0;
        machine.learn(isAlive ? 1 : 0);
        if (!isAlive && thread) {
          machine.races?.buries(thread.number);
          machine.buffers?.empty(thread);
        }
        return isAlive;
      },
    },
    "src/base/mailbox.js": {
      Mailbox: class {
        send(): void {
          throw new Error("no messages between the explorer's threads yet");
        }
        close(): void {}
      },
    },
    "src/sync/barrier.js": barriers(machine),
    "src/base/c-library.js": { hasCLibrary: () => false, loadCLibrary: () => undefined },
    "src/base/load-guard.js": { shareLoads() {}, unshareLoads() {}, whileNobodyEnds: (work: () => unknown) => work() },
    "src/base/clock.js": {
      // verify() gives others time to end what they are in: here nobody else runs meanwhile.
      systemClock: { nowMs: () => Number.MAX_SAFE_INTEGER },
      coarseSeconds: (nowMs: number) => Math.floor(nowMs / 1000) & 0xffff,
      nextTurn: (run: () => void) => void machine.after(0, run, true),
    },
  };
}
