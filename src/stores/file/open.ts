/**
 * Opening: from a path and options to descriptors, a lock, and what the file system can promise.
 *
 * Order: open, look what it is, lock, create's size, the second descriptor. Whatever fails closes what was opened, and
 * removes a file that this very call created.
 *
 * Invariants: descriptors come from the C library where that can be called, so that they belong to the process and not to
 * the worker that opened them, and are noted where others can close them (descriptors.ts); a new file's directory entry is durable before the store is handed out, so that no sync has
 * to think of it.
 *
 * See also: detect.ts, file-store.ts.
 */
import { closeSync, fstatSync, fsync, ftruncateSync, openSync } from "node:fs";
import { unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { promisify } from "node:util";
import { PinfoldError } from "../../base/errors.js";
import { limits } from "../../base/limits.js";
import { detectPolicy, policyOfDevice, type Policy } from "./detect.js";
import { cells, closeNoted } from "./descriptors.js";
import { errno, loadLibc, openFlags, seek, systemError, type Libc } from "./libc.js";

const fsyncLater = promisify(fsync);

export interface FileStoreOptions {
  /** Make the file if there is none. */
  create?: boolean;
  /** Size of a new or empty file. Another file has to have this size. */
  sizeBytes?: number;
  readOnly?: boolean;
  /** O_DIRECT: past the kernel's page cache. */
  direct?: boolean;
  /** Take an advisory lock, exclusive or (read-only) shared. Default true. */
  lock?: boolean;
}

/** What a store needs of an open file. Plain data: another thread of the process can use it too. */
export interface OpenFile {
  readonly path: string;
  readonly key: string;
  readonly main: number;
  /** A second description without O_DIRECT; else the same as `main`. */
  readonly buffered: number;
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  readonly device: boolean;
  readonly policy: Policy;
}

/** The path of an open descriptor, to open its file once more. */
export function descriptorPath(fd: number, path: string): string {
  return process.platform === "linux" ? `/proc/self/fd/${fd}` : path;
}

/** `noted`: the store's cells, in which the descriptors stand as soon as they are open. */
export async function openFile(path: string, options: FileStoreOptions, noted: Int32Array): Promise<OpenFile> {
  checkOptions(path, options);
  const libc = loadLibc();
  const { fd, created } = openOrCreate(libc, path, options, noted);
  try {
    const file = await examine(libc, path, fd, options);
    if (options.lock ?? true) takeLock(libc, fd, path, options.readOnly ?? false);
    const sizeBytes = giveSize(fd, file, path, options);
    let buffered = fd;
    if (options.direct === true) {
      const flags = options.readOnly === true ? openFlags.readOnly : openFlags.readWrite;
      buffered = openDescriptor(libc, descriptorPath(fd, path), flags, noted, cells.buffered);
    }
    if (created) await syncDirectory(path);
    return { ...file, sizeBytes, buffered };
  } catch (error) {
    closeDescriptors(libc, noted);
    if (created) await unlink(path).catch(() => {});
    throw error;
  }
}

/** Closes the descriptors that stand in a store's cells. */
export function closeDescriptors(libc: Libc | null, noted: Int32Array): void {
  if (libc !== null) {
    closeNoted(libc, noted);
    return;
  }
  for (const at of [cells.buffered, cells.main]) {
    const fd = (noted[at] as number) - 1;
    noted[at] = 0;
    if (fd >= 0) closeSync(fd);
  }
}

function checkOptions(path: string, options: FileStoreOptions): void {
  const { sizeBytes } = options;
  if (path === "" || path.includes("\0"))
    throw new PinfoldError("EINVAL", "open: the path is empty or has a zero byte", { operation: "open" });
  if (options.readOnly === true && options.create === true)
    throw new PinfoldError("EINVAL", `open '${path}': create and readOnly exclude each other`, { operation: "open" });
  if (sizeBytes !== undefined && (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0))
    throw new PinfoldError("EINVAL", `open '${path}': sizeBytes ${sizeBytes} is no size`, { operation: "open" });
  if (sizeBytes !== undefined && sizeBytes > limits.fileBytesMax)
    throw new PinfoldError("EFBIG", `open '${path}': ${sizeBytes} bytes`, { operation: "open" });
  if (options.direct === true && openFlags.direct === 0)
    throw new PinfoldError("ENOTSUP", `open '${path}': this system has no O_DIRECT`, { operation: "open" });
}

function openDescriptor(libc: Libc | null, path: string, flags: number, noted: Int32Array, at: number): number {
  noted[at] = (libc === null ? openSync(path, flags, 0o666) : libc.open(path, flags, 0o666)) + 1;
  return noted[at] - 1;
}

/** Tells a new file from one that was there: only a new one may be removed again. */
function openOrCreate(
  libc: Libc | null,
  path: string,
  options: FileStoreOptions,
  noted: Int32Array,
): { fd: number; created: boolean } {
  const open = (how: number) => openDescriptor(libc, path, how, noted, cells.main);
  const flags =
    (options.readOnly === true ? openFlags.readOnly : openFlags.readWrite) |
    (options.direct === true ? openFlags.direct : 0);
  try {
    if (options.create === true) {
      try {
        return { fd: open(flags | openFlags.create | openFlags.exclusive), created: true };
      } catch (error) {
        if ((error as { code?: unknown }).code !== "EEXIST") throw error;
      }
    }
    return { fd: open(flags), created: false };
  } catch (error) {
    if (options.direct === true && (error as { code?: unknown }).code === "EINVAL") {
      throw new PinfoldError(
        "EINVAL",
        `open '${path}': the file system refuses direct access (O_DIRECT); open it without \`direct\``,
        { cause: error, operation: "open" },
      );
    }
    throw error;
  }
}

async function examine(libc: Libc | null, path: string, fd: number, options: FileStoreOptions): Promise<OpenFile> {
  const stat = fstatSync(fd, { bigint: true });
  const common = {
    path,
    main: fd,
    buffered: fd,
    readOnly: options.readOnly ?? false,
  };
  if (stat.isDirectory()) throw new PinfoldError("EISDIR", `open '${path}': is a directory`, { operation: "open" });
  if (stat.isBlockDevice()) {
    if (libc === null)
      throw new PinfoldError("ENOTSUP", `open '${path}': a block device needs koffi, which did not load`, {
        operation: "open",
      });
    const sizeBytes = libc.lseek(fd, 0, seek.end);
    if (sizeBytes < 0) throw systemError(-sizeBytes, "lseek", path);
    const policy = policyOfDevice(numbersOf(stat.rdev));
    return { ...common, key: `device:${stat.rdev}`, sizeBytes, device: true, policy };
  }
  if (!stat.isFile())
    throw new PinfoldError("EINVAL", `open '${path}': neither a regular file nor a block device`, {
      operation: "open",
    });
  if (stat.size > BigInt(limits.fileBytesMax))
    throw new PinfoldError("EFBIG", `open '${path}': ${stat.size} bytes`, { operation: "open" });
  const policy = await detectPolicy(descriptorPath(fd, path), fd, libc);
  return { ...common, key: `file:${stat.dev}:${stat.ino}`, sizeBytes: Number(stat.size), device: false, policy };
}

/** "major:minor" of a device number, as Linux packs it. */
function numbersOf(rdev: bigint): string {
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n);
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n);
  return `${major}:${minor}`;
}

function takeLock(libc: Libc | null, fd: number, path: string, shared: boolean): void {
  if (libc === null) {
    process.emitWarning(
      `'${path}' is open without a lock, because koffi did not load: nothing keeps another process from writing to it`,
      { code: "PINFOLD_NO_LOCK" },
    );
    return;
  }
  const failed = libc.lock(fd, !shared);
  if (failed === 0) return;
  if (failed === errno.EAGAIN)
    throw new PinfoldError("EBUSY", `open '${path}': another process, or another open of this one, has it locked`, {
      operation: "open",
    });
  if (failed !== errno.ENOSYS && failed !== errno.EOPNOTSUPP) throw systemError(failed, "flock", path);
  process.emitWarning(`'${path}' is open without a lock: its file system has none`, { code: "PINFOLD_NO_LOCK" });
}

/** Under the lock: gives a new or empty file its size; another has to have it already. */
function giveSize(fd: number, file: OpenFile, path: string, options: FileStoreOptions): number {
  const { sizeBytes } = options;
  const present = file.device ? file.sizeBytes : fstatSync(fd).size;
  if (sizeBytes === undefined || sizeBytes === present) return present;
  if (present > 0 || file.readOnly || file.device) {
    throw new PinfoldError(
      "EINVAL",
      `open '${path}': it has ${present} bytes, not ${sizeBytes}; leave sizeBytes out, and change the size with truncate`,
      { operation: "open" },
    );
  }
  ftruncateSync(fd, sizeBytes);
  return sizeBytes;
}

/** Opens and closes the directory by sync calls: see durability.ts, settle. */
async function syncDirectory(path: string): Promise<void> {
  const directory = openSync(dirname(path), "r");
  try {
    await fsyncLater(directory);
  } catch (error) {
    // Some network file systems cannot sync a directory; what they do instead is theirs.
    const code = (error as { code?: unknown }).code;
    if (code !== "EINVAL" && code !== "ENOTSUP") throw error;
  } finally {
    closeSync(directory);
  }
}
