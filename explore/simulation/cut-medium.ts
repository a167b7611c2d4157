/**
 * A medium with a write cache that a power cut empties: of what was not synced, each sector stays as it was at any time since.
 *
 * A sync that fails drops written bytes, as kernels do, and no cuts: these are the journal's. (A hole's edges inside a block are written
 * bytes to some file systems: docs/durability.md.)
 *
 * See also: ../runtime/medium.ts, ../../src/stores/faulty/sector-history.ts (what may be left).
 */
import type { SeededRandom } from "../../src/base/seeded.js";
import { SectorHistory } from "../../src/stores/faulty/sector-history.js";
import { type Image, Medium } from "../runtime/medium.js";

/** Bytes that are written as a whole: half a block, so that a block can be torn, too. */
export const sectorBytes = 4;

const cut = 1;
const syncing = 2;

interface TimedImage extends Image {
  readonly time: number;
}

export class CutMedium extends Medium {
  #history = new SectorHistory(0);
  /** Of each byte: cut since the last good sync began, or before the one that is on its way. */
  readonly #cuts = new Uint8Array(this.bytes.length);
  /** The operation that is being done; 0: none. */
  #operation = 0;

  /** Set to be told of syncs that have failed. */
  onLost: () => void = () => {};

  /** Sectors that a power cut now could leave in more than one state. */
  get openSectors(): number {
    return this.#history.size;
  }

  /** One operation on bytes from `from` to `to`, and on the size. */
  #change(from: number, to: number, isCut: boolean, work: () => void): void {
    // A part of an operation that is noted as a whole.
    if (this.#operation > 0) return work();
    const history = this.#history;
    this.#operation = history.begin();
    const first = Math.floor(from / sectorBytes);
    const end = Math.ceil(Math.min(to, this.bytes.length) / sectorBytes);
    for (let sector = first; sector < end; sector++)
      if (!history.knows(sector)) history.note(sector, this.#bytesOf(sector));
    if (isCut) history.addCut(this.#operation);
    work();
    for (let sector = first; sector < end; sector++) history.add(sector, this.#operation, this.#bytesOf(sector), isCut);
    history.done(this.#operation);
    this.#operation = 0;
  }

  #bytesOf(sector: number): Uint8Array {
    return this.bytes.slice(sector * sectorBytes, (sector + 1) * sectorBytes);
  }

  override get size(): number {
    return super.size;
  }

  override set size(size: number) {
    if (size === super.size) return;
    if (this.#operation > 0) this.#history.addSize(this.#operation, size);
    else this.#change(0, 0, false, () => this.#history.addSize(this.#operation, size));
    super.size = size;
  }

  override write(position: number, buffers: readonly Uint8Array[]): void {
    const length = buffers.reduce((sum, buffer) => sum + buffer.length, 0);
    this.#change(position, position + length, false, () => super.write(position, buffers));
    this.#cuts.fill(0, position, position + length);
  }

  override drop(from: number, to: number): void {
    this.#change(from, to, true, () => super.drop(from, to));
    this.#cuts.fill(cut, from, Math.min(to, this.bytes.length));
  }

  override truncate(size: number): void {
    this.#change(size, Infinity, true, () => super.truncate(size));
  }

  override image(): TimedImage {
    this.#cuts.forEach((state, at) => {
      if (state === cut) this.#cuts[at] = syncing;
    });
    return { ...super.image(), time: this.#history.now() };
  }

  override noteDurable(image: Image): void {
    super.noteDurable(image);
    this.#cuts.forEach((state, at) => {
      if (state === syncing) this.#cuts[at] = 0;
    });
    this.#history.settle((image as TimedImage).time);
  }

  override loseVolatile(): void {
    this.#change(0, this.bytes.length, false, () => {
      super.loseVolatile();
      this.#cuts.forEach((state, at) => {
        if (state !== 0) this.bytes[at] = 0;
      });
    });
    this.onLost();
  }

  /** The process ends: what was reserved is free, all else stays, as the kernel has it. */
  processEnds(): void {
    this.forget(0, Infinity);
  }

  /** The power goes. */
  powerCut(random: SeededRandom): void {
    const { size, sectors } = this.#history.cut(random);
    for (const [sector, bytes] of sectors) this.bytes.set(bytes, sector * sectorBytes);
    this.bytes.fill(0, size);
    this.wakeUp(size);
    this.#cuts.fill(0);
    this.#history = new SectorHistory(size);
  }
}
