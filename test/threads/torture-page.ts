/**
 * The bytes of a cell: who wrote it, in which version, for which place, and words that follow from these, so that any reader can
 * tell a torn, foreign or changed one. A cell that nobody has written is zeros.
 */

export type CellContent =
  | { readonly kind: "zeros" }
  | { readonly kind: "data"; readonly writer: number; readonly version: number }
  | { readonly kind: "wrong"; readonly what: string };

const zeros: CellContent = { kind: "zeros" };
const mark = 0x70696e;
const step = 0x9e3779b1 | 0;

function mixed(cell: number, writer: number, version: number): number {
  let mix = Math.imul(cell + 1, 0x85ebca6b) ^ Math.imul(writer + 1, 0xc2b2ae35) ^ Math.imul(version, 0x27d4eb2f);
  mix ^= mix >>> 15;
  return Math.imul(mix, 0x2c1b3c6d) | 1;
}

function wordsOf(bytes: Uint8Array): Int32Array {
  return new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
}

export function fillCell(bytes: Uint8Array, cell: number, writer: number, version: number): void {
  const words = wordsOf(bytes);
  let word = mixed(cell, writer, version);
  words[0] = cell ^ mark;
  words[1] = writer;
  words[2] = version;
  for (let at = 3; at < words.length; at++) {
    words[at] = word;
    word = (word + step) | 0;
  }
}

export function readCell(bytes: Uint8Array, cell: number): CellContent {
  const words = wordsOf(bytes);
  const [first = 0, writer = 0, version = 0] = words;
  if (first === 0 && version === 0) {
    const at = words.findIndex((word) => word !== 0);
    return at < 0 ? zeros : { kind: "wrong", what: `zeros, and then data from word ${at}` };
  }
  if (first !== (cell ^ mark)) return { kind: "wrong", what: `foreign: of cell ${first ^ mark}, version ${version}` };
  let word = mixed(cell, writer, version);
  for (let at = 3; at < words.length; at++) {
    if (words[at] !== word)
      return { kind: "wrong", what: `torn at word ${at}, in version ${version} of writer ${writer}` };
    word = (word + step) | 0;
  }
  return { kind: "data", writer, version };
}

/** Random numbers from a seed (mulberry32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  /** A whole number below `below`. */
  below(below: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixing = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixing ^= mixing + Math.imul(mixing ^ (mixing >>> 7), mixing | 61);
    return Math.floor((((mixing ^ (mixing >>> 14)) >>> 0) / 2 ** 32) * below);
  }

  isOneIn(count: number): boolean {
    return this.below(count) === 0;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)] as T;
  }
}
