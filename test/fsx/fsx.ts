/**
 * Random operations on one file, each compared with a plain array: reads, writes and copies by whatever ways the file has, cuts and
 * extensions, holes, syncs, dropped caches, closing and opening again. After a sync the file is read by somebody else too.
 *
 * After the idea of the fsx of xfstests; nothing of its text. A failure carries the last operations, oldest first.
 *
 * Invariant: `bytes.subarray(0, size)` is what the file has to read as; bytes past the size are zeros.
 *
 * See also: library-file.ts and kernel-file.ts (what it is run on), run-fsx.ts.
 */
import type { SeededRandom } from "../../src/testing/index.js";

export type Reader = (position: number, target: Buffer) => Promise<void> | void;
export type Writer = (position: number, bytes: Buffer) => Promise<void> | void;

/** A file under test. Ranges of readers and of `writers` lie in the file; `growers` may also write past the end. */
export interface FsxFile {
  readonly readers: Readonly<Record<string, Reader>>;
  readonly writers: Readonly<Record<string, Writer>>;
  readonly growers: Readonly<Record<string, Writer>>;
  size(): number | Promise<number>;
  truncate(length: number): Promise<void>;
  /** The range reads as zeros afterwards, the size stays. */
  punch(position: number, length: number): Promise<void> | void;
  /** Space without contents, not past the end. */
  allocate?(position: number, length: number): Promise<void> | void;
  sync(position: number, length: number): Promise<void> | void;
  /** What was kept of the range in memory is dropped, unless somebody needs it. */
  drop(position: number, length: number): Promise<void> | void;
  reopen(): Promise<void>;
  /** What is wrong inside. */
  verify?(): Promise<void> | void;
  /** All bytes, by a way that does not share anything with this one. Called after a sync of everything. */
  elsewhere(): Buffer | Promise<Buffer>;
}

const block = 4096;
const logMax = 40;

type Operation = readonly [weight: number, name: string, run: (fsx: Fsx) => Promise<void>];

export class Fsx {
  readonly #file: FsxFile;
  readonly #random: SeededRandom;
  readonly #bytes: Buffer;
  readonly #maxBytes: number;
  readonly #log: string[] = [];
  #size = 0;
  /** Operations so far, by name. */
  readonly counts = new Map<string, number>();

  /** The file is empty. */
  constructor(file: FsxFile, maxBytes: number, random: SeededRandom) {
    this.#file = file;
    this.#random = random;
    this.#maxBytes = maxBytes;
    this.#bytes = Buffer.alloc(maxBytes);
  }

  /** @throws Error with the last operations where something is not as it has to be */
  async step(): Promise<void> {
    let left = this.#random.below(total);
    for (const [weight, name, run] of operations) {
      left -= weight;
      if (left < 0) return this.#run(name, () => run(this));
    }
  }

  /** The end: all is durable, and the same everywhere. */
  async finish(): Promise<void> {
    await this.#run("the end", async () => {
      await this.syncAll();
      await this.#file.reopen();
      await this.readWhole();
      await this.#file.verify?.();
    });
  }

  async #run(name: string, work: () => Promise<void>): Promise<void> {
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
    this.#log.push(name);
    if (this.#log.length > logMax) this.#log.shift();
    try {
      await work();
      const size = await this.#file.size();
      if (size !== this.#size) throw new Error(`the size is ${size}, not ${this.#size}`);
    } catch (error) {
      throw new Error(`${(error as Error).message}\n  ${this.#log.join("\n  ")}`, { cause: error });
    }
  }

  #say(text: string): void {
    this.#log[this.#log.length - 1] += ` ${text}`;
  }

  #pick<T>(from: Readonly<Record<string, T>>): T {
    const names = Object.keys(from);
    const name = names[this.#random.below(names.length)] as string;
    this.#say(name);
    return from[name] as T;
  }

  /** A range; undefined in an empty file. Edges are often those of blocks or next to them. */
  #range(end = this.#size): { position: number; length: number } | undefined {
    if (end === 0) return undefined;
    let position = this.#random.below(end);
    const style = this.#random.below(4);
    if (style === 0) position -= position % block;
    if (style === 1) position = Math.min(end - 1, position - (position % block) + block - 1);
    const most = Math.min(end - position, this.#random.below(8) === 0 ? 40 * block : 3 * block);
    let length = 1 + this.#random.below(most);
    if (style === 0 && length > block && this.#random.below(2) === 0) length -= length % block;
    this.#say(`[${position}, ${position + length})`);
    return { position, length };
  }

  #fresh(length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length);
    const [first, step] = [this.#random.below(256), 1 + this.#random.below(11)];
    for (let at = 0; at < length; at++) bytes[at] = (first + at * step + (at >> 8)) & 0xff;
    return bytes;
  }

  #compare(found: Buffer, position: number, what: string): void {
    const wanted = this.#bytes.subarray(position, position + found.length);
    if (wanted.equals(found)) return;
    let at = 0;
    while (found[at] === wanted[at]) at++;
    let wrong = 0;
    for (let i = at; i < found.length; i++) if (found[i] !== wanted[i]) wrong++;
    throw new Error(`${what}: byte ${position + at} is ${found[at]}, not ${wanted[at]}; ${wrong} bytes are wrong`);
  }

  async read(): Promise<void> {
    const range = this.#range();
    if (!range) return;
    const target = Buffer.alloc(range.length, 0xee);
    await this.#pick(this.#file.readers)(range.position, target);
    this.#compare(target, range.position, "read");
  }

  async readWhole(): Promise<void> {
    const target = Buffer.alloc(this.#size, 0xee);
    if (this.#size > 0) await this.#pick(this.#file.readers)(0, target);
    this.#compare(target, 0, "read");
  }

  async write(): Promise<void> {
    const range = this.#range();
    if (range) await this.#put(range.position, this.#fresh(range.length), this.#file.writers);
  }

  async grow(): Promise<void> {
    // Past the end by a hole now and then.
    const from = Math.max(0, this.#size - this.#random.below(2 * block));
    const position = Math.min(
      this.#maxBytes - 1,
      from + (this.#random.below(4) === 0 ? this.#random.below(9 * block) : 0),
    );
    const length = 1 + this.#random.below(Math.min(3 * block, this.#maxBytes - position));
    this.#say(`[${position}, ${position + length})`);
    await this.#put(position, this.#fresh(length), this.#file.growers);
  }

  async #put(position: number, bytes: Buffer, ways: Readonly<Record<string, Writer>>): Promise<void> {
    await this.#pick(ways)(position, bytes);
    bytes.copy(this.#bytes, position);
    this.#size = Math.max(this.#size, position + bytes.length);
  }

  async copy(): Promise<void> {
    const from = this.#range();
    const to = this.#range();
    if (!from || !to) return;
    const bytes = Buffer.alloc(Math.min(from.length, to.length));
    await this.#pick(this.#file.readers)(from.position, bytes);
    this.#compare(bytes, from.position, "read of a copy");
    await this.#put(to.position, bytes, this.#file.writers);
  }

  async writeZeros(): Promise<void> {
    const range = this.#range();
    if (range) await this.#put(range.position, Buffer.alloc(range.length), this.#file.writers);
  }

  async truncate(): Promise<void> {
    const near = this.#size - this.#random.below(3 * block) + this.#random.below(3 * block);
    const length = this.#random.below(5) === 0 ? this.#random.below(this.#maxBytes) : near;
    const to = Math.min(this.#maxBytes, Math.max(0, length));
    this.#say(`from ${this.#size} to ${to}`);
    await this.#file.truncate(to);
    if (to < this.#size) this.#bytes.fill(0, to, this.#size);
    this.#size = to;
  }

  async punch(): Promise<void> {
    const range = this.#range();
    if (!range) return;
    await this.#file.punch(range.position, range.length);
    this.#bytes.fill(0, range.position, range.position + range.length);
  }

  async allocate(): Promise<void> {
    const range = this.#range();
    if (range) await this.#file.allocate?.(range.position, range.length);
  }

  async sync(): Promise<void> {
    const range = this.#range();
    if (range) await this.#file.sync(range.position, range.length);
  }

  async syncAll(): Promise<void> {
    await this.#file.sync(0, this.#size);
    const found = await this.#file.elsewhere();
    if (found.length !== this.#size) throw new Error(`elsewhere the size is ${found.length}, not ${this.#size}`);
    this.#compare(found, 0, "elsewhere");
  }

  async drop(): Promise<void> {
    const range = this.#range();
    if (range) await this.#file.drop(range.position, range.length);
  }

  async reopen(): Promise<void> {
    await this.#file.reopen();
  }

  async verify(): Promise<void> {
    await this.#file.verify?.();
  }
}

const operations: readonly Operation[] = [
  [26, "read", (fsx) => fsx.read()],
  [26, "write", (fsx) => fsx.write()],
  [10, "grow", (fsx) => fsx.grow()],
  [6, "copy", (fsx) => fsx.copy()],
  [3, "zeros", (fsx) => fsx.writeZeros()],
  [6, "truncate", (fsx) => fsx.truncate()],
  [6, "punch", (fsx) => fsx.punch()],
  [2, "allocate", (fsx) => fsx.allocate()],
  [3, "sync a range", (fsx) => fsx.sync()],
  [1, "sync", (fsx) => fsx.syncAll()],
  [6, "drop", (fsx) => fsx.drop()],
  [1, "reopen", (fsx) => fsx.reopen()],
  [2, "verify", (fsx) => fsx.verify()],
  [1, "read all", (fsx) => fsx.readWhole()],
];
const total = operations.reduce((sum, [weight]) => sum + weight, 0);
