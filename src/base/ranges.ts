/**
 * Checks of what callers pass in: positions, lengths, counts. Each names the argument in its message.
 */
import { PinfoldError } from "./errors.js";
import { limits } from "./limits.js";

/**
 * A whole number from 0 to 2^53 - 1.
 * @throws PinfoldError EINVAL
 */
export function checkWhole(value: unknown, name: string): asserts value is number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) {
    throw new PinfoldError("EINVAL", `${name} must be a whole number of at least 0, not ${describe(value)}`);
  }
}

/**
 * A position and a length, both whole, that end within what a cache can hold.
 * @throws PinfoldError EINVAL, EFBIG
 */
export function checkRange(position: unknown, length: unknown, pageSize: number): void {
  checkWhole(position, "position");
  checkWhole(length, "length");
  checkEnd(position + length, pageSize);
}

/**
 * @throws PinfoldError EFBIG
 */
export function checkEnd(end: number, pageSize: number): void {
  const max = Math.min(limits.fileBytesMax, limits.filePagesMax * pageSize);
  if (end > max) throw new PinfoldError("EFBIG", `the range ends at ${end}, past the largest file of ${max} bytes`);
}

/**
 * An integer option within bounds.
 * @throws PinfoldError EINVAL
 */
export function checkOption(value: number, name: string, min: number, max: number): number {
  if (!Number.isSafeInteger(value) || value < min || value > max) {
    throw new PinfoldError("EINVAL", `${name} must be a whole number from ${min} to ${max}, not ${describe(value)}`);
  }
  return value;
}

function describe(value: unknown): string {
  if (typeof value === "number" || typeof value === "bigint" || typeof value === "boolean") return String(value);
  return value === null ? "null" : typeof value;
}
