/**
 * What a victim (victim.ts) tells before and after each of its operations: records of 8 words of 32 bits through a pipe. A record
 * is one write call, which a killed process has made or has not; what stands earlier in the pipe happened earlier.
 */
import { writeSync } from "node:fs";

export const reports = {
  /** An operation begins: its number, what it leaves (flavours), sectors, and the sizes that the file may have from then on. */
  begin: 1,
  end: 2,
  /** It failed, and is said to have changed nothing. `flavour` is 1 for a lack of space, here and below. */
  refused: 3,
  /** It failed, and may have changed some of it; or a sync was given up. */
  failed: 4,
  syncBegin: 5,
  syncEnd: 6,
  /** A sync failed. */
  syncFailed: 7,
  /** All threads are at work. */
  ready: 8,
  /** All is over and closed: what the victim was told to end with. */
  over: 9,
} as const;

export const flavours = {
  /** Each sector is of one operation whole. */
  whole: 1,
  /** Sectors may be torn between words: what is written in place while write-back may copy it. */
  loose: 2,
  zeros: 3,
} as const;

/** How a victim did something: for whoever has to find out what went wrong. */
export const ways = [
  "?",
  "write",
  "writeSync",
  "pin",
  "longterm",
  "store",
  "punch",
  "truncate",
  "tail",
  "sync",
  "datasync",
  "syncSync",
] as const;
export type Way = (typeof ways)[number];

export interface Report {
  readonly kind: number;
  /** Of an operation or a sync; grows from operation to operation of a sector. */
  readonly number: number;
  readonly flavour: number;
  readonly first: number;
  readonly count: number;
  /** Sizes in sectors, from the smaller to the larger; both 0: the size stays. */
  readonly sizeMin: number;
  readonly sizeMax: number;
  readonly way: Way;
}

export const reportBytes = 32;

export function sendReport(fd: number, report: Partial<Report> & { kind: number }): void {
  const { kind, number = 0, flavour = 0, first = 0, count = 0, sizeMin = 0, sizeMax = 0, way = "?" } = report;
  writeSync(fd, new Uint32Array([kind, number, flavour, first, count, sizeMin, sizeMax, ways.indexOf(way)]));
}

/** Takes bytes as they come, and gives whole reports. */
export class ReportReader {
  #rest = Buffer.alloc(0);

  *take(chunk: Buffer): Generator<Report> {
    const bytes = Buffer.concat([this.#rest, chunk]);
    let at = 0;
    for (; at + reportBytes <= bytes.length; at += reportBytes) {
      const word = (index: number): number => bytes.readUInt32LE(at + index * 4);
      yield {
        kind: word(0),
        number: word(1),
        flavour: word(2),
        first: word(3),
        count: word(4),
        sizeMin: word(5),
        sizeMax: word(6),
        way: ways[word(7)] ?? "?",
      };
    }
    this.#rest = bytes.subarray(at);
  }
}
