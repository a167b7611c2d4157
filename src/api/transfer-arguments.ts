/**
 * The many forms in which node:fs/promises' FileHandle takes a buffer and a place, made one.
 * (Node's documentation, "FileHandle.read" and "FileHandle.write", gives the forms and their defaults.)
 */
import { PinfoldError } from "../base/errors.js";
import { checkEncoding } from "./arguments.js";

const defaultReadBytes = 16_384;

export interface ReadOptions<T extends NodeJS.ArrayBufferView = NodeJS.ArrayBufferView> {
  buffer?: T;
  offset?: number | null;
  length?: number | null;
  position?: number | bigint | null;
}

export interface WriteOptions {
  offset?: number | null;
  length?: number | null;
  position?: number | bigint | null;
}

export interface Transfer<T extends NodeJS.ArrayBufferView> {
  readonly buffer: T;
  /** The part of the buffer that is meant. */
  readonly bytes: Uint8Array;
  /** Where in the file; undefined: at the handle's own position. */
  readonly position: number | undefined;
}

/** The bytes of any view. */
export function bytesOf(buffer: NodeJS.ArrayBufferView): Uint8Array {
  return buffer instanceof Uint8Array ? buffer : new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}

/** The arguments of read and readSync. @throws PinfoldError EINVAL */
export function readTransfer<T extends NodeJS.ArrayBufferView>(
  first: T | ReadOptions<T> | null | undefined,
  second: number | null | ReadOptions | undefined,
  length: number | null | undefined,
  position: number | bigint | null | undefined,
): Transfer<T> {
  if (ArrayBuffer.isView(first)) {
    if (typeof second === "object" && second !== null)
      return part(first, second.offset, second.length, second.position);
    return part(first, second, length, position);
  }
  const options = first ?? {};
  if (typeof options !== "object") throw new PinfoldError("EINVAL", "read takes a buffer or options");
  const buffer = options.buffer ?? (Buffer.alloc(defaultReadBytes) as unknown as T);
  return part(buffer, options.offset, options.length, options.position);
}

/** The arguments of write and writeSync. @throws PinfoldError EINVAL */
export function writeTransfer(
  data: NodeJS.ArrayBufferView | string,
  second: number | null | WriteOptions | undefined,
  third: number | string | null | undefined,
  position: number | bigint | null | undefined,
): Transfer<NodeJS.ArrayBufferView> {
  if (typeof data === "string") {
    const at = typeof second === "object" ? null : second;
    return part(Buffer.from(data, checkEncoding(third) ?? "utf8"), 0, null, at);
  }
  if (!ArrayBuffer.isView(data)) throw new PinfoldError("EINVAL", "write takes a buffer or a string");
  if (typeof second === "object" && second !== null) return part(data, second.offset, second.length, second.position);
  if (typeof third === "string") throw new PinfoldError("EINVAL", "length must be a whole number, not a string");
  return part(data, second, third, position);
}

function part<T extends NodeJS.ArrayBufferView>(
  buffer: T,
  offset: number | null | undefined,
  length: number | null | undefined,
  position: number | bigint | null | undefined,
): Transfer<T> {
  if (!ArrayBuffer.isView(buffer)) throw new PinfoldError("EINVAL", "buffer must be a Buffer, TypedArray or DataView");
  const all = bytesOf(buffer);
  const from = offset ?? 0;
  if (!Number.isSafeInteger(from) || from < 0 || from > all.length) {
    throw new PinfoldError("EINVAL", `offset must be a whole number from 0 to ${all.length}, not ${String(from)}`);
  }
  const count = length ?? all.length - from;
  if (!Number.isSafeInteger(count) || count < 0 || count > all.length - from) {
    throw new PinfoldError(
      "EINVAL",
      `length must be a whole number from 0 to ${all.length - from}, not ${String(count)}`,
    );
  }
  return { buffer, bytes: all.subarray(from, from + count), position: filePosition(position) };
}

/** null, undefined and -1 mean the handle's own position, as in Node. @throws PinfoldError EINVAL */
export function filePosition(position: number | bigint | null | undefined): number | undefined {
  if (position === null || position === undefined) return undefined;
  const value = typeof position === "bigint" ? Number(position) : position;
  if (value === -1) return undefined;
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new PinfoldError("EINVAL", `position must be a whole number of at least 0, not ${String(position)}`);
  }
  return value;
}
