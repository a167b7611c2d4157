/**
 * Short transfers, interruptions and ends of files, with node:fs's calls replaced for a while (faults F3, F4, F12, F13).
 */
import { ok, rejects, strictEqual } from "node:assert/strict";
import fs, { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, describe, it } from "node:test";
import { limits } from "../../../src/base/limits.js";
import { FileStore } from "../../../src/stores/file/file-store.js";
import { alignedBytes, patternBytes } from "../../../src/testing/index.js";

const directory = mkdtempSync(join(tmpdir(), "pinfold-transfer-"));
after(() => rmSync(directory, { recursive: true }));

type Done = (error: Error | null, count: number) => void;

/** The calls of node:fs in the shapes in which the store uses them. */
interface Calls {
  read(fd: number, view: Uint8Array, offset: number, length: number, position: number, done: Done): void;
  write(fd: number, view: Uint8Array, offset: number, length: number, position: number, done: Done): void;
  readSync(fd: number, view: Uint8Array, offset: number, length: number, position: number): number;
  writeSync(fd: number, view: Uint8Array, offset: number, length: number, position: number): number;
  readv(fd: number, views: Uint8Array[], position: number, done: Done): void;
  writev(fd: number, views: Uint8Array[], position: number, done: Done): void;
  readvSync(fd: number, views: Uint8Array[], position: number): number;
  writevSync(fd: number, views: Uint8Array[], position: number): number;
}

const real = {
  read: fs.read,
  readv: fs.readv,
  write: fs.write,
  writev: fs.writev,
  readSync: fs.readSync,
  readvSync: fs.readvSync,
  writeSync: fs.writeSync,
  writevSync: fs.writevSync,
} as unknown as Calls;
afterEach(() => {
  Object.assign(fs, real);
  syncBuiltinESMExports();
});

/** What a call does instead of all it could: fail with a code, or move at most so many bytes. */
type Fault = { code: string } | { bytes: number };

/** Replaces reads or writes, of all four kinds, until the faults are used up. Counts the calls. */
function inject(kind: "read" | "write", next: () => Fault | null): { calls: number } {
  const seen = { calls: 0 };
  const fault = (): Fault | null => {
    seen.calls++;
    return next();
  };
  const fail = (code: string): Error => Object.assign(new Error(code), { code });
  const cut = (views: Uint8Array[], bytes: number): Uint8Array => (views[0] as Uint8Array).subarray(0, bytes);
  const scalar = (fd: number, view: Uint8Array, offset: number, length: number, position: number, done: Done): void => {
    const found = fault();
    if (found !== null && "code" in found) process.nextTick(done, fail(found.code), 0);
    else real[kind](fd, view, offset, found === null ? length : Math.min(length, found.bytes), position, done);
  };
  const scalarSync = (fd: number, view: Uint8Array, offset: number, length: number, position: number): number => {
    const found = fault();
    if (found !== null && "code" in found) throw fail(found.code);
    return real[`${kind}Sync`](fd, view, offset, found === null ? length : Math.min(length, found.bytes), position);
  };
  const vector = (fd: number, views: Uint8Array[], position: number, done: Done): void => {
    const found = fault();
    if (found === null) real[`${kind}v`](fd, views, position, done);
    else if ("code" in found) process.nextTick(done, fail(found.code), 0);
    else
      real[kind](
        fd,
        cut(views, found.bytes),
        0,
        Math.min(found.bytes, (views[0] as Uint8Array).length),
        position,
        done,
      );
  };
  const vectorSync = (fd: number, views: Uint8Array[], position: number): number => {
    const found = fault();
    if (found === null) return real[`${kind}vSync`](fd, views, position);
    if ("code" in found) throw fail(found.code);
    return real[`${kind}Sync`](
      fd,
      cut(views, found.bytes),
      0,
      Math.min(found.bytes, (views[0] as Uint8Array).length),
      position,
    );
  };
  Object.assign(fs, {
    [kind]: scalar,
    [`${kind}Sync`]: scalarSync,
    [`${kind}v`]: vector,
    [`${kind}vSync`]: vectorSync,
  });
  syncBuiltinESMExports();
  return seen;
}

/** Gives these faults in turn, then none. */
function inTurn(faults: readonly Fault[]): () => Fault | null {
  let i = 0;
  return () => faults[i++] ?? null;
}

async function open(name: string, length: number): Promise<FileStore> {
  const path = join(directory, name);
  writeFileSync(path, patternBytes(new Uint8Array(length), 0));
  return FileStore.open(path);
}

const cuts: readonly Fault[] = [
  { bytes: 1 },
  { code: "EINTR" },
  { bytes: 4095 },
  { bytes: 10 },
  { code: "EAGAIN" },
  { bytes: 3000 },
  { bytes: 1 },
];

for (const sync of [false, true]) {
  const read = (store: FileStore, position: number, buffers: Uint8Array[]): Promise<void> | void =>
    sync ? store.readPagesSync(position, buffers) : store.readPages(position, buffers);
  const write = (store: FileStore, position: number, buffers: Uint8Array[]): Promise<void> | void =>
    sync ? store.writePagesSync(position, buffers) : store.writePages(position, buffers);

  describe(`transfers of the file store (${sync ? "sync calls" : "waiting calls"})`, () => {
    for (const lengths of [[12_288], [4096, 4096, 4096]]) {
      const buffersOf = (): Uint8Array[] => lengths.map((length) => alignedBytes(length).fill(0xee));

      it(`short and interrupted reads are continued, in ${lengths.length} buffers`, async () => {
        const store = await open("reads", 100_000);
        const seen = inject("read", inTurn(cuts));
        const buffers = buffersOf();
        await read(store, 8192, buffers);
        strictEqual(Buffer.compare(Buffer.concat(buffers), patternBytes(new Uint8Array(12_288), 8192)), 0);
        ok(seen.calls > cuts.length);
        await store.close();
      });

      it(`short reads at the end zero the tail, and only the tail, in ${lengths.length} buffers`, async () => {
        const store = await open("tail", 5000);
        inject("read", inTurn([{ bytes: 100 }, { bytes: 4000 }]));
        const buffers = buffersOf();
        await read(store, 0, buffers);
        const bytes = Buffer.concat(buffers);
        strictEqual(Buffer.compare(bytes.subarray(0, 5000), patternBytes(new Uint8Array(5000), 0)), 0);
        ok(bytes.subarray(5000).every((byte) => byte === 0));
        await store.close();
      });

      it(`short and interrupted writes are completed, in ${lengths.length} buffers`, async () => {
        const store = await open("writes", 100_000);
        inject("write", inTurn(cuts));
        const bytes = patternBytes(alignedBytes(12_288), 0, 9);
        let at = 0;
        await write(
          store,
          8192,
          lengths.map((length) => bytes.subarray(at, (at += length))),
        );
        const back = alignedBytes(12_288);
        await store.readPages(8192, [back]);
        strictEqual(Buffer.compare(back, bytes), 0);
        await store.close();
      });
    }

    it("a read in mid-file that gives nothing is tried a bounded number of times, then EIO, never zeros", async () => {
      const store = await open("nothing", 100_000);
      const seen = inject("read", () => ({ bytes: 0 }));
      const buffer = alignedBytes(4096).fill(0xee);
      await rejects(
        async () => {
          await read(store, 4096, [buffer]);
        },
        { code: "EIO" },
      );
      ok(seen.calls <= limits.transientRetriesMax + 1);
      ok(buffer.every((byte) => byte === 0xee));
      await store.close();
    });

    it("interruptions without end are an error after a bounded number", async () => {
      const store = await open("endless", 100_000);
      for (const kind of ["read", "write"] as const) {
        const seen = inject(kind, () => ({ code: "EINTR" }));
        const call = kind === "read" ? read : write;
        await rejects(
          async () => {
            await call(store, 0, [alignedBytes(4096)]);
          },
          { name: "PinfoldError" },
        );
        strictEqual(seen.calls, limits.transientRetriesMax + 1);
      }
      await store.close();
    });

    it("an error is passed on with its code, after what came before it", async () => {
      const store = await open("errors", 100_000);
      inject("write", inTurn([{ bytes: 100 }, { code: "ENOSPC" }]));
      await rejects(
        async () => {
          await write(store, 0, [alignedBytes(4096)]);
        },
        { code: "ENOSPC", operation: /write/ },
      );
      inject("read", inTurn([{ bytes: 100 }, { code: "EIO" }]));
      await rejects(
        async () => {
          await read(store, 0, [alignedBytes(4096)]);
        },
        { code: "EIO" },
      );
      await store.close();
    });
  });
}
