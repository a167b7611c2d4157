/**
 * The model: a file as a plain array, and one random operation at a time, done to both and compared.
 *
 * Invariants: `bytes.subarray(0, size)` is what the file has to read as after each operation; `touched` has each block of
 * 4 KiB that a write, a write pin or an allocation may have given space since it was last freed. Long-term pins of `held`
 * stay over other operations.
 *
 * See also: model.test.ts, which runs these; docs/testing.md.
 */
import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import type { CachedFile, PageCache, UserPages } from "../../src/index.js";
import type { SeededRandom } from "../../src/testing/index.js";
import { settle } from "./settle.js";

const block = 4096;

/** A file that the model can open again, and whose storage it can look at. */
export interface Subject {
  readonly cache: PageCache;
  readonly pageSize: number;
  readonly maxBytes: number;
  file: CachedFile;
  reopen(): Promise<CachedFile>;
  /** All bytes as the storage has them. */
  stored(): Promise<Uint8Array> | Uint8Array;
  /** Blocks that have space and blocks that are only reserved, where the storage can tell. */
  usage?(): { allocatedBlocks: number; reservedBlocks: number };
  readonly canAllocate: boolean;
}

interface HeldPin {
  readonly pages: UserPages;
  readonly position: number;
  readonly length: number;
  readonly write: boolean;
  changed: boolean;
}

type Operation = (model: ArrayModel) => Promise<void> | void;

function codeOf(error: unknown): unknown {
  return (error as { code?: unknown } | null)?.code;
}

export class ArrayModel {
  readonly subject: Subject;
  readonly random: SeededRandom;
  readonly bytes: Uint8Array;
  size: number;
  /** What the last operation was, for the message. */
  said = "nothing yet";
  readonly #held: HeldPin[] = [];
  readonly #touched = new Set<number>();

  constructor(subject: Subject, random: SeededRandom) {
    this.subject = subject;
    this.random = random;
    this.bytes = new Uint8Array(subject.maxBytes);
    this.size = subject.file.size;
  }

  async step(): Promise<void> {
    let left = this.random.below(total);
    for (const [weight, name, operation] of operations) {
      left -= weight;
      if (left >= 0) continue;
      this.said = name;
      await operation(this);
      strictEqual(this.subject.file.size, this.size, "the size");
      return;
    }
  }

  #say(text: string): void {
    this.said += ` ${text}`;
  }

  /** A random range of at most `most` bytes; inside the file, unless `past`. undefined in an empty file. */
  #range(most: number, past = false): { position: number; length: number } | undefined {
    const end = past ? this.subject.maxBytes : this.size;
    if (end === 0) return undefined;
    const aligned = this.random.below(3) === 0;
    let position = this.random.below(end);
    if (aligned) position -= position % block;
    let length = 1 + this.random.below(Math.min(most, end - position));
    if (aligned && length > block) length -= length % block;
    this.#say(`[${position}, ${position + length})`);
    return { position, length };
  }

  #fresh(length: number): Uint8Array {
    const data = new Uint8Array(length);
    const first = 1 + this.random.below(255);
    const step = this.random.below(7);
    for (let i = 0; i < length; i++) data[i] = 1 + ((first + i * step + (i >> 8)) % 255);
    return data;
  }

  /** Bytes that the model takes as written. */
  #put(position: number, data: Uint8Array): void {
    this.bytes.set(data, position);
    this.size = Math.max(this.size, position + data.length);
    this.#touch(position, data.length);
  }

  #touch(position: number, length: number): void {
    for (let at = Math.floor(position / block); at * block < position + length; at++) this.#touched.add(at);
  }

  #same(actual: Uint8Array, position: number, what: string): void {
    const wanted = this.bytes.subarray(position, position + actual.length);
    if (Buffer.compare(actual, wanted) === 0) return;
    const at = actual.findIndex((byte, i) => byte !== wanted[i]);
    throw new Error(`${what}: byte ${position + at} is ${actual[at]}, not ${wanted[at]}`);
  }

  #samePages(pages: UserPages, what: string): void {
    for (const page of pages) this.#same(page.bytes, page.position, what);
  }

  /** Changes a random part of a pinned range, in the cache and in the model. */
  #scribble(pages: UserPages, position: number, length: number): void {
    const from = this.random.below(length);
    const data = this.#fresh(1 + this.random.below(Math.min(length - from, 2 * block)));
    strictEqual(pages.copyFrom(data, from), data.length);
    this.#put(position + from, data);
  }

  #anyHeld(from: number, to: number): boolean {
    return this.#held.some((pin) => pin.position < to && pin.position + pin.length > from);
  }

  async read(): Promise<void> {
    const position = this.random.below(this.subject.maxBytes);
    const target = Buffer.alloc(1 + this.random.below(3 * this.subject.pageSize));
    this.#say(`[${position}, +${target.length})`);
    const { bytesRead } = await this.subject.file.read(target, 0, target.length, position);
    strictEqual(bytesRead, Math.max(0, Math.min(target.length, this.size - position)), "bytes read");
    this.#same(target.subarray(0, bytesRead), position, "read");
  }

  tryRead(): void {
    const range = this.#range(2 * this.subject.pageSize);
    if (!range) return;
    const target = new Uint8Array(range.length);
    if (this.subject.file.tryRead(target, range.position)) this.#same(target, range.position, "tryRead");
  }

  async write(): Promise<void> {
    const range = this.#range(2 * this.subject.pageSize, this.random.below(4) === 0);
    if (!range) return;
    const data = this.#fresh(range.length);
    const { bytesWritten } = await this.subject.file.write(data, 0, data.length, range.position);
    strictEqual(bytesWritten, data.length, "bytes written");
    this.#put(range.position, data);
  }

  tryWrite(): void {
    const range = this.#range(this.subject.pageSize);
    if (!range) return;
    const data = this.#fresh(range.length);
    if (this.subject.file.tryWrite(data, range.position)) this.#put(range.position, data);
  }

  async pin(most: number, write: boolean): Promise<void> {
    const range = this.#range(most);
    if (!range) return;
    const pages = await this.subject.file.getUserPages(range.position, range.length, { write });
    this.#samePages(pages, "pin");
    if (write) {
      this.#touch(range.position, range.length);
      if (this.random.below(5) !== 0) this.#scribble(pages, range.position, range.length);
      else {
        this.#say("unmodified");
        pages.putUnmodified();
        return;
      }
    }
    pages.put();
  }

  async changingPin(): Promise<void> {
    const range = this.#range(this.subject.pageSize);
    if (!range) return;
    const pages = await this.subject.file.getUserPages(range.position, range.length);
    await pages.upgrade();
    this.#touch(range.position, range.length);
    this.#samePages(pages, "upgraded pin");
    this.#scribble(pages, range.position, range.length);
    if (this.random.below(2) === 0) await pages.flush();
    if (this.random.below(2) === 0) pages.downgrade();
    this.#samePages(pages, "downgraded pin");
    pages.put();
  }

  tryPin(): void {
    const range = this.#range(2 * this.subject.pageSize);
    if (!range) return;
    const write = this.random.below(2) === 0;
    const pages = this.subject.file.tryGetUserPages(range.position, range.length, { write });
    if (!pages) return;
    this.#samePages(pages, "tryGetUserPages");
    if (write) {
      this.#touch(range.position, range.length);
      this.#scribble(pages, range.position, range.length);
    }
    pages.put();
  }

  async hold(): Promise<void> {
    const range = this.#range(2 * this.subject.pageSize);
    if (!range || this.#held.length >= 4) return;
    const write = this.random.below(2) === 0;
    this.#say(write ? "write" : "read");
    const pages = await this.subject.file.getUserPages(range.position, range.length, { write, longterm: true });
    if (write) this.#touch(range.position, range.length);
    this.#held.push({ pages, ...range, write, changed: false });
  }

  useHeld(): void {
    const pin = this.#held[this.random.below(Math.max(1, this.#held.length))];
    if (!pin) return;
    this.#samePages(pin.pages, "long-term pin");
    if (!pin.write) return;
    pin.changed = true;
    this.#scribble(pin.pages, pin.position, pin.length);
  }

  letGo(): void {
    const pin = this.#held.pop();
    if (!pin) return;
    this.#samePages(pin.pages, "long-term pin at its put");
    if (pin.write && !pin.changed) pin.pages.putUnmodified();
    else pin.pages.put();
  }

  async several(): Promise<void> {
    const { file, cache } = this.subject;
    const ranges = [];
    for (let i = 0; i < 3; i++) {
      const range = this.#range(this.subject.pageSize);
      if (!range) return;
      ranges.push({ file, ...range, write: this.random.below(2) === 0 });
    }
    const pinned = await cache.pin(ranges);
    for (const [i, pages] of pinned.ranges.entries()) {
      const { position, length, write } = ranges[i] as (typeof ranges)[number];
      this.#samePages(pages, "one of several");
      if (!write) continue;
      this.#touch(position, length);
      this.#scribble(pages, position, length);
    }
    pinned.put();
  }

  async truncate(): Promise<void> {
    const length =
      this.random.below(6) === 0
        ? this.random.below(this.subject.maxBytes)
        : Math.max(0, this.size - this.random.below(5 * block));
    this.#say(`to ${length}`);
    const busy = length < this.size && this.#held.some((pin) => pin.position + pin.length > length);
    const failure = await this.subject.file.truncate(length).then(() => undefined, codeOf);
    strictEqual(failure, busy ? "EBUSY" : undefined, "truncate");
    if (busy) return;
    if (length < this.size) {
      this.bytes.fill(0, length, this.size);
      for (const at of this.#touched) if (at * block >= length) this.#touched.delete(at);
    }
    this.size = length;
  }

  async punch(): Promise<void> {
    const range = this.#range(4 * this.subject.pageSize);
    if (!range) return;
    const { pageSize } = this.subject;
    const to = range.position + range.length;
    const firstPage = Math.floor(range.position / pageSize) * pageSize;
    const busy = this.#held.some((pin) => {
      const pinEnd = Math.ceil((pin.position + pin.length) / pageSize) * pageSize;
      return Math.floor(pin.position / pageSize) * pageSize < Math.ceil(to / pageSize) * pageSize && pinEnd > firstPage;
    });
    const failure = await this.subject.file.punchHole(range.position, range.length).then(() => undefined, codeOf);
    strictEqual(failure, busy ? "EBUSY" : undefined, "punch");
    if (busy) return;
    this.bytes.fill(0, range.position, to);
    for (let at = Math.ceil(range.position / block); (at + 1) * block <= to; at++) this.#touched.delete(at);
  }

  async allocate(): Promise<void> {
    const range = this.#range(2 * this.subject.pageSize);
    if (!range || !this.subject.canAllocate) return;
    await this.subject.file.allocate(range.position, range.length);
  }

  async sync(data: boolean): Promise<void> {
    const whole = this.random.below(3) !== 0;
    const range = whole ? undefined : this.#range(8 * this.subject.pageSize);
    if (data) await this.subject.file.datasync(range ?? {});
    else await this.subject.file.sync(range ?? {});
    if (whole) await this.compareStore();
    else if (range) {
      const stored = (await this.subject.stored()).subarray(range.position, range.position + range.length);
      this.#same(stored, range.position, "the storage after a sync of a range");
    }
  }

  /** After a sync of everything: the storage has what the model has, and no more space than was ever asked for. */
  async compareStore(): Promise<void> {
    const stored = await this.subject.stored();
    strictEqual(stored.length, this.size, "the size of the storage");
    this.#same(stored, 0, "the storage after a sync");
    const usage = this.subject.usage?.();
    if (!usage) return;
    ok(
      usage.allocatedBlocks <= this.#touched.size,
      `${usage.allocatedBlocks} blocks have space, ${this.#touched.size} were ever written`,
    );
    if (this.#held.length === 0) strictEqual(usage.reservedBlocks, 0, "nothing is reserved when nothing is dirty");
  }

  invalidate(): void {
    const range = this.#range(4 * this.subject.pageSize);
    if (!range) return;
    try {
      this.subject.file.invalidate(range.position, range.length);
    } catch (error) {
      deepStrictEqual(codeOf(error), "EBUSY");
      return;
    }
    ok(!this.#anyHeld(range.position, range.position + range.length), "a pinned page is not invalidated");
  }

  async advise(): Promise<void> {
    const range = this.#range(4 * this.subject.pageSize);
    if (!range) return;
    await this.subject.file.advise(range.position, range.length, this.random.below(2) === 0 ? "willneed" : "dontneed");
  }

  async flush(): Promise<void> {
    const step = this.subject.cache.core.flusher.step(this.random.below(2) === 0);
    if (this.random.below(2) === 0) await step;
  }

  async closeAndReopen(): Promise<void> {
    if (this.#held.length > 0) {
      const failure = await this.subject.file.close().then(() => undefined, codeOf);
      strictEqual(failure, "EBUSY", "close with pinned pages");
      return;
    }
    await this.subject.file.close();
    this.subject.file = await this.subject.reopen();
    await this.compareStore();
  }

  async verify(quiesce: boolean): Promise<void> {
    if (quiesce) await settle(this.subject.cache);
    this.subject.cache.verify({ quiesce });
  }

  /** Ends all pins and compares everything. */
  async finish(): Promise<void> {
    while (this.#held.length > 0) this.letGo();
    await this.subject.file.sync();
    await this.compareStore();
    await this.verify(true);
  }
}

const operations: [number, string, Operation][] = [
  [140, "read", (model) => model.read()],
  [80, "tryRead", (model) => model.tryRead()],
  [160, "write", (model) => model.write()],
  [60, "tryWrite", (model) => model.tryWrite()],
  [80, "read pin", (model) => model.pin(model.subject.pageSize, false)],
  [120, "write pin", (model) => model.pin(model.subject.pageSize, true)],
  [30, "read pin of several pages", (model) => model.pin(6 * model.subject.pageSize, false)],
  [40, "write pin of several pages", (model) => model.pin(6 * model.subject.pageSize, true)],
  [20, "upgrade", (model) => model.changingPin()],
  [60, "tryGetUserPages", (model) => model.tryPin()],
  [20, "long-term pin", (model) => model.hold()],
  [30, "use of a long-term pin", (model) => model.useHeld()],
  [24, "put of a long-term pin", (model) => model.letGo()],
  [20, "pin of several ranges", (model) => model.several()],
  [20, "truncate", (model) => model.truncate()],
  [20, "punch", (model) => model.punch()],
  [6, "allocate", (model) => model.allocate()],
  [6, "sync", (model) => model.sync(false)],
  [6, "datasync", (model) => model.sync(true)],
  [16, "invalidate", (model) => model.invalidate()],
  [10, "advise", (model) => model.advise()],
  [10, "write-back", (model) => model.flush()],
  [2, "close and reopen", (model) => model.closeAndReopen()],
  [20, "verify", (model) => model.verify(false)],
  [4, "verify quiet", (model) => model.verify(true)],
];
const total = operations.reduce((sum, [weight]) => sum + weight, 0);
