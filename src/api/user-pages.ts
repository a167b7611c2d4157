/**
 * UserPages: the handle of a pin. Iterate it for the pages, put it once (or let `using` do that).
 *
 * `bytes` of a page are the cache itself, not a copy: a view of shared memory, of the part of the page inside the range.
 * Some APIs refuse shared views (crypto.subtle.digest, Response, TextDecoder of some runtimes); docs/access-rules.md has the list.
 * After the put the bytes belong to somebody else; a view that was kept still reaches them. `debug` catches that.
 *
 * Invariant: a handle is put exactly once; whatever it is asked afterwards is ERR_PINFOLD_ALREADY_PUT.
 */
import { PinfoldError } from "../base/errors.js";
import type { Core } from "../mapping/core.js";
import { putPin } from "../mapping/pin.js";
import { downgradePin, flushPin, upgradePin } from "../mapping/pin-changes.js";
import type { PinRecord } from "../mapping/pin-registry.js";
import { frameOwnerDied } from "../mapping/page-facts.js";

/** A page of a pinned range. */
export class UserPage {
  /** The page's number in the file. */
  readonly index: number;
  /** Where `bytes` begins in the file. */
  readonly position: number;
  /** The part of the page inside the range. */
  readonly bytes: Uint8Array;
  readonly #owner: UserPages;
  #view: DataView | undefined;

  /** Made by its UserPages. */
  constructor(owner: UserPages, index: number, position: number, bytes: Uint8Array) {
    this.#owner = owner;
    this.index = index;
    this.position = position;
    this.bytes = bytes;
  }

  /** The same bytes as a DataView. */
  get view(): DataView {
    this.#view ??= new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength);
    return this.#view;
  }

  /** The pin that the page belongs to. */
  static ownerOf(page: UserPage): UserPages {
    return page.#owner;
  }
}

/** Pinned pages of one range, ascending. */
export class UserPages implements Disposable {
  readonly #core: Core;
  readonly #pin: PinRecord;
  readonly #debug: boolean;
  #pages: UserPage[] | undefined;
  /** Pages that were put one by one, the old way. */
  #putSingly: Set<UserPage> | undefined;

  /** Made by getUserPages and its kin. */
  constructor(core: Core, pin: PinRecord, debug: boolean) {
    this.#core = core;
    this.#pin = pin;
    this.#debug = debug;
  }

  /** How many pages. */
  get length(): number {
    return this.#pin.frames.length;
  }

  /** First byte of the range in the file. */
  get position(): number {
    return this.#pin.position;
  }

  /** Bytes of the range. */
  get byteLength(): number {
    return this.#pin.length;
  }

  /** True for a write pin. */
  get writable(): boolean {
    return this.#pin.write;
  }

  /** True until the put. */
  get isPinned(): boolean {
    return this.#pin.live;
  }

  /** True where a thread died while it held one of the pages for writing: half an update may be there. */
  get ownerDied(): boolean {
    this.#check();
    return this.#pin.frames.some((frame) => frameOwnerDied(this.#core, frame));
  }

  /**
   * The bytes of a range that lies in one page.
   * @throws PinfoldError ERR_PINFOLD_ALREADY_PUT; EINVAL where there are several pages
   */
  get bytes(): Uint8Array {
    if (this.#pin.frames.length !== 1) throw new PinfoldError("EINVAL", `the range has ${this.#pin.frames.length} pages: take the bytes page by page`);
    return this.#all()[0]?.bytes as Uint8Array;
  }

  /** The page at `at`, counted from the range's first. */
  page(at: number): UserPage {
    const page = this.#all()[at];
    if (!page) throw new PinfoldError("EINVAL", `there is no page ${at} in a range of ${this.length}`);
    return page;
  }

  [Symbol.iterator](): IterableIterator<UserPage> {
    return this.#all()[Symbol.iterator]();
  }

  #check(): void {
    if (!this.#pin.live) throw new PinfoldError("ERR_PINFOLD_ALREADY_PUT", "these pages were put");
  }

  #all(): UserPage[] {
    this.#check();
    this.#pages ??= this.#pin.frames.map((frame, at) => {
      const { from, to } = this.#partOf(at);
      const index = this.#pin.firstIndex + at;
      const shared = this.#core.frames.slice(frame, from, to);
      return new UserPage(this, index, index * this.#core.frames.pageSize + from, this.#debug ? shared.slice() : shared);
    });
    return this.#pages;
  }

  #partOf(at: number): { from: number; to: number } {
    const { pageSize } = this.#core.frames;
    const start = (this.#pin.firstIndex + at) * pageSize;
    const from = Math.max(0, this.#pin.position - start);
    return { from, to: Math.min(pageSize, this.#pin.position + this.#pin.length - start) };
  }

  /**
   * Copies bytes of the range, from `offset` in it, into `target`: as many as both have. Bytes copied.
   * @throws PinfoldError ERR_PINFOLD_ALREADY_PUT, EINVAL
   */
  copyTo(target: Uint8Array, offset = 0): number {
    return this.#copy(target, offset, (page, other) => other.set(page));
  }

  /**
   * Copies `source` into the range, from `offset` in it. Bytes copied.
   * @throws PinfoldError ERR_PINFOLD_ALREADY_PUT, EINVAL; EROFS for a read pin
   */
  copyFrom(source: Uint8Array, offset = 0): number {
    if (!this.#pin.write) throw new PinfoldError("EROFS", "these pages are pinned for reading");
    return this.#copy(source, offset, (page, other) => page.set(other));
  }

  #copy(buffer: Uint8Array, offset: number, move: (page: Uint8Array, other: Uint8Array) => void): number {
    if (!Number.isSafeInteger(offset) || offset < 0 || offset > this.#pin.length) {
      throw new PinfoldError("EINVAL", `offset must be a whole number from 0 to ${this.#pin.length}, not ${offset}`);
    }
    let skip = offset;
    let done = 0;
    for (const { bytes } of this.#all()) {
      if (skip >= bytes.length) {
        skip -= bytes.length;
        continue;
      }
      const count = Math.min(bytes.length - skip, buffer.length - done);
      if (count === 0) break;
      move(bytes.subarray(skip, skip + count), buffer.subarray(done, done + count));
      done += count;
      skip = 0;
    }
    return done;
  }

  /**
   * put_user_pages: ends the pin. A write pin's pages are dirty and will be written back.
   * @throws PinfoldError ERR_PINFOLD_ALREADY_PUT; with `debug`, EROFS where bytes of a read pin were changed
   */
  put(): void {
    this.#check();
    const changed = this.#debug ? this.#settleCopies() : false;
    putPin(this.#core, this.#pin, this.#pin.write);
    if (changed && !this.#pin.write) throw new PinfoldError("EROFS", "bytes of a read pin were changed");
  }

  /** One page the old way: the pin ends with its last page. */
  putSingle(page: UserPage): void {
    this.#check();
    this.#core.legacy.note();
    this.#putSingly ??= new Set();
    if (this.#putSingly.has(page)) throw new PinfoldError("ERR_PINFOLD_ALREADY_PUT", `page ${page.index} was put`);
    this.#putSingly.add(page);
    if (this.#putSingly.size === this.length) this.put();
  }

  /**
   * As put, for a write pin that changed nothing: a page that was clean when the first of the overlapping pins came is clean again.
   * @throws PinfoldError ERR_PINFOLD_ALREADY_PUT; with `debug`, EINVAL where bytes were changed after all (they are kept, and dirty)
   */
  putUnmodified(): void {
    this.#check();
    const changed = this.#debug ? this.#settleCopies() : false;
    putPin(this.#core, this.#pin, changed && this.#pin.write);
    if (changed) throw new PinfoldError("EINVAL", "bytes were changed under a pin that was put as unmodified");
  }

  [Symbol.dispose](): void {
    if (this.#pin.live) this.put();
  }

  /** The private copies of `debug` go back into the cache and are detached. True where something was changed. */
  #settleCopies(): boolean {
    let changed = false;
    for (const [at, page] of (this.#pages ?? []).entries()) {
      const { from, to } = this.#partOf(at);
      const shared = this.#core.frames.slice(this.#pin.frames[at] as number, from, to);
      if (Buffer.compare(shared, page.bytes) !== 0) {
        changed = true;
        if (this.#pin.write) shared.set(page.bytes);
      }
      structuredClone(page.bytes.buffer, { transfer: [page.bytes.buffer as ArrayBuffer] });
    }
    return changed;
  }

  /**
   * A read pin becomes a write pin, once it is the only holder of its pages.
   * @throws PinfoldError EDEADLK for a second upgrader of a page; EROFS, ENOSPC, EIO; the signal's reason. It stays a read pin then.
   */
  async upgrade(options: { signal?: AbortSignal } = {}): Promise<void> {
    this.#check();
    await upgradePin(this.#core, this.#pin, options.signal);
  }

  /** A write pin becomes a read pin. What was written is dirty; others may read it. */
  downgrade(): void {
    this.#check();
    downgradePin(this.#core, this.#pin);
  }

  /**
   * Writes the pages back now, as they are, while the pin goes on: the holder lends its lock. They stay dirty.
   * @throws PinfoldError what the store says; the signal's reason
   */
  async flush(options: { signal?: AbortSignal } = {}): Promise<void> {
    this.#check();
    if (this.#debug && this.#pin.write) {
      for (const [at, page] of (this.#pages ?? []).entries()) {
        const { from, to } = this.#partOf(at);
        this.#core.frames.slice(this.#pin.frames[at] as number, from, to).set(page.bytes);
      }
    }
    await flushPin(this.#core, this.#pin, options.signal);
  }
}

/** put_user_pages for one handle or many. @throws PinfoldError ERR_PINFOLD_ALREADY_PUT (the others are put all the same) */
export function putUserPages(pages: UserPages | Iterable<UserPages>): void {
  const all = pages instanceof UserPages ? [pages] : [...pages];
  let failed: unknown;
  for (const one of all) {
    try {
      one.put();
    } catch (error) {
      failed ??= error;
    }
  }
  if (failed !== undefined) throw failed;
}

/**
 * The old way: releases one page. It works; the pin ends when all of its pages were put. Every place that still calls it is
 * listed by `cache.legacyCallers()`, so that a code base can be converted step by step.
 * @deprecated Release pages with putUserPages, or with `using`.
 * @throws PinfoldError ERR_PINFOLD_ALREADY_PUT
 */
export function putPage(page: UserPage): void {
  UserPage.ownerOf(page).putSingle(page);
}
