/**
 * Checksums over two storages that lose power together: random writes, cuts, holes, syncs and errors from one seed, and then the power goes.
 *
 * What must hold, block by block: one that is as it was, or as it was to be, at any time since the last good sync that covers it, reads
 * well; one that is neither is an error (F15 to F17). So there is no false alarm, and no torn block that is read as data.
 */
import { equal, ok } from "node:assert/strict";
import { SeededRandom } from "../../../src/base/seeded.js";
import type { Store } from "../../../src/store/contract.js";
import { ChecksumStore } from "../../../src/stores/checksums/checksum-store.js";
import { FaultyStore } from "../../../src/stores/faulty/faulty-store.js";
import type { FaultedCall } from "../../../src/stores/faulty/faults.js";
import { VolatileStore } from "../../../src/stores/faulty/volatile-store.js";
import { MemoryStore } from "../../../src/stores/memory/memory-store.js";

const block = 4096;
/** Blocks that are written: groups of neighbours, each group in another page of the table. What is between them stays zero. */
const blocks = 24;
const groupBlocks = 4;
const groupDistance = 1_100;
const sizeMost = placeOf(blocks - 1) + block;
const zeros = Buffer.alloc(block);
const changing: readonly FaultedCall[] = ["writePages", "sync", "truncate", "punch"];

function placeOf(index: number): number {
  return (Math.floor(index / groupBlocks) * groupDistance + (index % groupBlocks)) * block;
}

export interface VoyageResult {
  torn: number;
  cuts: number;
  failures: number;
  reads: number;
}

/** What a block may be, and when the change that made it so ended: Infinity, while it is on its way or where it has failed. */
interface Image {
  readonly bytes: Buffer;
  endedAt: number;
}

/** One power supply for both: what is open between two power cuts. */
interface Machine {
  readonly disks: readonly [VolatileStore<MemoryStore>, VolatileStore<MemoryStore>];
  readonly faulty: readonly [FaultyStore, FaultyStore];
}

export async function sailChecksums(seed: number, lives: number): Promise<VoyageResult> {
  const random = new SeededRandom(seed);
  const result: VoyageResult = { torn: 0, cuts: 0, failures: 0, reads: 0 };
  const model = new Model(random, result);
  let media: readonly [MemoryStore, MemoryStore] = [new MemoryStore(), new MemoryStore()];
  for (let life = 0; life < lives; life++) {
    const machine = powerUp(media, seed * 1000 + life);
    const store = await model.open(machine, life > 0 && random.below(3) === 0);
    if (store) await model.live(store, machine);
    media = await powerCut(machine, random);
    result.cuts += 1;
    await model.settle();
  }
  return result;
}

function powerUp([data, sums]: readonly [MemoryStore, MemoryStore], seed: number): Machine {
  const disks = [new VolatileStore(data), new VolatileStore(sums)] as const;
  const faulty = [new FaultyStore(disks[0], { seed }), new FaultyStore(disks[1], { seed: seed + 500 })] as const;
  return { disks, faulty };
}

async function powerCut({ disks }: Machine, random: SeededRandom): Promise<readonly [MemoryStore, MemoryStore]> {
  await Promise.all(disks.map((disk) => disk.powerCut(random)));
  const reopened = [];
  for (const { inner } of disks) {
    await inner.close();
    reopened.push(inner.reopen());
  }
  return reopened as unknown as readonly [MemoryStore, MemoryStore];
}

class Model {
  readonly #random: SeededRandom;
  readonly #result: VoyageResult;
  readonly #images: Image[][] = Array.from({ length: blocks }, () => [{ bytes: zeros, endedAt: 0 }]);
  readonly #busy = new Set<number>();
  /** Blocks that have to be written once more before a sync says anything of them. */
  readonly #again = new Set<number>();
  readonly #pending = new Set<Promise<unknown>>();
  readonly #logPages: number;
  #size = 0;
  #time = 1;

  constructor(random: SeededRandom, result: VoyageResult) {
    this.#random = random;
    this.#result = result;
    // Mostly a log that is full after a few batches.
    this.#logPages = 4 + random.below(3) * 8;
  }

  /** Opens what the last power cut has left, and looks at all of it. `failing`: something fails on the way, and nothing is opened. */
  async open({ faulty: [data, sums], disks }: Machine, failing: boolean): Promise<ChecksumStore | undefined> {
    if (failing) {
      const fault = { kind: "error", stage: "before" } as const;
      (this.#random.below(2) === 0 ? data : sums).add({ fault, calls: changing, skip: this.#random.below(6) });
    }
    try {
      const store = await ChecksumStore.open(data, sums, { logPages: this.#logPages, tablePages: 2 });
      if (failing) return undefined;
      await this.#look(store, disks[0].inner);
      return store;
    } catch (error) {
      if (failing && (error as { code?: unknown }).code === "EIO") return undefined;
      throw error;
    }
  }

  async #look(store: ChecksumStore, medium: MemoryStore): Promise<void> {
    this.#size = store.sizeBytes;
    for (const [index, images] of this.#images.entries()) {
      const bytes = Buffer.alloc(block);
      medium.readPagesSync(placeOf(index), [bytes]);
      const isAllowed = images.some((image) => image.bytes.equals(bytes));
      const error = await failureOf(store.readPages(placeOf(index), [Buffer.alloc(block)]));
      const isWrong = (error as { code?: unknown } | undefined)?.code === "ERR_PINFOLD_CHECKSUM";
      ok(error === undefined || isWrong, `block ${index}: ${messageOf(error)}`);
      ok(
        isWrong === !isAllowed,
        `block ${index} is ${isAllowed ? "whole, and" : "torn, but"} read ${messageOf(error)}`,
      );
      // What is torn stays wrong until it is written anew, durably.
      this.#images[index] = isWrong ? [] : [{ bytes, endedAt: 0 }];
      if (!isWrong) continue;
      this.#result.torn += 1;
      await this.#write(store, index, 1);
      const again = await failureOf(store.readPages(placeOf(index), [Buffer.alloc(block)]));
      ok(again === undefined, `block ${index}, written anew after ${messageOf(error)}: ${messageOf(again)}`);
    }
  }

  /** Some hundred calls, a few at once; what is on its way at the end, the power cut meets. */
  async live(store: ChecksumStore, { faulty }: Machine): Promise<void> {
    if (this.#random.below(2) === 0) {
      for (const around of faulty)
        for (const stage of ["before", "after"] as const)
          around.add({ fault: { kind: "error", stage }, calls: ["writePages", "sync"], chance: 0.01 });
    }
    const calls = this.#random.below(4) === 0 ? 900 : 60;
    if (this.#random.below(8) === 0) await this.#fillLog(store);
    for (let left = this.#random.below(calls); left > 0; left--) {
      this.#start(this.#act(store));
      if (this.#pending.size >= 4 || this.#random.below(3) === 0) await Promise.race(this.#pending);
    }
  }

  /** Some hundred writes one by one, each with a page of the log: an area of it is full, or soon will be. */
  async #fillLog(store: ChecksumStore): Promise<void> {
    for (let left = 200 + this.#random.below(320); left > 0; left--)
      await failureOf(this.#write(store, this.#random.below(blocks), 1));
  }

  #start(work: Promise<void>): void {
    const running = work.finally(() => this.#pending.delete(running));
    running.catch(() => {});
    this.#pending.add(running);
  }

  /** After a power cut: all that was on its way has ended; only what the power cut ended may have failed. */
  async settle(): Promise<void> {
    await Promise.allSettled(this.#pending);
    this.#busy.clear();
    this.#again.clear();
  }

  async #act(store: ChecksumStore): Promise<void> {
    const what = this.#random.below(20);
    const index = this.#random.below(blocks);
    const count = 1 + this.#random.below(groupBlocks - (index % groupBlocks));
    if (what < 12) await this.#write(store, index, count);
    else if (what < 14) await this.#read(store, index);
    else if (what < 15) await this.#readHole(store);
    else if (what < 18) await this.#sync(store);
    else if (what < 19) await this.#cut(store, this.#anyPlace());
    else await this.#punch(store, this.#anyPlace(), this.#random.below(1 + this.#random.below(sizeMost)));
  }

  /** Mostly near something that was written. */
  #anyPlace(): number {
    if (this.#random.below(4) === 0) return this.#random.below(sizeMost + 1);
    return placeOf(this.#random.below(blocks)) + this.#random.below(block + 1);
  }

  #take(from: number, to: number): boolean {
    for (let i = from; i < to; i++) if (this.#busy.has(i)) return false;
    for (let i = from; i < to; i++) this.#busy.add(i);
    return true;
  }

  #giveBack(from: number, to: number): void {
    for (let i = from; i < to; i++) this.#busy.delete(i);
  }

  /** Does a change of some blocks. What failed is to be written again. */
  async #change(indexes: readonly number[], images: readonly Buffer[], change: () => Promise<void>): Promise<boolean> {
    const mine = images.map((bytes, i) => {
      const image = { bytes, endedAt: Number.POSITIVE_INFINITY };
      (this.#images[indexes[i] as number] as Image[]).push(image);
      return image;
    });
    const error = await failureOf(change());
    if (error) this.#result.failures += 1;
    for (const [i, image] of mine.entries()) {
      if (error) this.#again.add(indexes[i] as number);
      else this.#again.delete(indexes[i] as number);
      if (!error) image.endedAt = ++this.#time;
    }
    return error === undefined;
  }

  async #write(store: ChecksumStore, index: number, count: number, fill = 1 + this.#random.below(255)): Promise<void> {
    if (!this.#take(index, index + count)) return;
    try {
      const end = placeOf(index) + count * block;
      if (this.#size < end && this.#random.below(2) === 0) {
        // The last block in part: only as far as the file goes.
        const size = Math.max(this.#size, placeOf(index) + 1 + this.#random.below(count * block));
        await store.setSize(size);
        this.#size = Math.max(this.#size, size);
      } else if (this.#size < end) {
        await store.setSize(end);
        this.#size = Math.max(this.#size, end);
      }
      const length = Math.min(count * block, this.#size - placeOf(index));
      if (length <= 0) return;
      const bytes = Buffer.alloc(Math.ceil(length / block) * block);
      for (let at = 0; at < length; at++) bytes[at] = (fill + Math.floor(at / 512)) & 0xff;
      await this.#put(store, index, bytes, length);
    } finally {
      this.#giveBack(index, index + count);
    }
  }

  async #put(store: Store, index: number, bytes: Buffer, length: number): Promise<void> {
    const images = Array.from({ length: bytes.length / block }, (_, i) => bytes.subarray(i * block, (i + 1) * block));
    const indexes = images.map((_bytes, i) => index + i);
    await this.#change(indexes, images, async () => {
      const position = placeOf(index);
      await store.pageMkwrite({ position, length, pageSize: block, blocks: new Uint32Array(images.length) });
      await store.writePages(position, [bytes.subarray(0, length)]);
    });
  }

  async #read(store: ChecksumStore, index: number): Promise<void> {
    if (this.#again.has(index) || !this.#take(index, index + 1)) return;
    const bytes = Buffer.alloc(block);
    const error = await failureOf(store.readPages(placeOf(index), [bytes]));
    this.#giveBack(index, index + 1);
    if ((error as { code?: unknown } | undefined)?.code === "EIO") return;
    this.#result.reads += 1;
    ok(!error, `block ${index}: ${messageOf(error)}`);
    ok(
      ((this.#images[index] as Image[]).at(-1) as Image).bytes.equals(bytes),
      `block ${index} has what was written last`,
    );
  }

  /** Nobody writes between the groups. */
  async #readHole(store: ChecksumStore): Promise<void> {
    const bytes = Buffer.alloc(block, 1);
    const group = this.#random.below(blocks / groupBlocks);
    const position = (group * groupDistance + groupBlocks + this.#random.below(500)) * block;
    const error = await failureOf(store.readPages(position, [bytes]));
    if ((error as { code?: unknown } | undefined)?.code !== "EIO") equal(bytes.compare(zeros), 0, messageOf(error));
  }

  /** As a cache does it: what failed is written again first; after a sync that fails, so is all since the last good one. */
  async #sync(store: ChecksumStore): Promise<void> {
    for (const index of this.#again) {
      if (!this.#take(index, index + 1)) return;
      const { bytes } = (this.#images[index] as Image[]).at(-1) as Image;
      const length = Math.min(block, this.#size - placeOf(index));
      if (length > 0) await this.#put(store, index, bytes, length);
      else this.#again.delete(index);
      this.#giveBack(index, index + 1);
    }
    const began = ++this.#time;
    if (this.#again.size > 0) return;
    const error = await failureOf(store.sync({ data: this.#random.below(2) === 0 }));
    if (error) {
      for (const [index, images] of this.#images.entries()) if (images.length > 1) this.#again.add(index);
      return;
    }
    for (const [index, images] of this.#images.entries()) {
      const last = images.findLastIndex(({ endedAt }) => endedAt <= began);
      if (last > 0) this.#images[index] = images.slice(last);
    }
  }

  /** Alone, as under the invalidate lock. */
  async #cut(store: ChecksumStore, size: number): Promise<void> {
    if (size >= this.#size || this.#again.size > 0 || !this.#take(0, blocks)) return;
    await this.#zero(size, this.#size, () => store.truncate(size));
    this.#size = size;
    this.#giveBack(0, blocks);
  }

  async #punch(store: ChecksumStore, from: number, length: number): Promise<void> {
    const to = Math.min(from + length, this.#size);
    if (to <= from || this.#again.size > 0 || !this.#take(0, blocks)) return;
    await this.#zero(from, to, () => store.punch(from, to - from));
    this.#giveBack(0, blocks);
  }

  async #zero(from: number, to: number, change: () => Promise<void>): Promise<void> {
    const touched = this.#images.flatMap((_images, index) =>
      placeOf(index) < to && placeOf(index) + block > from ? [index] : [],
    );
    const images = touched.map((index) => {
      const bytes = Buffer.from(((this.#images[index] as Image[]).at(-1) as Image).bytes);
      return bytes.fill(0, Math.max(0, from - placeOf(index)), Math.min(block, to - placeOf(index)));
    });
    // A cut or punch that failed is done again until it is done: nothing goes on before.
    for (let tries = 0; tries < 20; tries++) if (await this.#change(touched, images, change)) return;
  }
}

async function failureOf(work: Promise<unknown> | void): Promise<unknown> {
  try {
    await work;
    return undefined;
  } catch (error) {
    return error ?? new Error("nothing");
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : "well";
}
