/**
 * The public surface by its types. Compiling this file is the test: each assignment says what a caller may pass and gets.
 * What must not compile is marked, and an unused mark is an error itself.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type CacheShare,
  type CacheStats,
  CachedFile,
  type ErrorCode,
  FileStore,
  type LegacyCaller,
  type MappedView,
  MemoryStore,
  PageCache,
  type PageCacheOptions,
  type PagesToken,
  type PinInfo,
  PinScope,
  PinfoldError,
  type PinnedRanges,
  type Store,
  UserPage,
  UserPages,
  channels,
  errorAdvice,
  putPage,
  putUserPages,
} from "../../src/index.js";
import { memory, offset, optimisticBegin, optimisticValidate, rawFile, tryPin, unpin } from "../../src/api/raw.js";

type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false;
const same = <A, B>(..._: Same<A, B> extends true ? [] : ["the types differ"]): void => {};

const allOptions: Required<PageCacheOptions> = {
  memory: "64MiB",
  pageSize: 4096,
  dirtyBytesMax: 1,
  dirtyBackgroundBytes: "1MiB",
  dirtyExpireMs: 1,
  writebackIntervalMs: 1,
  pinnedBytesMax: 1,
  frameWaitMs: 1,
  leakedPagesMax: 1,
  preTouch: true,
  durability: "device",
  writeThrough: false,
  pinSites: "all",
  debug: false,
};

/** Never called. */
export async function surface(
  cache: PageCache,
  file: CachedFile,
  store: Store,
  socket: NodeJS.WritableStream,
): Promise<void> {
  const signal = new AbortController().signal;
  same<Awaited<ReturnType<typeof PageCache.open>>, PageCache>();
  await using opened: PageCache = await PageCache.open();
  await using again: CachedFile = await opened.open("path", {
    create: true,
    size: "1GiB",
    readOnly: false,
    direct: false,
    exclusive: true,
  });
  await using other: CachedFile = await opened.open(store);
  using scope: PinScope = cache.scope();
  using several: PinnedRanges = await cache.pin(
    [
      { file, position: 0, length: 1, write: true },
      { file: other, position: 0, length: 1 },
    ],
    { signal, scope },
  );
  for (const pages of several) same<typeof pages, UserPages>();
  await cache.sync({ pinned: "fail", signal, scope });
  same<ReturnType<typeof cache.stats>, CacheStats>();
  same<ReturnType<typeof cache.pins>, PinInfo[]>();
  same<ReturnType<typeof cache.legacyCallers>, LegacyCaller[]>();
  same<ReturnType<typeof cache.verify>, void>();
  cache.verify({ quiesce: true });
  await cache.close({ discard: true });

  using pages: UserPages = await file.getUserPages(0, 1, { write: true, longterm: false, signal, scope });
  same<ReturnType<typeof file.tryGetUserPages>, UserPages | undefined>();
  same<ReturnType<typeof file.getUserPagesSync>, UserPages>();
  same<ReturnType<typeof file.syncSync>, void>();
  same<ReturnType<typeof file.datasyncSync>, void>();
  same<ReturnType<typeof cache.share>, CacheShare>();
  const attached: PageCache = PageCache.attach(cache.share());
  const byKey: CachedFile = await attached.open({ key: store.key });
  const view: MappedView = byKey.map(0, 4096);
  same<ReturnType<typeof view.getBigUint64>, bigint>();
  view.setFloat64(view.getUint32(0, true), 1.5, true);
  // @ts-expect-error A BigInt does not fit a Float64.
  view.setFloat64(0, 1n);
  same<ReturnType<typeof view.getUserPages>, Promise<UserPages>>();
  view.unmap();
  for (const page of pages) same<typeof page, UserPage>();
  const facts: [number, number, Uint8Array, DataView] = [
    pages.page(0).index,
    pages.page(0).position,
    pages.page(0).bytes,
    pages.page(0).view,
  ];
  const counts: number[] = [pages.length, pages.copyTo(facts[2], 0), pages.copyFrom(facts[2], 0)];
  const ownerDied: boolean = pages.ownerDied;
  await pages.upgrade({ signal });
  await pages.flush({ signal });
  pages.downgrade();
  pages.putUnmodified();
  same<ReturnType<typeof pages.transfer>, PagesToken>();
  same<ReturnType<typeof UserPages.adopt>, UserPages>();
  putUserPages(pages);
  putUserPages([pages]);
  putUserPages(several);
  putPage(pages.page(0));

  await file.truncate(0, { pinned: "wait", signal });
  await file.sync({ position: 0, length: 1, pinned: "fail", signal });
  file.invalidate(0, 1);
  await file.allocate(0, 1);
  await file.punchHole(0, 1);
  await file.advise(0, 0, "willneed");
  await file.sendTo(socket, 0, 1, { signal });
  const read: { bytesRead: number; buffer: Uint16Array } = await file.read(new Uint16Array(1), 0, 2, 0n);
  const plain: { bytesRead: number; buffer: Buffer } = await file.read();
  const vectors: { bytesRead: number; buffers: Buffer[] } = await file.readv([Buffer.alloc(1)], 0);
  const written: { bytesWritten: number; buffer: string } = await file.write("text", 0, "utf8");
  const texts: [Buffer, string] = [await file.readFile(), await file.readFile("utf8")];
  const sizes: number[] = [file.size, file.readSync(Buffer.alloc(1)), file.writeSync("a", 0), (await file.stat()).size];
  await file.writeFile(["a", Buffer.alloc(1)]);
  await file.appendFile("a");
  file.createReadStream({ start: 0, end: 1, signal }).pipe(file.createWriteStream({ start: 0 }));
  const raw = rawFile(file);
  const frame: number = tryPin(raw, 0, true);
  const memoryAt: [Uint8Array, number] = [memory(raw, frame), offset(raw, frame)];
  unpin(raw, frame, false);
  const without: number = optimisticBegin(raw, 0);
  const good: boolean = optimisticValidate(raw, without);
  same<ReturnType<typeof file.readOptimistic<bigint>>, bigint>();
  const seen: string = file.readOptimistic(
    0,
    8,
    (bytes: Uint8Array, start: number, end: number) => `${bytes[start]}${end}`,
  );

  // @ts-expect-error a position is a number
  await file.getUserPages("0", 1);
  // @ts-expect-error a length is needed
  await file.getUserPages(0);
  // @ts-expect-error what is to be done with the bytes is a function
  file.readOptimistic(0, 8);
  // @ts-expect-error there is no such advice
  await file.advise(0, 0, "soon");
  // @ts-expect-error a scope comes from cache.scope()
  await file.getUserPages(0, 1, { scope: 5 });
  // @ts-expect-error pages are put, not numbers
  putUserPages([1]);
  // @ts-expect-error bytes are not replaced, they are written
  pages.page(0).bytes = new Uint8Array(1);
  // @ts-expect-error the code is one of the table
  const unknown: ErrorCode = "ESOMETHING";
  assert.ok([again, counts, ownerDied, read, plain, vectors, written, texts, sizes, memoryAt, good, seen, unknown]);
}

test("the names of the public surface are there at run time", () => {
  for (const made of [PageCache, CachedFile, UserPages, UserPage, PinScope, PinfoldError, FileStore, MemoryStore])
    assert.equal(typeof made, "function");
  assert.deepEqual(Object.keys(channels).sort(), ["healed", "leaked", "recovered", "stuck", "writeError"]);
  assert.ok(Object.keys(errorAdvice).length > 20 && Object.keys(allOptions).length === 14);
  const error = new PinfoldError("EINVAL", "message", { cause: 5, operation: "test" });
  assert.deepEqual([error.code, error.name, error.cause, error.operation], ["EINVAL", "PinfoldError", 5, "test"]);
});
