/**
 * The few calls of the C library that Node does not offer and a store needs. Where it cannot be called, on systems other than
 * 64-bit Linux, `loadLibc()` gives null and the store takes its portable way.
 *
 * Invariants: errno is read right after its call, before anything else can run (for a waiting call: first thing in its
 * callback); calls give 0 or an errno number and do not throw, except open. Offsets are int64_t. Descriptors opened here
 * belong to the process: Node does not close them when the worker that opened them ends.
 *
 * See also: base/c-library.ts (which loads it), extents.ts (fiemap's structure), portable.ts.
 */
import { constants } from "node:fs";
import { getSystemErrorMap } from "node:util";
import { assert } from "../../base/assert.js";
import { type ForeignCall, hasCLibrary, loadCLibrary } from "../../base/c-library.js";
import { PinfoldError } from "../../base/errors.js";

/** fallocate(2) modes. */
export const falloc = { keepSize: 0x01, punchHole: 0x02, unshareRange: 0x40 } as const;
export const seek = { set: 0, current: 1, end: 2, data: 3, hole: 4 } as const;

/** Errno numbers that are told apart here; the same on every Linux. */
export const errno = { EINTR: 4, ENXIO: 6, EAGAIN: 11, ENOSYS: 38, EINVAL: 22, EOPNOTSUPP: 95 } as const;

export interface Libc {
  /** Opens with O_CLOEXEC. Throws as node:fs does. */
  open(path: string, flags: number, mode: number): number;
  close(fd: number): number;
  /** Takes an advisory lock at once, exclusive or shared; EAGAIN when another description of the file holds one. */
  lock(fd: number, exclusive: boolean): number;
  fallocate(fd: number, mode: number, offset: number, length: number): number;
  /** The same on a thread of koffi's pool; on this thread when that pool's queue is full. */
  fallocateLater(fd: number, mode: number, offset: number, length: number): Promise<number>;
  /** ioctl FS_IOC_FIEMAP on a prepared structure. */
  fiemap(fd: number, request: Uint8Array): number;
  /** What the file system says of the file itself; nothing of it where it does not say. */
  fileFlags(fd: number): { isCompressed: boolean; isRealtime: boolean };
  /** Drops clean pages of the range from the kernel's cache (posix_fadvise DONTNEED); length 0: to the end. */
  dropCached(fd: number, offset: number, length: number): number;
  /** The position, or minus the errno. Moves the descriptor's offset, which only its close uses (descriptors.ts). */
  lseek(fd: number, offset: number, whence: number): number;
}

const fiemapRequest = 0xc020660b;
/** FS_IOC_GETFLAGS, and the one of its bits that counts here. */
const flagsRequest = 0x80086601;
const compressedFlag = 0x4;
/** FS_IOC_FSGETXATTR: 28 bytes, of which the first word has the bits. */
const attributesRequest = 0x801c581f;
const realtimeFlag = 0x1;
const closeOnExec = 0o2000000;
const adviceDontNeed = 4;
const lockExclusive = 2;
const lockShared = 1;
const lockNonBlocking = 4;
/** 64-bit, little-endian, and with the numbers above. */
const architectures = ["x64", "arm64", "riscv64"];

/** The C library, or null where it cannot be called. */
export function loadLibc(): Libc | null {
  return architectures.includes(process.arch) && loadCLibrary() !== null ? libc : null;
}

/** As loadLibc for another thread of a process in which that has worked; it is loaded when it is first called. */
export function expectLibc(): Libc | null {
  return architectures.includes(process.arch) && hasCLibrary() ? libc : null;
}

/** An error as node:fs would throw it. */
export function systemError(number: number, call: string, path?: string): Error {
  const [code, text] = getSystemErrorMap().get(-number) ?? [`errno ${number}`, "unknown error"];
  const where = path === undefined ? "" : ` '${path}'`;
  return Object.assign(new Error(`${code}: ${text}, ${call}${where}`), { code, errno: -number, syscall: call });
}

const declarations = {
  open: "int open(const char *path, int flags, int mode)",
  close: "int close(int fd)",
  flock: "int flock(int fd, int operation)",
  fallocate: "int fallocate(int fd, int mode, int64_t offset, int64_t length)",
  ioctl: "int ioctl(int fd, uint64_t request, void *argument)",
  fadvise: "int posix_fadvise(int fd, int64_t offset, int64_t length, int advice)",
  lseek: "int64_t lseek(int fd, int64_t offset, int whence)",
} as const;

interface Bound {
  readonly calls: Record<keyof typeof declarations, ForeignCall>;
  readonly errno: () => number;
}

let bound: Bound | undefined;

/** The functions, which are looked up at the first call. @throws PinfoldError ENOTSUP */
function c(): Bound["calls"] {
  return (bound ??= bindAll()).calls;
}

function bindAll(): Bound {
  const library = loadCLibrary();
  if (library === null) throw new PinfoldError("ENOTSUP", "koffi loads in one thread and not in another");
  return { calls: library.bind(declarations), errno: () => library.errno() };
}

const lastErrno = (): number => (bound as Bound).errno();
const result = (value: unknown): number => (value === 0 ? 0 : lastErrno());

const libc: Libc = {
  open(path, flags, mode) {
    assert(!path.includes("\0"), "open: a path has no zero byte");
    const fd = c().open(path, flags | closeOnExec, mode) as number;
    if (fd < 0) throw systemError(lastErrno(), "open", path);
    return fd;
  },
  close: (fd) => result(c().close(fd)),
  lock: (fd, exclusive) => result(c().flock(fd, (exclusive ? lockExclusive : lockShared) | lockNonBlocking)),
  fallocate: (fd, mode, offset, length) => result(c().fallocate(fd, mode, offset, length)),
  fallocateLater: (fd, mode, offset, length) =>
    new Promise((resolve, reject) => {
      const settle = (error: Error | null, value: unknown): void => {
        const number = result(value);
        if (error === null) resolve(number);
        else reject(error);
      };
      try {
        c().fallocate.async(fd, mode, offset, length, settle);
      } catch {
        resolve(result(c().fallocate(fd, mode, offset, length)));
      }
    }),
  fiemap: (fd, request) => result(c().ioctl(fd, fiemapRequest, request)),
  fileFlags(fd) {
    const words = new Uint32Array(8);
    const wordOf = (request: number): number => {
      words.fill(0);
      return c().ioctl(fd, request, words) === 0 ? (words[0] as number) : 0;
    };
    return {
      isCompressed: (wordOf(flagsRequest) & compressedFlag) !== 0,
      isRealtime: (wordOf(attributesRequest) & realtimeFlag) !== 0,
    };
  },
  // The one call that returns its errno.
  dropCached: (fd, offset, length) => c().fadvise(fd, offset, length, adviceDontNeed) as number,
  lseek(fd, offset, whence) {
    const at = c().lseek(fd, offset, whence);
    return typeof at === "number" && at >= 0 ? at : -lastErrno();
  },
};

/** Flags of open(2) that differ between architectures; 0 where there is none. */
export const openFlags = {
  readOnly: constants.O_RDONLY,
  readWrite: constants.O_RDWR,
  create: constants.O_CREAT,
  exclusive: constants.O_EXCL,
  direct: constants.O_DIRECT ?? 0,
} as const;
