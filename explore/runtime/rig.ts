/**
 * What a run of the cache needs, whoever chooses its turns: the sources on a machine, frames, a storage, a stage.
 *
 * Invariant: what a rig has set in its machine it sets again before each run (`enter`): rigs of the same size share one (loaded.ts).
 *
 * See also: world.ts (a scenario), ../simulation/life.ts (a cache from its opening to its end).
 */
import type { FramesShare } from "../../src/frames/frames.js";
import type { ProtocolName } from "../races/scenario.js";
import type { Actor, Footing } from "../races/stage.js";
import { Violation } from "../search/subject.js";
import type { Interleaved } from "../transform/emit.js";
import type { Contended } from "./contended.js";
import { Disk, type DiskOptions, ModelStore } from "./disk.js";
import type { FrameBytes } from "./frame-bytes.js";
import { type Loaded, loadedFor } from "./loaded.js";
import type { Machine } from "./machine.js";
import type { Medium } from "./medium.js";
import { pageBytes } from "./modules.js";
import type { Play } from "./play.js";
import { OwnPromise, isGenerator } from "./promises.js";
import type { RaceCheck } from "./race-check.js";
import { operationsMaxDefault } from "./scheduler.js";
import type { StoreBuffers } from "./store-buffer.js";
import { withSyncCalls } from "./sync-calls.js";
import { Tasks } from "./tasks.js";
import type { VirtualThread } from "./thread.js";
import { movesMaxDefault } from "./time.js";

export interface RigPlan {
  readonly frames: number;
  readonly protocol: ProtocolName;
  /** Dirty pages beyond which writers are kept waiting. */
  readonly dirtyPagesMax: number;
  readonly hasViews: boolean;
  readonly disk: DiskOptions;
  /** How often the clock may go on while somebody else could. */
  readonly movesMax: number;
  /** Points of a run, and moves of its clock, after which it goes on and on; the machine's own without it. */
  readonly endlessAt?: { readonly points: number; readonly moves: number };
}

/** Where a run begins: the cache is open, and nobody is there. */
export interface Start {
  readonly words: Uint32Array;
  readonly segment: Uint8Array;
  readonly medium: Uint8Array;
  readonly share: FramesShare;
}

type ErrorClass = new (code: string, message: string) => Error;
type Stage = typeof import("../races/stage.js");

/** The frames of a plan, and one for snapshots. */
export function memoryBytesFor(frames: number): number {
  return (frames + 1) * pageBytes;
}

export class Rig {
  readonly machine: Machine;
  readonly loaded: Loaded;
  readonly frames: FrameBytes;
  readonly disk: Disk;
  buffers: StoreBuffers | undefined;
  races: RaceCheck | undefined;
  readonly #contended: Contended;
  readonly #plan: RigPlan;
  readonly #stage: Stage;
  readonly #blank: Uint32Array;

  constructor(source: Interleaved, plan: RigPlan, medium: Medium, mutant = "") {
    this.#plan = plan;
    this.loaded = loadedFor(source, mutant, memoryBytesFor(plan.frames));
    this.machine = this.loaded.machine;
    this.frames = this.loaded.frames;
    this.#contended = this.machine.newContended();
    this.#stage = this.loaded.modules.load("explore/races/stage.js") as unknown as Stage;
    this.#blank = new Uint32Array(this.machine.words.words.length);
    const { PinfoldError } = this.loaded.modules.load("src/base/errors.js") as { PinfoldError: ErrorClass };
    this.disk = new Disk(
      { machine: this.machine, medium, frames: this.frames },
      plan.disk,
      (code, message) => new PinfoldError(code, message),
    );
  }

  get learnt(): boolean {
    return this.#contended.learnt;
  }

  set learnt(learnt: boolean) {
    this.#contended.learnt = learnt;
  }

  /** Makes the machine this rig's: others have run on it. */
  enter(): void {
    const { machine } = this;
    machine.contended = this.#contended;
    machine.buffers = this.buffers;
    machine.races = this.races;
    machine.movesMax = this.#plan.movesMax;
    machine.operationsMax = this.#plan.endlessAt?.points ?? operationsMaxDefault;
    machine.time.movesMax = this.#plan.endlessAt?.moves ?? movesMaxDefault;
  }

  #begin(words: Uint32Array): void {
    this.machine.begin(words);
    this.disk.begin();
  }

  /** Opens the cache and prepares it, in a thread that leaves. */
  setStage(prepare?: (hand: Actor) => unknown): Start {
    const { machine } = this;
    this.loaded.forgetMemories();
    this.#begin(this.#blank);
    const thread = machine.addThread("stage");
    const footing = this.#footing();
    const hand = this.quietly(thread, () => this.#stage.openStage(footing)) as Actor;
    if (prepare) this.quietly(thread, () => prepare(hand));
    const share = this.#stage.shareStage(hand, footing);
    this.quietly(thread, () => this.#stage.leaveStage(hand));
    const { words } = machine.words;
    return { words: words.slice(), segment: this.frames.all.slice(), medium: this.disk.medium.save(), share };
  }

  /** A run begins: threads with these names, each with an actor of its own. The storage stays as it is. */
  join(start: Start, names: readonly string[]): { threads: VirtualThread[]; actors: Actor[] } {
    const { machine } = this;
    this.#begin(start.words);
    this.frames.all.set(start.segment);
    const threads = names.map((name) => machine.addThread(name));
    const footing = this.#footing();
    const actors = threads.map((thread) => {
      machine.enter(thread);
      return new Tasks(machine).nowIfAny(this.#stage.joinStage(start.share, footing)) as Actor;
    });
    machine.words.settle();
    return { threads, actors };
  }

  #footing(): Footing {
    const { machine, disk } = this;
    const { dirtyPagesMax, frames, hasViews, protocol } = this.#plan;
    const learnt = (value: number): number => {
      machine.learn(value);
      return value;
    };
    return {
      clock: {
        nowMs: () => learnt(machine.nowMs),
        after: (delayMs, run, keepAlive) => machine.after(delayMs, run, keepAlive),
      },
      bytes: this.frames as unknown as Footing["bytes"],
      durable: (position) => learnt(disk.medium.durable[position] as number),
      later: (what, job) => machine.later(what, job),
      stored: (position) => learnt(disk.medium.bytes[position] ?? 0),
      protocol,
      memoryBytes: memoryBytesFor(frames),
      dirtyBytesMax: dirtyPagesMax * pageBytes,
      pageSize: pageBytes,
      hasViews,
      attach: () => {
        const store = new ModelStore(disk);
        return (hasViews ? withSyncCalls(store, disk) : store) as unknown as ReturnType<Footing["attach"]>;
      },
    };
  }

  /** Runs something alone, to its end. @returns what it, or its promise, answers @throws what it throws */
  quietly(thread: VirtualThread, work: () => unknown): unknown {
    const { machine } = this;
    let answer: unknown;
    machine.quiet++;
    this.disk.isPrompt = true;
    try {
      thread.post({ mark: 0, job: () => startedBy(work(), (made) => (answer = made)) });
      machine.run({ decide: (enabled) => 31 - Math.clz32(enabled) });
    } finally {
      machine.quiet--;
      this.disk.isPrompt = false;
    }
    if (!(answer instanceof OwnPromise)) return answer;
    if (answer.state === "rejected") throw answer.value;
    if (answer.state === "pending") throw new Violation("deadlock", "what runs alone does not end");
    return answer.value;
  }
}

/** Starts an async function in a thread, when that goes on. Answers where its promise will stand. */
export function startWork(thread: VirtualThread, work: () => unknown): { readonly end?: OwnPromise } {
  const started: { end?: OwnPromise } = {};
  const hear = (promise: unknown) => void (started.end = promise as OwnPromise);
  thread.post({ mark: 1, job: () => startedBy(work(), hear) });
  return started;
}

/** Tells what a function that was transformed answers: of an async one, its promise, which is looked at later. */
function* startedBy(made: unknown, hear: (answer: unknown) => void): Play<void> {
  const answer = isGenerator(made) ? yield* made : made;
  if (answer instanceof OwnPromise) answer.isHandled = true;
  hear(answer);
}

/** How what was started has ended. @throws Violation where it failed, or has not ended */
export function checkEnded(thread: VirtualThread, { end }: { readonly end?: OwnPromise }): void {
  if (end?.state === "rejected") throw new Violation("assertion", `${thread.name} ended with ${String(end.value)}`);
  if (end?.state !== "fulfilled") throw new Violation("deadlock", `${thread.name} waits for ever`);
}
