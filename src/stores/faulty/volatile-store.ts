/**
 * A store around any store, as a disk with a write cache that can lose power: of what was not synced any subset of sectors is there
 * afterwards, in any order (F15, F16, F18).
 *
 *     const disk = new VolatileStore(new MemoryStore({ sizeBytes: 1 << 20 }));
 *     // ... a cache writes to it, syncs now and then, and is in the midst of something
 *     await disk.powerCut(new SeededRandom(7));
 *     const after = disk.inner.reopen();                      // what the next start finds
 *
 * The inner store always has what was written last. What each sector was since the last good sync is kept here; a power cut waits for the
 * calls that are on their way in the inner store, then puts an older state back for the sectors that it chooses.
 *
 * Invariants: without a power cut it is invisible; after one every call fails with EIO, and the inner store is this object's no more.
 *
 * See also: sector-history.ts (what may be left), faulty-store.ts (errors, delays, damage).
 */
import { assert } from "../../base/assert.js";
import { PinfoldError } from "../../base/errors.js";
import type { SeededRandom } from "../../base/seeded.js";
import type { MkwriteRequest, Store, StoreCapabilities, SyncRequest } from "../../store/contract.js";
import { SectorHistory } from "./sector-history.js";

export interface VolatileStoreOptions {
  /** What is written as a whole or not at all: a power of two from 8 to 4096 that divides the inner store's block size. Default 512. */
  readonly sectorBytes?: number;
}

/** What a power cut has done. */
export interface PowerCut {
  /** Sectors that could have come out in more than one way. */
  readonly openSectors: number;
  /** Those that are not as they were written last. */
  readonly lostSectors: number;
  readonly sizeBytes: number;
}

interface Range {
  readonly from: number;
  readonly to: number;
}

export class VolatileStore<Inner extends Store = Store> implements Store {
  readonly inner: Inner;
  readonly capabilities: StoreCapabilities;
  readonly sizeBytes: number;
  readonly #sectorBytes: number;
  readonly #history: SectorHistory;
  /** Calls on their way in the inner store. */
  readonly #running = new Set<Promise<void>>();
  #size: number;
  #isOff = false;

  constructor(inner: Inner, { sectorBytes = 512 }: VolatileStoreOptions = {}) {
    const isPower = Number.isInteger(sectorBytes) && sectorBytes >= 8 && (sectorBytes & (sectorBytes - 1)) === 0;
    if (!isPower || inner.capabilities.blockSize % sectorBytes !== 0)
      throw new PinfoldError(
        "EINVAL",
        `sectorBytes ${sectorBytes} does not divide blocks of ${inner.capabilities.blockSize}`,
      );
    this.inner = inner;
    this.capabilities = { ...inner.capabilities, syncCalls: false };
    this.sizeBytes = inner.sizeBytes;
    this.#sectorBytes = sectorBytes;
    this.#size = inner.sizeBytes;
    this.#history = new SectorHistory(this.#size);
  }

  get key(): string {
    return this.inner.key;
  }

  get name(): string {
    return this.inner.name;
  }

  /** Sectors that a power cut now could leave in more than one state. */
  get openSectors(): number {
    return this.#history.size;
  }

  // --- power -------------------------------------------------------------------------------------------------------

  /** The power goes: nothing that is called from now on is done. The inner store then has what is left, durably. */
  async powerCut(random: SeededRandom): Promise<PowerCut> {
    this.#checkPower("powerCut");
    this.#isOff = true;
    await Promise.allSettled(this.#running);
    const openSectors = this.#history.size;
    const { size, sectors } = this.#history.cut(random);
    if (size > this.#size) await this.inner.setSize(size);
    else if (size < this.#size) await this.inner.truncate(size);
    for (const [sector, bytes] of [...sectors].toSorted(([a], [b]) => a - b)) await this.#putBack(sector, bytes, size);
    await this.inner.sync({ data: false });
    return { openSectors, lostSectors: sectors.size, sizeBytes: size };
  }

  async #putBack(sector: number, bytes: Uint8Array, size: number): Promise<void> {
    const { blockSize } = this.capabilities;
    const position = sector * this.#sectorBytes;
    const length = Math.min(bytes.length, size - position);
    if (length <= 0) return;
    await this.inner.pageMkwrite({ position, length, pageSize: blockSize, blocks: new Uint32Array(1) });
    await this.inner.writePages(position, [bytes.subarray(0, length)]);
  }

  #checkPower(operation: string): void {
    if (this.#isOff) throw new PinfoldError("EIO", `${operation}: ${this.name} has no power`, { operation });
  }

  // --- the store -----------------------------------------------------------------------------------------------------

  async readPages(position: number, buffers: readonly Uint8Array[]): Promise<void> {
    await this.#run("read", () => this.inner.readPages(position, buffers));
  }

  pageMkwrite(request: MkwriteRequest): Promise<void> | void {
    this.#checkPower("mkwrite");
    return this.inner.pageMkwrite(request);
  }

  cancelMkwrite(position: number, pageSize: number, blocks: number): void {
    if (!this.#isOff) this.inner.cancelMkwrite(position, pageSize, blocks);
  }

  setPageDirty(position: number, pageSize: number): void {
    if (!this.#isOff) this.inner.setPageDirty(position, pageSize);
  }

  async writePages(position: number, buffers: readonly Uint8Array[]): Promise<void> {
    await this.#run("write", async () => {
      const bytes = joined(buffers);
      const range = { from: position, to: position + bytes.length };
      const operation = await this.#change(range, false, (sector, at) => overlay(sector, at, bytes, position));
      this.#size = Math.max(this.#size, range.to);
      await this.inner.writePages(position, buffers);
      this.#history.done(operation);
    });
  }

  async sync(request: SyncRequest): Promise<void> {
    await this.#run("sync", async () => {
      const time = this.#history.now();
      await this.inner.sync(request);
      if (!this.#isOff) this.#history.settle(time);
    });
  }

  setSize(size: number): Promise<void> {
    return this.#run("setSize", async () => {
      if (size <= this.#size) return;
      const operation = this.#history.begin();
      this.#noteSize(operation, size);
      await this.inner.setSize(size);
      this.#history.done(operation);
    });
  }

  invalidatePages(from: number, to: number): void {
    if (!this.#isOff) this.inner.invalidatePages(from, to);
  }

  releasePage(position: number, pageSize: number): boolean {
    return this.#isOff || this.inner.releasePage(position, pageSize);
  }

  async truncate(size: number): Promise<void> {
    await this.#run("truncate", async () => {
      const operation = await this.#clear({ from: size, to: this.#size });
      this.#noteSize(operation, size);
      await this.inner.truncate(size);
      this.#history.done(operation);
    });
  }

  async punch(position: number, length: number): Promise<void> {
    await this.#run("punch", async () => {
      const operation = await this.#clear({ from: position, to: Math.min(this.#size, position + length) });
      await this.inner.punch(position, length);
      this.#history.done(operation);
    });
  }

  async allocate(position: number, length: number): Promise<void> {
    await this.#run("allocate", () => this.inner.allocate(position, length));
  }

  async close(): Promise<void> {
    if (this.#isOff) return;
    await this.inner.close();
  }

  // --- what was there --------------------------------------------------------------------------------------------------

  /** A call that is on its way when the power goes is over before anything is put back. */
  #run(operation: string, work: () => Promise<void>): Promise<void> {
    this.#checkPower(operation);
    const running = work();
    this.#running.add(running);
    const end = () => this.#running.delete(running);
    running.then(end, end);
    return running.then(() => this.#checkPower(operation));
  }

  #noteSize(operation: number, size: number): void {
    this.#size = size;
    this.#history.addSize(operation, size);
  }

  /** A cut or a punch: bytes that read as zeros from now on. Its number. */
  async #clear(range: Range): Promise<number> {
    const operation = await this.#change(range, true, (sector, at) => {
      sector.fill(0, Math.max(0, range.from - at), Math.min(sector.length, range.to - at));
    });
    this.#history.addCut(operation);
    return operation;
  }

  /** Notes what the sectors of a range are, and what `change` makes of them. The number of the operation. */
  async #change(range: Range, isCut: boolean, change: (sector: Uint8Array, at: number) => void): Promise<number> {
    const length = this.#sectorBytes;
    const first = Math.floor(range.from / length);
    const end = Math.ceil(range.to / length);
    // A sync that ends meanwhile forgets what is durable by then.
    do await this.#noteUnknown(first, end);
    while (!this.#knowsAll(first, end));
    const operation = this.#history.begin();
    for (let sector = first; sector < end; sector++) {
      const last = this.#history.last(sector);
      assert(last !== undefined, "what a sector was is known before it is changed");
      const bytes = last.slice();
      change(bytes, sector * length);
      this.#history.add(sector, operation, bytes, isCut);
    }
    return operation;
  }

  #knowsAll(first: number, end: number): boolean {
    for (let sector = first; sector < end; sector++) if (!this.#history.knows(sector)) return false;
    return true;
  }

  /** Reads what is not known yet of sectors [first, end): it is durable. */
  async #noteUnknown(first: number, end: number): Promise<void> {
    const length = this.#sectorBytes;
    for (let from = first; from < end; ) {
      let to = from;
      while (to < end && !this.#history.knows(to)) to++;
      if (to > from) {
        const bytes = new Uint8Array((to - from) * length);
        await this.inner.readPages(from * length, [bytes]);
        for (let sector = from; sector < to; sector++)
          if (!this.#history.knows(sector))
            this.#history.note(sector, bytes.slice((sector - from) * length, (sector - from + 1) * length));
      }
      from = Math.max(to, from + 1);
    }
  }
}

function joined(buffers: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(buffers.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const buffer of buffers) {
    bytes.set(buffer, at);
    at += buffer.length;
  }
  return bytes;
}

/** Puts the part of `bytes`, which begin at `position`, into a sector that begins at `at`. */
function overlay(sector: Uint8Array, at: number, bytes: Uint8Array, position: number): void {
  const from = Math.max(at, position);
  const to = Math.min(at + sector.length, position + bytes.length);
  sector.set(bytes.subarray(from - position, to - position), from - at);
}
