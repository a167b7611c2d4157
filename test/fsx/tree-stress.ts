/**
 * Random operations on a tree of small files: made, written, cut, renamed over each other, linked hard and soft, removed, synced.
 * What has to be there is kept beside it, so that the tree can be compared, also after the file system was mounted anew.
 *
 * After the idea of the fsstress of xfstests; nothing of its text. Several of these run beside each other, each in a folder of its own.
 *
 * See also: ../real/nbd-stress.test.ts.
 */
import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { link, mkdir, open, rename, rmdir, symlink, truncate, unlink, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import type { SeededRandom } from "../../src/testing/index.js";

/** Hard links to one file share its record. */
interface FileRecord {
  kind: "file";
  bytes: Buffer;
}
interface FolderRecord {
  kind: "folder";
}
interface LinkRecord {
  kind: "link";
  target: string;
}
type TreeRecord = FileRecord | FolderRecord | LinkRecord;

const recordsMax = 120;
/** Folders, and soft links. */
const othersMax = 20;
const bytesMax = 60_000;

export class TreeStress {
  #folder: string;
  readonly #random: SeededRandom;
  /** By the path below the folder; "" is the folder itself. */
  readonly #tree = new Map<string, TreeRecord>([["", { kind: "folder" }]]);
  #next = 0;
  steps = 0;

  constructor(folder: string, random: SeededRandom) {
    this.#folder = folder;
    this.#random = random;
  }

  async step(): Promise<void> {
    this.steps += 1;
    const choice = this.#random.below(100);
    if (choice < 22 && this.#tree.size < recordsMax) await this.#make();
    else if (choice < 44) await this.#write();
    else if (choice < 52) await this.#cut();
    else if (choice < 64) await this.#rename();
    else if (choice < 70) await this.#link();
    else if (choice < 74 && this.#names("link").length < othersMax) await this.#symlink();
    else if (choice < 88) await this.#remove();
    else if (choice < 93 && this.#names("folder").length < othersMax) await this.#mkdir();
    else if (choice < 96) await this.#sync();
    else this.#read();
  }

  #path(name: string): string {
    return join(this.#folder, name);
  }

  #names(kind: TreeRecord["kind"]): string[] {
    return [...this.#tree].filter(([, record]) => record.kind === kind).map(([name]) => name);
  }

  #any(kind: TreeRecord["kind"]): string | undefined {
    const names = this.#names(kind);
    return names.length === 0 ? undefined : names[this.#random.below(names.length)];
  }

  #newName(): string {
    const folder = this.#any("folder") as string;
    return join(folder, `n${this.#next++}`);
  }

  #fresh(length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length);
    const [first, step] = [this.#random.below(256), 1 + this.#random.below(9)];
    for (let at = 0; at < length; at++) bytes[at] = (first + at * step + (at >> 8)) & 0xff;
    return bytes;
  }

  async #make(): Promise<void> {
    const name = this.#newName();
    const bytes = this.#fresh(this.#random.below(bytesMax));
    await writeFile(this.#path(name), bytes, { flag: "wx" });
    this.#tree.set(name, { kind: "file", bytes });
  }

  async #write(): Promise<void> {
    const name = this.#any("file");
    if (name === undefined) return;
    const record = this.#tree.get(name) as FileRecord;
    const position = this.#random.below(bytesMax);
    const bytes = this.#fresh(1 + this.#random.below(9000));
    const file = await open(this.#path(name), "r+");
    try {
      await file.write(bytes, 0, bytes.length, position);
      if (this.#random.below(4) === 0) await file.sync();
    } finally {
      await file.close();
    }
    const whole = Buffer.alloc(Math.max(record.bytes.length, position + bytes.length));
    record.bytes.copy(whole);
    bytes.copy(whole, position);
    record.bytes = whole;
  }

  async #cut(): Promise<void> {
    const name = this.#any("file");
    if (name === undefined) return;
    const record = this.#tree.get(name) as FileRecord;
    const length = this.#random.below(bytesMax);
    await truncate(this.#path(name), length);
    const whole = Buffer.alloc(length);
    record.bytes.copy(whole);
    record.bytes = whole;
  }

  async #rename(): Promise<void> {
    const from = this.#any(this.#random.below(5) === 0 ? "link" : "file");
    if (from === undefined) return;
    // Over another file now and then.
    const over = this.#random.below(3) === 0 ? this.#any("file") : undefined;
    const to = over ?? this.#newName();
    await rename(this.#path(from), this.#path(to));
    const record = this.#tree.get(from) as TreeRecord;
    // Two links to one file: a rename of one over the other does nothing.
    if (this.#tree.get(to) === record) return;
    this.#tree.delete(from);
    this.#tree.set(to, record);
  }

  async #link(): Promise<void> {
    const from = this.#any("file");
    if (from === undefined) return;
    const to = this.#newName();
    await link(this.#path(from), this.#path(to));
    this.#tree.set(to, this.#tree.get(from) as TreeRecord);
  }

  async #symlink(): Promise<void> {
    const name = this.#newName();
    const target = `somewhere/${"x".repeat(this.#random.below(150))}`;
    await symlink(target, this.#path(name));
    this.#tree.set(name, { kind: "link", target });
  }

  async #mkdir(): Promise<void> {
    const name = this.#newName();
    await mkdir(this.#path(name));
    this.#tree.set(name, { kind: "folder" });
  }

  async #remove(): Promise<void> {
    const isFolder = this.#random.below(6) === 0;
    const name = this.#any(isFolder ? "folder" : this.#random.below(6) === 0 ? "link" : "file");
    if (name === undefined || name === "") return;
    if (!isFolder) await unlink(this.#path(name));
    else {
      if ([...this.#tree.keys()].some((other) => other.startsWith(`${name}/`))) return;
      await rmdir(this.#path(name));
    }
    this.#tree.delete(name);
  }

  async #sync(): Promise<void> {
    const folder = await open(this.#path(this.#any("folder") as string), "r");
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  }

  #read(): void {
    const name = this.#any("file");
    if (name !== undefined) this.#checkFile(name, this.#tree.get(name) as FileRecord);
  }

  #checkFile(name: string, { bytes }: FileRecord): void {
    const found = readFileSync(this.#path(name));
    if (!found.equals(bytes)) throw new Error(`${name} has ${found.length} bytes that differ, of ${bytes.length}`);
  }

  /** As compare, where the folder that this one's lies in is elsewhere now. */
  compareAt(parent: string): number {
    this.#folder = join(parent, basename(this.#folder));
    return this.compare();
  }

  /** @throws Error where the tree is not as it has to be. Files that were compared. */
  compare(): number {
    const found = new Set<string>();
    const walk = (folder: string): void => {
      for (const entry of readdirSync(this.#path(folder))) {
        const name = join(folder, entry);
        found.add(name);
        if (this.#tree.get(name)?.kind === "folder") walk(name);
      }
    };
    walk("");
    for (const name of found)
      if (!this.#tree.has(name)) throw new Error(`${name} is there, and was removed or renamed`);
    let files = 0;
    for (const [name, record] of this.#tree) {
      if (name !== "" && !found.has(name)) throw new Error(`${name} is gone`);
      if (record.kind === "folder" && !lstatSync(this.#path(name)).isDirectory()) throw new Error(`${name}: no folder`);
      if (record.kind === "link" && readlinkSync(this.#path(name)) !== record.target)
        throw new Error(`${name} points elsewhere`);
      if (record.kind !== "file") continue;
      this.#checkFile(name, record);
      files += 1;
    }
    return files;
  }
}
