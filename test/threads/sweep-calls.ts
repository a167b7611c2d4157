/**
 * The public calls that the kill sweep goes through: what each needs first, and what it may have changed when its thread dies at it.
 *
 * A file of 256 pages, page n filled with n modulo 251. Pages from 96 on are not in the cache at first, the others may be.
 */
import { type CachedFile, MemoryStore, PageCache, type PagesToken, type PinScope, UserPages } from "../../src/index.js";
import { memory, offset, optimisticBegin, optimisticValidate, rawFile, tryPin, unpin } from "../../src/api/raw.js";

export const page = 4096;
export const filePages = 256;
/** What calls write. */
export const fresh = 200;

export interface CallScene {
  readonly cache: PageCache;
  readonly file: CachedFile;
  readonly path: string;
  readonly scope: PinScope;
  /** A pin that another thread handed over. */
  readonly token: PagesToken | undefined;
  /** Resolves when the other thread says so. */
  readonly told: () => Promise<unknown>;
}

export interface Call {
  /** Before points are counted; what it gives, `run` gets. */
  readonly prepare?: (scene: CallScene) => unknown;
  readonly run: (scene: CallScene, prepared: never) => unknown;
  /** Pages [first, last] that may be as they were, or hold `fresh`, or, with `zeros`, zeros. */
  readonly changes?: readonly [first: number, last: number];
  readonly zeros?: boolean;
  /** Pages of the file afterwards, if the call was done. */
  readonly pages?: number;
  /** Others hold pages that the call needs, for a while. */
  readonly contended?: boolean;
  /** A pin for `token`. */
  readonly token?: boolean;
  /** Others use a store that only this thread has, and say when they are done. */
  readonly serves?: boolean;
}

function filled(length: number): Uint8Array {
  return new Uint8Array(length).fill(fresh);
}

const write = { write: true } as const;
const longterm = { write: true, longterm: true } as const;

async function pin(file: CachedFile, at: number, length = page, how: object = write): Promise<UserPages> {
  return file.getUserPages(at * page, length, how);
}

function change(pages: UserPages): void {
  for (const one of pages) one.bytes.fill(fresh);
}

/** The file of a store that only another thread has. */
function openAsked({ cache }: CallScene): Promise<CachedFile> {
  return cache.open({ key: "asked" });
}

async function openOther({ cache, path }: CallScene): Promise<CachedFile> {
  const other = await cache.open(`${path}.other`, { create: true, size: 8 * page });
  await other.write(filled(page), 0, page, 0);
  return other;
}

export const calls: Readonly<Record<string, Call>> = {
  "getUserPages read": { run: async ({ file }) => (await pin(file, 100, 3 * page, {})).put() },
  "getUserPages write": {
    async run({ file }) {
      const pages = await pin(file, 10, 3 * page);
      change(pages);
      pages.put();
    },
    changes: [10, 12],
  },
  "getUserPages write, missed": {
    async run({ file }) {
      const pages = await pin(file, 101, 2 * page);
      change(pages);
      pages.put();
    },
    changes: [101, 102],
  },
  "getUserPages longterm": {
    async run({ file }) {
      const pages = await pin(file, 10, 2 * page, longterm);
      change(pages);
      pages.put();
    },
    changes: [10, 11],
  },
  "getUserPages, others hold it": {
    async run({ file }) {
      const pages = await pin(file, 3, page);
      change(pages);
      pages.put();
    },
    changes: [3, 3],
    contended: true,
  },
  "getUserPages in a scope": {
    async run({ file, scope }) {
      const first = await pin(file, 10, page, { scope });
      const pages = await pin(file, 10, page, { write: true, scope });
      change(pages);
      first.put();
      pages.put();
    },
    changes: [10, 10],
  },
  tryGetUserPages: {
    prepare: ({ file }) => file.read(new Uint8Array(page), 0, page, 10 * page),
    run({ file }) {
      const pages = file.tryGetUserPages(10 * page, page, write);
      if (pages) change(pages);
      pages?.put();
    },
    changes: [10, 10],
  },
  getUserPagesSync: {
    run({ file }) {
      const pages = file.getUserPagesSync(103 * page, 2 * page, write);
      change(pages);
      pages.put();
    },
    changes: [103, 104],
  },
  "getUserPagesSync, others hold it": {
    run({ file }) {
      const pages = file.getUserPagesSync(3 * page, page, write);
      change(pages);
      pages.put();
    },
    changes: [3, 3],
    contended: true,
  },
  putUnmodified: { run: async ({ file }) => (await pin(file, 105, 2 * page)).putUnmodified() },
  upgrade: {
    prepare: ({ file }) => pin(file, 10, 2 * page, {}),
    async run(_, pages: UserPages) {
      await pages.upgrade();
      change(pages);
      pages.put();
    },
    changes: [10, 11],
  },
  "downgrade and flush": {
    prepare: async ({ file }) => {
      const pages = await pin(file, 10, 2 * page);
      change(pages);
      return pages;
    },
    async run(_, pages: UserPages) {
      await pages.flush();
      pages.downgrade();
      pages.put();
    },
    changes: [10, 11],
  },
  "cache.pin": {
    async run({ cache, file }) {
      const ranges = [20, 107, 12].map((at) => ({ file, position: at * page, length: page, write: true }));
      const pinned = await cache.pin(ranges);
      for (const pages of pinned) change(pages);
      pinned.put();
    },
    changes: [12, 107],
  },
  transfer: {
    prepare: ({ file }) => pin(file, 10, 2 * page, longterm),
    run: (_, pages: UserPages) => pages.transfer(),
  },
  "transfer and put": {
    prepare: ({ file }) => pin(file, 10, 2 * page, longterm),
    run(_, pages: UserPages) {
      pages.transfer();
      pages.put();
    },
  },
  adopt: {
    run({ token }) {
      const pages = UserPages.adopt(token as PagesToken);
      change(pages);
      pages.put();
    },
    token: true,
    changes: [30, 31],
  },
  read: { run: ({ file }) => file.read(new Uint8Array(12 * page), 0, 12 * page, 108 * page) },
  readSync: { run: ({ file }) => file.readSync(new Uint8Array(6 * page), 0, 6 * page, 120 * page) },
  write: { run: ({ file }) => file.write(filled(3 * page), 0, 3 * page, 14 * page + 100), changes: [14, 17] },
  "write, whole pages": {
    run: ({ file }) => file.write(filled(4 * page), 0, 4 * page, 126 * page),
    changes: [126, 129],
  },
  writeSync: { run: ({ file }) => file.writeSync(filled(3 * page), 0, 3 * page, 130 * page + 5), changes: [130, 133] },
  "write past the end": {
    run: ({ file }) => file.write(filled(3 * page), 0, 3 * page, filePages * page),
    pages: filePages + 3,
    changes: [filePages, filePages + 2],
    zeros: true,
  },
  "writeSync past the end": {
    run: ({ file }) => file.writeSync(filled(2 * page), 0, 2 * page, filePages * page),
    pages: filePages + 2,
    changes: [filePages, filePages + 1],
    zeros: true,
  },
  sync: {
    prepare: ({ file }) => file.write(filled(3 * page), 0, 3 * page, 14 * page),
    run: ({ file }) => file.sync(),
    changes: [14, 16],
  },
  "sync of pinned pages": {
    prepare: async ({ file }) => change(await pin(file, 14, 3 * page, longterm)),
    run: ({ file }) => file.sync(),
    changes: [14, 16],
  },
  syncSync: {
    prepare: ({ file }) => file.write(filled(3 * page), 0, 3 * page, 14 * page),
    run: ({ file }) => file.syncSync(),
    changes: [14, 16],
  },
  "a round of write-back": {
    prepare: ({ file }) => file.write(filled(3 * page), 0, 3 * page, 14 * page),
    run: ({ cache }) => cache.core.flusher.step(true),
    changes: [14, 16],
  },
  "truncate, cut": { run: ({ file }) => file.truncate(90 * page), pages: 90 },
  "truncate, cut, others hold it": { run: ({ file }) => file.truncate(2 * page + 10), pages: 3, contended: true },
  "truncate, extend": { run: ({ file }) => file.truncate((filePages + 4) * page), pages: filePages + 4 },
  punchHole: { run: ({ file }) => file.punchHole(4 * page + 20, 10 * page), changes: [4, 14], zeros: true },
  allocate: {
    prepare: ({ file }) => file.write(filled(page), 0, page, 14 * page),
    run: ({ file }) => file.allocate(12 * page, 4 * page),
    changes: [14, 14],
  },
  invalidate: {
    prepare: ({ file }) => file.sync(),
    run({ file }) {
      try {
        file.invalidate();
      } catch {
        // Somebody has a page.
      }
    },
  },
  "advise willneed": { run: ({ file }) => file.advise(140 * page, 6 * page, "willneed") },
  "advise dontneed": { run: ({ file }) => file.advise(0, 20 * page, "dontneed") },
  readOptimistic: {
    run: ({ file }) => file.readOptimistic(150 * page, 10, (bytes, from) => bytes[from]),
  },
  "raw pins": {
    prepare: ({ file }) => file.read(new Uint8Array(page), 0, page, 10 * page),
    run({ file }) {
      const raw = rawFile(file);
      const frame = tryPin(raw, 10, true);
      if (frame < 0) return;
      memory(raw, frame).fill(fresh, offset(raw, frame), offset(raw, frame) + page);
      unpin(raw, frame);
      const reading = optimisticBegin(raw, 10);
      if (reading >= 0) optimisticValidate(raw, reading);
    },
    changes: [10, 10],
  },
  "map, load": { run: ({ file }) => file.map().getUint8(160 * page) },
  "map, store": {
    run({ file }) {
      const view = file.map();
      for (let at = 0; at < 4; at++) view.setUint8((14 + at) * page + 9, fresh);
      view.setUint8(161 * page + 9, fresh);
    },
    changes: [14, 161],
  },
  open: { run: openOther },
  "open again": { run: ({ cache, path }) => cache.open(path) },
  "close, not the last": { run: ({ file }) => file.close() },
  "close, the last": {
    prepare: openOther,
    run: (_, other: CachedFile) => other.close(),
  },
  "close with discard": {
    prepare: openOther,
    run: (_, other: CachedFile) => other.close({ discard: true }),
  },
  "cache.close": { prepare: openOther, run: ({ cache }) => cache.close() },
  "read, of another thread's store": { prepare: openAsked, run: (_, asked: CachedFile) => asked.readFile() },
  "write, to another thread's store": {
    prepare: openAsked,
    run: (_, asked: CachedFile) => asked.write(filled(3 * page), 0, 3 * page, 2 * page + 10),
  },
  "write past the end, to another thread's store": {
    prepare: openAsked,
    run: (_, asked: CachedFile) => asked.write(filled(page), 0, page, asked.size),
  },
  "sync, of another thread's store": {
    prepare: async (scene) => {
      const asked = await openAsked(scene);
      await asked.write(filled(page), 0, page, 0);
      return asked;
    },
    run: (_, asked: CachedFile) => asked.sync(),
  },
  "truncate, of another thread's store": {
    prepare: openAsked,
    run: (_, asked: CachedFile) => asked.truncate(5 * page),
  },
  "punchHole, in another thread's store": {
    prepare: openAsked,
    run: (_, asked: CachedFile) => asked.punchHole(0, 3 * page),
  },
  "close, of another thread's store": { prepare: openAsked, run: (_, asked: CachedFile) => asked.close() },
  "calls of others to this thread's store": {
    prepare: ({ cache }) => cache.open(new MemoryStore({ key: "served", sizeBytes: 16 * page })),
    run: ({ told }) => told(),
    serves: true,
  },
  attach: { run: ({ cache }) => PageCache.attach(cache.share()).close() },
};
