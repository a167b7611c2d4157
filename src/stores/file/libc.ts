/**
 * The few calls of the C library that Node does not offer and a store needs, through koffi. The only other file that knows
 * koffi is sync/barrier.ts.
 *
 * koffi is loaded at the first use. Where it cannot load, on systems other than 64-bit Linux, or with PINFOLD_NO_KOFFI=1
 * in the environment, `loadLibc()` gives null and the store takes its portable way.
 *
 * Invariants: errno is read right after its call, before anything else can run (for a waiting call: first thing in its
 * callback); calls give 0 or an errno number and do not throw, except open. Offsets are int64_t. Descriptors opened here
 * belong to the process: Node does not close them when the worker that opened them ends.
 *
 * See also: extents.ts (fiemap's structure), portable.ts.
 */
import { constants } from "node:fs";
import { createRequire } from "node:module";
import { getSystemErrorMap } from "node:util";
import { assert } from "../../base/assert.js";

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
  /** Drops clean pages of the range from the kernel's cache (posix_fadvise DONTNEED); length 0: to the end. */
  dropCached(fd: number, offset: number, length: number): number;
  /** The position, or minus the errno. Moves the descriptor's offset, which only its close uses (descriptors.ts). */
  lseek(fd: number, offset: number, whence: number): number;
}

type Call = ((...values: unknown[]) => unknown) & {
  async(...valuesAndCallback: unknown[]): void;
};

interface Koffi {
  load(name: string): { func(declaration: string): Call };
  errno(): number;
}

const fiemapRequest = 0xc020660b;
const closeOnExec = 0o2000000;
const adviceDontNeed = 4;
const lockExclusive = 2;
const lockShared = 1;
const lockNonBlocking = 4;
const libraryNames = ["libc.so.6", `libc.musl-${process.arch === "arm64" ? "aarch64" : "x86_64"}.so.1`];
/** 64-bit, little-endian, and with the numbers above. */
const architectures = ["x64", "arm64", "riscv64"];

let loaded: Libc | null | undefined;

/** The C library, or null where it cannot be called. */
export function loadLibc(): Libc | null {
  if (process.env["PINFOLD_NO_KOFFI"] === "1") return null;
  loaded ??= tryLoad();
  return loaded;
}

/** An error as node:fs would throw it. */
export function systemError(number: number, call: string, path?: string): Error {
  const [code, text] = getSystemErrorMap().get(-number) ?? [`errno ${number}`, "unknown error"];
  const where = path === undefined ? "" : ` '${path}'`;
  return Object.assign(new Error(`${code}: ${text}, ${call}${where}`), { code, errno: -number, syscall: call });
}

function tryLoad(): Libc | null {
  if (process.platform !== "linux" || !architectures.includes(process.arch)) return null;
  try {
    const koffi = createRequire(import.meta.url)("koffi") as Koffi;
    for (const name of libraryNames) {
      try {
        return bind(koffi, koffi.load(name));
      } catch {
        // The other C library, then.
      }
    }
  } catch {
    // Not installed, or no binary for this machine: the portable way says what it cannot do.
  }
  return null;
}

function bind(koffi: Koffi, library: { func(declaration: string): Call }): Libc {
  const open = library.func("int open(const char *path, int flags, int mode)");
  const close = library.func("int close(int fd)");
  const flock = library.func("int flock(int fd, int operation)");
  const fallocate = library.func("int fallocate(int fd, int mode, int64_t offset, int64_t length)");
  const ioctl = library.func("int ioctl(int fd, uint64_t request, void *argument)");
  const fadvise = library.func("int posix_fadvise(int fd, int64_t offset, int64_t length, int advice)");
  const lseek = library.func("int64_t lseek(int fd, int64_t offset, int whence)");
  const result = (value: unknown): number => (value === 0 ? 0 : koffi.errno());

  return {
    open(path, flags, mode) {
      assert(!path.includes("\0"), "open: a path has no zero byte");
      const fd = open(path, flags | closeOnExec, mode) as number;
      if (fd < 0) throw systemError(koffi.errno(), "open", path);
      return fd;
    },
    close: (fd) => result(close(fd)),
    lock: (fd, exclusive) => result(flock(fd, (exclusive ? lockExclusive : lockShared) | lockNonBlocking)),
    fallocate: (fd, mode, offset, length) => result(fallocate(fd, mode, offset, length)),
    fallocateLater: (fd, mode, offset, length) =>
      new Promise((resolve, reject) => {
        const settle = (error: Error | null, value: unknown): void => {
          const number = result(value);
          if (error === null) resolve(number);
          else reject(error);
        };
        try {
          fallocate.async(fd, mode, offset, length, settle);
        } catch {
          resolve(result(fallocate(fd, mode, offset, length)));
        }
      }),
    fiemap: (fd, request) => result(ioctl(fd, fiemapRequest, request)),
    // The one call that returns its errno.
    dropCached: (fd, offset, length) => fadvise(fd, offset, length, adviceDontNeed) as number,
    lseek(fd, offset, whence) {
      const at = lseek(fd, offset, whence);
      return typeof at === "number" && at >= 0 ? at : -koffi.errno();
    },
  };
}

/** Flags of open(2) that differ between architectures; 0 where there is none. */
export const openFlags = {
  readOnly: constants.O_RDONLY,
  readWrite: constants.O_RDWR,
  create: constants.O_CREAT,
  exclusive: constants.O_EXCL,
  direct: constants.O_DIRECT ?? 0,
} as const;
