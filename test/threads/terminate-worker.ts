/**
 * A thread that does all that can be done with a cache, several things at a time, until it is terminated. Pages of the first part of
 * the file are only ever changed as a whole, to one byte: whoever sees two bytes in one has found an error.
 */
import { parentPort, workerData } from "node:worker_threads";
import { type CacheShare, type CachedFile, PageCache, PinfoldError } from "../../src/index.js";
import { Random } from "../sync/random-calls.js";

export const page = 4096;
/** Pages [0, uniform) have one byte each, [uniform, wild) anything, and what is beyond may be cut off. */
export const layoutOf = { uniform: 96, wild: 128, all: 256 } as const;

export interface TerminateData {
  readonly share: CacheShare;
  readonly path: string;
  readonly seed: number;
  /** A word for each operation that was done. */
  readonly done: SharedArrayBuffer;
}

interface Load {
  readonly cache: PageCache;
  readonly file: CachedFile;
  readonly path: string;
  readonly random: Random;
}

/** What may come of an operation whose pages others cut, pin or close meanwhile. */
const expected = new Set(
  "EBUSY EDEADLK EBADF ESTALE ERR_PINFOLD_OUT_OF_RANGE ERR_PINFOLD_NO_FRAMES ERR_PINFOLD_PIN_LIMIT ERR_PINFOLD_TOO_MANY".split(
    " ",
  ),
);

function filled(random: Random, pages = 1): Uint8Array {
  const bytes = new Uint8Array(pages * page);
  for (let at = 0; at < pages; at++) bytes.fill(random.below(256), at * page, (at + 1) * page);
  return bytes;
}

/** @throws Error where a page has two bytes */
export function checkUniform(bytes: Uint8Array, index: number): void {
  const first = bytes[0] as number;
  const other = bytes.findIndex((byte) => byte !== first);
  if (other >= 0) throw new Error(`page ${index} has ${first} at 0 and ${bytes[other]} at ${other}`);
}

type Operation = (load: Load) => unknown;
const uniformAt = ({ random }: Load, pages = 1) => random.below(layoutOf.uniform - pages + 1);
const wildAt = ({ random }: Load) => layoutOf.uniform + random.below(layoutOf.wild - layoutOf.uniform - 4);

export const operations: Readonly<Record<string, Operation>> = {
  async read(load) {
    const at = uniformAt(load, 3);
    const bytes = new Uint8Array(3 * page);
    await load.file.read(bytes, 0, bytes.length, at * page);
    for (let i = 0; i < 3; i++) checkUniform(bytes.subarray(i * page, (i + 1) * page), at + i);
  },
  write: (load) => load.file.write(filled(load.random, 3), 0, 3 * page, uniformAt(load, 3) * page),
  async pinWrite(load) {
    const at = uniformAt(load, 2);
    const pages = await load.file.getUserPages(at * page, 2 * page, { write: true });
    try {
      for (const one of pages) one.bytes.fill(load.random.below(256));
      if (load.random.chance(20)) await pages.flush();
    } finally {
      pages.put();
    }
  },
  async pinRead(load) {
    const at = uniformAt(load);
    const pages = await load.file.getUserPages(at * page, page);
    try {
      checkUniform(pages.bytes, at);
      if (load.random.chance(30)) await pages.upgrade();
    } finally {
      pages.put();
    }
  },
  async longterm(load) {
    const pages = await load.file.getUserPages(wildAt(load) * page, 2 * page, {
      write: load.random.chance(50),
      longterm: true,
    });
    if (pages.writable) for (const one of pages) one.bytes.fill(1);
    if (load.random.chance(30)) pages.transfer();
    pages.put();
  },
  readSync(load) {
    const at = uniformAt(load);
    const bytes = new Uint8Array(page);
    load.file.readSync(bytes, 0, page, at * page);
    checkUniform(bytes, at);
  },
  writeSync: (load) => load.file.writeSync(filled(load.random), 0, page, uniformAt(load) * page),
  optimistic(load) {
    const at = uniformAt(load);
    load.file.readOptimistic(at * page, page, (memory, from, to) => checkUniform(memory.slice(from, to), at));
  },
  view(load) {
    const view = load.file.map(layoutOf.uniform * page, (layoutOf.wild - layoutOf.uniform) * page);
    for (let i = 0; i < 20; i++) view.setUint8(load.random.below(view.byteLength), 7);
  },
  sync: (load) => load.file.sync(),
  syncSync: (load) => load.file.syncSync(),
  async scoped(load) {
    const scope = load.cache.scope();
    const at = uniformAt(load);
    const first = await load.file.getUserPages(at * page, page, { scope });
    try {
      const second = await load.file.getUserPages(at * page, page, { scope, write: true });
      second.bytes.fill(load.random.below(256));
      second.put();
    } finally {
      first.put();
      scope.end();
    }
  },
  async pinMany({ cache, file, random }) {
    const ranges = [5, 50, 90].map((at) => ({
      file,
      position: (at + random.below(5)) * page,
      length: page,
      write: true,
    }));
    const pinned = await cache.pin(ranges);
    for (const pages of pinned) pages.bytes.fill(random.below(256));
    pinned.put();
  },
  truncate: ({ file, random }) => file.truncate((layoutOf.wild + random.below(layoutOf.all - layoutOf.wild)) * page),
  append: ({ file, random }) => file.write(filled(random, 2), 0, 2 * page, file.size),
  punch: (load) => load.file.punchHole(uniformAt(load, 4) * page, 4 * page),
  dontneed: (load) => load.file.advise(uniformAt(load, 8) * page, 8 * page, "dontneed"),
  flush: ({ cache }) => cache.core.flusher.step(true),
  async other({ cache, path, random }) {
    const other = await cache.open(`${path}.${random.below(2)}`, { create: true, size: 8 * page });
    await other.write(filled(random), 0, page, random.below(8) * page);
    await other.close();
  },
};

const names = Object.keys(operations);

/** One operation. @throws what is an error whatever the others do */
export async function doOne(load: Load): Promise<void> {
  try {
    await operations[names[load.random.below(names.length)] as string]?.(load);
  } catch (error) {
    if (!(error instanceof PinfoldError) || !expected.has(error.code)) throw error;
  }
}

async function go({ share, path, seed, done }: TerminateData): Promise<void> {
  const count = new Int32Array(done);
  const random = new Random(seed);
  for (;;) {
    const cache = PageCache.attach(share);
    const file = await cache.open(path);
    const task = async () => {
      for (let left = 50; left > 0; left--) {
        await doOne({ cache, file, path, random });
        Atomics.add(count, 0, 1);
      }
    };
    await Promise.all([task(), task(), task()]);
    await cache.close();
  }
}

if ((workerData as TerminateData | null)?.done) {
  go(workerData as TerminateData).catch((error: unknown) => {
    parentPort?.postMessage(String((error as Error).stack));
  });
}
