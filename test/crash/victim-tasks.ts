/**
 * What one thread of a victim does: random operations on the sectors that are its own, each told before it begins and after it
 * ended. Threads share pages, since their sectors lie in turns, chunk by chunk; the tail of the file, which is also cut, belongs to
 * the first thread.
 *
 * Reads are checked on the side: a sector that this thread wrote reads as its last operation.
 *
 * See also: victim.ts (the process), sector-ledger.ts (who listens).
 */
import { setImmediate, setTimeout } from "node:timers/promises";
import type { CachedFile, MappedView } from "../../src/index.js";
import type { SeededRandom } from "../../src/testing/index.js";
import { flavours, reports, sendReport, type Way } from "./reports.js";
import { operationsOf, sectorBytes, sectorsOf } from "./sector-words.js";

/** Sectors that go to one thread together. */
const chunkSectors = 64;
/**
 * A call that blocks the thread says EDEADLK where it would wait for the thread's own event loop, or, after 5 s, where it seems to by way
 * of another thread. Then the loop needs some time without such calls, or nothing else gets on.
 */
const calmMs = 300;
let calmUntilMs = 0;

export interface VictimShape {
  /** Sectors that are always there, and sectors that there can be. */
  readonly bodySectors: number;
  readonly totalSectors: number;
  readonly threads: number;
  /** Operations have numbers above this. */
  readonly lastNumber: number;
  /** A lack of space is no error: the storage runs full now and then. */
  readonly mayLackSpace: boolean;
  /** The storage may break: everything may fail with EIO from some moment on. */
  readonly mayBreak: boolean;
  /** Where to write reports. */
  readonly fd: number;
}

interface Extent {
  readonly first: number;
  readonly count: number;
}

function codeOf(error: unknown): unknown {
  return (error as { code?: unknown } | null)?.code;
}

export class VictimTask {
  readonly #file: CachedFile;
  readonly #view: MappedView;
  readonly #shape: VictimShape;
  readonly #thread: number;
  readonly #random: SeededRandom;
  /** The last operation of each own sector; -1 where it is not known, 0 for zeros. */
  readonly #last: Int32Array;
  #steps = 0;

  constructor(file: CachedFile, shape: VictimShape, thread: number, random: SeededRandom) {
    this.#file = file;
    this.#view = file.map(0, shape.bodySectors * sectorBytes);
    this.#shape = shape;
    this.#thread = thread;
    this.#random = random;
    this.#last = new Int32Array(shape.totalSectors).fill(-1);
  }

  async step(): Promise<void> {
    const choice = this.#random.below(100);
    if (choice < 24) await this.#write();
    else if (choice < 44) await this.#pin();
    else if (choice < 52) await this.#blocking(() => this.#writeSync());
    else if (choice < 60) await this.#longterm();
    else if (choice < 70) await this.#blocking(() => this.#store());
    else if (choice < 76) await this.#punch();
    else if (choice < 84) await this.#read();
    else if (choice < 90) await (this.#thread === 0 ? this.#tail() : this.#write());
    else if (choice < 94) await this.sync();
    else if (choice < 96) await this.#blocking(() => this.#syncSync());
    else if (choice < 98) await setTimeout(this.#random.below(8));
    else await setImmediate();
  }

  async #blocking(call: () => void): Promise<void> {
    if (Date.now() < calmUntilMs) await this.#write();
    else call();
  }

  /** A call that would have blocked for ever is given up. It may have done a part. */
  #giveUp(number: number): void {
    calmUntilMs = Date.now() + calmMs;
    sendReport(this.#shape.fd, { kind: reports.failed, number });
  }

  #number(): number {
    this.#steps += 1;
    return this.#shape.lastNumber + this.#steps * this.#shape.threads + this.#thread + 1;
  }

  /** Sectors of this thread's in one of its chunks of the body. */
  #extent(): Extent {
    const { bodySectors, threads } = this.#shape;
    const chunks = Math.floor(bodySectors / chunkSectors / threads);
    const chunk = this.#random.below(chunks) * threads + this.#thread;
    // Whole pages now and then, and often places that somebody was at before: half of the time in an eighth of them.
    const near = this.#random.below(2) === 0 ? chunk % Math.max(threads, (chunks >> 3) * threads) : chunk;
    const place = near % threads === this.#thread ? near : chunk;
    const from = this.#random.below(3) === 0 ? this.#random.below(8) * 8 : this.#random.below(chunkSectors);
    const most = this.#random.below(3) === 0 ? chunkSectors - from : Math.min(8, chunkSectors - from);
    return { first: place * chunkSectors + from, count: 1 + this.#random.below(most) };
  }

  #begin(way: Way, number: number, extent: Extent, flavour: number, size?: { from: number; to: number }): void {
    const sizes =
      size === undefined ? {} : { sizeMin: Math.min(size.from, size.to), sizeMax: Math.max(size.from, size.to) };
    sendReport(this.#shape.fd, { kind: reports.begin, number, flavour, way, ...extent, ...sizes });
    this.#last.fill(-1, extent.first, extent.first + extent.count);
  }

  #end(number: number, { first, count }: Extent, flavour: number): void {
    sendReport(this.#shape.fd, { kind: reports.end, number });
    this.#last.fill(flavour === flavours.zeros ? 0 : number, first, first + count);
  }

  /** Tells of a failure that is allowed; throws any other one. `clean`: the call says that it then changed nothing. */
  #fail(number: number, error: unknown, clean: boolean): void {
    const { mayLackSpace, mayBreak, fd } = this.#shape;
    const code = codeOf(error);
    const isExpected =
      code === "EBUSY" ||
      (code === "ENOSPC" && mayLackSpace) ||
      // Pages that cannot be written for lack of space keep their frames.
      (code === "ERR_PINFOLD_NO_FRAMES" && (mayLackSpace || mayBreak)) ||
      (code === "EIO" && mayBreak);
    if (!isExpected) throw error as Error;
    sendReport(fd, { kind: clean ? reports.refused : reports.failed, number, flavour: code === "ENOSPC" ? 1 : 0 });
  }

  async #write(): Promise<void> {
    await this.#writeAt(this.#extent());
  }

  async #writeAt(extent: Extent, size?: { from: number; to: number }): Promise<void> {
    const number = this.#number();
    const bytes = sectorsOf(number, extent.first, extent.count);
    this.#begin(size === undefined ? "write" : "tail", number, extent, flavours.whole, size);
    try {
      for (let done = 0; done < bytes.length; ) {
        const position = extent.first * sectorBytes + done;
        done += (await this.#file.write(bytes, done, bytes.length - done, position)).bytesWritten;
      }
    } catch (error) {
      return this.#fail(number, error, false);
    }
    this.#end(number, extent, flavours.whole);
  }

  #writeSync(): void {
    const extent = this.#extent();
    const number = this.#number();
    const bytes = sectorsOf(number, extent.first, extent.count);
    this.#begin("writeSync", number, extent, flavours.whole);
    try {
      for (let done = 0; done < bytes.length; )
        done += this.#file.writeSync(bytes, done, bytes.length - done, extent.first * sectorBytes + done);
    } catch (error) {
      if (codeOf(error) === "EDEADLK") this.#giveUp(number);
      else this.#fail(number, error, false);
      return;
    }
    this.#end(number, extent, flavours.whole);
  }

  async #pin(): Promise<void> {
    const extent = this.#extent();
    const number = this.#number();
    const position = extent.first * sectorBytes;
    const bytes = sectorsOf(number, extent.first, extent.count);
    this.#begin("pin", number, extent, flavours.whole);
    let pages;
    try {
      pages = await this.#file.getUserPages(position, bytes.length, { write: true });
    } catch (error) {
      return this.#fail(number, error, true);
    }
    const half = Math.floor(bytes.length / 2);
    pages.copyFrom(bytes.subarray(0, half));
    // Nobody may see the half: no write-back either.
    if (this.#random.below(3) === 0) await setTimeout(this.#random.below(5));
    pages.copyFrom(bytes.subarray(half), half);
    if (this.#random.below(6) === 0) await pages.flush().catch((error: unknown) => this.#noteFlush(error));
    pages.put();
    this.#end(number, extent, flavours.whole);
  }

  /** A flush that fails leaves the pages dirty: the write itself is done. */
  #noteFlush(error: unknown): void {
    const code = codeOf(error);
    const { mayBreak, mayLackSpace } = this.#shape;
    if (!(code === "EIO" && mayBreak) && !(code === "ENOSPC" && mayLackSpace)) throw error as Error;
  }

  async #longterm(): Promise<void> {
    const extent = this.#extent();
    const number = this.#number();
    const bytes = sectorsOf(number, extent.first, extent.count);
    this.#begin("longterm", number, extent, flavours.loose);
    let pages;
    try {
      const position = extent.first * sectorBytes;
      pages = await this.#file.getUserPages(position, bytes.length, { write: true, longterm: true });
    } catch (error) {
      return this.#fail(number, error, true);
    }
    const half = Math.floor(bytes.length / 16) * 8;
    pages.copyFrom(bytes.subarray(0, half));
    await setTimeout(this.#random.below(10));
    pages.copyFrom(bytes.subarray(half), half);
    pages.put();
    this.#end(number, extent, flavours.loose);
  }

  #store(): void {
    const { first } = this.#extent();
    const extent = { first, count: 1 };
    const number = this.#number();
    const bytes = sectorsOf(number, first, 1);
    this.#begin("store", number, extent, flavours.loose);
    try {
      if (this.#random.below(2) === 0) this.#view.copyFrom(bytes, first * sectorBytes);
      else {
        for (let at = 0; at < sectorBytes; at += 8)
          this.#view.setBigUint64(first * sectorBytes + at, bytes.readBigUInt64LE(at), true);
      }
    } catch (error) {
      if (codeOf(error) === "EDEADLK") this.#giveUp(number);
      else this.#fail(number, error, false);
      return;
    }
    this.#end(number, extent, flavours.loose);
  }

  async #punch(): Promise<void> {
    const extent = this.#extent();
    const number = this.#number();
    this.#begin("punch", number, extent, flavours.zeros);
    try {
      await this.#file.punchHole(extent.first * sectorBytes, extent.count * sectorBytes);
    } catch (error) {
      return this.#fail(number, error, codeOf(error) === "EBUSY");
    }
    this.#end(number, extent, flavours.zeros);
  }

  /** Cuts the file, extends it, or writes over its end. */
  async #tail(): Promise<void> {
    const { bodySectors, totalSectors } = this.#shape;
    const size = this.#file.size / sectorBytes;
    if (this.#random.below(3) === 0) {
      const to = bodySectors + this.#random.below(totalSectors - bodySectors);
      const number = this.#number();
      const extent = { first: Math.min(to, size), count: Math.max(0, size - to) };
      // An extension may show half done: XFS writes the end of the old last block out first, with a size that ends there.
      this.#begin("truncate", number, extent, flavours.zeros, to > size ? { from: size, to } : { from: to, to });
      try {
        await this.#file.truncate(to * sectorBytes);
      } catch (error) {
        return this.#fail(number, error, false);
      }
      return this.#end(number, extent, flavours.zeros);
    }
    const first = Math.min(size + this.#random.below(40) - 8, totalSectors - 24);
    const count = 1 + this.#random.below(24);
    const grows = first + count > size;
    await this.#writeAt(
      { first: Math.max(bodySectors, first), count },
      grows ? { from: size, to: Math.max(bodySectors, first) + count } : undefined,
    );
  }

  async #read(): Promise<void> {
    const { first, count } = this.#extent();
    const bytes = Buffer.alloc(count * sectorBytes);
    try {
      for (let done = 0; done < bytes.length; ) {
        const { bytesRead } = await this.#file.read(bytes, done, bytes.length - done, first * sectorBytes + done);
        if (bytesRead === 0) throw new Error(`nothing to read at sector ${first}`);
        done += bytesRead;
      }
    } catch (error) {
      if (!(this.#shape.mayBreak && codeOf(error) === "EIO") && codeOf(error) !== "ERR_PINFOLD_NO_FRAMES") throw error;
      return;
    }
    for (let at = 0; at < count; at++) {
      const wanted = this.#last[first + at] as number;
      if (wanted < 0) continue;
      const found = operationsOf(bytes.subarray(at * sectorBytes, (at + 1) * sectorBytes), first + at);
      if (found.size !== 1 || !found.has(wanted))
        throw new Error(`sector ${first + at} reads as ${[...found].join(", ")}, not ${wanted}`);
    }
  }

  /** Of the whole file or of a range. False where it failed as it may. */
  async sync(whole = false): Promise<boolean> {
    const isWhole = whole || this.#random.below(3) !== 0;
    const extent = isWhole ? { first: 0, count: 0 } : this.#extent();
    const range = isWhole ? {} : { position: extent.first * sectorBytes, length: extent.count * sectorBytes };
    const number = this.#number();
    const isFull = whole || this.#random.below(2) === 0;
    sendReport(this.#shape.fd, { kind: reports.syncBegin, number, way: isFull ? "sync" : "datasync", ...extent });
    try {
      if (isFull) await this.#file.sync(range);
      else await this.#file.datasync(range);
    } catch (error) {
      return this.#syncFailed(number, error);
    }
    sendReport(this.#shape.fd, { kind: reports.syncEnd, number });
    return true;
  }

  #syncSync(): void {
    const number = this.#number();
    sendReport(this.#shape.fd, { kind: reports.syncBegin, number, way: "syncSync" });
    try {
      this.#file.syncSync();
    } catch (error) {
      if (codeOf(error) === "EDEADLK") this.#giveUp(number);
      else this.#syncFailed(number, error);
      return;
    }
    sendReport(this.#shape.fd, { kind: reports.syncEnd, number });
  }

  #syncFailed(number: number, error: unknown): false {
    const code = codeOf(error);
    const { mayBreak, mayLackSpace, fd } = this.#shape;
    // Whether a lack of space may come this late is for the listener to judge.
    const lacksSpace = code === "ENOSPC" && mayLackSpace;
    if (!lacksSpace && !(code === "EIO" && mayBreak)) throw error as Error;
    sendReport(fd, { kind: reports.syncFailed, number, flavour: lacksSpace ? 1 : 0 });
    return false;
  }
}
