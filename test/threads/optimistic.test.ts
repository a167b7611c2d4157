/**
 * Reads without a lock, in one thread: what makes them good or bad, and what is done instead where they cannot be had.
 *
 * See also: optimistic-threads.test.ts (under load of other threads), optimistic-litmus.test.ts (the order of loads).
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { limits } from "../../src/base/limits.js";
import type { CachedFile } from "../../src/index.js";
import {
  type RawFile,
  memory,
  offset,
  optimisticBegin,
  optimisticValidate,
  rawFile,
  tryPin,
  unpin,
} from "../../src/api/raw.js";
import { loadWords } from "../../src/sync/words.js";
import { OptimisticWords } from "../../src/sync/optimistic-words.js";
import * as layout from "../../src/sync/layout.js";
import {
  errorOf,
  failsWith,
  openCache,
  openDisk,
  openMemory,
  pageSize,
  pattern,
  withoutSyncCalls,
} from "../api/fixture.js";
import { MemoryStore } from "../../src/index.js";

const one = Uint8Array.of(1);

/** The first byte of the range. */
const first = (bytes: Uint8Array, start: number): number => bytes[start] as number;

function objectWith(name: string, value: unknown): unknown {
  return Object.fromEntries([[name, value]]);
}

/** Begins a read of a page, which has to be possible. */
function begin(raw: RawFile, index: number): number {
  const read = optimisticBegin(raw, index);
  assert.ok(read >= 0, `page ${index} is there and nobody writes to it`);
  return read;
}

async function openRaw(t: Parameters<typeof openMemory>[0], pages = 8): Promise<{ file: CachedFile; raw: RawFile }> {
  const { file } = await openMemory(t, pages);
  await file.advise(0, 0, "willneed");
  return { file, raw: rawFile(file) };
}

test("fn gets the bytes of the range in place, and its answer is the call's", async (t) => {
  const contents = pattern(4 * pageSize);
  const { file } = await openDisk(t, contents);
  for (const [position, length] of [
    [0, 1],
    [100, 50],
    [pageSize, pageSize],
    [4 * pageSize - 3, 3],
  ] as const) {
    const answer = file.readOptimistic(position, length, (bytes, start, end) => {
      assert.ok(bytes.buffer instanceof SharedArrayBuffer, "the cache itself");
      return Buffer.from(bytes.slice(start, end));
    });
    assert.deepEqual(answer, contents.subarray(position, position + length));
  }
});

test("a range over several pages is a copy of them", async (t) => {
  const contents = pattern(6 * pageSize);
  const { cache, file } = await openDisk(t, contents);
  for (const [position, length] of [
    [pageSize - 1, 2],
    [pageSize + 7, 3 * pageSize],
    [0, 6 * pageSize],
  ] as const) {
    const answer = file.readOptimistic(position, length, (bytes, start, end) => {
      assert.ok(bytes.buffer instanceof ArrayBuffer, "a copy");
      assert.equal(cache.stats().pins, 0, "its pages are free again");
      return Buffer.from(bytes.subarray(start, end));
    });
    assert.deepEqual(answer, contents.subarray(position, position + length));
  }
  cache.verify({ quiesce: true });
});

test("fn is called again when the bytes were written to meanwhile", async (t) => {
  const { file } = await openRaw(t);
  let calls = 0;
  const answer = file.readOptimistic(0, 1, (bytes, start) => {
    const seen = bytes[start];
    if (calls++ === 0) assert.ok(file.tryWrite(one, 0));
    return seen;
  });
  assert.deepEqual([answer, calls], [1, 2]);
});

test("what fn throws at bytes that were written to meanwhile is forgotten; else it is thrown", async (t) => {
  const { file } = await openRaw(t);
  let calls = 0;
  const answer = file.readOptimistic(0, 1, (bytes, start) => {
    if (calls++ > 0) return bytes[start];
    assert.ok(file.tryWrite(one, 0));
    throw new Error("half of an update");
  });
  assert.deepEqual([answer, calls], [1, 2]);
  const own = new RangeError("fn's own");
  assert.throws(
    () =>
      file.readOptimistic(0, 1, () => {
        calls++;
        throw own;
      }),
    (error) => error === own,
  );
  assert.equal(calls, 3);
});

test("a page that changes each time is read under its lock at last", async (t) => {
  const { cache, file } = await openMemory(t, 2);
  await file.advise(0, 0, "willneed");
  let calls = 0;
  file.readOptimistic(0, 1, () => {
    calls++;
    const written = file.tryWrite(one, 0);
    assert.equal(written, calls <= limits.optimisticTriesMax);
  });
  assert.equal(calls, limits.optimisticTriesMax + 1);
  assert.throws(() =>
    file.readOptimistic(0, 1, () => {
      file.tryWrite(one, 0);
      throw new Error("always");
    }),
  );
  cache.verify({ quiesce: true });
});

test("a write between begin and validate makes the read bad, and one begun afterwards is good", async (t) => {
  const { file, raw } = await openRaw(t);
  const read = begin(raw, 3);
  assert.equal(optimisticValidate(raw, read), true);
  assert.equal(optimisticValidate(raw, read), true, "it can be asked again");
  assert.ok(file.tryWrite(one, 4 * pageSize), "another page");
  assert.equal(optimisticValidate(raw, read), true);
  assert.ok(file.tryWrite(one, 3 * pageSize));
  assert.equal(optimisticValidate(raw, read), false);
  assert.equal(optimisticValidate(raw, read), false, "it stays bad");
  const again = begin(raw, 3);
  assert.equal(memory(raw, again)[offset(raw, again)], 1);
  assert.equal(optimisticValidate(raw, again), true);
  assert.equal(optimisticValidate(raw, read), false, "a second read of the page does not make the first one good");
});

test("a write pin that changed nothing makes the read bad all the same: it might have", async (t) => {
  const { file, raw } = await openRaw(t);
  const read = begin(raw, 0);
  const pages = await file.getUserPages(0, 1, { write: true });
  assert.equal(optimisticBegin(raw, 0), -1, "somebody may be writing");
  assert.equal(optimisticValidate(raw, read), false);
  pages.putUnmodified();
  assert.equal(optimisticValidate(raw, read), false);
  assert.equal(optimisticValidate(raw, begin(raw, 0)), true);
});

test("read pins, sync and reads do not disturb a read", async (t) => {
  const { file, raw } = await openRaw(t);
  await file.write(one, 0, 1, 0);
  const read = begin(raw, 0);
  await file.sync();
  {
    using pages = await file.getUserPages(0, 2 * pageSize);
    using counted = await file.getUserPages(0, 1, { longterm: true });
    assert.equal(pages.length + counted.length, 3);
    assert.ok(optimisticValidate(raw, begin(raw, 0)));
  }
  await file.read(new Uint8Array(8), 0, 8, 0);
  assert.equal(optimisticValidate(raw, read), true);
});

test("under a counted write pin the page is read under its lock, which such a pin leaves free", async (t) => {
  const { file, raw } = await openRaw(t);
  const before = begin(raw, 0);
  const pages = await file.getUserPages(0, 1, { write: true, longterm: true });
  const second = await file.getUserPages(8, 1, { write: true, longterm: true });
  pages.bytes?.fill(7);
  assert.equal(optimisticBegin(raw, 0), -1);
  assert.equal(optimisticValidate(raw, before), false);
  let calls = 0;
  assert.equal(
    file.readOptimistic(0, 1, (bytes, start) => {
      calls++;
      assert.equal(file.tryWrite(one, 0), false, "its lock is taken");
      return bytes[start];
    }),
    7,
  );
  assert.equal(calls, 1);
  second.put();
  assert.equal(optimisticBegin(raw, 0), -1, "one of two pins is left");
  pages.put();
  assert.equal(optimisticValidate(raw, begin(raw, 0)), true);
});

test("a page that this thread has locked for writing is EDEADLK, with its holder", async (t) => {
  const { cache, file } = await openMemory(t, 2);
  const pages = await file.getUserPages(0, 1, { write: true });
  let calls = 0;
  const error = await errorOf(() => file.readOptimistic(0, 1, () => calls++));
  assert.deepEqual([error.code, calls], ["EDEADLK", 0]);
  pages.put();
  file.readOptimistic(0, 1, () => calls++);
  assert.equal(calls, 1);
  cache.verify({ quiesce: true });
});

test("eviction makes a read bad, and what comes into its frame does not make it good", async (t) => {
  const { file } = await openMemory(t, 200, { memory: 64 * pageSize });
  await file.write(Buffer.alloc(8, 1), 0, 8, 0);
  await file.sync();
  const raw = rawFile(file);
  const read = begin(raw, 0);
  const { frames } = raw.core;
  const frame = raw.core.table.find(raw.space.id, 0);
  file.invalidate(0, pageSize);
  assert.equal(optimisticValidate(raw, read), false, "dropped");
  assert.equal(optimisticBegin(raw, 0), -1, "not there");
  for (let index = 1; frames.words.indexOf(frame) === 0; index++) {
    assert.ok(index < 200, "another page comes into the frame");
    await file.read(new Uint8Array(1), 0, 1, index * pageSize);
  }
  const other = frames.words.indexOf(frame);
  assert.equal(optimisticValidate(raw, read), false);
  const second = begin(raw, other);
  assert.deepEqual([memory(raw, second), offset(raw, second)], [memory(raw, read), offset(raw, read)], "in one frame");
  assert.equal(optimisticValidate(raw, second), true);
  assert.equal(optimisticValidate(raw, read), false, "the frame is the same, and the read of page 0 still bad");
});

test("truncate makes reads past the new end bad, and calls fail", async (t) => {
  const { file, raw } = await openRaw(t);
  const kept = begin(raw, 0);
  const cut = begin(raw, 1);
  const gone = begin(raw, 2);
  await file.truncate(pageSize + 10);
  assert.deepEqual(
    [kept, cut, gone].map((read) => optimisticValidate(raw, read)),
    [true, false, false],
  );
  assert.equal(optimisticBegin(raw, 2), -1);
  let calls = 0;
  for (const [position, length] of [
    [2 * pageSize, 1],
    [pageSize + 10, 1],
    [pageSize, 11],
    [0, 2 * pageSize],
  ] as const)
    await failsWith("ERR_PINFOLD_OUT_OF_RANGE", () => file.readOptimistic(position, length, () => calls++));
  assert.equal(calls, 0);
  assert.equal(
    file.readOptimistic(pageSize, 10, (_, start, end) => end - start),
    10,
  );
});

test("past the new end nothing is read, though the page is still there and free", async (t) => {
  const { file, raw } = await openRaw(t);
  file.map().setUint8(6 * pageSize, 1);
  assert.equal(optimisticBegin(raw, 6), -1, "a view may store there: it is read under its lock");
  const held = await file.getUserPages(7 * pageSize, 1);
  const cutting = file.truncate(2 * pageSize);
  for (let turn = 0; file.size !== 2 * pageSize; turn++) {
    assert.ok(turn < 100, "the new size is published first");
    await Promise.resolve();
  }
  let calls = 0;
  for (const index of [5, 6, 7])
    await failsWith("ERR_PINFOLD_OUT_OF_RANGE", () => file.readOptimistic(index * pageSize, 1, () => calls++));
  assert.equal(calls, 0);
  held.put();
  await cutting;
});

test("what is not in the cache is loaded; without sync calls it is ENOTSUP, and what is there can be read", async (t) => {
  const contents = pattern(4 * pageSize);
  const { cache, file } = await openDisk(t, contents);
  assert.equal(file.readOptimistic(2 * pageSize + 5, 1, first), contents[2 * pageSize + 5]);
  assert.equal(cache.stats().misses, 1);
  assert.equal(file.readOptimistic(2 * pageSize + 5, 1, first), contents[2 * pageSize + 5]);
  const { hits, misses } = cache.stats();
  assert.equal(misses, 1);
  assert.ok(hits >= 1);

  const store = new MemoryStore({ sizeBytes: 4 * pageSize });
  const other = await openCache(t);
  const asleep = await other.open(withoutSyncCalls(store));
  await failsWith("ENOTSUP", () => asleep.readOptimistic(0, 1, first));
  await asleep.read(new Uint8Array(1), 0, 1, 0);
  assert.equal(asleep.readOptimistic(0, 1, first), 0);
  await failsWith("ENOTSUP", () => asleep.readOptimistic(pageSize - 1, 2, first));
  await asleep.advise(0, 0, "willneed");
  assert.equal(asleep.readOptimistic(pageSize - 1, 2, first), 0);
});

test("wrong arguments and promises are EINVAL; a closed file is EBADF", async (t) => {
  const { cache, file } = await openMemory(t, 2);
  const raw = rawFile(file);
  let calls = 0;
  const count = () => calls++;
  await failsWith("EINVAL", () => file.readOptimistic(0, 1, undefined as never));
  await failsWith("EINVAL", () => file.readOptimistic(0, 1, {} as never));
  await failsWith("EINVAL", () => file.readOptimistic(-1, 1, count));
  await failsWith("EINVAL", () => file.readOptimistic(0.5, 1, count));
  await failsWith("EINVAL", () => file.readOptimistic(0, 0, count));
  await failsWith("EFBIG", () => file.readOptimistic(2 ** 52, 1, count));
  for (const index of [-1, 0.5, 2 ** 32, "0", undefined])
    await failsWith("EINVAL", () => optimisticBegin(raw, index as number));
  assert.equal(calls, 0);
  await failsWith("EINVAL", () => file.readOptimistic(0, 1, async () => Promise.reject(new Error("too late"))));
  await failsWith("EINVAL", () => file.readOptimistic(0, 1, () => objectWith("then", () => {})));
  assert.deepEqual(
    file.readOptimistic(0, 1, () => objectWith("then", 1)),
    objectWith("then", 1),
  );
  assert.equal(
    file.readOptimistic(0, 1, () => null),
    null,
  );
  cache.verify({ quiesce: true });
  const read = begin(raw, 0);
  await file.close();
  await failsWith("EBADF", () => file.readOptimistic(0, 1, count));
  await failsWith("EBADF", () => optimisticBegin(raw, 0));
  assert.equal(optimisticValidate(raw, read), false);
});

test("a file that another thread closes meanwhile is EBADF, where fn would have to run again", async (t) => {
  const { file, raw } = await openRaw(t);
  const { shared } = raw.core.frames;
  const stateAt = layout.MAPPINGS + raw.space.id * layout.MAPPING_BYTES + layout.MAPPING_STATE;
  let calls = 0;
  await failsWith("EBADF", () =>
    file.readOptimistic(0, 1, () => {
      calls++;
      assert.ok(file.tryWrite(one, 0));
      shared.store(stateAt, layout.MAPPING_CLOSING);
    }),
  );
  shared.store(stateAt, layout.MAPPING_OPEN);
  assert.equal(calls, 1);
});

test("debug: fn gets a copy, which it may neither change nor keep", async (t) => {
  const { file } = await openMemory(t, 4, { debug: true });
  await file.write(Buffer.alloc(4 * pageSize, 3), 0, 4 * pageSize, 0);
  let kept: Uint8Array | undefined;
  for (const [position, length] of [
    [10, 4],
    [pageSize - 2, 4],
  ] as const) {
    const answer = file.readOptimistic(position, length, (bytes, start, end) => {
      kept = bytes;
      return [bytes[start], end - start];
    });
    assert.deepEqual(answer, [3, 4]);
    assert.equal(kept?.length, 0, "it was taken away");
    const change = (bytes: Uint8Array) => bytes.fill(9);
    await failsWith("EROFS", () => file.readOptimistic(position, length, change));
    assert.equal(file.readOptimistic(position, length, first), 3);
  }
});

test("several reads are open at once; of too many the oldest are forgotten, and not good", async (t) => {
  const { file, raw } = await openRaw(t);
  const reads = [0, 1, 2, 1, 0].map((index) => begin(raw, index));
  assert.ok(file.tryWrite(one, pageSize));
  assert.deepEqual(
    reads.map((read) => optimisticValidate(raw, read)),
    [true, false, true, false, true],
  );
  for (const [at, index] of [0, 1, 2, 1, 0].entries()) {
    const pinned = tryPin(raw, index, false);
    unpin(raw, pinned);
    assert.equal(offset(raw, reads[at] as number), offset(raw, pinned));
    assert.equal(memory(raw, reads[at] as number), memory(raw, pinned));
    assert.equal(optimisticValidate(raw, pinned), false, "a pin is no read");
  }
  const many = Array.from({ length: limits.openReadsMax + 3 }, () => begin(raw, 0));
  assert.deepEqual(
    many.map((read) => optimisticValidate(raw, read)),
    many.map((_, at) => at >= 3),
  );
  await failsWith("EINVAL", () => unpin(raw, many.at(-1) as number));
});

test("pages that are read without a lock alone count as used, and stay in the cache", async (t) => {
  const { file } = await openMemory(t, 400, { memory: 64 * pageSize });
  const raw = rawFile(file);
  const favourites = [0, 1, 2, 3];
  const target = new Uint8Array(1);
  for (const index of favourites) await file.read(target, 0, 1, index * pageSize);
  let lost = 0;
  for (let index = 4; index < 400; index++) {
    for (const favourite of favourites) if (optimisticBegin(raw, favourite) < 0) lost++;
    await file.read(target, 0, 1, index * pageSize);
  }
  assert.equal(lost, 0);
});

test("where loads are not in order, the look afterwards is made of atomic operations, and answers the same", async (t) => {
  const { file, raw } = await openRaw(t, 1);
  const { frames } = raw.core;
  const words = loadWords(frames.wordsMemory);
  const { records, buckets, links, blocks, ghosts, ledger, transfers, transits } = frames.plan;
  words.configure(frames.count, records, buckets, links, blocks, ghosts, ledger, transfers, transits);
  for (const isPlain of [true, false]) {
    const seen = new OptimisticWords(frames.wordsMemory, frames.thread, isPlain);
    const frame = words.optimisticBegin(raw.space.id, 0, frames.thread);
    const { begun } = seen;
    assert.equal(begun, words.versionOf(frame));
    assert.equal(begun % 2, 0);
    assert.equal(seen.isUnchanged(frame, begun), true);
    assert.ok(file.tryWrite(one, 0));
    assert.equal(seen.isUnchanged(frame, begun), false);
  }
  assert.equal(words.optimisticBegin(raw.space.id, 1, frames.thread), layout.GONE);
});
