/**
 * A voyage as of the simulation (../../explore/simulation), with real time and the public surface: one storage through several lives of a cache,
 * with faults and power cuts. Its oracle's unit is a sector here.
 */
import { setTimeout } from "node:timers/promises";
import { type Begun, Oracle, type Troubles } from "../../explore/simulation/oracle.js";
import type { Task } from "../../explore/simulation/task.js";
import { SeededRandom } from "../../src/base/seeded.js";
import { type CachedFile, MemoryStore, PageCache } from "../../src/index.js";
import { type FaultRule, FaultyStore, VolatileStore } from "../../src/testing/index.js";

const sector = 512;
const page = 4096;
/** As many as the oracle has bytes. */
const sectors = 128;
const users = 4;
const tasksOfUser = 40;
const lives = 3;

const troubles: Troubles = { requestsFail: true, isScarce: true, hasCounted: true, hasScopes: false };

export interface Voyage {
  readonly tasks: number;
  readonly faults: number;
  readonly powerCuts: number;
}

function rulesFrom(random: SeededRandom): FaultRule[] {
  if (random.below(3) === 0) return [];
  const chance = 0.02;
  return [
    { fault: { kind: "error" }, chance },
    { fault: { kind: "error", stage: "after" }, calls: ["writePages", "sync"], chance },
    { fault: { kind: "error", code: "ENOSPC" }, calls: ["writePages", "pageMkwrite"], chance },
    // Whole sectors: a write that stops within one, and a power cut before the rest, would leave both in it.
    { fault: { kind: "short", bytes: sector * random.below(8) }, calls: ["readPages", "writePages"], chance },
    { fault: { kind: "twice" }, chance },
    { fault: { kind: "late", milliseconds: 3 }, chance: 5 * chance },
    { fault: { kind: "delay", milliseconds: 2 }, chance: 5 * chance },
  ];
}

/** @throws Violation where a sector has what it must not have */
export async function publicVoyage(seed: number): Promise<Voyage> {
  const random = new SeededRandom(seed);
  let left = new Uint8Array(0);
  const oracle = new Oracle(page / sector);
  oracle.troubles = troubles;
  let powerCuts = 0;
  let faults = 0;
  for (let life = 0; life < lives; life++) {
    const memory = await memoryWith(left);
    const volatile = new VolatileStore(memory, { sectorBytes: sector });
    const store = new FaultyStore(volatile, { seed: random.below(2 ** 31) });
    for (const rule of rulesFrom(random)) store.add(rule);
    const cache = await PageCache.open({ memory: 64 * page, writebackIntervalMs: 4, dirtyExpireMs: 2 });
    const file = await cache.open(store);
    const voyage = new Life(file, oracle, random, random.below(users * tasksOfUser * 2));
    const work = Promise.all(Array.from({ length: users }, () => voyage.serve()));
    await Promise.race([work, voyage.untilCut()]);
    const { sizeBytes } = await volatile.powerCut(random);
    powerCuts++;
    await work;
    await cache.close({ discard: true });
    faults += store.struck.length;
    left = memory.snapshot().slice(0, sizeBytes);
    oracle.crashed(Math.ceil(sizeBytes / sector), (at) => wholeSector(left, at), true);
  }
  return { tasks: oracle.tasks, faults, powerCuts };
}

/** A storage that has these bytes already. */
async function memoryWith(bytes: Uint8Array): Promise<MemoryStore> {
  const memory = new MemoryStore({ sizeBytes: bytes.length, strict: false });
  const pages = Math.ceil(bytes.length / page);
  for (let at = 0; at < pages; at++) {
    const buffer = bytes.subarray(at * page, (at + 1) * page);
    memory.pageMkwrite({
      position: at * page,
      length: buffer.length,
      pageSize: page,
      blocks: new Uint32Array(1),
    });
    await memory.writePages(at * page, [buffer]);
  }
  return memory;
}

/** The value that all bytes of a sector have. @throws Error for a torn one */
function wholeSector(bytes: Uint8Array, at: number): number {
  const [value = 0, ...others] = bytes.subarray(at * sector, (at + 1) * sector);
  const odd = others.findIndex((byte) => byte !== value);
  if (odd >= 0) throw new Error(`sector ${at} is torn: ${value} at its beginning, ${others[odd]} at byte ${odd + 1}`);
  return value;
}

class Life {
  readonly #file: CachedFile;
  readonly #oracle: Oracle;
  readonly #random: SeededRandom;
  #left: number;
  #isOff = false;
  #value = 0;
  #cut: () => void = () => {};

  /** `tasksBeforeCut`: as many are begun, then the power goes. */
  constructor(file: CachedFile, oracle: Oracle, random: SeededRandom, tasksBeforeCut: number) {
    this.#file = file;
    this.#oracle = oracle;
    this.#random = new SeededRandom(random.below(2 ** 31));
    this.#left = tasksBeforeCut;
  }

  untilCut(): Promise<void> {
    return new Promise((resolve) => {
      this.#cut = resolve;
    });
  }

  async serve(): Promise<void> {
    for (let done = 0; done < tasksOfUser && !this.#isOff; done++) {
      if (this.#left-- === 0) {
        // From here on nobody is told anything.
        this.#isOff = true;
        this.#cut();
        return;
      }
      await this.#do(this.#task());
    }
  }

  async #do(task: Task): Promise<void> {
    const begun = this.#oracle.begins(task);
    try {
      const written = await this.#doTask(begun);
      if (!this.#isOff) this.#oracle.ended(begun, written);
    } catch (error) {
      const { code, message } = error as { code?: string; message: string };
      if (code === undefined) throw error;
      if (!this.#isOff) this.#oracle.failed(begun, code, message);
    }
  }

  #task(): Task {
    const random = this.#random;
    const position = random.below(sectors);
    const length = 1 + random.below(Math.min(24, sectors - position));
    const value = (this.#value = (this.#value % 255) + 1);
    const draw = random.below(100);
    if (draw < 30) return { kind: "write", position, length, value };
    if (draw < 50) {
      const longterm = random.below(3) === 0;
      return { kind: "pin to write", position, length, value, longterm, isUnused: false, holdMs: random.below(3) };
    }
    if (draw < 65) return { kind: "read", position, length };
    if (draw < 72) return { kind: "pin to read", position, length, longterm: false, holdMs: 0 };
    if (draw < 84) return { kind: "sync", position: 0, length: 0 };
    if (draw < 88) return { kind: "sync", position, length };
    if (draw < 92) return { kind: "truncate", size: position };
    if (draw < 95) return { kind: "truncate", size: sectors };
    if (draw < 98) return { kind: "punch", position, length };
    return { kind: "invalidate", position, length };
  }

  async #doTask(begun: Begun): Promise<number> {
    const file = this.#file;
    const { task } = begun;
    if (task.kind === "truncate") await file.truncate(task.size * sector);
    if (!("position" in task)) return 0;
    const at = task.position * sector;
    const bytes = task.length * sector;
    if (task.kind === "sync") await file.sync(bytes === 0 ? {} : { position: at, length: bytes });
    if (task.kind === "punch") await file.punchHole(at, bytes);
    if (task.kind === "invalidate") file.invalidate(at, bytes);
    if (task.kind === "read") return this.#read(begun, at, bytes);
    if (task.kind === "write") {
      const { bytesWritten } = await file.write(Buffer.alloc(bytes, task.value), 0, bytes, at);
      return bytesWritten / sector;
    }
    if (task.kind === "pin to write" || task.kind === "pin to read") await this.#pin(begun, at, bytes);
    return task.length;
  }

  async #read(begun: Begun, at: number, bytes: number): Promise<number> {
    const { bytesRead, buffer } = await this.#file.read(Buffer.alloc(bytes), 0, bytes, at);
    this.#look(begun, at, buffer.subarray(0, bytesRead));
    return 0;
  }

  async #pin({ task, ...rest }: Begun, at: number, bytes: number): Promise<void> {
    if (task.kind !== "pin to write" && task.kind !== "pin to read") return;
    const pages = await this.#file.getUserPages(at, bytes, {
      write: task.kind === "pin to write",
      longterm: task.longterm,
    });
    try {
      for (const [nth, one] of [...pages].entries()) {
        if (task.kind === "pin to read") this.#look({ task, ...rest }, one.position, one.bytes);
        else one.bytes.fill(task.value);
        if (nth === 0 && task.holdMs > 0) await setTimeout(task.holdMs);
      }
    } finally {
      pages.put();
    }
  }

  #look(begun: Begun, at: number, bytes: Uint8Array): void {
    if (this.#isOff) return;
    for (let done = 0; done < bytes.length; done += sector)
      this.#oracle.saw(begun, (at + done) / sector, wholeSector(bytes, done / sector));
  }
}
