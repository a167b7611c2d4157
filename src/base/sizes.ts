/**
 * Sizes as people write them: "64MiB", "1GiB", "4096", 65536.
 * Units are powers of 1024 (KiB, MiB, GiB, TiB; K, M, G, T for short). Powers of 1000 are refused, not guessed.
 */
import { PinfoldError } from "./errors.js";

const units: Record<string, number> = {
  "": 1,
  b: 1,
  k: 1024,
  kib: 1024,
  m: 1024 ** 2,
  mib: 1024 ** 2,
  g: 1024 ** 3,
  gib: 1024 ** 3,
  t: 1024 ** 4,
  tib: 1024 ** 4,
};

/**
 * Bytes from a number or a string with a unit.
 * @throws PinfoldError EINVAL
 */
export function parseBytes(value: number | string, name: string): number {
  if (typeof value === "number") return checkBytes(value, name);
  const match = typeof value === "string" ? /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(value) : null;
  const unit = match ? units[(match[2] ?? "").toLowerCase()] : undefined;
  if (!match || unit === undefined) {
    throw new PinfoldError(
      "EINVAL",
      `${name} must be bytes or a size such as "64MiB", not ${typeof value === "string" ? JSON.stringify(value) : typeof value}`,
    );
  }
  return checkBytes(Number(match[1]) * unit, name);
}

function checkBytes(bytes: number, name: string): number {
  if (!Number.isSafeInteger(bytes) || bytes < 0) {
    throw new PinfoldError("EINVAL", `${name} must be a whole number of bytes, not ${bytes}`);
  }
  return bytes;
}

/** "64.0 MiB": for people. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  const names = ["B", "KiB", "MiB", "GiB", "TiB"];
  while (value >= 1024 && unit < names.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return unit === 0 ? `${value} B` : `${value.toFixed(value < 10 ? 2 : 1)} ${names[unit]}`;
}
