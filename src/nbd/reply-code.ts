/**
 * From Pinfold's error codes to the error numbers of NBD replies.
 *
 * Invariant: total; whatever a device throws becomes one of the protocol's numbers, EIO where nothing fits better.
 *
 * See also: base/errors.ts (the table), protocol.ts (the numbers).
 */
import { type ErrorCode, type PinfoldError, toPinfoldError } from "../base/errors.js";
import { replyError } from "./protocol.js";

const numbers: Partial<Record<ErrorCode, number>> = {
  EINVAL: replyError.EINVAL,
  ENOSPC: replyError.ENOSPC,
  EROFS: replyError.EPERM,
  EACCES: replyError.EPERM,
  ENOTSUP: replyError.ENOTSUP,
  ENOMEM: replyError.ENOMEM,
  EMFILE: replyError.ENOMEM,
  ERR_PINFOLD_NO_FRAMES: replyError.ENOMEM,
  ERR_PINFOLD_PIN_LIMIT: replyError.ENOMEM,
  ERR_PINFOLD_TOO_MANY: replyError.ENOMEM,
  ERR_PINFOLD_LEAKED_PAGES: replyError.ENOMEM,
  EBADF: replyError.ESHUTDOWN,
};

/** Codes that mean "past the end": no space for who writes, a wrong argument for who reads. */
const pastTheEnd = new Set<ErrorCode>(["EFBIG", "ERR_PINFOLD_OUT_OF_RANGE"]);

export interface DeviceFailure {
  readonly error: PinfoldError;
  readonly number: number;
}

/** What to answer when a device threw `thrown` during `operation`. */
export function deviceFailure(thrown: unknown, operation: string, writes: boolean): DeviceFailure {
  const error = toPinfoldError(thrown, operation);
  if (pastTheEnd.has(error.code)) return { error, number: writes ? replyError.ENOSPC : replyError.EINVAL };
  return { error, number: numbers[error.code] ?? replyError.EIO };
}
