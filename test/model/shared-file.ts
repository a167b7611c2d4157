/**
 * Several tasks on one file at once, each with bytes of its own: of every page of the common part task t owns the t-th slice,
 * so that tasks meet on pages but never on bytes. One more task cuts, extends and punches the part behind that.
 *
 * Invariants: `bytes` is what the file has to read as, each byte kept by its owner alone; an operation that failed with a code
 * of `mayFail` has changed nothing.
 *
 * See also: tasks.test.ts.
 */
import { strictEqual } from "node:assert/strict";
import { setImmediate } from "node:timers/promises";
import type { CachedFile, PageCache, UserPages } from "../../src/index.js";
import type { SeededRandom } from "../../src/testing/index.js";

export interface Shared {
  readonly cache: PageCache;
  readonly file: CachedFile;
  readonly random: SeededRandom;
  readonly tasks: number;
  /** Pages of the common part. */
  readonly pages: number;
  readonly tailPages: number;
  readonly bytes: Uint8Array;
  size: number;
  /** Codes that operations may fail with, beyond those that are always possible. */
  readonly mayFail: ReadonlySet<string>;
  /** How often each code came. */
  readonly failures: Map<string, number>;
}

const aborted = new Error("aborted by the test");
/** A scope or an upgrade may meet another's; counted pins may be at their limit. */
const always = new Set(["EDEADLK", "ERR_PINFOLD_PIN_LIMIT"]);

/** Runs one operation; false if it failed as it may. */
async function attempt(shared: Shared, work: () => Promise<void> | void): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    const code = error === aborted ? "aborted" : String((error as { code?: unknown }).code);
    if (error !== aborted && !always.has(code) && !shared.mayFail.has(code)) throw error;
    shared.failures.set(code, (shared.failures.get(code) ?? 0) + 1);
    return false;
  }
}

export class SliceTask {
  readonly #shared: Shared;
  readonly #number: number;
  readonly #slice: number;
  #held: { pages: UserPages; page: number }[] = [];

  constructor(shared: Shared, number: number) {
    this.#shared = shared;
    this.#number = number;
    this.#slice = Math.floor(shared.file.pageSize / shared.tasks);
  }

  #start(page: number): number {
    return page * this.#shared.file.pageSize + this.#number * this.#slice;
  }

  #anyPage(span = 1): number {
    return this.#shared.random.below(this.#shared.pages - span + 1);
  }

  #fresh(): Uint8Array {
    const data = new Uint8Array(1 + this.#shared.random.below(this.#slice));
    return data.fill(1 + this.#shared.random.below(255));
  }

  #check(actual: Uint8Array, position: number, what: string): void {
    const wanted = this.#shared.bytes.subarray(position, position + actual.length);
    if (Buffer.compare(actual, wanted) === 0) return;
    const at = actual.findIndex((byte, i) => byte !== wanted[i]);
    throw new Error(`task ${this.#number}, ${what}: byte ${position + at} is ${actual[at]}, not ${wanted[at]}`);
  }

  /** What this task owns of a pinned page. */
  #own(page: { index: number; position: number; bytes: Uint8Array }): { bytes: Uint8Array; position: number } {
    const from = this.#start(page.index);
    return { bytes: page.bytes.subarray(from - page.position, from - page.position + this.#slice), position: from };
  }

  #checkPins(pages: UserPages, what: string): void {
    for (const page of pages) {
      const own = this.#own(page);
      this.#check(own.bytes, own.position, what);
    }
  }

  #scribble(pages: UserPages): void {
    for (const page of pages) {
      const own = this.#own(page);
      const data = this.#fresh();
      own.bytes.set(data);
      this.#shared.bytes.set(data, own.position);
    }
  }

  async #pause(): Promise<void> {
    for (let turns = this.#shared.random.below(4); turns > 0; turns--) await setImmediate();
  }

  async step(): Promise<void> {
    const choices = [
      () => this.#read(),
      () => this.#write(),
      () => this.#tryBoth(),
      () => this.#pin(1),
      () => this.#pin(1 + this.#shared.random.below(8)),
      () => this.#upgrade(),
      () => this.#hold(),
      () => this.#useHeld(),
      () => this.#inScope(),
      () => this.#several(),
      () => this.#abort(),
      () => this.#sync(),
      () => this.#advise(),
    ];
    await (choices[this.#shared.random.below(choices.length)] as () => Promise<void>)();
  }

  async #read(): Promise<void> {
    const target = new Uint8Array(this.#slice);
    const position = this.#start(this.#anyPage());
    await attempt(this.#shared, async () => {
      const { bytesRead } = await this.#shared.file.read(target, 0, target.length, position);
      strictEqual(bytesRead, target.length);
      this.#check(target, position, "read");
    });
  }

  async #write(): Promise<void> {
    const data = this.#fresh();
    const position = this.#start(this.#anyPage());
    await attempt(this.#shared, async () => {
      const { bytesWritten } = await this.#shared.file.write(data, 0, data.length, position);
      strictEqual(bytesWritten, data.length);
      this.#shared.bytes.set(data, position);
    });
  }

  async #tryBoth(): Promise<void> {
    const { file, bytes } = this.#shared;
    const position = this.#start(this.#anyPage());
    const data = this.#fresh();
    await attempt(this.#shared, () => {
      if (file.tryWrite(data, position)) bytes.set(data, position);
    });
    const target = new Uint8Array(this.#slice);
    if (file.tryRead(target, position)) this.#check(target, position, "tryRead");
  }

  async #pin(span: number): Promise<void> {
    const { file, random } = this.#shared;
    const first = this.#anyPage(span);
    const write = random.below(2) === 0;
    const length = (span - 1) * file.pageSize + this.#slice;
    await attempt(this.#shared, async () => {
      const pages = await file.getUserPages(this.#start(first), length, { write });
      this.#checkPins(pages, `pin of ${span} pages`);
      await this.#pause();
      this.#checkPins(pages, "pin, later");
      const changes = write && random.below(4) !== 0;
      if (changes) this.#scribble(pages);
      if (write && random.below(8) === 0) await attempt(this.#shared, () => pages.flush());
      if (write && !changes) pages.putUnmodified();
      else pages.put();
    });
  }

  async #upgrade(): Promise<void> {
    await attempt(this.#shared, async () => {
      const pages = await this.#shared.file.getUserPages(this.#start(this.#anyPage()), this.#slice);
      try {
        await this.#pause();
        await pages.upgrade();
        this.#scribble(pages);
        pages.downgrade();
        await this.#pause();
        this.#checkPins(pages, "downgraded");
      } finally {
        pages.put();
      }
    });
  }

  async #hold(): Promise<void> {
    if (this.#held.length >= 3) return;
    const page = this.#anyPage();
    await attempt(this.#shared, async () => {
      const pages = await this.#shared.file.getUserPages(this.#start(page), this.#slice, {
        write: true,
        longterm: true,
      });
      this.#held.push({ pages, page });
    });
  }

  async #useHeld(): Promise<void> {
    const held = this.#held[this.#shared.random.below(Math.max(1, this.#held.length))];
    if (!held) return;
    this.#checkPins(held.pages, "long-term pin");
    this.#scribble(held.pages);
    if (this.#shared.random.below(2) !== 0) return;
    this.#held.splice(this.#held.indexOf(held), 1);
    held.pages.put();
  }

  async #inScope(): Promise<void> {
    const { cache, file } = this.#shared;
    const scope = cache.scope();
    const pins: UserPages[] = [];
    // Ascending: pins of several pages without a scope, which go that way, are not seen in a circle.
    const wanted = [0, 1, 2].map(() => this.#anyPage()).sort((a, b) => a - b);
    await attempt(this.#shared, async () => {
      for (const [i, page] of wanted.entries()) {
        const pages = await file.getUserPages(this.#start(page), this.#slice, { scope, write: i !== 1 });
        pins.push(pages);
        this.#checkPins(pages, "pin in a scope");
        if (i !== 1) this.#scribble(pages);
      }
    });
    for (const pages of pins) pages.put();
    scope.end();
  }

  async #several(): Promise<void> {
    const { cache, file } = this.#shared;
    const ranges = [0, 1, 2].map((i) => ({
      file,
      position: this.#start(this.#anyPage()),
      length: this.#slice,
      write: i > 0,
    }));
    await attempt(this.#shared, async () => {
      const pinned = await cache.pin(ranges);
      for (const pages of pinned) this.#checkPins(pages, "one of several");
      for (const [i, pages] of pinned.ranges.entries()) if (i > 0) this.#scribble(pages);
      pinned.put();
    });
  }

  async #abort(): Promise<void> {
    const { file, random } = this.#shared;
    const span = 1 + random.below(3);
    const controller = new AbortController();
    const length = (span - 1) * file.pageSize + this.#slice;
    const options = { write: random.below(2) === 0, longterm: random.below(2) === 0, signal: controller.signal };
    const work = attempt(this.#shared, async () => {
      const pages = await file.getUserPages(this.#start(this.#anyPage(span)), length, options);
      this.#checkPins(pages, "pin that was not aborted");
      pages.put();
    });
    await this.#pause();
    controller.abort(aborted);
    await work;
  }

  async #sync(): Promise<void> {
    if (this.#shared.random.below(6) !== 0) return;
    const page = this.#anyPage();
    const options = this.#shared.random.below(2) === 0 ? {} : { position: this.#start(page), length: 5 * this.#slice };
    await attempt(this.#shared, () => this.#shared.file.sync(options));
  }

  async #advise(): Promise<void> {
    const { file, random } = this.#shared;
    const advice = random.below(2) === 0 ? "willneed" : "dontneed";
    await attempt(this.#shared, () => file.advise(this.#anyPage(4) * file.pageSize, 4 * file.pageSize, advice));
  }

  end(): void {
    for (const { pages } of this.#held.splice(0)) pages.put();
  }
}

/** Cuts, extends, punches and writes behind the common part. */
export class TailTask {
  readonly #shared: Shared;
  readonly #from: number;

  constructor(shared: Shared) {
    this.#shared = shared;
    this.#from = shared.pages * shared.file.pageSize;
  }

  async step(): Promise<void> {
    const { file, random, bytes, tailPages } = this.#shared;
    const most = tailPages * file.pageSize;
    const choice = random.below(4);
    const position = this.#from + random.below(most);
    const length = 1 + random.below(Math.min(3 * file.pageSize, this.#from + most - position));
    if (choice === 0) {
      if (await attempt(this.#shared, () => file.truncate(position))) {
        bytes.fill(0, position);
        this.#shared.size = position;
      } else this.#wasCut(position);
    } else if (choice === 1) {
      const data = new Uint8Array(length).fill(1 + random.below(255));
      let written = 0;
      await attempt(this.#shared, async () => {
        ({ bytesWritten: written } = await file.write(data, 0, length, position));
      });
      bytes.set(data.subarray(0, written), position);
      if (written > 0) this.#shared.size = Math.max(this.#shared.size, position + written);
    } else if (choice === 2) {
      if (await attempt(this.#shared, () => file.punchHole(position, length)))
        bytes.fill(0, position, Math.min(position + length, this.#shared.size));
    } else {
      const target = new Uint8Array(length);
      await attempt(this.#shared, async () => {
        const { bytesRead } = await file.read(target, 0, length, position);
        strictEqual(
          Buffer.compare(target.subarray(0, bytesRead), bytes.subarray(position, position + bytesRead)),
          0,
          "the tail",
        );
      });
    }
    strictEqual(file.size, this.#shared.size, "the size");
  }

  /** A cut whose store call failed is in effect in the cache all the same. */
  #wasCut(position: number): void {
    if (this.#shared.file.size !== position) return;
    this.#shared.bytes.fill(0, position);
    this.#shared.size = position;
  }
}
