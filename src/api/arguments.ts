/**
 * Checks of what callers pass beside positions and lengths: option objects, flags, signals. Types are no protection for
 * callers in JavaScript: a wrong one is EINVAL at the call, with nothing changed, and not a TypeError further down.
 */
import { PinfoldError } from "../base/errors.js";

function invalid(name: string, wanted: string, value: unknown): PinfoldError {
  return new PinfoldError("EINVAL", `${name} must be ${wanted}, not ${value === null ? "null" : typeof value}`);
}

function shown(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value) : typeof value;
}

/** @throws PinfoldError EINVAL */
export function checkObject(value: unknown, name: string): void {
  if (typeof value !== "object" || value === null) throw invalid(name, "an object", value);
}

/** @throws PinfoldError EINVAL */
export function checkFlag(value: unknown, name: string): void {
  if (value !== undefined && typeof value !== "boolean") throw invalid(name, "true or false", value);
}

/** @throws PinfoldError EINVAL */
export function checkSignal(value: unknown): void {
  if (value === undefined) return;
  const isSignal = typeof value === "object" && value !== null && "aborted" in value && "addEventListener" in value;
  if (!isSignal) throw invalid("signal", "an AbortSignal", value);
}

/** What to do about pins in the way. @throws PinfoldError EINVAL */
export function checkPinned(value: unknown): void {
  if (value !== undefined && value !== "wait" && value !== "fail") {
    throw new PinfoldError("EINVAL", `pinned must be "wait" or "fail", not ${shown(value)}`);
  }
}

/** @throws PinfoldError EINVAL */
export function checkEncoding(value: unknown): BufferEncoding | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "string" || !Buffer.isEncoding(value))
    throw new PinfoldError("EINVAL", `unknown encoding ${shown(value)}`);
  return value;
}

/** @throws PinfoldError EINVAL */
export function checkBuffers(value: unknown): void {
  if (!Array.isArray(value) || !value.every((one) => ArrayBuffer.isView(one))) {
    throw new PinfoldError("EINVAL", "buffers must be an array of Buffers, TypedArrays or DataViews");
  }
}

/** @throws PinfoldError EINVAL */
export function checkBytes(value: unknown, name: string): void {
  if (!(value instanceof Uint8Array)) throw invalid(name, "a Uint8Array", value);
}

/** @throws PinfoldError EINVAL */
export function checkFunction(value: unknown, name: string): void {
  if (typeof value !== "function") throw invalid(name, "a function", value);
}
