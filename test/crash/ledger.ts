/**
 * What clients wrote to a disk and what of it was promised to be durable, and the check of a disk against that.
 *
 * A block of 4 KiB has a version, counted up by each write; its sectors carry block, sector and version, so that every byte
 * tells where it comes from. At most one write of a block is on its way at a time. `durable[block]` is the newest version that
 * had been acknowledged when a FLUSH was sent that was acknowledged too (or that was written with FUA). After a crash each
 * sector has a version from `durable` to `issued`.
 */
import type { NbdClient } from "../nbd/client.js";

export const blockBytes = 4096;
const sectorBytes = 512;

export class Ledger {
  readonly blocks: number;
  readonly issued: Uint32Array;
  readonly acknowledged: Uint32Array;
  readonly durable: Uint32Array;
  readonly #busy: Uint8Array;
  /** Versions that were written as zeros. */
  readonly #zeros = new Map<number, Set<number>>();
  flushes = 0;
  /** The power has gone: what is told from now on makes nothing durable (docs/testing.md, a sync under way at the cut). */
  isCut = false;

  constructor(blocks: number) {
    this.blocks = blocks;
    this.issued = new Uint32Array(blocks);
    this.acknowledged = new Uint32Array(blocks);
    this.durable = new Uint32Array(blocks);
    this.#busy = new Uint8Array(blocks);
  }

  isFree(block: number, count: number): boolean {
    if (block + count > this.blocks) return false;
    for (let at = block; at < block + count; at++) if (this.#busy[at] !== 0) return false;
    return true;
  }

  /** Writes the next version of blocks. Resolves when it was acknowledged. */
  async write(client: NbdClient, block: number, count: number, how: "data" | "zeros" | "fua"): Promise<void> {
    const bytes = Buffer.alloc(count * blockBytes);
    for (let at = block; at < block + count; at++) {
      const version = (this.issued[at] as number) + 1;
      this.issued[at] = version;
      this.#busy[at] = 1;
      if (how === "zeros") this.#zerosOf(at).add(version);
      else fill(bytes.subarray((at - block) * blockBytes, (at - block + 1) * blockBytes), at, version);
    }
    const versions = this.issued.slice(block, block + count);
    if (how === "zeros") await client.writeZeroes(block * blockBytes, count * blockBytes);
    else await client.write(block * blockBytes, bytes, { fua: how === "fua" });
    for (let at = block; at < block + count; at++) {
      this.acknowledged[at] = versions[at - block] as number;
      if (how === "fua" && !this.isCut)
        this.durable[at] = Math.max(this.durable[at] as number, versions[at - block] as number);
      this.#busy[at] = 0;
    }
  }

  /** FLUSH: what was acknowledged before is durable once this was acknowledged. */
  async flush(client: NbdClient): Promise<void> {
    const before = this.acknowledged.slice();
    await client.flush();
    this.flushes += 1;
    if (this.isCut) return;
    for (let at = 0; at < this.blocks; at++) {
      this.durable[at] = Math.max(this.durable[at] as number, before[at] as number);
    }
  }

  /** Compares a disk with what it has to hold. What is wrong, in words; and takes what is there for the new beginning. */
  check(disk: Uint8Array): string[] {
    this.isCut = false;
    const wrong: string[] = [];
    for (let block = 0; block < this.blocks; block++) {
      const bytes = Buffer.from(disk.buffer, disk.byteOffset + block * blockBytes, blockBytes);
      const found = new Set<number>();
      for (let sector = 0; sector < blockBytes / sectorBytes; sector++) {
        const version = this.#versionOf(
          bytes.subarray(sector * sectorBytes, (sector + 1) * sectorBytes),
          block,
          sector,
        );
        if (version === undefined) {
          wrong.push(
            `block ${block} sector ${sector}: neither old nor new (durable ${this.durable[block]}, issued ${this.issued[block]})`,
          );
        } else found.add(version);
      }
      this.#restart(block, found);
    }
    return wrong;
  }

  /** After a crash nothing is on its way; a block torn between versions is not looked at until it is written again. */
  #restart(block: number, found: ReadonlySet<number>): void {
    this.#busy[block] = 0;
    const oldest = Math.min(...found);
    const version = Number.isFinite(oldest) ? oldest : 0;
    this.durable[block] = version;
    this.acknowledged[block] = version;
  }

  /** The version of a sector within what is allowed, or undefined. */
  #versionOf(bytes: Buffer, block: number, sector: number): number | undefined {
    const durable = this.durable[block] as number;
    const issued = this.issued[block] as number;
    if (bytes.every((byte) => byte === 0)) {
      if (durable === 0) return 0;
      for (let version = issued; version >= durable; version--) if (this.#zerosOf(block).has(version)) return version;
      return undefined;
    }
    const version = bytes.readUInt32LE(8);
    const expected = Buffer.alloc(blockBytes);
    fill(expected, block, version);
    const isWhole = expected.subarray(sector * sectorBytes, (sector + 1) * sectorBytes).equals(bytes);
    return isWhole && version >= durable && version <= issued ? version : undefined;
  }

  #zerosOf(block: number): Set<number> {
    let versions = this.#zeros.get(block);
    if (versions === undefined) this.#zeros.set(block, (versions = new Set()));
    return versions;
  }
}

/** Each sector: block, sector, version, and bytes that follow from them. */
function fill(bytes: Buffer, block: number, version: number): void {
  for (let sector = 0; sector < blockBytes / sectorBytes; sector++) {
    const part = bytes.subarray(sector * sectorBytes, (sector + 1) * sectorBytes);
    part.fill((block * 7 + sector * 3 + version * 13 + 1) & 0xff);
    part.writeUInt32LE(block, 0);
    part.writeUInt32LE(sector + 1, 4);
    part.writeUInt32LE(version, 8);
  }
}
