/**
 * Words and numbers for every form of output, and text for a terminal: what it can show, cut or wrapped to a width.
 *
 * Invariant: nothing that comes out of `visible` moves a cursor, changes a color, or reorders what stands beside it. One code
 * point counts as one column: names of races, steps and files are plain Latin text.
 *
 * See also: table.ts, progress.ts, schedule-text.ts, markup.ts.
 */
import type { WriteStream } from "node:tty";

/** How text is to be laid out. */
export interface TextStyle {
  readonly columns: number;
  readonly color: boolean;
}

export const columnsMin = 80;

const separators = /[\t\n\v\f\r\u0085\u2028\u2029]+/g;
const invisible = /[\p{Cc}\p{Cf}\p{Cs}]/gu;
const escape = "\u001b";

const colors = { green: 32, red: 31, yellow: 33, dim: 2, bold: 1 } as const;
export type Color = keyof typeof colors;

/** The width of a terminal, and whether it takes colors; other outputs get `columnsMin` and none. NO_COLOR: no-color.org. */
export function styleOf(
  out: Pick<Partial<WriteStream>, "isTTY" | "columns">,
  environment: Readonly<Record<string, string | undefined>>,
): TextStyle {
  if (out.isTTY !== true) return { columns: columnsMin, color: false };
  const color = !environment["NO_COLOR"] && environment["TERM"] !== "dumb";
  return { columns: Math.max(columnsMin, out.columns ?? 0), color };
}

export function colored(text: string, color: Color, style: Pick<TextStyle, "color">): string {
  return style.color && text !== "" ? `${escape}[${colors[color]}m${text}${escape}[0m` : text;
}

/** Line ends become spaces; other characters that cannot be seen are written as their number: "\u001b". */
export function visible(text: string): string {
  return text
    .replace(separators, " ")
    .replace(invisible, (character) => `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`);
}

export function widthOf(text: string): number {
  return Array.from(text).length;
}

export function padEnd(text: string, columns: number): string {
  return text + " ".repeat(Math.max(0, columns - widthOf(text)));
}

/** The text, or its beginning and an ellipsis. */
export function cut(text: string, columns: number): string {
  const points = Array.from(text);
  return points.length <= columns ? text : `${points.slice(0, Math.max(0, columns - 1)).join("")}…`;
}

/** Lines of at most `columns` (at least 1): broken at spaces, else after a slash or comma, else anywhere. Always one or more. */
export function wrap(text: string, columns: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && widthOf(line) + 1 + widthOf(word) <= columns) {
      line += ` ${word}`;
      continue;
    }
    if (line !== "") lines.push(line);
    const pieces = broken(word, Math.max(1, columns));
    line = pieces.pop() ?? "";
    lines.push(...pieces);
  }
  if (line !== "" || lines.length === 0) lines.push(line);
  return lines;
}

/** One word in pieces of at most `columns`. */
function broken(word: string, columns: number): string[] {
  const pieces: string[] = [];
  let rest = Array.from(word);
  while (rest.length > columns) {
    const head = rest.slice(0, columns);
    const after = Math.max(head.lastIndexOf("/"), head.lastIndexOf(",")) + 1;
    const length = after > 0 ? after : columns;
    pieces.push(rest.slice(0, length).join(""));
    rest = rest.slice(length);
  }
  return [...pieces, rest.join("")];
}

/** 1234567 -> "1,234,567". */
export function countText(count: number): string {
  return Math.round(count).toLocaleString("en-US");
}

const powers = [
  { unit: "k", size: 1e3 },
  { unit: "M", size: 1e6 },
  { unit: "G", size: 1e9 },
  { unit: "T", size: 1e12 },
] as const;

/** In at most five columns, three digits or four: "9,999", "12.3k", "1.23M". Never rounded up: it is a claim. */
export function shortCount(count: number): string {
  if (count < 10_000) return countText(count);
  const power = powers.findLast(({ size }) => count >= size) ?? powers[0];
  const value = count / power.size;
  const decimals = value < 10 ? 2 : value < 100 ? 1 : 0;
  const scale = 10 ** decimals;
  return `${(Math.floor(value * scale) / scale).toFixed(decimals)}${power.unit}`;
}

/** "0.42 s", "12.3 s", "4 min 5 s", "2 h 3 min". */
export function secondsText(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(2)} s`;
  if (seconds < 99.5) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** `3, "schedule"` -> "3 schedules". */
export function several(count: number, noun: string): string {
  return `${countText(count)} ${noun}${count === 1 ? "" : "s"}`;
}
