/**
 * A file of a page cache, for fsx.ts: every way in and out that the library has. Write-back goes on beside the operations, and what
 * was synced is read back by a descriptor of node:fs.
 */
import { readFileSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { type CachedFile, type MappedView, type PageCache, type UserPages } from "../../src/index.js";
import type { FsxFile, Reader, Writer } from "./fsx.js";

export interface LibraryFile extends FsxFile {
  close(): Promise<void>;
}

/** Does a thing again where `done` says that it went only a part of the way. */
async function whole(length: number, piece: (done: number) => Promise<number> | number): Promise<void> {
  for (let done = 0; done < length; ) {
    const count = await piece(done);
    if (count <= 0) throw new Error(`stuck after ${done} of ${length} bytes`);
    done += count;
  }
}

/** Ways that block the thread say EDEADLK where they would wait for its own event loop, for a write-back, say: again, then. */
function patient<Bytes extends Reader | Writer>(way: Bytes): Bytes {
  const again = async (position: number, bytes: Buffer): Promise<void> => {
    for (let tries = 0; ; tries++) {
      try {
        return await way(position, bytes);
      } catch (error) {
        if ((error as { code?: unknown }).code !== "EDEADLK" || tries > 100_000) throw error;
        await setImmediate();
      }
    }
  };
  return again as Bytes;
}

function copyOut(pages: UserPages, target: Buffer): void {
  const count = pages.copyTo(target);
  pages.put();
  if (count !== target.length) throw new Error(`a pin of ${target.length} bytes copied ${count}`);
}

/** Pages of a range that a cache of few pages can hold at a time. */
const pinBytesMax = 64 * 1024;

export async function openLibraryFile(cache: PageCache, path: string, direct: boolean): Promise<LibraryFile> {
  const options = { create: true, ...(direct ? { direct } : {}) };
  let file: CachedFile = await cache.open(path, options);
  let view: MappedView | undefined;
  /** A view of all of the file, anew where the size is another one. */
  const viewed = (): MappedView => {
    if (view?.byteLength !== file.size) view = file.map();
    return view;
  };
  const pieces = async (
    position: number,
    bytes: Buffer,
    work: (at: number, part: Buffer) => Promise<void>,
  ): Promise<void> => {
    for (let at = 0; at < bytes.length; at += pinBytesMax)
      await work(position + at, bytes.subarray(at, Math.min(bytes.length, at + pinBytesMax)));
  };
  const read: Reader = (position, target) =>
    whole(
      target.length,
      async (done) => (await file.read(target, done, target.length - done, position + done)).bytesRead,
    );
  const write: Writer = (position, bytes) =>
    whole(
      bytes.length,
      async (done) => (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten,
    );
  const pinned: Writer = (position, bytes) =>
    pieces(position, bytes, async (at, part) => {
      const pages = await file.getUserPages(at, part.length, { write: true });
      pages.copyFrom(part);
      pages.put();
    });

  const readers: Record<string, Reader> = {
    read,
    readSync: (position, target) =>
      whole(target.length, (done) => file.readSync(target, done, target.length - done, position + done)),
    readv: async (position, target) => {
      const half = target.length >> 1;
      const { bytesRead } = await file.readv([target.subarray(0, half), target.subarray(half)], position);
      await read(position + bytesRead, target.subarray(bytesRead));
    },
    tryRead: async (position, target) => {
      if (!file.tryRead(target, position)) await read(position, target);
    },
    pin: (position, target) =>
      pieces(position, target, async (at, part) => copyOut(await file.getUserPages(at, part.length), part)),
    longterm: (position, target) =>
      pieces(position, target, async (at, part) =>
        copyOut(await file.getUserPages(at, part.length, { longterm: true }), part),
      ),
    pinSync: (position, target) =>
      pieces(position, target, async (at, part) => copyOut(file.getUserPagesSync(at, part.length), part)),
    view: (position, target) => void viewed().copyTo(target, position),
    accessors: (position, target) => {
      const from = viewed();
      let at = 0;
      for (; at + 8 <= Math.min(target.length, 4096); at += 8)
        target.writeBigUInt64LE(from.getBigUint64(position + at, true), at);
      for (; at < Math.min(target.length, 4200); at++) target[at] = from.getUint8(position + at);
      if (at < target.length) from.copyTo(target.subarray(at), position + at);
    },
    optimistic: async (position, target) => {
      for (let at = 0; at < target.length; at += pinBytesMax) {
        const length = Math.min(pinBytesMax, target.length - at);
        target.set(
          file.readOptimistic(position + at, length, (memory, start, end) => memory.slice(start, end)),
          at,
        );
      }
    },
    stream: async (position, target) => {
      let at = 0;
      for await (const chunk of file.createReadStream({
        start: position,
        end: position + target.length - 1,
        autoClose: false,
      }))
        at += (chunk as Buffer).copy(target, at);
      if (at !== target.length) throw new Error(`a stream gave ${at} of ${target.length} bytes`);
    },
  };
  const growers: Record<string, Writer> = {
    write,
    writeSync: (position, bytes) =>
      whole(bytes.length, (done) => file.writeSync(bytes, done, bytes.length - done, position + done)),
    writev: async (position, bytes) => {
      const half = bytes.length >> 1;
      const { bytesWritten } = await file.writev([bytes.subarray(0, half), bytes.subarray(half)], position);
      await write(position + bytesWritten, bytes.subarray(bytesWritten));
    },
  };
  const writers: Record<string, Writer> = {
    ...growers,
    tryWrite: async (position, bytes) => {
      if (!file.tryWrite(bytes, position)) await write(position, bytes);
    },
    pin: pinned,
    upgrade: (position, bytes) =>
      pieces(position, bytes, async (at, part) => {
        const pages = await file.getUserPages(at, part.length);
        await pages.upgrade();
        pages.copyFrom(part);
        await pages.flush();
        pages.downgrade();
        pages.put();
      }),
    // The half may be written back; the whole has to be, later.
    longterm: (position, bytes) =>
      pieces(position, bytes, async (at, part) => {
        const pages = await file.getUserPages(at, part.length, { write: true, longterm: true });
        const half = part.length >> 1;
        pages.copyFrom(part.subarray(0, half));
        const synced = file.sync();
        await setImmediate();
        pages.copyFrom(part.subarray(half), half);
        pages.put();
        await synced;
      }),
    unmodified: async (position, bytes) => {
      const pages = await file.getUserPages(position, 1, { write: true });
      pages.putUnmodified();
      await write(position, bytes);
    },
    view: (position, bytes) => void viewed().copyFrom(bytes, position),
    accessors: (position, bytes) => {
      const to = viewed();
      let at = 0;
      for (; at + 8 <= Math.min(bytes.length, 4096); at += 8)
        to.setBigUint64(position + at, bytes.readBigUInt64LE(at), true);
      for (; at < Math.min(bytes.length, 4200); at++) to.setUint8(position + at, bytes[at] as number);
      if (at < bytes.length) to.copyFrom(bytes.subarray(at), position + at);
    },
    duringSync: async (position, bytes) => {
      const synced = file.sync();
      await pinned(position, bytes);
      await synced;
    },
  };
  for (const way of ["readSync", "pinSync", "view", "accessors", "optimistic"])
    readers[way] = patient(readers[way] as Reader);
  for (const ways of [growers, writers]) {
    for (const way of ["writeSync", "view", "accessors"]) if (way in ways) ways[way] = patient(ways[way] as Writer);
  }
  return {
    readers,
    writers,
    growers,
    size: () => file.size,
    truncate: (length) => file.truncate(length),
    punch: (position, length) => file.punchHole(position, length),
    allocate: async (position, length) => {
      if (file.capabilities.reserves === "data") await file.allocate(position, length);
    },
    sync: async (position, length) => {
      if (position === 0 && length === file.size) await file.sync();
      else await file.datasync({ position, length });
    },
    drop: async (position, length) => {
      try {
        file.invalidate(position, length);
      } catch (error) {
        if ((error as { code?: unknown }).code !== "EBUSY") throw error;
        await file.advise(position, length, "dontneed");
      }
    },
    reopen: async () => {
      await file.close();
      view = undefined;
      file = await cache.open(path, options);
    },
    verify: () => cache.verify(),
    elsewhere: () => readFileSync(path),
    close: () => file.close(),
  };
}
