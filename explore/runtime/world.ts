/**
 * A scenario as a subject of a search: sets the stage, lets the actors run, looks at what is left.
 *
 * See also: rig.ts (what it runs on), ../races/stage.ts, machine.ts, ../search/subject.ts.
 */
import type { ProtocolName, Scenario } from "../races/scenario.js";
import type { Actor } from "../races/stage.js";
import { type Subject, type Turns, Violation } from "../search/subject.js";
import type { Interleaved } from "../transform/emit.js";
import { extrasMax } from "./loaded.js";
import type { Machine } from "./machine.js";
import { type Traced, nameOfAlternative } from "./scheduler.js";
import { Medium } from "./medium.js";
import { StoreBuffers } from "./store-buffer.js";
import { blockBytes, pageBytes, plainModules } from "./modules.js";
import type { OwnPromise } from "./promises.js";
import { RaceCheck } from "./race-check.js";
import { Rig, type Start, checkEnded, memoryBytesFor, startWork } from "./rig.js";
import type { VirtualThread } from "./thread.js";

/** Blocks that the storage has room for. */
const blocksMax = 16;

/** Whether runs are looked at for data races; "exactly": with the clocks as a part of the state (race-check.ts). */
export type RacesWanted = "not" | "in runs" | "exactly";

export class World implements Subject {
  readonly machine: Machine;
  readonly scenario: Scenario;
  readonly #rig: Rig;
  everyPoint = false;
  /** Set to be told of every operation. */
  onTrace: ((traced: Traced) => void) | undefined;
  #start: Start | undefined;
  readonly #checked = new Set<number>();
  /** The state in which the last run has ended. */
  end = 0;

  constructor(source: Interleaved, path: string, protocol: ProtocolName, mutant = "", races: RacesWanted = "not") {
    const plain = plainModules(source).load(path)["scenario"] as Scenario;
    const { failuresMax = 0, grantsLater = false, capacity = blocksMax, frames, hasViews = false } = plain;
    const dirtyPagesMax = plain.dirtyPagesMax ?? frames * 4;
    const disk = { failuresMax, grantsLater };
    const plan = { frames, protocol, dirtyPagesMax, hasViews, disk, movesMax: plain.movesMax ?? 0 };
    const medium = new Medium({ blocks: blocksMax, blockBytes, pageBytes, capacity });
    this.#rig = new Rig(source, plan, medium, mutant);
    this.machine = this.#rig.machine;
    this.scenario = this.#rig.loaded.modules.load(path)["scenario"] as Scenario;
    // Views are what races on purpose.
    if (hasViews) this.#rig.buffers = new StoreBuffers(this.machine, extrasMax - 1);
    else if (races !== "not") {
      const isCounted = protocol === "counted";
      const options = { bytes: memoryBytesFor(frames), pageBytes, sites: source.sites, isCounted };
      this.#rig.races = new RaceCheck(this.machine, { ...options, isExact: races === "exactly" });
    }
  }

  get learnt(): boolean {
    return this.#rig.learnt;
  }

  set learnt(learnt: boolean) {
    this.#rig.learnt = learnt;
  }

  get reads(): number {
    return this.machine.reads;
  }

  get writes(): number {
    return this.machine.writes;
  }

  name(alternative: number): string {
    const { actors, hasViews = false } = this.scenario;
    return nameOfAlternative(alternative, Object.keys(actors), hasViews);
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
    for (const byte of this.#rig.frames.all) add(byte);
    add(this.#rig.disk.hash);
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
    const rig = this.#rig;
    rig.enter();
    machine.everyPoint = this.everyPoint;
    machine.onTrace = this.onTrace;
    this.#start ??= this.#setStage();
    rig.disk.medium.restore(this.#start.medium);
    const names = Object.keys(scenario.actors);
    const { threads, actors } = rig.join(this.#start, names);
    const works = threads.map((thread, at) => {
      thread.isMortal = scenario.mortal?.includes(thread.name) ?? false;
      const script = scenario.actors[names[at] as string] as (actor: Actor) => unknown;
      return startWork(thread, () => script(actors[at] as Actor));
    });
    if (!machine.run(turns)) return false;
    this.end = this.state();
    this.#inspect(threads, works, actors);
    return true;
  }

  /** Opens the cache and prepares the scenario once: where every run begins. */
  #setStage(): Start {
    const { scenario } = this;
    this.#rig.disk.medium.fill(scenario.pages);
    return this.#rig.setStage((hand) => scenario.prepare?.(hand));
  }

  /** Looks at a run that has ended. @throws Violation */
  #inspect(
    threads: readonly VirtualThread[],
    works: readonly { readonly end?: OwnPromise }[],
    actors: readonly Actor[],
  ): void {
    threads.forEach((thread, at) => {
      if (thread.isDead) return;
      checkEnded(thread, works[at] ?? {});
      // Whoever had to wake the others may have died.
      if ((actors[at] as Actor).rescues > 0 && !threads.some(({ isDead }) => isDead))
        throw new Violation("lost wake-up", `${thread.name} had to wake up by itself`);
    });
    if (this.#checked.has(this.end)) return;
    const alive = threads.findIndex(({ isDead }) => !isDead);
    const first = threads[alive];
    const actor = actors[alive];
    const rig = this.#rig;
    const { medium } = rig.disk;
    try {
      // Where somebody ended last of all, nobody has noticed it yet.
      if (threads.some(({ isDead }) => isDead))
        rig.quietly(first as VirtualThread, () => (actor as Actor).lookForDead());
      rig.quietly(first as VirtualThread, () => (actor as Actor).syncIfOpen());
      rig.quietly(first as VirtualThread, () => (actor as Actor).verify());
      if (medium.reservedBlocks > 0)
        throw new Violation("leak", `${medium.reservedBlocks} blocks are reserved, and nothing is dirty`);
      rig.quietly(first as VirtualThread, () =>
        this.scenario.check(actor as Actor, (position) => medium.bytes[position] ?? 0),
      );
    } catch (error) {
      if (error instanceof Violation) throw error;
      throw new Violation("check", error instanceof Error ? error.message : String(error));
    }
    this.#checked.add(this.end);
  }
}
