/**
 * The one table of errors. Callers match `code`; messages may change, codes do not.
 * Codes are errno names where there is one, else `ERR_PINFOLD_*`. docs/errors.md lists this table; a test compares them.
 *
 * Invariant: every error that leaves a public call because of its arguments, the store or the state of the cache is a
 * PinfoldError with a code from this table. An aborted call throws the signal's own reason.
 */

import { constants } from "node:os";

/** Code -> what to do about it. */
export const errorAdvice = {
  EINVAL: "Correct the argument that the message names; nothing was changed.",
  EBADF: "The file or cache was closed; open it again.",
  EBUSY: "Somebody else holds it: close or release it there, or wait and try again.",
  EDEADLK: "The wait would never end, because the caller itself holds what it waits for. Release that first.",
  EROFS: "The file was opened read-only; open it for writing.",
  EFBIG: "The position lies past the largest file that a cache can hold (2^32 pages).",
  ENOSPC: "The storage is full. Nothing was made dirty by this call; free space and try again.",
  EIO: "The storage reported an input/output error; see `cause`. What was dirty stays dirty and is tried again.",
  EISDIR: "A directory cannot be cached; name a regular file.",
  ENOENT: "There is no such file; pass `create: true` to make it.",
  EACCES: "The file's permissions forbid this.",
  ENOTSUP: "This store or this system cannot do that; see the message.",
  EMFILE: "The process or the system is out of file descriptors; close some.",
  ENOMEM: "The system did not give the memory that was asked for; choose less.",
  ESTALE: "The handle was already used, or the object changed under its owner; look it up again.",
  ERR_PINFOLD_OUT_OF_RANGE: "The range reaches past the end of the file. Extend the file first (truncate, write).",
  ERR_PINFOLD_NO_FRAMES: "Pins hold every frame that could be used; put some, or open the cache with more memory.",
  ERR_PINFOLD_PIN_LIMIT: "Counted write pins are at their limit (pinnedBytesMax); put some.",
  ERR_PINFOLD_LEAKED_PAGES: "Too many pins were dropped without put; find them with pins() and pinSites.",
  ERR_PINFOLD_ALREADY_PUT: "These pages were already put; each get is put once.",
  ERR_PINFOLD_PINNED: 'Pages in the range are pinned (`pinned: "fail"`); the message names the holders.',
  ERR_PINFOLD_DATA_LOST:
    "The storage failed to keep written data that the cache had already given up. Restore from elsewhere.",
  ERR_PINFOLD_CHECKSUM:
    "The storage does not have what was written there. Restore it from elsewhere, write it anew, or see pinfold verify.",
  ERR_PINFOLD_TOO_MANY:
    "A table of the cache is full (files, waiters, threads, pins of one page); the message says which.",
  ERR_PINFOLD_PROTOCOL: "The network peer broke the protocol; its connection is closed.",
  ERR_PINFOLD_INSECURE:
    "Other machines could read and write in plain text: set up TLS, listen on this machine only, or say that it is meant.",
  ERR_PINFOLD_PEER_REFUSED:
    "A network client could not show that it is one of those allowed; it was not let in. The message says who and why.",
  ERR_PINFOLD_PEER_STUCK:
    "A network client did not go on in time; its connection was ended. The message says what with.",
  ERR_PINFOLD_VERIFY: "An invariant does not hold: a defect of Pinfold. Please report it with the message.",
} as const;

export type ErrorCode = keyof typeof errorAdvice;

export interface PinfoldErrorOptions {
  cause?: unknown;
  /** What was being done, for example "write": as `syscall` in Node's own errors. */
  operation?: string;
}

/** Every error that a caller can cause or has to handle. */
export class PinfoldError extends Error {
  override readonly name = "PinfoldError";
  readonly code: ErrorCode;
  /** What to do about it, in one sentence. */
  readonly advice: string;
  readonly operation: string | undefined;

  constructor(code: ErrorCode, message: string, options: PinfoldErrorOptions = {}) {
    super(`${code}: ${message}`, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.advice = errorAdvice[code];
    this.operation = options.operation;
  }
}

const codes = Object.keys(errorAdvice) as ErrorCode[];

/** The number that stands for a code in shared memory, from 1. The same in all threads of one version. */
export function codeNumber(code: ErrorCode): number {
  return codes.indexOf(code) + 1;
}

/** The code of a number that codeNumber gave. */
export function codeOf(number: number): ErrorCode | undefined {
  return codes[number - 1];
}

/** True where `code` stands in the table. */
export function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === "string" && Object.hasOwn(errorAdvice, code);
}

/**
 * Wraps what a store or Node threw. A PinfoldError passes unchanged; a known errno keeps its code; all else is EIO.
 * Quota counts as no space, as a network block device would report it. Node has no name for it (nor has libuv), only the number.
 */
export function toPinfoldError(error: unknown, operation: string): PinfoldError {
  if (error instanceof PinfoldError) return error;
  const raw = (error as { code?: unknown } | null)?.code;
  const message = error instanceof Error ? error.message : String(error);
  if (raw === "EDQUOT" || isQuotaNumber(error))
    return new PinfoldError("ENOSPC", `${operation}: the quota is used up (EDQUOT): ${message}`, {
      cause: error,
      operation,
    });
  if (raw === "EPERM") return new PinfoldError("EACCES", `${operation}: ${message}`, { cause: error, operation });
  if (raw === "EOPNOTSUPP") return new PinfoldError("ENOTSUP", `${operation}: ${message}`, { cause: error, operation });
  if (raw === "ENFILE") return new PinfoldError("EMFILE", `${operation}: ${message}`, { cause: error, operation });
  if (raw === "EAGAIN" || raw === "EWOULDBLOCK")
    return new PinfoldError("EBUSY", `${operation}: ${message}`, { cause: error, operation });
  const code = isErrorCode(raw) ? raw : "EIO";
  return new PinfoldError(code, `${operation}: ${message}`, { cause: error, operation });
}

/** True for an error that says that descriptors or memory have run out: it tells nothing about what was asked for. */
export function isShortage(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return code === "EMFILE" || code === "ENFILE" || code === "ENOMEM";
}

function isQuotaNumber(error: unknown): boolean {
  const number = (error as { errno?: unknown } | null)?.errno;
  return constants.errno.EDQUOT !== undefined && number === -constants.errno.EDQUOT;
}
