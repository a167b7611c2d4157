/**
 * A scenario as a subject of a search: sets the stage, lets the actors run, looks at what is left.
 *
 * See also: ../races/stage.ts, machine.ts, ../search/subject.ts.
 */
import type { FramesShare } from "../../src/frames/frames.js";
import type { ProtocolName, Scenario } from "../races/scenario.js";
import type { Actor, Footing } from "../races/stage.js";
import { type Subject, type Turns, Violation } from "../search/subject.js";
import type { Interleaved } from "../transform/emit.js";
import { Disk, ModelStore } from "./disk.js";
import type { Contended } from "./contended.js";
import type { FrameBytes } from "./frame-bytes.js";
import { type Loaded, extrasMax, loadedFor } from "./loaded.js";
import type { Machine } from "./machine.js";
import { type Traced, clockBit, diskBit, drainBit, eventBit, failBit, killBit } from "./scheduler.js";
import { Medium } from "./medium.js";
import { StoreBuffers } from "./store-buffer.js";
import { withSyncCalls } from "./sync-calls.js";
import { Tasks } from "./tasks.js";
import { blockBytes, pageBytes, plainModules } from "./modules.js";
import { OwnPromise, isGenerator } from "./promises.js";
import type { Play } from "./play.js";
import { RaceCheck } from "./race-check.js";
import type { VirtualThread } from "./thread.js";

/** Blocks that the storage has room for. */
const blocksMax = 16;

type ErrorClass = new (code: string, message: string) => Error;

/** Whether runs are looked at for data races; "exactly": with the clocks as a part of the state (race-check.ts). */
export type RacesWanted = "not" | "in runs" | "exactly";

/** Where every run begins. */
interface Start {
  readonly words: Uint32Array;
  readonly segment: Uint8Array;
  readonly medium: Uint8Array;
  readonly share: FramesShare;
}

export class World implements Subject {
  readonly machine: Machine;
  readonly scenario: Scenario;
  readonly #protocol: ProtocolName;
  readonly #loaded: Loaded;
  readonly #contended: Contended;
  readonly #buffers: StoreBuffers | undefined;
  readonly #races: RaceCheck | undefined;
  readonly #stage: typeof import("../races/stage.js");
  readonly #blank: Uint32Array;
  readonly #frames: FrameBytes;
  readonly #memoryBytes: number;
  everyPoint = false;
  /** Set to be told of every operation. */
  onTrace: ((traced: Traced) => void) | undefined;
  readonly #disk: Disk;
  #start: Start | undefined;
  readonly #checked = new Set<number>();
  /** The state in which the last run has ended. */
  end = 0;

  constructor(source: Interleaved, path: string, protocol: ProtocolName, mutant = "", races: RacesWanted = "not") {
    const { frames } = plainModules(source).load(path)["scenario"] as Scenario;
    this.#memoryBytes = (frames + 1) * pageBytes;
    this.#loaded = loadedFor(source, mutant, this.#memoryBytes);
    this.#protocol = protocol;
    this.machine = this.#loaded.machine;
    this.#frames = this.#loaded.frames;
    this.#contended = this.machine.newContended();
    this.scenario = this.#loaded.modules.load(path)["scenario"] as Scenario;
    this.#stage = this.#loaded.modules.load("explore/races/stage.js") as unknown as typeof import("../races/stage.js");
    // Views are what races on purpose.
    if (this.scenario.hasViews) this.#buffers = new StoreBuffers(this.machine, extrasMax - 1);
    else if (races !== "not") {
      const isCounted = protocol === "counted";
      const options = { bytes: this.#memoryBytes, pageBytes, sites: source.sites, isCounted };
      this.#races = new RaceCheck(this.machine, { ...options, isExact: races === "exactly" });
    }
    this.#blank = new Uint32Array(this.machine.words.words.length);
    this.#disk = this.#newDisk();
  }

  /** Makes the machine this world's: others have run on it. */
  #enter(): void {
    const { machine } = this;
    machine.contended = this.#contended;
    machine.buffers = this.#buffers;
    machine.races = this.#races;
    machine.movesMax = this.scenario.movesMax ?? 0;
    machine.everyPoint = this.everyPoint;
    machine.onTrace = this.onTrace;
  }

  get learnt(): boolean {
    return this.#contended.learnt;
  }

  set learnt(learnt: boolean) {
    this.#contended.learnt = learnt;
  }

  get reads(): number {
    return this.machine.reads;
  }

  get writes(): number {
    return this.machine.writes;
  }

  name(alternative: number): string {
    const actor = Object.keys(this.scenario.actors)[alternative];
    if (actor !== undefined) return actor;
    const letter = (at: number) => String.fromCharCode(97 + at);
    if (alternative === clockBit) return "clock";
    if (alternative >= killBit) return `end-${letter(alternative - killBit)}`;
    if (this.scenario.hasViews && alternative >= drainBit)
      return `drain-${Object.keys(this.scenario.actors)[alternative - drainBit] ?? letter(alternative - drainBit)}`;
    if (alternative >= eventBit) return `event-${letter(alternative - eventBit)}`;
    if (alternative >= failBit) return `fail-${letter(alternative - failBit)}`;
    return `disk-${letter(alternative - diskBit)}`;
  }

  state(): number {
    const { machine } = this;
    let one = machine.hashOne;
    let two = machine.hashTwo;
    const add = (value: number) => {
      one = Math.imul(one ^ value, 0x2c1b3c6d);
      one ^= one >>> 13;
      two = Math.imul(two ^ value, 0x297a2d39);
      two ^= two >>> 15;
    };
    for (const byte of this.#frames.all) add(byte);
    add(this.#disk.hash);
    if (machine.races) add(machine.races.hash);
    add(machine.nowMs | 0);
    for (const thread of machine.threads) {
      add(thread.one);
      two ^= thread.two;
      add(thread.waiting);
    }
    for (const { alternative, mark } of machine.outside) add(alternative * 4096 + mark);
    return (one >>> 0) * 2 ** 21 + (two >>> 11);
  }

  run(turns: Turns): boolean {
    const { machine, scenario } = this;
    this.#enter();
    this.#start ??= this.#setStage();
    const { words, segment, medium, share } = this.#start;
    this.#begin(words);
    this.#frames.all.set(segment);
    this.#disk.medium.restore(medium);
    const names = Object.keys(scenario.actors);
    const threads = names.map((name) => machine.addThread(name));
    const footing = this.#footing();
    const actors = threads.map((thread) => {
      machine.enter(thread);
      return new Tasks(machine).nowIfAny(this.#stage.joinStage(share, footing)) as Actor;
    });
    machine.words.settle();
    const ends: (OwnPromise | undefined)[] = [];
    threads.forEach((thread, at) => {
      thread.isMortal = scenario.mortal?.includes(thread.name) ?? false;
      const script = scenario.actors[names[at] as string] as (actor: Actor) => unknown;
      thread.post({
        mark: 1,
        job: () =>
          startedBy(script(actors[at] as Actor), (promise) => {
            ends[at] = promise as OwnPromise;
          }),
      });
    });
    if (!machine.run(turns)) return false;
    this.end = this.state();
    this.#inspect(threads, ends, actors);
    return true;
  }

  #begin(words: Uint32Array): void {
    this.machine.begin(words);
    this.#disk.begin();
  }

  /** Opens the cache and prepares the scenario once, in a thread that leaves: where every run begins. */
  #setStage(): Start {
    const { machine, scenario } = this;
    this.#loaded.forgetMemories();
    this.#begin(this.#blank);
    this.#disk.medium.fill(scenario.pages);
    const thread = machine.addThread("stage");
    const footing = this.#footing();
    const hand = this.#quietly(thread, () => this.#stage.openStage(footing)) as Actor;
    if (scenario.prepare) this.#quietly(thread, () => scenario.prepare?.(hand));
    const share = this.#stage.shareStage(hand, footing);
    this.#quietly(thread, () => this.#stage.leaveStage(hand));
    const { words } = machine.words;
    return { words: words.slice(), segment: this.#frames.all.slice(), medium: this.#disk.medium.save(), share };
  }

  #newDisk(): Disk {
    const { PinfoldError } = this.#loaded.modules.load("src/base/errors.js") as { PinfoldError: ErrorClass };
    const { failuresMax = 0, grantsLater = false, capacity = blocksMax } = this.scenario;
    const medium = new Medium({ blocks: blocksMax, blockBytes, pageBytes, capacity });
    return new Disk(
      { machine: this.machine, medium, frames: this.#frames },
      { failuresMax, grantsLater },
      (code, message) => new PinfoldError(code, message),
    );
  }

  #footing(): Footing {
    const { machine } = this;
    const disk = this.#disk;
    return {
      clock: {
        nowMs: () => {
          machine.learn(machine.nowMs);
          return machine.nowMs;
        },
        after: (delayMs, run, keepAlive) => machine.after(delayMs, run, keepAlive),
      },
      bytes: this.#frames as unknown as Footing["bytes"],
      durable: (position) => {
        const byte = disk.medium.durable[position] as number;
        machine.learn(byte);
        return byte;
      },
      later: (what, job) => machine.later(what, job),
      stored: (position) => {
        const value = disk.medium.bytes[position] ?? 0;
        machine.learn(value);
        return value;
      },
      protocol: this.#protocol,
      memoryBytes: this.#memoryBytes,
      dirtyBytesMax: (this.scenario.dirtyPagesMax ?? this.scenario.frames * 4) * pageBytes,
      pageSize: pageBytes,
      hasViews: this.scenario.hasViews ?? false,
      attach: () => {
        const store = new ModelStore(disk);
        return (this.scenario.hasViews ? withSyncCalls(store, disk) : store) as unknown as ReturnType<
          Footing["attach"]
        >;
      },
    };
  }

  /** Runs something alone, to its end. @returns what it, or its promise, answers @throws what it throws */
  #quietly(thread: VirtualThread, work: () => unknown): unknown {
    const { machine } = this;
    let answer: unknown;
    machine.quiet++;
    this.#disk.isPrompt = true;
    try {
      thread.post({ mark: 0, job: () => startedBy(work(), (made) => (answer = made)) });
      machine.run({ decide: (enabled) => 31 - Math.clz32(enabled) });
    } finally {
      machine.quiet--;
      this.#disk.isPrompt = false;
    }
    if (!(answer instanceof OwnPromise)) return answer;
    if (answer.state === "rejected") throw answer.value;
    if (answer.state === "pending") throw new Violation("deadlock", "what runs alone does not end");
    return answer.value;
  }

  /** Looks at a run that has ended. @throws Violation */
  #inspect(
    threads: readonly VirtualThread[],
    ends: readonly (OwnPromise | undefined)[],
    actors: readonly Actor[],
  ): void {
    threads.forEach((thread, at) => {
      const end = ends[at];
      if (thread.isDead) return;
      if (end?.state === "rejected") {
        throw new Violation("assertion", `${thread.name} ended with ${String(end.value)}`);
      }
      if (end?.state !== "fulfilled") throw new Violation("deadlock", `${thread.name} waits for ever`);
      // Whoever had to wake the others may have died.
      if ((actors[at] as Actor).rescues > 0 && !threads.some(({ isDead }) => isDead))
        throw new Violation("lost wake-up", `${thread.name} had to wake up by itself`);
    });
    if (this.#checked.has(this.end)) return;
    const alive = threads.findIndex(({ isDead }) => !isDead);
    const first = threads[alive];
    const actor = actors[alive];
    const { medium } = this.#disk;
    try {
      // Where somebody ended last of all, nobody has noticed it yet.
      if (threads.some(({ isDead }) => isDead))
        this.#quietly(first as VirtualThread, () => (actor as Actor).lookForDead());
      this.#quietly(first as VirtualThread, () => (actor as Actor).syncIfOpen());
      this.#quietly(first as VirtualThread, () => (actor as Actor).verify());
      if (medium.reservedBlocks > 0)
        throw new Violation("leak", `${medium.reservedBlocks} blocks are reserved, and nothing is dirty`);
      this.#quietly(first as VirtualThread, () =>
        this.scenario.check(actor as Actor, (position) => medium.bytes[position] ?? 0),
      );
    } catch (error) {
      if (error instanceof Violation) throw error;
      throw new Violation("check", error instanceof Error ? error.message : String(error));
    }
    this.#checked.add(this.end);
  }
}

/** Tells what a function that was transformed answers: of an async one, its promise, which is looked at later. */
function* startedBy(made: unknown, hear: (answer: unknown) => void): Play<void> {
  const answer = isGenerator(made) ? yield* made : made;
  if (answer instanceof OwnPromise) answer.isHandled = true;
  hear(answer);
}
