/**
 * A file of a kernel's file system, for fsx.ts: node:fs, and what Node does not offer through the C library. What was synced is read
 * back after it was dropped from the kernel's cache, so that it comes from the disk below.
 */
import { readFileSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { falloc, type Libc, systemError } from "../../src/stores/file/libc.js";
import type { FsxFile } from "./fsx.js";

function check(failed: number, call: string): void {
  if (failed !== 0) throw systemError(failed, call);
}

export async function openKernelFile(libc: Libc, path: string): Promise<FsxFile & { close(): Promise<void> }> {
  let file: FileHandle = await open(path, "w+");
  const sizeOf = async (): Promise<number> => (await file.stat()).size;
  const drop = (position: number, length: number): void => {
    check(libc.dropCached(file.fd, position, length), "posix_fadvise");
  };
  const readWhole = async (target: Buffer, position: number): Promise<void> => {
    for (let done = 0; done < target.length; ) {
      const { bytesRead } = await file.read(target, done, target.length - done, position + done);
      if (bytesRead === 0) throw new Error(`nothing to read at byte ${position + done}`);
      done += bytesRead;
    }
  };
  const growers = {
    write: async (position: number, bytes: Buffer): Promise<void> => {
      for (let done = 0; done < bytes.length; )
        done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
    },
    writev: async (position: number, bytes: Buffer): Promise<void> => {
      const half = bytes.length >> 1;
      const { bytesWritten } = await file.writev([bytes.subarray(0, half), bytes.subarray(half)], position);
      if (bytesWritten !== bytes.length) throw new Error(`writev wrote ${bytesWritten} of ${bytes.length} bytes`);
    },
  };
  return {
    readers: {
      read: (position, target) => readWhole(target, position),
      dropped: async (position, target) => {
        await file.datasync();
        drop(position, target.length);
        await readWhole(target, position);
      },
    },
    writers: growers,
    growers,
    size: sizeOf,
    truncate: (length) => file.truncate(length),
    punch: (position, length) =>
      check(libc.fallocate(file.fd, falloc.punchHole | falloc.keepSize, position, length), "fallocate"),
    allocate: (position, length) => check(libc.fallocate(file.fd, falloc.keepSize, position, length), "fallocate"),
    sync: async (position) => (position % 2 === 0 ? file.sync() : file.datasync()),
    drop,
    reopen: async () => {
      await file.close();
      file = await open(path, "r+");
    },
    elsewhere: () => {
      drop(0, 0);
      return readFileSync(path);
    },
    close: () => file.close(),
  };
}
