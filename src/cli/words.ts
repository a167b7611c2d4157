/**
 * Words of a command line: numbers and times, or a sentence that says what they have to be.
 */
import { PinfoldError } from "../base/errors.js";

/** What takes words of a command line apart: parses, or complains with the error's message. */
export type Parser = <Value>(parse: (text: string) => Value) => (text: string) => Value;

const unitsMs = { s: 1000, m: 60_000, h: 3_600_000 } as const;
/** A week. */
const durationMostMs = 7 * 24 * unitsMs.h;

/** @throws PinfoldError EINVAL for another number than one from `least` to `most` */
export function wholeNumber(text: string, name: string, least: number, most: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  throw new PinfoldError("EINVAL", `${name} is a whole number from ${least} to ${most}, not ${JSON.stringify(text)}`);
}

/** Milliseconds of "2h", "30m", "90s"; a number alone is hours. @throws PinfoldError EINVAL */
export function durationMs(text: string, name: string): number {
  const [, amount = "", unit = "h"] = /^(\d+(?:\.\d+)?)([smh])?$/.exec(text) ?? [];
  const ms = amount === "" ? Number.NaN : Number(amount) * unitsMs[unit as keyof typeof unitsMs];
  if (ms > 0 && ms <= durationMostMs) return ms;
  throw new PinfoldError(
    "EINVAL",
    `${name} is a time such as 2h, 30m or 90s, at most a week, not ${JSON.stringify(text)}`,
  );
}
