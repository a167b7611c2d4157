/** The other program that takes a file system's space: files of no use, as many as there is room for. */
import { execFile } from "node:child_process";
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import type { SeededRandom } from "../../src/testing/index.js";

const execute = promisify(execFile);
const prefix = "ballast-";
const piecesMax = 400;

export class Ballast {
  readonly #directory: string;
  readonly #freeBytes: () => number;
  readonly #random: SeededRandom;
  #next = 0;

  constructor(directory: string, freeBytes: () => number, random: SeededRandom) {
    this.#directory = directory;
    this.#freeBytes = freeBytes;
    this.#random = random;
  }

  /** Takes what is free, in pieces that get smaller; others may take from it meanwhile. */
  async fill(): Promise<void> {
    let bytes = Math.max(4096, Math.floor(this.#freeBytes() / 8 / 4096) * 4096);
    for (let pieces = 0; bytes >= 4096 && pieces < piecesMax; pieces++) {
      if (!(await this.#take(bytes))) bytes = Math.floor(bytes / 2 / 4096) * 4096;
    }
  }

  async #take(bytes: number): Promise<boolean> {
    const path = join(this.#directory, `${prefix}${this.#next++}`);
    try {
      await execute("fallocate", ["-l", String(bytes), path]);
      return true;
    } catch {
      // Some file systems leave a part of what was asked for.
      if (existsSync(path)) rmSync(path);
      return false;
    }
  }

  async giveSomeBack(): Promise<void> {
    const names = this.#names();
    for (let count = 1 + this.#random.below(4); count > 0 && names.length > 0; count--) {
      const [name] = names.splice(this.#random.below(names.length), 1);
      rmSync(join(this.#directory, name as string));
    }
  }

  async giveBack(): Promise<void> {
    for (const name of this.#names()) rmSync(join(this.#directory, name));
  }

  #names(): string[] {
    return readdirSync(this.#directory).filter((name) => name.startsWith(prefix));
  }
}
