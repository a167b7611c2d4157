/**
 * A thread that uses the cache that it was given, comes to a certain point, says so, and waits there to be terminated.
 *
 * Each *act* leads to one point: it takes something and keeps it, or it stops in the midst of an operation, parked inside a call of
 * the store or of the page words.
 */
import { createRequire } from "node:module";
import { parentPort, workerData } from "node:worker_threads";
import { hook } from "./words-hook.js";
import { type CacheShare, CachedFile, MemoryStore, PageCache } from "../../src/index.js";
import type { Words } from "../../src/sync/words.js";
import type { Store } from "../../src/store/contract.js";

export const page = 4096;

export interface MortalData {
  readonly share: CacheShare;
  readonly path: string;
  readonly act: ActName;
}

export interface Reached {
  readonly slot: number;
  /** The cache of a worker that made its own. */
  readonly share?: CacheShare;
}

/** What to do around a close(2) of the C library. */
const library = { beforeClose: () => {}, afterClose: () => {} };

type Call = (...given: unknown[]) => unknown;

/** Before the library is loaded, which is at the first open. */
function watchClose(): void {
  const koffi = createRequire(import.meta.url)("koffi") as { load(name: string): { func(text: string): Call } };
  const load = koffi.load.bind(koffi);
  koffi.load = (name) => {
    const loaded = load(name);
    const close = loaded.func("int close(int fd)");
    const watched = (fd: unknown) => {
      library.beforeClose();
      const answer = close(fd);
      library.afterClose();
      return answer;
    };
    return { func: (text) => (text === "int close(int fd)" ? watched : loaded.func(text)) };
  };
}

interface Scene {
  readonly cache: PageCache;
  readonly file: CachedFile;
  readonly path: string;
  readonly store: Store;
  /** Says that the point is reached. */
  reached(): void;
  /** Says so, and stops the thread for good. */
  park(): never;
}

/** Makes a call of the store say that the point is reached, and never end. */
function hang(
  scene: Scene,
  name: "readPages" | "writePages" | "sync" | "truncate" | "punch" | "pageMkwrite",
  after = false,
): void {
  const store = scene.store as unknown as Record<string, (...given: unknown[]) => Promise<void>>;
  const before = store[name]?.bind(store);
  store[name] = async (...given) => {
    if (after) await before?.(...given);
    scene.reached();
    return new Promise<void>(() => {});
  };
}

/** Parks the thread before the nth call of a step from now on. */
function parkIn(scene: Scene, name: keyof Words, nth = 1): void {
  let left = nth;
  hook.seen = (called) => {
    if (called === name && --left === 0) scene.park();
  };
}

function filled(value: number, length = page): Uint8Array {
  return new Uint8Array(length).fill(value);
}

/** Brings the first pages in, some of them dirty. */
async function fillCache({ file }: Scene): Promise<void> {
  await file.read(new Uint8Array(24 * page), 0, 24 * page, 0);
  await file.write(filled(8, 4 * page), 0, 4 * page, 2 * page);
}

const kept: unknown[] = [];
const never = () => {};

export const acts = {
  /** Nothing is held but the file. */
  async idle(scene: Scene) {
    scene.reached();
  },
  async writeLock(scene: Scene) {
    const pages = await scene.file.getUserPages(0, page, { write: true });
    kept.push(pages);
    pages.bytes.fill(7, 0, page / 2);
    scene.reached();
  },
  async readLock(scene: Scene) {
    kept.push(await scene.file.getUserPages(0, page));
    scene.reached();
  },
  async manyLocks(scene: Scene) {
    kept.push(await scene.file.getUserPages(0, 8 * page, { write: true }));
    scene.reached();
  },
  async scoped(scene: Scene) {
    const scope = scene.cache.scope();
    kept.push(
      await scene.file.getUserPages(0, page, { scope }),
      await scene.file.getUserPages(0, page, { scope, write: true }),
    );
    kept.push(await scene.file.getUserPages(page, page, { scope }));
    scene.reached();
  },
  async countedWrite(scene: Scene) {
    const pages = await scene.file.getUserPages(0, page, { write: true, longterm: true });
    kept.push(pages, await scene.file.getUserPages(0, page, { write: true, longterm: true }));
    pages.bytes.fill(7);
    scene.reached();
  },
  async countedRead(scene: Scene) {
    kept.push(await scene.file.getUserPages(0, 4 * page, { longterm: true }));
    scene.reached();
  },
  /** Waits for a page through which somebody cuts the file. */
  async countedHead(scene: Scene) {
    const pinned = scene.file.getUserPages(page, 100, { longterm: true });
    scene.reached();
    kept.push(await pinned);
  },
  async transit(scene: Scene) {
    const pages = await scene.file.getUserPages(0, 2 * page, { write: true, longterm: true });
    pages.transfer();
    scene.reached();
  },
  /** Reads a page: it is mapped, and has no bytes. */
  async load(scene: Scene) {
    hang(scene, "readPages");
    await scene.file.getUserPages(0, 2 * page);
  },
  /** Has mapped a page to overwrite it, and asks for leave. */
  async overwriteAsked(scene: Scene) {
    hang(scene, "pageMkwrite");
    await scene.file.write(filled(7), 0, page, 0);
  },
  /** Has leave to overwrite a page that has no bytes. */
  async overwriteGranted(scene: Scene) {
    parkIn(scene, "setUptodate");
    await scene.file.write(filled(7), 0, page, 0);
  },
  async reserved(scene: Scene) {
    for (let i = 0; i < 5; i++) scene.cache.core.table.reserve();
    scene.reached();
  },
  async frozen(scene: Scene) {
    parkIn(scene, "remove");
    for (let at = 0; ; at++) await scene.file.read(new Uint8Array(page), 0, page, (at % 256) * page);
  },
  /** A task waits for a page that another thread has locked. */
  async waiting(scene: Scene) {
    scene.file.getUserPages(0, page, { write: true }).catch(never);
    scene.file.getUserPages(0, page).catch(never);
    await new Promise((resolve) => setTimeout(resolve, 20));
    scene.reached();
  },
  /** As waiting, and its event loop does not run any more: what it is granted it never sees. */
  async granted(scene: Scene) {
    scene.file.getUserPages(0, page, { write: true }).catch(never);
    await new Promise((resolve) => setTimeout(resolve, 20));
    scene.park();
  },
  async blocked(scene: Scene) {
    scene.reached();
    scene.file.getUserPagesSync(0, page, { write: true });
  },
  async writeback(scene: Scene) {
    hang(scene, "writePages");
    await scene.file.write(filled(7, 4 * page), 0, 4 * page, 0);
    await scene.file.sync();
  },
  async snapshot(scene: Scene) {
    kept.push(await scene.file.getUserPages(0, page, { write: true, longterm: true }));
    hang(scene, "writePages");
    await scene.file.sync();
  },
  async storeSync(scene: Scene) {
    hang(scene, "sync");
    await scene.file.write(filled(7), 0, page, 0);
    await scene.file.sync();
  },
  /** The pages are clean again one by one: it stops after the first. */
  async storeSyncDone(scene: Scene) {
    await scene.file.write(filled(7, 4 * page), 0, 4 * page, 0);
    parkIn(scene, "stabilizeNext", 2);
    await scene.file.sync();
  },
  /** Waits for a page that another thread has locked, with the new size published. */
  async cutUndoable(scene: Scene) {
    scene.file.truncate(page).catch(never);
    while (scene.file.size !== page) await new Promise((resolve) => setTimeout(resolve, 1));
    scene.reached();
  },
  /** Has removed the first of its pages. */
  async cutRemoving(scene: Scene) {
    await fillCache(scene);
    parkIn(scene, "remove", 2);
    await scene.file.truncate(page + 100);
  },
  async cutStore(scene: Scene) {
    await fillCache(scene);
    hang(scene, "truncate");
    await scene.file.truncate(page + 100);
  },
  async cutDone(scene: Scene) {
    await fillCache(scene);
    hang(scene, "truncate", true);
    await scene.file.truncate(page + 100);
  },
  async extend(scene: Scene) {
    const store = scene.store as unknown as { setSize(bytes: number): void };
    const setSize = store.setSize.bind(store);
    store.setSize = (bytes) => {
      setSize(bytes);
      scene.park();
    };
    await scene.file.truncate(300 * page);
  },
  async extendByWrite(scene: Scene) {
    parkIn(scene, "setSize");
    await scene.file.write(filled(7, 3 * page), 0, 3 * page, 256 * page + 100);
  },
  async punchWaiting(scene: Scene) {
    scene.file.punchHole(page, 8 * page).catch(never);
    await new Promise((resolve) => setTimeout(resolve, 20));
    scene.reached();
  },
  async punchStore(scene: Scene) {
    await fillCache(scene);
    hang(scene, "punch");
    await scene.file.punchHole(page, 8 * page + 100);
  },
  async punchRemoving(scene: Scene) {
    await fillCache(scene);
    parkIn(scene, "remove", 4);
    await scene.file.punchHole(page, 8 * page + 100);
  },
  /** Has opened a file of its own, and locked it, and nobody knows yet. */
  async open(scene: Scene) {
    parkIn(scene, "setSize");
    await scene.cache.open(`${scene.path}.other`, { create: true, size: page });
  },
  /** Is the only one who has a file open, and is in the midst of its last sync. */
  async closeSync(scene: Scene) {
    const other = await openOther(scene);
    hang({ ...scene, store: storeOf(other) }, "sync");
    await other.close();
  },
  /** The store is being closed: not yet; in the midst; and it is, but the file is not. */
  async closeStore(scene: Scene) {
    const other = await openOther(scene);
    const store = storeOf(other) as unknown as { close(): Promise<void> };
    store.close = async () => scene.park();
    await other.close();
  },
  async closeClosed(scene: Scene) {
    const other = await openOther(scene);
    const store = storeOf(other) as unknown as { close(): Promise<void> };
    const close = store.close.bind(store);
    store.close = async () => {
      await close();
      scene.park();
    };
    await other.close();
  },
  /** Its descriptor is about to be closed; is closed, and nobody knows. */
  async closeMarked(scene: Scene) {
    const other = await openOther(scene);
    library.beforeClose = () => scene.park();
    await other.close();
  },
  async closeHalf(scene: Scene) {
    const other = await openOther(scene);
    library.afterClose = () => scene.park();
    await other.close();
  },
  /** A file that nobody else has open, with a dirty page. */
  async soleOpener(scene: Scene) {
    await openOther(scene);
    scene.reached();
  },
  /** A store that only this thread has. */
  async ownStore(scene: Scene) {
    const own = await scene.cache.open(new MemoryStore({ key: "mortal", sizeBytes: 16 * page }));
    await own.write(filled(7), 0, page, 0);
    scene.reached();
  },
  /** The same, and it does not answer who asks it to read. */
  async ownStoreBusy(scene: Scene) {
    const store = new MemoryStore({ key: "mortal", sizeBytes: 16 * page });
    hang({ ...scene, store, reached: () => {} }, "readPages");
    await scene.cache.open(store);
    scene.reached();
  },
} satisfies Record<string, (scene: Scene) => Promise<void>>;

export type ActName = keyof typeof acts;

async function openOther(scene: Scene): Promise<CachedFile> {
  const other = await scene.cache.open(`${scene.path}.other`, { create: true, size: 16 * page });
  await other.write(filled(9), 0, page, 0);
  return other;
}

function storeOf(file: CachedFile): Store {
  return CachedFile.spaceOf(file, CachedFile.coreOf(file)).store;
}

async function perform({ share, path, act }: MortalData): Promise<void> {
  watchClose();
  const cache = PageCache.attach(share);
  const file = await cache.open(path);
  const reached = () => parentPort?.postMessage({ slot: cache.core.frames.thread } satisfies Reached);
  const park = (): never => {
    reached();
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    throw new Error("parked for good");
  };
  const scene = { cache, file, path, store: storeOf(file), reached, park };
  // Keeps the thread alive whatever the act leaves to do.
  setInterval(never, 60_000);
  await acts[act](scene);
}

if (workerData && (workerData as MortalData).act) void perform(workerData as MortalData);
