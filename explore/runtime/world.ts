/**
 * A scenario as a subject of a search: sets the stage, lets the actors run, looks at what is left.
 *
 * See also: ../races/stage.ts, machine.ts, ../search/subject.ts.
 */
import type { ProtocolName, Scenario } from "../races/scenario.js";
import type { Actor, Footing } from "../races/stage.js";
import { type Subject, type Turns, Violation } from "../search/subject.js";
import type { Interleaved } from "../transform/emit.js";
import { Disk, ModelStore } from "./disk.js";
import { Machine, type Traced, diskBit, eventBit, failBit } from "./machine.js";
import { type Exports, Modules, pageBytes } from "./modules.js";
import { OwnPromise } from "./promises.js";
import type { Play } from "./play.js";
import type { VirtualThread } from "./thread.js";

/** Storage, and the bytes of each frame, are contended for beside words. */
const extrasMax = 32;

type MemoryStoreClass = new (options: object) => Disk["medium"];
type ErrorClass = new (code: string, message: string) => Error;

export class World implements Subject {
  readonly machine: Machine;
  readonly scenario: Scenario;
  readonly #protocol: ProtocolName;
  readonly #modules: Modules;
  readonly #stage: typeof import("../races/stage.js");
  readonly #blank: Uint32Array;
  readonly #segment: Uint8Array;
  readonly #memoryBytes: number;
  #isFirstMemory = true;
  #disk: Disk | undefined;
  readonly #checked = new Set<number>();

  constructor(source: Interleaved, path: string, protocol: ProtocolName, mutant = "") {
    const modules = new Modules(source, new Machine(8, 1), mutant, class {});
    this.scenario = modules.load(path)["scenario"] as Scenario;
    this.#protocol = protocol;
    this.#memoryBytes = (this.scenario.frames + 1) * pageBytes;
    this.machine = new Machine(planBytes(modules, this.#memoryBytes), extrasMax);
    this.#segment = new Uint8Array(this.#memoryBytes);
    this.#modules = new Modules(source, this.machine, mutant, this.#memoryClass());
    this.scenario = this.#modules.load(path)["scenario"] as Scenario;
    this.#stage = this.#modules.load("explore/races/stage.js") as unknown as typeof import("../races/stage.js");
    this.#blank = new Uint32Array(this.machine.words.words.length);
  }

  get everyPoint(): boolean {
    return this.machine.everyPoint;
  }

  set everyPoint(every: boolean) {
    this.machine.everyPoint = every;
  }

  get learnt(): boolean {
    return this.machine.learnt;
  }

  set learnt(learnt: boolean) {
    this.machine.learnt = learnt;
  }

  get reads(): number {
    return this.machine.reads;
  }

  get writes(): number {
    return this.machine.writes;
  }

  set onTrace(hear: ((traced: Traced) => void) | undefined) {
    this.machine.onTrace = hear;
  }

  /** In place of WebAssembly.Memory: the first of a run is that of the page words, then come pages. */
  #memoryClass(): unknown {
    const next = () => {
      const isFirst = this.#isFirstMemory;
      this.#isFirstMemory = false;
      return isFirst ? this.machine.words.buffer : this.#segment.buffer;
    };
    return class {
      readonly buffer = next();
    };
  }

  name(alternative: number): string {
    if (alternative < this.machine.threads.length) return this.machine.threads[alternative]?.name ?? "?";
    const letter = (at: number) => String.fromCharCode(97 + at);
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
    for (const byte of this.#segment) add(byte);
    add((this.#disk as Disk).hash);
    add(machine.nowMs | 0);
    for (const thread of machine.threads) {
      add(thread.one);
      two ^= thread.two;
      add(thread.waiting);
    }
    for (const { alternative } of machine.outside) add(alternative);
    return (one >>> 0) * 2 ** 21 + (two >>> 11);
  }

  run(turns: Turns): boolean {
    const { machine, scenario } = this;
    machine.begin(this.#blank);
    this.#isFirstMemory = true;
    this.#segment.fill(0);
    this.#disk = this.#newDisk();
    const names = Object.keys(scenario.actors);
    const threads = names.map((name) => machine.addThread(name));
    const footing = this.#footing();
    const actors: Actor[] = [];
    const [first] = threads;
    if (!first) throw new Error("a scenario has actors");
    this.#quietly(first, () => this.#stage.openStage(footing), (actor) => actors.push(actor as Actor));
    const share = this.#stage.shareStage(actors[0] as Actor, footing);
    for (const thread of threads.slice(1))
      this.#quietly(thread, () => this.#stage.joinStage(share, footing), (actor) => actors.push(actor as Actor));
    if (scenario.prepare) this.#quietly(first, () => scenario.prepare?.(actors[0] as Actor));
    machine.words.settle();
    for (const thread of threads) thread.one = thread.two = 0;
    const ends: (OwnPromise | undefined)[] = [];
    threads.forEach((thread, at) => {
      const script = scenario.actors[names[at] as string] as (actor: Actor) => unknown;
      thread.post({ mark: 1, job: () => startedBy(script(actors[at] as Actor), (promise) => (ends[at] = promise)) });
    });
    if (!machine.run(turns)) return false;
    this.#inspect(threads, ends, actors);
    return true;
  }

  #newDisk(): Disk {
    const { MemoryStore } = this.#modules.load("src/stores/memory/memory-store.js") as { MemoryStore: MemoryStoreClass };
    const { PinfoldError } = this.#modules.load("src/base/errors.js") as { PinfoldError: ErrorClass };
    const contents = new Uint8Array(this.scenario.pages * pageBytes);
    contents.forEach((_, at) => (contents[at] = Math.floor(at / pageBytes) + 1));
    const medium = new MemoryStore({ contents, capacityBytes: 16 * pageBytes, key: "model" });
    const { failuresMax = 0, grantsLater = false } = this.scenario;
    return new Disk(this.machine, medium, { failuresMax, grantsLater }, (code, message) => new PinfoldError(code, message));
  }

  #footing(): Footing {
    const { machine } = this;
    const disk = this.#disk as Disk;
    const at = (frame: number) => machine.extra(1 + frame);
    const bytes = {
      store: (frame: number, offset: number, value: number) =>
        machine.operation(at(frame), true, () => `bytes of frame ${frame}: [${offset}] = ${value}`, () => {
          this.#segment[frame * pageBytes + offset] = value;
        }),
      load: (frame: number, offset: number) =>
        machine.operation(at(frame), false, () => `bytes of frame ${frame}: [${offset}]`, () => {
          const value = this.#segment[frame * pageBytes + offset] as number;
          machine.current?.note(value);
          return value;
        }),
    };
    return {
      clock: {
        nowMs: () => machine.nowMs,
        after: (delayMs, run, keepAlive) => machine.after(delayMs, run, keepAlive),
      },
      bytes: bytes as unknown as Footing["bytes"],
      protocol: this.#protocol,
      memoryBytes: this.#memoryBytes,
      pageSize: pageBytes,
      attach: () => new ModelStore(disk) as unknown as ReturnType<Footing["attach"]>,
    };
  }

  /** Runs something alone, to its end. */
  #quietly(thread: VirtualThread, work: () => unknown, then: (answer: unknown) => void = () => {}): void {
    const { machine } = this;
    const disk = this.#disk as Disk;
    machine.quiet++;
    disk.isPrompt = true;
    let promise: OwnPromise | undefined;
    thread.post({ mark: 0, job: () => startedBy(work(), (made) => (promise = made)) });
    machine.run({ decide: (enabled) => 31 - Math.clz32(enabled) });
    machine.quiet--;
    disk.isPrompt = false;
    if (promise?.state === "rejected") {
      promise.isHandled = true;
      throw promise.value;
    }
    if (promise?.state === "pending") throw new Violation("deadlock", "what runs alone does not end");
    then(promise?.value);
  }

  /** Looks at a run that has ended. @throws Violation */
  #inspect(threads: readonly VirtualThread[], ends: readonly (OwnPromise | undefined)[], actors: readonly Actor[]): void {
    threads.forEach((thread, at) => {
      const end = ends[at];
      if (end?.state === "rejected") {
        end.isHandled = true;
        throw new Violation("assertion", `${thread.name} ended with ${String(end.value)}`);
      }
      if (end?.state !== "fulfilled") throw new Violation("deadlock", `${thread.name} waits for ever`);
      const orphan = thread.orphans.find(({ isHandled }) => !isHandled);
      if (orphan) throw new Violation("unhandled", `a rejection in ${thread.name} that nobody handles: ${String(orphan.value)}`);
      if ((actors[at] as Actor).rescues > 0) throw new Violation("lost wake-up", `${thread.name} had to wake up by itself`);
    });
    const state = this.state();
    if (this.#checked.has(state)) return;
    const [first] = threads;
    const [actor] = actors;
    const { medium } = this.#disk as Disk;
    try {
      this.#quietly(first as VirtualThread, () => (actor as Actor).sync());
      this.#quietly(first as VirtualThread, () => (actor as Actor).verify());
      const bytes = medium.snapshot();
      this.#quietly(first as VirtualThread, () =>
        this.scenario.check(actor as Actor, (position) => bytes[position] ?? 0),
      );
    } catch (error) {
      if (error instanceof Violation) throw error;
      throw new Violation("check", error instanceof Error ? error.message : String(error));
    }
    this.#checked.add(state);
  }
}

/** Tells the promise of an async function that was transformed, once it is made. */
function startedBy(made: unknown, hear: (promise: OwnPromise) => void): unknown {
  return (function* (): Play<void> {
    const answer = yield* made as Play<unknown>;
    if (answer instanceof OwnPromise) hear(answer);
  })();
}

function planBytes(modules: Modules, memoryBytes: number): number {
  const { planFrames } = modules.load("src/frames/plan.js") as Exports & {
    planFrames(memory: number, page: number): { bytes: number };
  };
  return planFrames(memoryBytes, pageBytes).bytes;
}
