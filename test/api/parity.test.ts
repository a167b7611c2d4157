/**
 * The same calls on a FileHandle of node:fs/promises and on a CachedFile with the same contents: results, buffers, own position
 * and final bytes are the same. What differs is in the last tests, and in docs/access-rules.md.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { constants, closeSync, openSync, readFileSync, readSync, writeFileSync, writeSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer as bufferOf, text } from "node:stream/consumers";
import { finished, pipeline } from "node:stream/promises";
import { type TestContext, test } from "node:test";
import type { CachedFile } from "../../src/index.js";
import { failsWith, openCache, pageSize, pattern, scratchFolder } from "./fixture.js";

/** What both have. */
type Either = FileHandle;

const size = 3 * pageSize + 123;

interface Pair {
  readonly node: { readonly file: FileHandle; readonly path: string };
  readonly pinfold: { readonly file: CachedFile; readonly path: string };
}

async function openPair(t: TestContext, contents: Uint8Array = pattern(size)): Promise<Pair> {
  const folder = scratchFolder(t);
  const [one, two] = [join(folder, "node.bin"), join(folder, "pinfold.bin")];
  writeFileSync(one, contents);
  writeFileSync(two, contents);
  const cache = await openCache(t);
  const node = await open(one, "r+");
  // Not awaited: Node's own close waits for write streams that were told to leave the file open.
  t.after(() => void node.close());
  return { node: { file: node, path: one }, pinfold: { file: await cache.open(two), path: two } };
}

/** What a call answers, as far as it can be compared: buffers by their bytes. */
function plain(value: unknown): unknown {
  if (ArrayBuffer.isView(value)) {
    return {
      kind: value.constructor.name,
      bytes: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("hex"),
    };
  }
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)]));
  }
  return value;
}

/** Runs the steps on both, compares each result, then sizes and bytes of both files. */
async function sameOnBoth(
  t: TestContext,
  steps: readonly ((file: Either) => Promise<unknown>)[],
  contents?: Uint8Array,
): Promise<void> {
  const { node, pinfold } = await openPair(t, contents);
  for (const [at, step] of steps.entries()) {
    const expected = plain(await step(node.file));
    const actual = plain(await step(pinfold.file as unknown as Either));
    assert.deepEqual(actual, expected, `step ${at}: ${step.toString()}`);
    const bytes = Buffer.alloc(pinfold.file.size);
    await pinfold.file.read(bytes, 0, bytes.length, 0);
    assert.ok(bytes.equals(readFileSync(node.path)), `bytes of the file after step ${at}: ${step.toString()}`);
  }
  assert.equal(pinfold.file.size, (await node.file.stat()).size);
  await pinfold.file.close();
  assert.deepEqual(readFileSync(pinfold.path), readFileSync(node.path));
}

test("read in all its forms", async (t) => {
  await sameOnBoth(t, [
    (f) => f.read(Buffer.alloc(10), 0, 10, 0),
    (f) => f.read(Buffer.alloc(10), 0, 10, 4090),
    (f) => f.read(Buffer.alloc(10), 2, 5, 100),
    (f) => f.read(Buffer.alloc(10), null as never, 10, 5),
    (f) => f.read(Buffer.alloc(10), undefined as never, 10, 5),
    (f) => f.read(Buffer.alloc(10), 0, 10, null),
    (f) => f.read(Buffer.alloc(10), 0, 10, undefined),
    (f) => f.read(Buffer.alloc(10), 0, 10, -1),
    (f) => f.read(Buffer.alloc(10), 0, 10),
    (f) => f.read(Buffer.alloc(10), { position: 77 }),
    (f) => f.read(Buffer.alloc(10), { offset: 3, length: 4, position: 50 }),
    (f) => f.read(Buffer.alloc(10), { offset: 3 }),
    (f) => f.read(Buffer.alloc(10), {}),
    (f) => f.read({ buffer: Buffer.alloc(10), offset: 1, length: 8, position: 4000 }),
    (f) => f.read({ buffer: Buffer.alloc(10) }),
    (f) => f.read({ buffer: Buffer.alloc(10), position: null }),
    (f) => f.read({ length: 20, position: 1 }),
    (f) => f.read({ position: 0 }),
    (f) => f.read(),
    (f) => f.read(),
    (f) => f.read(),
  ]);
});

test("read into all kinds of views", async (t) => {
  await sameOnBoth(t, [
    (f) => f.read(new Uint8Array(10), 0, 10, 3),
    (f) => f.read(new Uint8ClampedArray(10), 0, 10, 3),
    (f) => f.read(new Int16Array(10), 0, 20, 3),
    (f) => f.read(new Uint32Array(4), 4, 8, 3),
    (f) => f.read(new Float64Array(3), 8, 16, 3),
    (f) => f.read(new BigInt64Array(2), 0, 16, 3),
    (f) => f.read(new DataView(new ArrayBuffer(20), 4, 10), 0, 10, 3),
    (f) => f.read(Buffer.alloc(40).subarray(5, 15), 2, 8, 3),
  ]);
});

test("read of nothing, at the end, past it and across it", async (t) => {
  await sameOnBoth(t, [
    (f) => f.read(Buffer.alloc(0), 0, 0, 0),
    (f) => f.read(Buffer.alloc(10), 0, 0, 0),
    (f) => f.read(Buffer.alloc(10), 10, 0, 0),
    (f) => f.read(Buffer.alloc(10, 1), 0, 10, size),
    (f) => f.read(Buffer.alloc(10, 1), 0, 10, size + 5),
    (f) => f.read(Buffer.alloc(10, 1), 0, 10, 2 ** 40),
    (f) => f.read(Buffer.alloc(10, 1), 0, 10, size - 4),
    (f) => f.read(Buffer.alloc(2 * size, 1), 0, 2 * size, 0),
    (f) => f.read(Buffer.alloc(2 * size, 1), 0, 2 * size),
    (f) => f.read(Buffer.alloc(10, 1), 0, 10),
  ]);
  await sameOnBoth(
    t,
    [(f) => f.read(Buffer.alloc(5), 0, 5, 0), (f) => f.read(), (f) => f.readFile()],
    new Uint8Array(0),
  );
});

test("the own position goes on with reads and writes without one, and with no others", async (t) => {
  await sameOnBoth(t, [
    (f) => f.read(Buffer.alloc(100), 0, 100),
    (f) => f.read(Buffer.alloc(100), 0, 100, 5000),
    (f) => f.read(Buffer.alloc(4), 0, 4),
    (f) => f.write(Buffer.from("here")),
    (f) => f.write(Buffer.from("there"), 0, 5, 9000),
    (f) => f.read(Buffer.alloc(4), 0, 4),
    (f) => f.write("own"),
    (f) => f.readv([Buffer.alloc(3), Buffer.alloc(5)]),
    (f) => f.writev([Buffer.from("ab"), Buffer.from("cd")]),
    (f) => f.readv([Buffer.alloc(3)], 10),
    (f) => f.read(Buffer.alloc(4), 0, 4),
    (f) => f.readFile().then((bytes) => bytes.length),
    (f) => f.write("at the end"),
    (f) => f.read(Buffer.alloc(4), 0, 4),
  ]);
});

test("write in all its forms", async (t) => {
  await sameOnBoth(t, [
    (f) => f.write(Buffer.from("0123456789"), 0, 10, 0),
    (f) => f.write(Buffer.from("0123456789"), 2, 5, 4094),
    (f) => f.write(Buffer.from("0123456789"), 4),
    (f) => f.write(Buffer.from("0123456789"), undefined, undefined, 300),
    (f) => f.write(Buffer.from("0123456789"), 0, 10, null),
    (f) => f.write(Buffer.from("0123456789"), 0, 10, -1),
    (f) => f.write(Buffer.from("0123456789"), { offset: 3, length: 4, position: 50 } as never),
    (f) => f.write(Buffer.from("0123456789"), { position: 60 } as never),
    (f) => f.write(Buffer.from("0123456789"), {} as never),
    (f) => f.write(Buffer.from("0123456789")),
    (f) => f.write(Buffer.alloc(0), 0, 0, 70),
    (f) => f.write(Buffer.alloc(0), 0, 0, 2 ** 30),
    (f) => f.write(new Uint16Array([1, 2, 3]), 0, 6, 80),
    (f) => f.write(new Float64Array([1.5, -2]), 8, 8, 90),
    (f) => f.write(new DataView(Uint8Array.from([9, 8, 7, 6]).buffer, 1, 2), 0, 2, 120),
    (f) => f.write(Buffer.from("0123456789"), 0, 10, size - 5),
    (f) => f.write(Buffer.from("0123456789"), 0, 10, size + 3 * pageSize + 7),
    (f) => f.write(pattern(3 * pageSize), 0, 3 * pageSize, 100),
  ]);
});

test("write of strings with positions and encodings", async (t) => {
  await sameOnBoth(t, [
    (f) => f.write("ascii", 0),
    (f) => f.write("äöü€😀", 10),
    (f) => f.write("äöü", 40, "latin1"),
    (f) => f.write("00ff10", 50, "hex"),
    (f) => f.write("AAEC", 60, "base64"),
    (f) => f.write("AA-_", 64, "base64url"),
    (f) => f.write("utf16", 70, "utf16le"),
    (f) => f.write("own position", null),
    (f) => f.write("and again", undefined, "utf8"),
    (f) => f.write("minus one", -1),
    (f) => f.write("", 5000),
    (f) => f.write("x".repeat(9000), 4000),
  ]);
});

test("readv and writev", async (t) => {
  await sameOnBoth(t, [
    (f) => f.readv([Buffer.alloc(10), Buffer.alloc(5000), new Uint16Array(3)], 4090),
    (f) => f.readv([Buffer.alloc(10), Buffer.alloc(0), Buffer.alloc(10)], size - 15),
    (f) => f.readv([Buffer.alloc(10)], size + 10),
    (f) => f.readv([Buffer.alloc(10)], null as never),
    (f) => f.readv([Buffer.alloc(10)]),
    (f) => f.readv([new DataView(new ArrayBuffer(6))], 1),
    (f) =>
      f.writev([Buffer.from("ab"), Buffer.alloc(0), new Uint8Array([1, 2]), new DataView(new ArrayBuffer(3))], 4094),
    (f) => f.writev([Buffer.from("own"), Buffer.from("position")]),
    (f) => f.writev([Buffer.from("null")], null as never),
    (f) => f.writev([]),
    (f) => f.writev([Buffer.alloc(5000, 1), Buffer.alloc(5000, 2)], size),
  ]);
});

test("truncate, stat and the whole file", async (t) => {
  await sameOnBoth(t, [
    (f) => f.truncate(5000),
    (f) => f.stat().then((stats) => [stats.size, stats.isFile(), stats.isDirectory(), stats.nlink, stats.mode & 0o777]),
    (f) => f.readFile(),
    (f) => f.readFile(),
    (f) => f.truncate(9001),
    (f) => f.readFile("latin1"),
    (f) => f.readFile({ encoding: "hex" }),
    (f) => f.readFile({ encoding: null }),
    (f) => f.readFile(null),
    (f) => f.truncate(),
    (f) => f.read(Buffer.alloc(4), 0, 4, 0),
    (f) => f.truncate(10),
    (f) => f.truncate(undefined),
    (f) => f.sync(),
    (f) => f.datasync(),
    (f) => f.stat().then((stats) => stats.size),
  ]);
});

test("writeFile and appendFile at the own position", async (t) => {
  await sameOnBoth(t, [
    (f) => f.writeFile("from the begin"),
    (f) => f.writeFile(Buffer.from(" and on")),
    (f) => f.writeFile("00ff", "hex"),
    (f) => f.writeFile("äö", { encoding: "latin1" }),
    (f) => f.writeFile(new Uint16Array([1, 2]) as never),
    (f) => f.writeFile(new DataView(new ArrayBuffer(3)) as never),
    (f) => f.writeFile(["pieces", "of", "strings"] as never),
    (f) => f.writeFile(Readable.from(["a stream", "of two"]) as never),
    (f) => f.writeFile(""),
    (f) => f.writeFile(pattern(20_000)),
    (f) => f.appendFile("appended"),
    (f) => f.appendFile(Buffer.from("again")),
    (f) => f.appendFile("ff", "hex"),
    (f) => f.readFile().then((bytes) => bytes.length),
  ]);
});

test("read streams", async (t) => {
  const leaveOpen = { autoClose: false };
  await sameOnBoth(t, [
    (f) => bufferOf(f.createReadStream({ ...leaveOpen, start: 10, end: 5000 })),
    (f) => bufferOf(f.createReadStream({ ...leaveOpen, start: 10, end: 10 })),
    (f) => bufferOf(f.createReadStream({ ...leaveOpen, start: size - 5 })),
    (f) => bufferOf(f.createReadStream({ ...leaveOpen, start: size + 5 })),
    (f) => bufferOf(f.createReadStream({ ...leaveOpen, start: 0, highWaterMark: 1000 })),
    (f) => text(f.createReadStream({ ...leaveOpen, start: 0, end: 100, encoding: "hex" })),
    (f) => bufferOf(f.createReadStream({ ...leaveOpen, end: 99 })),
    (f) => f.read(Buffer.alloc(4), 0, 4),
    (f) => bufferOf(f.createReadStream({ ...leaveOpen, end: 49 })),
    (f) => bufferOf(f.createReadStream({ ...leaveOpen, highWaterMark: 777 })),
    (f) => bufferOf(f.createReadStream({ ...leaveOpen })),
  ]);
});

test("write streams", async (t) => {
  const write = async (f: Either, options: object, chunks: readonly (string | Buffer)[]) => {
    const stream = f.createWriteStream({ autoClose: false, ...options });
    for (const chunk of chunks) stream.write(chunk);
    stream.end();
    await once(stream, "finish");
    return stream.bytesWritten;
  };
  await sameOnBoth(t, [
    (f) => write(f, { start: 100 }, ["some", Buffer.from("chunks"), "ä"]),
    (f) => write(f, { start: size + 5000 }, [pattern(10_000)]),
    (f) => write(f, {}, ["own position"]),
    (f) => write(f, {}, ["and on"]),
    (f) => f.read(Buffer.alloc(4), 0, 4),
    (f) => write(f, { start: 0, encoding: "hex" }, ["00ff"]),
    (f) => write(f, { start: 7000, highWaterMark: 16 }, [pattern(5000), pattern(5000, 9)]),
    (f) => write(f, { start: 9 }, []),
  ]);
});

test("streams close the file at their end unless told not to", async (t) => {
  for (const make of [(f: Either) => f.createReadStream(), (f: Either) => f.createWriteStream()]) {
    const { node, pinfold } = await openPair(t);
    for (const file of [node.file, pinfold.file as unknown as Either]) {
      const stream = make(file);
      if (stream instanceof Readable) stream.resume();
      else stream.end("abc");
      await once(stream as Readable, "close");
      await assert.rejects(
        file.read(Buffer.alloc(1), 0, 1, 0),
        (error: NodeJS.ErrnoException) => error.code === "EBADF",
      );
    }
  }
});

test("a stream of one file into another, destroyed streams and aborted ones", async (t) => {
  const { pinfold } = await openPair(t);
  const cache = await openCache(t);
  const path = join(pinfold.path, "..", "copy.bin");
  const copy = await cache.open(path, { create: true });
  await pipeline(pinfold.file.createReadStream({ autoClose: false }), copy.createWriteStream());
  assert.deepEqual(readFileSync(path), pattern(size));
  const stopped = pinfold.file.createReadStream({ autoClose: false, start: 0 });
  stopped.destroy(new Error("stopped"));
  await assert.rejects(finished(stopped), /stopped/);
  const ended = new AbortController();
  const aborted = pinfold.file.createReadStream({
    autoClose: false,
    start: 0,
    signal: ended.signal,
    highWaterMark: 100,
  });
  ended.abort();
  await assert.rejects(bufferOf(aborted), { name: "AbortError" });
  assert.equal(pinfold.file.size, size, "still open");
});

test("readSync and writeSync as in node:fs", async (t) => {
  const { node, pinfold } = await openPair(t);
  const fd = openSync(node.path, constants.O_RDWR);
  t.after(() => closeSync(fd));
  const { file } = pinfold;
  const reads: [ArrayBufferView, ...unknown[]][] = [
    [Buffer.alloc(10), 0, 10, 0],
    [Buffer.alloc(10), 2, 5, 4094],
    [Buffer.alloc(10)],
    [Buffer.alloc(10), { position: 50 }],
    [Buffer.alloc(10), { offset: 3, length: 4 }],
    [Buffer.alloc(10), 0, 10, null],
    [Buffer.alloc(10), 0, 10, 12n],
    [new Uint16Array(5), 0, 10, 1],
    [new DataView(new ArrayBuffer(8)), 0, 8, 1],
    [Buffer.alloc(10), 0, 0, 1],
    [Buffer.alloc(20_000), 0, 20_000, 0],
    [Buffer.alloc(10), 0, 10, size],
  ];
  for (const [view, ...rest] of reads) {
    const other = structuredClone(view) as NodeJS.ArrayBufferView;
    const expected = (readSync as (...args: unknown[]) => number)(fd, view, ...rest);
    const actual = (file.readSync as (...args: unknown[]) => number).call(file, other, ...rest);
    assert.equal(
      actual,
      expected,
      JSON.stringify(rest, (_, value: unknown) => (typeof value === "bigint" ? `${value}n` : value)),
    );
    assert.deepEqual(Buffer.from(other.buffer), Buffer.from(view.buffer));
  }
  const writes: unknown[][] = [
    [Buffer.from("0123456789"), 0, 10, 0],
    [Buffer.from("0123456789"), 2, 5, 4094],
    [Buffer.from("0123456789")],
    [Buffer.from("0123456789"), { offset: 3, length: 4, position: 50 }],
    [Buffer.from("0123456789"), 3],
    [Buffer.from("0123456789"), 0, 10, size - 5],
    [Buffer.from("0123456789"), 0, 10, size + 3 * pageSize],
    [pattern(5 * pageSize), 0, 5 * pageSize, 100],
    [pattern(5 * pageSize), 0, 5 * pageSize, 9 * pageSize + 10],
    [Buffer.alloc(0), 0, 0, 2 ** 30],
    ["strings too", 7],
    ["00ff", null, "hex"],
    ["own"],
  ];
  for (const args of writes) {
    const expected = (writeSync as (...all: unknown[]) => number)(fd, ...args);
    assert.equal((file.writeSync as (...all: unknown[]) => number).call(file, ...args), expected, String(args[0]));
  }
  await file.close();
  assert.deepEqual(readFileSync(pinfold.path), readFileSync(node.path));
});

test("calls without a position that are not awaited get places of their own, in order", async (t) => {
  const { pinfold } = await openPair(t, new Uint8Array(0));
  const { file, path } = pinfold;
  await Promise.all(Array.from({ length: 40 }, (_, at) => file.write(String(at).padStart(3, "0"))));
  const expected = Array.from({ length: 40 }, (_, at) => String(at).padStart(3, "0")).join("");
  const again = await openPair(t, Buffer.from(expected));
  const parts = await Promise.all(Array.from({ length: 40 }, () => again.pinfold.file.read(Buffer.alloc(3), 0, 3)));
  assert.equal(parts.map(({ buffer }) => buffer.toString()).join(""), expected);
  await Promise.all([file.appendFile("end one "), file.appendFile("end two")]);
  await file.close();
  assert.equal(readFileSync(path, "latin1"), `${expected}end one end two`);
});

test("what differs from a FileHandle: appendFile writes at the end wherever the own position is", async (t) => {
  const { node, pinfold } = await openPair(t, Buffer.from("0123456789"));
  await node.file.appendFile("ab");
  await pinfold.file.appendFile("ab");
  await pinfold.file.close();
  assert.equal(
    readFileSync(node.path, "latin1"),
    "ab23456789",
    "a FileHandle that was not opened for appending overwrites",
  );
  assert.equal(readFileSync(pinfold.path, "latin1"), "0123456789ab");
});

test("what differs from a FileHandle: read takes a bigint as a position, whatever Node's version makes of it", async (t) => {
  const { pinfold } = await openPair(t);
  for (const position of [0n, 12n, 4094n]) {
    const { buffer } = await pinfold.file.read(Buffer.alloc(10), 0, 10, position);
    assert.deepEqual(buffer, pattern(size).subarray(Number(position), Number(position) + 10));
  }
  assert.deepEqual((await pinfold.file.read(Buffer.alloc(10), 0, 10, -1n)).buffer, pattern(10), "the own position");
  assert.deepEqual(
    (await pinfold.file.read({ buffer: Buffer.alloc(10), position: 5n })).buffer,
    pattern(15).subarray(5),
  );
  await pinfold.file.write(Buffer.from("big"), 0, 3, 7n);
  assert.equal((await pinfold.file.read(Buffer.alloc(3), 0, 3, 7)).buffer.toString(), "big");
});

test("what differs from a FileHandle: write with null as its offset keeps the position that was given", async (t) => {
  const { node, pinfold } = await openPair(t);
  for (const file of [node.file, pinfold.file as unknown as Either])
    await file.write(Buffer.from("ab"), null, null, 200);
  await pinfold.file.close();
  assert.equal(readFileSync(node.path, "latin1").slice(0, 2), "ab", "Node takes null for options");
  assert.equal(readFileSync(pinfold.path, "latin1").slice(200, 202), "ab");
});

test("what differs from a FileHandle: wrong arguments are EINVAL, where Node throws its own codes or takes them for something else", async (t) => {
  const { node, pinfold } = await openPair(t);
  const loose = [node.file, pinfold.file] as unknown as [FileHandle, FileHandle];
  const codeOf = (call: () => Promise<unknown>) =>
    call().then(
      () => "done",
      (error: NodeJS.ErrnoException) => error.code,
    );
  const calls: [string, (f: FileHandle) => Promise<unknown>][] = [
    ["ERR_OUT_OF_RANGE", (f) => f.read(Buffer.alloc(10), 11, 1, 0)],
    ["ERR_OUT_OF_RANGE", (f) => f.read(Buffer.alloc(10), 5, 10, 0)],
    ["ERR_OUT_OF_RANGE", (f) => f.write(Buffer.alloc(10), 11, 1, 0)],
    ["ERR_INVALID_ARG_TYPE", (f) => f.write(5 as never)],
    ["ERR_INVALID_ARG_TYPE", (f) => f.readv(5 as never)],
    ["ERR_INVALID_ARG_VALUE", (f) => f.readFile("utf-9" as never)],
    ["done", (f) => f.truncate(-1)],
    ["done", (f) => f.write(Buffer.from("a"), 0, 1, -2)],
    ["done", (f) => f.write(Buffer.from("a"), 0, 1, "5" as never)],
  ];
  for (const [expected, call] of calls) {
    assert.equal(await codeOf(() => call(loose[0])), expected, call.toString());
    await failsWith("EINVAL", () => call(loose[1]), call.toString());
  }
});
