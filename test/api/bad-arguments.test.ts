/** Arguments that no call takes: each is refused with its code, and nothing has changed. */
import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { inspect } from "node:util";
import { type CachedFile, type ErrorCode, PageCache, PinScope, putPage, putUserPages } from "../../src/index.js";
import * as raw from "../../src/api/raw.js";
import { failsWith, openDisk, openMemory, pageSize, pattern, stateOf } from "./fixture.js";

/** Types would keep most of these out; callers in JavaScript have none. */
type Loose = Record<string, (...args: unknown[]) => unknown>;

const notWhole: readonly unknown[] = [
  -1,
  -4096,
  0.5,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  2 ** 53,
  "0",
  null,
  {},
  5n,
  true,
  [],
];
const tooFar = [2 ** 44 + 1, 2 ** 52];
const size = 3 * pageSize + 100;

/** Calls with a position and a length. */
const ranged: Record<string, (file: CachedFile, cache: PageCache, position: unknown, length: unknown) => unknown> = {
  getUserPages: (file, _, ...range) => (file as unknown as Loose)["getUserPages"]?.(...range),
  "getUserPages for writing": (file, _, ...range) =>
    (file as unknown as Loose)["getUserPages"]?.(...range, { write: true }),
  "getUserPages long-term": (file, _, ...range) =>
    (file as unknown as Loose)["getUserPages"]?.(...range, { longterm: true }),
  tryGetUserPages: (file, _, ...range) => (file as unknown as Loose)["tryGetUserPages"]?.(...range),
  getUserPagesSync: (file, _, ...range) => (file as unknown as Loose)["getUserPagesSync"]?.(...range),
  "cache.pin": (file, cache, position, length) => cache.pin([{ file, position, length } as never]),
  allocate: (file, _, ...range) => (file as unknown as Loose)["allocate"]?.(...range),
  punchHole: (file, _, ...range) => (file as unknown as Loose)["punchHole"]?.(...range),
  advise: (file, _, ...range) => (file as unknown as Loose)["advise"]?.(...range, "willneed"),
  invalidate: (file, _, ...range) => (file as unknown as Loose)["invalidate"]?.(...range),
  sendTo: (file, _, ...range) => (file as unknown as Loose)["sendTo"]?.(new PassThrough(), ...range),
  tryRead: (file, _, position) => (file as unknown as Loose)["tryRead"]?.(new Uint8Array(1), position),
  tryWrite: (file, _, position) => (file as unknown as Loose)["tryWrite"]?.(new Uint8Array(1), position),
};

for (const [name, call] of Object.entries(ranged)) {
  test(`${name} refuses positions and lengths that are none, and changes nothing`, async (t) => {
    const { cache, file } = await openDisk(t, pattern(size));
    const before = await stateOf(cache, file);
    const takesLength = name !== "tryRead" && name !== "tryWrite";
    for (const value of notWhole) {
      await failsWith("EINVAL", () => call(file, cache, value, 10), `${name} at ${inspect(value)}`);
      if (takesLength) await failsWith("EINVAL", () => call(file, cache, 0, value), `${name} of ${inspect(value)}`);
    }
    for (const value of tooFar) {
      await failsWith("EFBIG", () => call(file, cache, value, 10), `${name} at ${value}`);
      if (takesLength) await failsWith("EFBIG", () => call(file, cache, 0, value), `${name} of ${value}`);
    }
    assert.deepEqual(await stateOf(cache, file), before);
  });
}

test("sync and datasync refuse ranges that are none, and wrong options", async (t) => {
  const { cache, file } = await openDisk(t, pattern(size));
  const before = await stateOf(cache, file);
  for (const call of ["sync", "datasync"] as const) {
    for (const value of notWhole.filter((one) => one !== null)) {
      await failsWith("EINVAL", () => file[call]({ position: value as number }), `${call} at ${inspect(value)}`);
      await failsWith("EINVAL", () => file[call]({ length: value as number }), `${call} of ${inspect(value)}`);
    }
    await failsWith("EFBIG", () => file[call]({ position: 2 ** 50 }));
    await failsWith("EINVAL", () => file[call](null as never));
    await failsWith("EINVAL", () => file[call]({ pinned: "maybe" as never }));
    await failsWith("EINVAL", () => file[call]({ signal: {} as never }));
    await failsWith("EINVAL", () => file[call]({ scope: {} as never }));
  }
  await failsWith("EINVAL", () => cache.sync({ pinned: 1 as never }));
  await failsWith("EINVAL", () => cache.sync(5 as never));
  assert.deepEqual(await stateOf(cache, file), before);
});

test("truncate refuses lengths that are none, and wrong options", async (t) => {
  const { cache, file } = await openDisk(t, pattern(size));
  const before = await stateOf(cache, file);
  for (const value of notWhole.filter((one) => one !== null))
    await failsWith("EINVAL", () => file.truncate(value as number), inspect(value));
  for (const value of tooFar) await failsWith("EFBIG", () => file.truncate(value));
  for (const pinned of ["never", 5n, true, null])
    await failsWith("EINVAL", () => file.truncate(10, { pinned: pinned as never }));
  await failsWith("EINVAL", () => file.truncate(10, null as never));
  await failsWith("EINVAL", () => file.truncate(10, { signal: 1 as never }));
  assert.deepEqual(await stateOf(cache, file), before);
});

test("reads and writes refuse positions, offsets and lengths that are none", async (t) => {
  const { cache, file } = await openDisk(t, pattern(size));
  const before = await stateOf(cache, file);
  const buffer = Buffer.alloc(16);
  const loose = file as unknown as Loose;
  const wrongPositions = [-2, 0.5, Number.NaN, Number.NEGATIVE_INFINITY, 2 ** 53, -5n, 2n ** 60n, "5", {}, true];
  const wrongParts = [-1, 0.5, Number.NaN, 17, 2 ** 53, "1", true];
  for (const call of ["read", "write", "readSync", "writeSync"]) {
    for (const value of wrongPositions)
      await failsWith("EINVAL", () => loose[call]?.(buffer, 0, 16, value), `${call} at ${inspect(value)}`);
    for (const value of wrongParts) {
      await failsWith("EINVAL", () => loose[call]?.(buffer, value, 0, 0), `${call} from offset ${inspect(value)}`);
      await failsWith("EINVAL", () => loose[call]?.(buffer, 0, value, 0), `${call} of ${inspect(value)}`);
    }
    for (const value of [5, {}, [], null].filter((one) => call.startsWith("write") || typeof one === "number")) {
      await failsWith("EINVAL", () => loose[call]?.(value), `${call} of ${JSON.stringify(value)}`);
    }
  }
  for (const call of ["readv", "writev"]) {
    for (const value of wrongPositions)
      await failsWith("EINVAL", () => loose[call]?.([buffer], value), `${call} at ${inspect(value)}`);
    for (const value of [undefined, null, buffer, "abc", [buffer, 5]])
      await failsWith("EINVAL", () => loose[call]?.(value, 0));
  }
  await failsWith("EINVAL", () => loose["write"]?.("text", 0, "utf-9"));
  await failsWith("EINVAL", () => loose["writeSync"]?.("text", 0, "utf-9"));
  await failsWith("EFBIG", () => file.write(buffer, 0, 16, 2 ** 50));
  await failsWith("EFBIG", () => file.writeSync(buffer, 0, 16, 2 ** 50));
  for (const call of ["tryRead", "tryWrite"]) {
    for (const value of [undefined, "abc", new Uint16Array(4), 5])
      await failsWith("EINVAL", () => loose[call]?.(value, 0), call);
  }
  assert.deepEqual(await stateOf(cache, file), before);
});

test("calls for whole files and streams refuse what they cannot take", async (t) => {
  const { cache, file } = await openDisk(t, pattern(size));
  const before = await stateOf(cache, file);
  await failsWith("EINVAL", () => file.readFile("utf-9" as never));
  await failsWith("EINVAL", () => file.readFile({ encoding: 5n } as never));
  await failsWith("EINVAL", () => file.readFile({ encoding: "utf-9" } as never));
  await failsWith("EINVAL", () => file.readFile(5 as never));
  for (const value of [undefined, null, 5, {}, Symbol("a")])
    await failsWith("EINVAL", () => file.writeFile(value as never), inspect(value));
  await failsWith("EINVAL", () => file.writeFile("a", "utf-9" as never));
  await failsWith("EINVAL", () => file.appendFile({} as never));
  await failsWith("EINVAL", () => file.writeFile([1, 2] as never));
  for (const call of ["createReadStream", "createWriteStream"] as const) {
    for (const start of notWhole)
      await failsWith("EINVAL", () => file[call]({ start: start as number }), `${call} from ${inspect(start)}`);
    await failsWith("EFBIG", () => file[call]({ start: 2 ** 50 }));
    await failsWith("EINVAL", () => file[call]({ start: 5, end: 3 }));
    await failsWith("EINVAL", () => file[call]({ highWaterMark: -1 }));
    await failsWith("EINVAL", () => file[call]({ highWaterMark: "a" as never }));
    await failsWith("EINVAL", () => file[call]("utf-9" as never));
    await failsWith("EINVAL", () => file[call]({ autoClose: 1 as never }));
    await failsWith("EINVAL", () => file[call](null as never));
  }
  await failsWith("EINVAL", () => file.sendTo({} as never, 0, 10));
  await failsWith("EINVAL", () => file.sendTo(undefined as never, 0, 10));
  await failsWith("ERR_PINFOLD_OUT_OF_RANGE", () => file.sendTo(new PassThrough(), 0, size + 1));
  await failsWith("EINVAL", () => file.advise(0, 10, "soon" as never));
  await failsWith("ENOTSUP", () => file.stat({ bigint: true as never }));
  assert.deepEqual(await stateOf(cache, file), before);
});

test("options of pins that are none are refused", async (t) => {
  const { cache, file } = await openDisk(t, pattern(size));
  const other = await openMemory(t, 2);
  const before = await stateOf(cache, file);
  const ended = cache.scope();
  ended.end();
  const wrong: [unknown, ErrorCode][] = [
    [null, "EINVAL"],
    [5, "EINVAL"],
    [{ write: 1 }, "EINVAL"],
    [{ write: null }, "EINVAL"],
    [{ longterm: "yes" }, "EINVAL"],
    [{ signal: {} }, "EINVAL"],
    [{ scope: {} }, "EINVAL"],
    [{ scope: null }, "EINVAL"],
    [{ scope: ended }, "EINVAL"],
    [{ scope: other.cache.scope() }, "EINVAL"],
    [{ scope: cache.scope(), longterm: true }, "EINVAL"],
  ];
  for (const [options, code] of wrong) {
    for (const call of ["getUserPages", "tryGetUserPages", "getUserPagesSync"] as const) {
      await failsWith(code, () => file[call](0, 10, options as never), `${call} with ${JSON.stringify(options)}`);
    }
    if (options !== null && typeof options === "object" && !("write" in options) && !("longterm" in options)) {
      await failsWith(code, () => cache.pin([{ file, position: 0, length: 10 }], options));
    }
  }
  await failsWith("EINVAL", () => file.getUserPages(0, 0), "a pin without bytes");
  for (const ranges of [
    undefined,
    null,
    [],
    {},
    [null],
    [{ position: 0, length: 1 }],
    [{ file: {}, position: 0, length: 1 }],
  ]) {
    await failsWith("EINVAL", () => cache.pin(ranges as never), JSON.stringify(ranges));
  }
  const stranger = [{ file: other.file, position: 0, length: 10 }];
  await failsWith("EINVAL", () => cache.pin(stranger), "a file of another cache");
  await failsWith("EINVAL", () => cache.pin([{ file, position: 0, length: 10, write: "no" as never }]));
  assert.deepEqual(await stateOf(cache, file), before);
  await assert.rejects(file.getUserPages(0, 10, { signal: AbortSignal.abort(new Error("enough")) }), /^Error: enough$/);
});

test("pins past the end are refused, however they are asked for", async (t) => {
  const { cache, file } = await openDisk(t, pattern(size));
  const before = await stateOf(cache, file);
  for (const [position, length] of [
    [size, 1],
    [0, size + 1],
    [size - 1, 2],
    [2 ** 40, 5],
  ] as const) {
    for (const write of [false, true]) {
      const code = "ERR_PINFOLD_OUT_OF_RANGE";
      await failsWith(code, () => file.getUserPages(position, length, { write }));
      await failsWith(code, () => file.getUserPages(position, length, { write, longterm: true }));
      await failsWith(code, () => file.tryGetUserPages(position, length, { write }));
      await failsWith(code, () => file.getUserPagesSync(position, length, { write }));
      await failsWith(code, () =>
        cache.pin([
          { file, position: 0, length: 10, write: true },
          { file, position, length, write },
        ]),
      );
    }
  }
  assert.equal(file.tryRead(new Uint8Array(2), size - 1), false);
  assert.equal(file.tryWrite(new Uint8Array(2), size - 1), false);
  assert.deepEqual(await stateOf(cache, file), before);
});

test("a pin of more pages than the cache has is refused at once", async (t) => {
  const { cache, file } = await openMemory(t, 400);
  await failsWith("EINVAL", () => file.getUserPages(0, 300 * pageSize));
  await failsWith("EINVAL", () => file.getUserPagesSync(0, 300 * pageSize));
  await failsWith("EINVAL", () =>
    cache.pin([
      { file, position: 0, length: 200 * pageSize },
      { file, position: 200 * pageSize, length: 100 * pageSize },
    ]),
  );
  cache.verify({ quiesce: true });
});

test("putUserPages and putPage refuse what is no pin", async (t) => {
  const { cache, file } = await openMemory(t, 4);
  for (const value of [undefined, null, 5, {}, [null], [{}]])
    await failsWith("EINVAL", () => putUserPages(value as never));
  for (const value of [undefined, null, {}]) await failsWith("EINVAL", () => putPage(value as never));
  const pages = await file.getUserPages(0, 10);
  await failsWith("EINVAL", () => putUserPages([{} as never, pages]));
  assert.equal(pages.isPinned, false, "the one that is a pin was put all the same");
  assert.deepEqual(cache.pins(), []);
});

test("PinScope does not take what did not come from cache.scope()", async () => {
  await failsWith("EINVAL", () => PinScope.unwrap({} as never, {} as never));
});

test("raw pins refuse indexes that are none, and files that were closed", async (t) => {
  const { cache, file } = await openMemory(t, 4);
  const handle = raw.rawFile(file);
  for (const index of [-1, 0.5, Number.NaN, 2 ** 32, "0", null, undefined, 1n]) {
    for (const write of [false, true])
      await failsWith("EINVAL", () => raw.tryPin(handle, index as number, write), inspect(index));
  }
  await failsWith("ERR_PINFOLD_OUT_OF_RANGE", () => raw.tryPin(handle, 4, true));
  assert.equal(raw.tryPin(handle, 4, false), -1);
  await failsWith("EINVAL", () => raw.rawFile({} as never));
  await file.close();
  await failsWith("EBADF", () => raw.tryPin(handle, 0, false));
  await failsWith("EBADF", () => raw.tryPin(handle, 0, true));
  await failsWith("EBADF", () => raw.rawFile(file));
  cache.verify({ quiesce: true });
});
