/**
 * A cached file as a network disk.
 *
 * Reads and writes go through the copying calls, so a page is locked for the copy alone, however slow the client. The disk has
 * the size that the file had when it was opened; writes never extend it.
 *
 * Clients may have more requests on their way than the cache has frames or places for waiters: what cannot be served at once
 * waits in line, at most limits.nbdWaitsMax reads and as many writes of one cache at a time. Writes that the dirty limit
 * delays do not hold up reads.
 *
 * TRIM gives back whole blocks inside its range and leaves the edges as they are (the client said that it does not care).
 * WRITE_ZEROES punches whole blocks where it may, and writes zeros at the edges.
 *
 * See also: device.ts (the contract), line.ts, mapping/copy.ts, mapping/punch.ts.
 */
import { CachedFile } from "../api/cached-file.js";
import { PinfoldError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { AddressSpace } from "../cache/space.js";
import type { Core } from "../mapping/core.js";
import { read, tryRead, tryWrite, write } from "../mapping/copy.js";
import { punchHole } from "../mapping/punch.js";
import { sync } from "../mapping/sync.js";
import { loadRange } from "../mapping/try-pin.js";
import type { NbdDevice } from "./device.js";
import { Line } from "./line.js";

/** Share of the cache that one CACHE request may fill. */
const cacheShare = 1 / 4;

interface Lines {
  readonly reads: Line;
  readonly writes: Line;
}

/** One pair a cache: all its devices compete for the same frames. */
const linesOf = new WeakMap<Core, Lines>();

function linesFor(core: Core): Lines {
  let lines = linesOf.get(core);
  if (lines === undefined) {
    lines = { reads: new Line(limits.nbdWaitsMax), writes: new Line(limits.nbdWaitsMax) };
    linesOf.set(core, lines);
  }
  return lines;
}

export class FileDevice implements NbdDevice {
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  readonly description: string;
  readonly #core: Core;
  readonly #space: AddressSpace;
  readonly #lines: Lines;

  constructor(file: CachedFile) {
    this.#core = CachedFile.coreOf(file);
    this.#space = CachedFile.spaceOf(file, this.#core);
    this.#lines = linesFor(this.#core);
    this.sizeBytes = file.size;
    this.readOnly = file.readOnly;
    this.description = file.name;
  }

  tryRead(target: Uint8Array, position: number): boolean {
    return tryRead(this.#core, this.#space, target, position);
  }

  async read(target: Uint8Array, position: number, signal: AbortSignal): Promise<void> {
    await this.#lines.reads.enter();
    try {
      for (let done = 0; done < target.length; ) {
        const bytes = await read(this.#core, this.#space, target.subarray(done), position + done, signal);
        if (bytes === 0) {
          const message = `${this.description} ends at ${this.#space.size}: it was cut while it was served`;
          throw new PinfoldError("EIO", message);
        }
        done += bytes;
      }
    } finally {
      this.#lines.reads.leave();
    }
  }

  tryWrite(source: Uint8Array, position: number): boolean {
    return tryWrite(this.#core, this.#space, source, position);
  }

  async write(source: Uint8Array, position: number, signal: AbortSignal): Promise<void> {
    await this.#lines.writes.enter();
    try {
      for (let done = 0; done < source.length; ) {
        done += await write(this.#core, this.#space, source.subarray(done), position + done, signal);
      }
    } finally {
      this.#lines.writes.leave();
    }
  }

  async flush(): Promise<void> {
    if (!this.readOnly) await sync(this.#core, this.#space, { data: true });
  }

  async flushRange(position: number, length: number): Promise<void> {
    await sync(this.#core, this.#space, { position, length, data: true });
  }

  async trim(position: number, length: number, signal: AbortSignal): Promise<void> {
    const { from, to } = wholeBlocks(position, length);
    if (to > from && this.#space.store.capabilities.punchesHoles) await this.#punch(from, to, signal);
  }

  async writeZeroes(
    position: number,
    length: number,
    options: { readonly mayPunch: boolean; readonly fast: boolean },
    signal: AbortSignal,
  ): Promise<void> {
    const end = position + length;
    if (!options.mayPunch || !this.#space.store.capabilities.punchesHoles) {
      if (options.fast) throw new PinfoldError("ENOTSUP", "zeros without a hole are not quicker than a write");
      await this.#zeros(position, end, signal);
      return;
    }
    const { from, to } = wholeBlocks(position, length);
    if (to <= from) {
      await this.#zeros(position, end, signal);
      return;
    }
    await this.#zeros(position, from, signal);
    await this.#punch(from, to, signal);
    await this.#zeros(to, end, signal);
  }

  /** Punches wait for each other in any case: for the file's resize mutex. */
  async #punch(from: number, to: number, signal: AbortSignal): Promise<void> {
    await this.#lines.writes.enter();
    try {
      await punchHole(this.#core, this.#space, from, to - from, { signal });
    } finally {
      this.#lines.writes.leave();
    }
  }

  async #zeros(from: number, to: number, signal: AbortSignal): Promise<void> {
    for (let at = from; at < to; ) {
      const piece = new Uint8Array(Math.min(limits.nbdPieceBytes, to - at));
      await this.write(piece, at, signal);
      at += piece.length;
    }
  }

  async cache(position: number, length: number, signal: AbortSignal): Promise<void> {
    const { pageSize } = this.#space;
    const most = Math.max(1, Math.floor(this.#core.frames.count * cacheShare)) * pageSize;
    const last = Math.floor((position + Math.min(length, most) - 1) / pageSize);
    await this.#lines.reads.enter();
    try {
      await loadRange(this.#core, this.#space, Math.floor(position / pageSize), last, signal);
    } finally {
      this.#lines.reads.leave();
    }
  }
}

function wholeBlocks(position: number, length: number): { from: number; to: number } {
  return {
    from: Math.ceil(position / limits.blockSize) * limits.blockSize,
    to: Math.floor((position + length) / limits.blockSize) * limits.blockSize,
  };
}
