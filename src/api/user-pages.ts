/**
 * UserPages: the handle of a pin. Iterate it for the pages, put it once (or let `using` do that).
 *
 * `bytes` of a page are the cache itself, not a copy: a view of shared memory, of the part of the page inside the range.
 * Some APIs refuse shared views (crypto.subtle, Response, byte streams); docs/access-rules.md has the
 * list. After the put the bytes belong to somebody else; a view that was kept still reaches them. `debug` catches that.
 *
 * Invariants: a handle is put exactly once; whatever it is asked about its bytes afterwards is ERR_PINFOLD_ALREADY_PUT.
 * While an upgrade or flush of it is on its way it cannot be put: both need the locks that a put gives away. One that was handed
 * over answers ESTALE; until somebody adopts what it gave away, put() takes that back.
 */
import { PinfoldError } from "../base/errors.js";
import type { Core } from "../mapping/core.js";
import { findCore } from "../mapping/core-registry.js";
import { putPin } from "../mapping/pin.js";
import { downgradePin, flushPin, upgradePin } from "../mapping/pin-changes.js";
import type { PinRecord } from "../mapping/pin-registry.js";
import { frameOwnerDied } from "../mapping/page-facts.js";
import { type PagesToken, adoptPin, takePinBack, transferPin } from "../mapping/transfer.js";
import { checkBytes, checkObject, checkSignal } from "./arguments.js";
import { DebugCopies } from "./debug-copies.js";

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

  /** The pin that the page belongs to. @throws PinfoldError EINVAL */
  static ownerOf(page: UserPage): UserPages {
    if (!(page instanceof UserPage)) throw new PinfoldError("EINVAL", "putPage takes a page of a UserPages");
    return page.#owner;
  }
}

/** Pinned pages of one range, ascending. */
export class UserPages implements Disposable {
  readonly #core: Core;
  readonly #pin: PinRecord;
  readonly #copies: DebugCopies | undefined;
  #pages: UserPage[] | undefined;
  #bytes: Uint8Array | undefined;
  /** Pages that were put one by one, the old way. */
  #putSingly: Set<UserPage> | undefined;
  /** With `debug`: the caller had changed bytes when it handed the pages over. */
  #changed = false;
  /** An upgrade or flush on its way; never rejects. */
  #changing: Promise<void> | undefined;

  /** Made by getUserPages and its kin. */
  constructor(core: Core, pin: PinRecord, debug: boolean) {
    this.#core = core;
    this.#pin = pin;
    this.#copies = debug ? new DebugCopies() : undefined;
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

  /** True until the put or the transfer. */
  get isPinned(): boolean {
    return this.#pin.live && !this.#pin.transit;
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
    this.#check();
    if (this.#bytes) return this.#bytes;
    const { frames } = this.#pin;
    if (frames.length !== 1) {
      throw new PinfoldError("EINVAL", `the range has ${frames.length} pages: take the bytes page by page`);
    }
    this.#bytes = this.#pages ? (this.#pages[0] as UserPage).bytes : this.#bytesOf(0);
    return this.#bytes;
  }

  /** The page at `at`, counted from the range's first. @throws PinfoldError ERR_PINFOLD_ALREADY_PUT, EINVAL */
  page(at: number): UserPage {
    const page = this.#all()[at];
    if (!page) throw new PinfoldError("EINVAL", `there is no page ${String(at)} in a range of ${this.length}`);
    return page;
  }

  /** @throws PinfoldError ERR_PINFOLD_ALREADY_PUT */
  [Symbol.iterator](): IterableIterator<UserPage> {
    return this.#all()[Symbol.iterator]();
  }

  #check(): void {
    if (this.#pin.transit) throw new PinfoldError("ESTALE", "these pages were handed over to another thread");
    if (!this.#pin.live) throw new PinfoldError("ERR_PINFOLD_ALREADY_PUT", "these pages were put");
  }

  #checkUnchanging(): void {
    this.#check();
    if (this.#changing)
      throw new PinfoldError("EBUSY", "an upgrade or flush of these pages is on its way: await it first");
  }

  #all(): UserPage[] {
    this.#check();
    if (this.#pages) return this.#pages;
    const { pageSize } = this.#core.frames;
    const { firstIndex, position, frames } = this.#pin;
    this.#pages = frames.map((_, at) => {
      const start = Math.max(position, (firstIndex + at) * pageSize);
      return new UserPage(this, firstIndex + at, start, at === 0 && this.#bytes ? this.#bytes : this.#bytesOf(at));
    });
    return this.#pages;
  }

  /** The part of page `at` inside the range. */
  #bytesOf(at: number): Uint8Array {
    const { position, length, firstIndex, frames } = this.#pin;
    const { pageSize } = this.#core.frames;
    const start = (firstIndex + at) * pageSize;
    const from = Math.max(0, position - start);
    const to = Math.min(pageSize, position + length - start);
    const shared = this.#core.frames.slice(frames[at] as number, from, to);
    return this.#copies ? this.#copies.make(shared) : shared;
  }

  /**
   * Copies bytes of the range, from `offset` in it, into `target`: as many as both have. Bytes copied.
   * @throws PinfoldError ERR_PINFOLD_ALREADY_PUT, EINVAL
   */
  copyTo(target: Uint8Array, offset = 0): number {
    checkBytes(target, "target");
    return this.#copy(target, offset, (page, other) => other.set(page));
  }

  /**
   * Copies `source` into the range, from `offset` in it: as many bytes as both have. Bytes copied.
   * @throws PinfoldError ERR_PINFOLD_ALREADY_PUT, EINVAL; EROFS for a read pin
   */
  copyFrom(source: Uint8Array, offset = 0): number {
    this.#check();
    checkBytes(source, "source");
    if (!this.#pin.write) throw new PinfoldError("EROFS", "these pages are pinned for reading");
    return this.#copy(source, offset, (page, other) => page.set(other));
  }

  #copy(buffer: Uint8Array, offset: number, move: (page: Uint8Array, other: Uint8Array) => void): number {
    if (!Number.isSafeInteger(offset) || offset < 0 || offset > this.#pin.length) {
      throw new PinfoldError(
        "EINVAL",
        `offset must be a whole number from 0 to ${this.#pin.length}, not ${String(offset)}`,
      );
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
   * Hands a long-term pin to another thread of the same cache: the answer goes through postMessage to who calls
   * `UserPages.adopt` with it, once. Until then the pages stay pinned and are this thread's: `put()` takes them back. Neither the
   * end of a `using` block nor the loss of this handle does.
   * @throws PinfoldError ERR_PINFOLD_ALREADY_PUT; EINVAL for a pin without longterm; EBUSY during a flush; ERR_PINFOLD_TOO_MANY;
   * with `debug`, EROFS where bytes of a read pin were changed. It is this handle's pin then.
   */
  transfer(): PagesToken {
    this.#checkUnchanging();
    if (this.#putSingly) throw new PinfoldError("EINVAL", "pages of this pin were put one by one");
    if (this.#pin.counted) this.#changed = this.#copies?.settle(this.#pin.write) === true || this.#changed;
    if (this.#changed && !this.#pin.write) throw new PinfoldError("EROFS", "bytes of a read pin were changed");
    const token = transferPin(this.#core, this.#pin);
    this.#copies?.detach();
    return token;
  }

  /**
   * Takes over what another thread's `transfer` gave: the same pages, pinned as they were, are this thread's from now on.
   * @throws PinfoldError EINVAL for what is no such token, or of a cache that this thread has not opened or attached; ESTALE where
   * somebody has adopted it before, where the sender has put it, and where the sender has ended
   */
  static adopt(token: PagesToken): UserPages {
    const entry = typeof token?.cache === "number" ? findCore(token.cache) : undefined;
    if (!entry) throw new PinfoldError("EINVAL", "adopt takes a token of a cache that this thread has attached");
    const pin = adoptPin(entry.core, token);
    const pages = new UserPages(entry.core, pin, entry.debug);
    entry.noteHandle(pin, pages);
    return pages;
  }

  /** A put comes to a pin in transit: it is ours again, unless somebody has adopted it. */
  #takeBack(): void {
    if (this.#pin.transit && !takePinBack(this.#core, this.#pin))
      throw new PinfoldError("ESTALE", "another thread has adopted these pages");
  }

  /**
   * put_user_pages: ends the pin. A write pin's pages are dirty and will be written back.
   * @throws PinfoldError ERR_PINFOLD_ALREADY_PUT; ESTALE where another thread has adopted them; EBUSY during an upgrade or flush; with `debug`, EROFS where bytes of a read
   * pin were changed (the pin has ended, and the cache does not have the change)
   */
  put(): void {
    this.#takeBack();
    this.#checkUnchanging();
    const { write } = this.#pin;
    const changed = this.#copies?.settle(write) === true;
    putPin(this.#core, this.#pin, write);
    this.#copies?.detach();
    if (changed && !write) throw new PinfoldError("EROFS", "bytes of a read pin were changed");
  }

  /** One page the old way: the pin ends with its last page. */
  putSingle(page: UserPage): void {
    this.#core.legacy.note();
    this.#checkUnchanging();
    this.#putSingly ??= new Set();
    if (this.#putSingly.has(page)) throw new PinfoldError("ERR_PINFOLD_ALREADY_PUT", `page ${page.index} was put`);
    this.#putSingly.add(page);
    if (this.#putSingly.size === this.length) this.put();
  }

  /**
   * As put, for a write pin that changed nothing: a page that was clean when the first of the overlapping pins came is clean again.
   * @throws PinfoldError as put; with `debug`, EINVAL where bytes were changed
   * after all (the pin has ended; a write pin's changes are kept, and dirty)
   */
  putUnmodified(): void {
    this.#takeBack();
    this.#checkUnchanging();
    const { write } = this.#pin;
    const changed = this.#copies?.settle(write) === true || this.#changed;
    putPin(this.#core, this.#pin, changed && write);
    this.#copies?.detach();
    if (changed) throw new PinfoldError("EINVAL", "bytes were changed under a pin that was put as unmodified");
  }

  /** Puts what is not put yet, and was not handed over; during an upgrade or flush, at its end. */
  [Symbol.dispose](): void {
    if (this.#changing) void this.#changing.then(() => this[Symbol.dispose]());
    else if (this.isPinned) this.put();
  }

  async #change(
    options: { signal?: AbortSignal },
    work: (signal: AbortSignal | undefined) => Promise<void>,
  ): Promise<void> {
    checkObject(options, "options");
    checkSignal(options.signal);
    this.#checkUnchanging();
    const done = work(options.signal);
    this.#changing = done.catch(() => {});
    try {
      await done;
    } finally {
      this.#changing = undefined;
    }
  }

  /**
   * A read pin becomes a write pin, once it is the only holder of its pages.
   * @throws PinfoldError EDEADLK for a second upgrader of a page; EINVAL for a long-term pin; EBUSY during another change;
   * EROFS, ENOSPC, EIO; the signal's reason. It stays a read pin then.
   */
  async upgrade(options: { signal?: AbortSignal } = {}): Promise<void> {
    await this.#change(options, (signal) => upgradePin(this.#core, this.#pin, signal));
  }

  /**
   * A write pin becomes a read pin. What was written is dirty; others may read it.
   * @throws PinfoldError ERR_PINFOLD_ALREADY_PUT; EBUSY during an upgrade or flush; EINVAL for a long-term pin
   */
  downgrade(): void {
    this.#checkUnchanging();
    if (!this.#pin.counted) this.#copies?.settle(this.#pin.write);
    downgradePin(this.#core, this.#pin);
  }

  /**
   * Writes the pages back now, as they are, while the pin goes on: the holder lends its lock. They stay dirty.
   * @throws PinfoldError EINVAL for a read pin; EBUSY during another change; what the store says; the signal's reason
   */
  async flush(options: { signal?: AbortSignal } = {}): Promise<void> {
    await this.#change(options, (signal) => {
      if (this.#pin.write) this.#copies?.settle(true);
      return flushPin(this.#core, this.#pin, signal);
    });
  }
}

/**
 * put_user_pages for one handle or many.
 * @throws PinfoldError of the first that cannot be put, ERR_PINFOLD_ALREADY_PUT or EINVAL; the others are put all the same
 */
export function putUserPages(pages: UserPages | Iterable<UserPages>): void {
  if (pages instanceof UserPages) {
    pages.put();
    return;
  }
  if (typeof (pages as Partial<Iterable<UserPages>> | undefined)?.[Symbol.iterator] !== "function") {
    throw new PinfoldError("EINVAL", "putUserPages takes a UserPages or several");
  }
  let failed: unknown;
  for (const one of pages) {
    try {
      if (!(one instanceof UserPages)) throw new PinfoldError("EINVAL", "putUserPages takes a UserPages or several");
      one.put();
    } catch (error) {
      failed ??= error;
    }
  }
  if (failed !== undefined) throw failed as Error;
}

/**
 * The old way: releases one page. It works; the pin ends when all of its pages were put. Every place that still calls it is
 * listed by `cache.legacyCallers()`, so that a code base can be converted step by step.
 * @deprecated Release pages with putUserPages, or with `using`.
 * @throws PinfoldError ERR_PINFOLD_ALREADY_PUT, EINVAL
 */
export function putPage(page: UserPage): void {
  UserPage.ownerOf(page).putSingle(page);
}
