/** Opening and closing caches and files: what is refused, with which code, and what stays as it was. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { inspect } from "node:util";
import { type CachedFile, MemoryStore, PageCache, type PageCacheOptions } from "../../src/index.js";
import {
  failsWith,
  openCache,
  openDisk,
  openMemory,
  pageSize,
  pattern,
  runProgram,
  scratchFolder,
  stateOf,
} from "./fixture.js";

const wrongOptions: readonly [string, unknown][] = [
  ...[0, 1, 2048, 4095, 4097, 12_288, 131_072, -4096, 4096.5, Number.NaN, "4096", null, {}].map(
    (pageSizeOption): [string, unknown] => [
      `pageSize ${inspect(pageSizeOption)}`,
      { pageSize: pageSizeOption ?? "null" },
    ],
  ),
  ...[
    0,
    1,
    -1,
    4096,
    63 * 4096,
    0.5,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    2 ** 53,
    "lots",
    "64MB",
    "1000TiB",
    "-1MiB",
    "",
    {},
    true,
  ].map((memory): [string, unknown] => [`memory ${inspect(memory)}`, { memory }]),
  ["fewer than 64 large pages", { pageSize: 65_536, memory: "2MiB" }],
  ["dirtyBytesMax above the memory", { memory: "1MiB", dirtyBytesMax: "2MiB" }],
  ["dirtyBytesMax of no page", { dirtyBytesMax: 0 }],
  ["dirty and pinned that leave nothing", { memory: "1MiB", dirtyBytesMax: "600KiB", pinnedBytesMax: "400KiB" }],
  ["background above the limit", { memory: "1MiB", dirtyBytesMax: "200KiB", dirtyBackgroundBytes: "300KiB" }],
  ["dirtyExpireMs 0", { dirtyExpireMs: 0 }],
  ["frameWaitMs 1.5", { frameWaitMs: 1.5 }],
  ["writebackIntervalMs -1", { writebackIntervalMs: -1 }],
  ["leakedPagesMax 0", { leakedPagesMax: 0 }],
  ["durability", { durability: "none" }],
  ["pinSites", { pinSites: true }],
  ["debug", { debug: "yes" }],
  ["preTouch", { preTouch: 1 }],
  ["writeThrough", { writeThrough: null }],
  ["null", null],
  ["a number", 5],
  ["a bigint as memory", { memory: 5n }],
  ["a bigint as dirtyBytesMax", { dirtyBytesMax: 5n }],
];

for (const [name, options] of wrongOptions) {
  test(`PageCache.open refuses ${name} with EINVAL`, async () => {
    await failsWith("EINVAL", () => PageCache.open(options as PageCacheOptions), name);
  });
}

test("more memory than the system has is ENOMEM at the open, touched or not", async () => {
  const memory = Math.min(2 ** 24 * 65_536 - 65_536 * 2, 4 * totalmem());
  const bytes = memory - (memory % 65_536);
  for (const preTouch of [true, false])
    await failsWith("ENOMEM", () => PageCache.open({ memory: bytes, pageSize: 65_536, preTouch }));
});

test("all page sizes that there are hold a file", async (t) => {
  for (const size of [4096, 8192, 16_384, 32_768, 65_536]) {
    const cache = await openCache(t, { pageSize: size, memory: 64 * size });
    const file = await cache.open(new MemoryStore({ contents: pattern(3 * size + 5) }));
    const read = Buffer.alloc(3 * size + 5);
    await file.read(read, 0, read.length, 0);
    assert.deepEqual(read, pattern(3 * size + 5));
    assert.equal(file.pageSize, size);
  }
});

test("open refuses targets and options that are none, and makes nothing", async (t) => {
  const { cache, file, path } = await openDisk(t, pattern(1000));
  const before = await stateOf(cache, file);
  const fresh = join(path, "..", "fresh.bin");
  for (const target of ["", "a\0b", undefined, null, 5, {}, [], true])
    await failsWith("EINVAL", () => cache.open(target as never), inspect(target));
  for (const options of [null, 5, { create: 1 }, { readOnly: "no" }, { direct: 0 }, { exclusive: null }]) {
    await failsWith("EINVAL", () => cache.open(fresh, options as never), JSON.stringify(options));
  }
  for (const size of [-1, 0.5, Number.NaN, "big", 2 ** 60, {}, 5n]) {
    await failsWith("EINVAL", () => cache.open(fresh, { create: true, size: size as number }), inspect(size));
  }
  await failsWith("EFBIG", () => cache.open(fresh, { create: true, size: 2 ** 52 }));
  await failsWith("EINVAL", () => cache.open(fresh, { create: true, readOnly: true }));
  await failsWith("EINVAL", () => cache.open(path, { size: 999 }), "another size than the file has");
  assert.equal(existsSync(fresh), false);
  assert.equal(statSync(path).size, 1000);
  assert.deepEqual(await stateOf(cache, file), before);
});

test("a missing file is ENOENT, a directory EISDIR, a path through a file and a special file are refused", async (t) => {
  const { cache, file, path } = await openDisk(t, pattern(1000));
  const before = await stateOf(cache, file);
  await failsWith("ENOENT", () => cache.open(join(path, "..", "missing.bin")));
  await failsWith("ENOENT", () => cache.open(join(path, "..", "no-folder", "a.bin"), { create: true }));
  await failsWith("EISDIR", () => cache.open(join(path, "..")));
  await failsWith("EISDIR", () => cache.open(join(path, ".."), { readOnly: true }));
  await failsWith("EISDIR", () => cache.open(join(path, ".."), { create: true }));
  await failsWith("EINVAL", () => cache.open("/dev/null"));
  const error = await failsWith("ENOENT", () => cache.open(join(path, "..", "missing.bin")));
  assert.match(error.message, /missing\.bin/);
  assert.deepEqual(await stateOf(cache, file), before);
});

test("conflicting options for one file are EINVAL; the same ones share it", async (t) => {
  const { cache, file, path } = await openDisk(t, pattern(1000));
  await failsWith("EINVAL", () => cache.open(path, { readOnly: true }));
  await failsWith("EINVAL", () => cache.open(path, { exclusive: false }));
  await failsWith("EINVAL", () => cache.open(path, { direct: true }));
  await failsWith("EINVAL", () => cache.open(path, { size: 500 }));
  const [again, created] = await Promise.all([cache.open(path), cache.open(path, { create: true, size: 1000 })]);
  await file.write(Buffer.from("shared"), 0, 6, 0);
  const read = Buffer.alloc(6);
  await again.read(read, 0, 6, 0);
  assert.equal(read.toString(), "shared");
  await created.close();
  await again.close();
  assert.equal(file.size, 1000, "the others go on");
});

test("a file that is open in another cache is EBUSY, and free after the close there", async (t) => {
  const { cache, file, path } = await openDisk(t, pattern(1000));
  const other = await openCache(t);
  const before = await stateOf(cache, file);
  await failsWith("EBUSY", () => other.open(path));
  await failsWith("EBUSY", () => other.open(path, { readOnly: true }));
  assert.deepEqual(await stateOf(cache, file), before);
  await file.close();
  await (await other.open(path)).close();
});

test("a file that is open in another process is EBUSY until that one ends", async (t) => {
  const path = join(scratchFolder(t), "data.bin");
  writeFileSync(path, pattern(1000));
  const entry = new URL("../../src/index.js", import.meta.url).href;
  const source = `import { PageCache } from ${JSON.stringify(entry)};
    const cache = await PageCache.open({ memory: "1MiB" });
    await cache.open(${JSON.stringify(path)});
    console.log("open");
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", source], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.after(() => child.kill("SIGKILL"));
  await new Promise((resolve) => child.stdout.once("data", resolve));
  const cache = await openCache(t);
  const error = await failsWith("EBUSY", () => cache.open(path));
  assert.match(error.message, /another process/);
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await ended;
  await (await cache.open(path)).close();
});

test("a file opened read-only is EROFS for every call that changes it", async (t) => {
  const path = join(scratchFolder(t), "data.bin");
  writeFileSync(path, pattern(2 * pageSize));
  const cache = await openCache(t);
  const file = await cache.open(path, { readOnly: true });
  const before = await stateOf(cache, file);
  const changes: Record<string, () => unknown> = {
    getUserPages: () => file.getUserPages(0, 10, { write: true }),
    tryGetUserPages: () => file.tryGetUserPages(0, 10, { write: true }),
    getUserPagesSync: () => file.getUserPagesSync(0, 10, { write: true }),
    "cache.pin": () => cache.pin([{ file, position: 0, length: 10, write: true }]),
    write: () => file.write("abc", 0),
    writev: () => file.writev([Buffer.from("abc")], 0),
    writeSync: () => file.writeSync("abc", 0),
    tryWrite: () => file.tryWrite(Buffer.from("abc"), 0),
    writeFile: () => file.writeFile("abc"),
    appendFile: () => file.appendFile("abc"),
    "truncate, shorter": () => file.truncate(5),
    "truncate, longer": () => file.truncate(2 ** 20),
    allocate: () => file.allocate(0, pageSize),
    punchHole: () => file.punchHole(0, pageSize),
    upgrade: async () => {
      using pages = await file.getUserPages(0, 10);
      await pages.upgrade();
    },
    copyFrom: async () => {
      using pages = await file.getUserPages(0, 10);
      pages.copyFrom(Buffer.from("abc"));
    },
  };
  for (const [name, change] of Object.entries(changes)) await failsWith("EROFS", change, name);
  await file.sync();
  assert.deepEqual(await stateOf(cache, file), before);
  assert.deepEqual(readFileSync(path), pattern(2 * pageSize));
});

test("a file that an ordinary user may only read is EACCES for writing, and opens read-only", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "pinfold-api-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  chmodSync(folder, 0o755);
  const path = join(folder, "data.bin");
  writeFileSync(path, pattern(100), { mode: 0o444 });
  mkdirSync(join(folder, "closed"), { mode: 0o700 });
  writeFileSync(join(folder, "closed", "inside.bin"), "");
  // Root may write everything, so a root that runs the tests becomes an ordinary user for this one.
  const uid = process.getuid?.() === 0 ? 65_534 : undefined;
  const source = `
    const cache = await pinfold.PageCache.open({ memory: "1MiB" });
    const codes = [];
    for (const [path, options] of ${JSON.stringify([
      [path, {}],
      [path, { create: true }],
      [path, { readOnly: true }],
      ...(uid === undefined ? [] : [[join(folder, "closed", "inside.bin"), {}]]),
      ...(uid === undefined ? [] : [[join(folder, "new.bin"), { create: true }]]),
    ])}) codes.push(await cache.open(path, options).then(async (file) => { await file.close(); return "open"; }, (error) => error.code));
    console.log(codes.join());`;
  const { stdout, stderr } = runProgram(source, uid === undefined ? {} : { uid });
  assert.equal(stdout.trim(), uid === undefined ? "EACCES,EACCES,open" : "EACCES,EACCES,open,EACCES,EACCES", stderr);
  assert.deepEqual(readFileSync(path), pattern(100));
});

/** Every call of a file. */
const fileCalls: Record<string, (file: CachedFile) => unknown> = {
  size: (file) => file.size,
  getUserPages: (file) => file.getUserPages(0, 1),
  tryGetUserPages: (file) => file.tryGetUserPages(0, 1),
  getUserPagesSync: (file) => file.getUserPagesSync(0, 1),
  read: (file) => file.read(Buffer.alloc(1), 0, 1, 0),
  readv: (file) => file.readv([Buffer.alloc(1)], 0),
  write: (file) => file.write("a", 0),
  writev: (file) => file.writev([Buffer.alloc(1)], 0),
  tryRead: (file) => file.tryRead(Buffer.alloc(1), 0),
  tryWrite: (file) => file.tryWrite(Buffer.alloc(1), 0),
  readSync: (file) => file.readSync(Buffer.alloc(1)),
  writeSync: (file) => file.writeSync(Buffer.alloc(1)),
  truncate: (file) => file.truncate(0),
  sync: (file) => file.sync(),
  datasync: (file) => file.datasync(),
  invalidate: (file) => file.invalidate(),
  allocate: (file) => file.allocate(0, 1),
  punchHole: (file) => file.punchHole(0, 1),
  advise: (file) => file.advise(0, 1, "dontneed"),
  stat: (file) => file.stat(),
  readFile: (file) => file.readFile(),
  writeFile: (file) => file.writeFile("a"),
  appendFile: (file) => file.appendFile("a"),
  createReadStream: (file) => file.createReadStream(),
  createWriteStream: (file) => file.createWriteStream(),
  sendTo: (file) => file.sendTo(process.stdout, 0, 1),
};

test("every call of a closed file is EBADF; closing again is nothing", async (t) => {
  const { cache, file, path } = await openDisk(t, pattern(5000));
  await file.close();
  for (const [name, call] of Object.entries(fileCalls)) await failsWith("EBADF", () => call(file), name);
  await failsWith("EBADF", () => cache.pin([{ file, position: 0, length: 1 }]));
  await file.close();
  await file[Symbol.asyncDispose]();
  assert.deepEqual(readFileSync(path), pattern(5000));
  assert.equal(cache.stats().freeFrames, cache.stats().frames);
});

test("every call of a file of a closed cache is EBADF, and so are the cache's own", async (t) => {
  const { cache, file } = await openDisk(t, pattern(5000));
  const second = await cache.open(new MemoryStore());
  await cache.close();
  for (const [name, call] of Object.entries(fileCalls)) await failsWith("EBADF", () => call(file), name);
  await failsWith("EBADF", () => cache.open(new MemoryStore()));
  await failsWith("EBADF", () => cache.pin([{ file, position: 0, length: 1 }]));
  await failsWith("EBADF", () => cache.scope());
  await failsWith("EBADF", () => cache.sync());
  await Promise.all([file.close(), second.close(), cache.close()]);
  assert.deepEqual(cache.pins(), []);
});

test("a file and a cache with pins do not close, and say who has them; the files stay open", async (t) => {
  const { cache, file } = await openMemory(t, 4);
  const again = await cache.open(new MemoryStore({ sizeBytes: 10 }));
  const pages = await file.getUserPages(0, 10, { write: true });
  const error = await failsWith("EBUSY", () => file.close());
  assert.match(error.message, /locked write pin of .* \[0, 10\)/);
  await failsWith("EBUSY", () => cache.close());
  await failsWith("EBUSY", () => cache.close({ discard: true }));
  assert.equal(file.size, 4 * pageSize);
  assert.equal(again.size, 10);
  pages.put();
  await file.close();
});

test("two closes at once both wait for the one close", async (t) => {
  const { cache, file } = await openDisk(t, pattern(5000));
  await file.write("dirty", 0);
  let first = false;
  const closing = file.close().then(() => {
    first = true;
  });
  await file.close();
  assert.equal(first, true, "the second one came back before the file was closed");
  await closing;
  await Promise.all([cache.close(), cache.close()]);
});

test("a cache whose close fails keeps its files apart: the last opener closes the store", async (t) => {
  const { cache, file, path } = await openDisk(t, pattern(5000));
  const again = await cache.open(path);
  const other = await cache.open(new MemoryStore({ sizeBytes: 10 }));
  const pages = await other.getUserPages(0, 10);
  await failsWith("EBUSY", () => cache.close());
  pages.put();
  await again.close();
  assert.equal(file.size, 5000, "the first opener still has the file");
  await file.write("still here", 0);
  await file.close();
  assert.equal(readFileSync(path, "latin1").slice(0, 10), "still here");
});

test("many caches in one process leave one exit listener", async (t) => {
  for (let i = 0; i < 12; i++) await openCache(t);
  assert.ok(process.listenerCount("exit") < 5, `${process.listenerCount("exit")} listeners`);
});

test("dirty bytes of caches that nobody closed are written when the process exits, also by an uncaught exception", (t) => {
  for (const [end, status] of [
    ["", 0],
    ["process.exit(3);", 3],
    ["throw new Error('uncaught');", 1],
  ] as const) {
    const path = join(scratchFolder(t), "data.bin");
    const source = `
      const cache = await pinfold.PageCache.open({ memory: "1MiB" });
      const file = await cache.open(${JSON.stringify(path)}, { create: true, size: 8192 });
      await file.write("written by nobody but the exit", 4000);
      const pages = await file.getUserPages(0, 10, { write: true });
      pages.copyFrom(Buffer.from("pinned"));
      ${end}`;
    const { status: actual } = runProgram(source);
    assert.equal(actual, status);
    const bytes = readFileSync(path);
    assert.equal(bytes.toString("latin1", 4000, 4030), "written by nobody but the exit");
    assert.equal(bytes.toString("latin1", 0, 6), "pinned");
  }
});
