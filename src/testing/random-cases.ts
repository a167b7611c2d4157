/**
 * Contract cases: a long run of random calls, compared with a plain array after every step.
 *
 * The seed stands in the test's name; the same seed makes the same calls. The model keeps the block words as a cache
 * would: set by pageMkwrite, cleared per block when it was written, cancelled per page or dropped with the range.
 *
 * See also: contract-suite.ts.
 */
import { SeededRandom } from "../base/seeded.js";
import { ok } from "node:assert/strict";
import { alignedBytes, patternBytes } from "./bytes.js";
import { canAllocate, type StoreCase, type StoreContractOptions } from "./store-case.js";
import { block, same, type StoreSubject } from "./store-subject.js";

const KiB = 1024;
const sizeMax = 1024 * KiB;

class Model {
  readonly bytes = new Uint8Array(sizeMax);
  readonly words: Uint32Array;
  readonly subject: StoreSubject;
  readonly random: SeededRandom;

  constructor(subject: StoreSubject, random: SeededRandom) {
    this.subject = subject;
    this.random = random;
    this.words = new Uint32Array(sizeMax / subject.pageSize);
  }

  /** A range within the size, or nothing if the file is empty. */
  range(): { position: number; length: number } {
    const position = this.random.below(this.subject.size);
    const reach = this.random.below(4) === 0 ? sizeMax : 48 * KiB;
    return { position, length: 1 + this.random.below(Math.min(this.subject.size - position, reach)) };
  }

  wordsOf(position: number, length: number): Uint32Array {
    const { pageSize } = this.subject;
    return this.words.subarray(Math.floor(position / pageSize), Math.ceil((position + length) / pageSize));
  }

  /** Forgets the bits of the blocks in [first, end). */
  clear(first: number, end: number): void {
    const perPage = this.subject.pageSize / block;
    for (let b = first; b < Math.min(end, sizeMax / block); b++) {
      const page = Math.floor(b / perPage);
      this.words[page] = (this.words[page] as number) & ~(3 << ((b % perPage) * 2));
    }
  }
}

type Step = (model: Model) => Promise<string>;

const grant: Step = async (m) => {
  const { position, length } = m.range();
  await m.subject.grant(position, length, m.wordsOf(position, length));
  return `grant ${position}+${length}`;
};

const write: Step = async (m) => {
  const range = m.range();
  const first = Math.floor(range.position / block);
  const end = Math.ceil((range.position + range.length) / block);
  const position = first * block;
  const length = Math.min(end * block, m.subject.size) - position;
  await m.subject.grant(position, length, m.wordsOf(position, length));
  const bytes = patternBytes(alignedBytes(length), position, m.random.below(255));
  const cut = block * (1 + m.random.below(8));
  const buffers: Uint8Array[] = [];
  for (let at = 0; at < length; at += cut) buffers.push(bytes.subarray(at, Math.min(at + cut, length)));
  if (m.random.below(3) === 0 && m.subject.store.writePagesSync !== undefined)
    m.subject.store.writePagesSync(position, buffers);
  else await m.subject.store.writePages(position, buffers);
  m.bytes.set(bytes, position);
  m.clear(first, end);
  return `write ${position}+${length}`;
};

const cancel: Step = async (m) => {
  const page = m.random.below(m.words.length);
  const word = m.words[page] as number;
  m.subject.store.cancelMkwrite(page * m.subject.pageSize, m.subject.pageSize, word);
  m.words[page] = 0;
  return `cancel page ${page}, word ${word.toString(16)}`;
};

const extend: Step = async (m) => {
  const size = m.subject.size + m.random.below(sizeMax - m.subject.size + 1);
  await m.subject.extend(size);
  return `extend to ${size}`;
};

const truncate: Step = async (m) => {
  const size = m.random.below(m.subject.size + 1);
  await m.subject.truncate(size);
  m.bytes.fill(0, size);
  m.clear(Math.ceil(size / block), sizeMax / block);
  return `truncate to ${size}`;
};

const punch: Step = async (m) => {
  const { position, length } = m.range();
  await m.subject.punch(position, length);
  m.bytes.fill(0, position, position + length);
  m.clear(Math.ceil(position / block), Math.floor((position + length) / block));
  return `punch ${position}+${length}`;
};

const allocate: Step = async (m) => {
  const { position, length } = m.range();
  if (!canAllocate(m.subject)) return "allocate: not supported";
  await m.subject.store.allocate(position, length);
  // As a cache does: what is reserved for good is no longer the grant's to give back.
  for (let b = Math.floor(position / block); b < Math.ceil((position + length) / block); b++) {
    const perPage = m.subject.pageSize / block;
    const page = Math.floor(b / perPage);
    m.words[page] = (m.words[page] as number) & ~(2 << ((b % perPage) * 2));
  }
  return `allocate ${position}+${length}`;
};

const sync: Step = async (m) => {
  await m.subject.store.sync({ data: m.random.below(2) === 0 });
  return "sync";
};

const reopen: Step = async (m) => {
  await m.subject.store.sync({ data: true });
  await m.subject.reopen();
  m.words.fill(0);
  return "reopen";
};

/** Likelier steps stand more often. */
const steps: readonly Step[] = [
  write,
  write,
  write,
  write,
  write,
  grant,
  grant,
  grant,
  cancel,
  cancel,
  extend,
  extend,
  truncate,
  punch,
  punch,
  allocate,
  sync,
  reopen,
];

async function compare(m: Model): Promise<void> {
  const { position, length } = m.random.below(8) === 0 ? { position: 0, length: sizeMax } : m.range();
  await m.subject.holds(position, m.bytes.subarray(position, position + length), "as the plain array");
}

async function run(subject: StoreSubject, seed: number, count: number): Promise<void> {
  const m = new Model(subject, new SeededRandom(seed));
  const done: string[] = [];
  for (let i = 0; i < count; i++) {
    const step = m.subject.size === 0 ? extend : (steps[m.random.below(steps.length)] as Step);
    try {
      done.push(await step(m));
      if (m.subject.size > 0) await compare(m);
    } catch (error) {
      throw new Error(
        `seed ${seed}, step ${i} of ${count}; the last ones: ${done.slice(-12).join("; ")}; then ${step.name}`,
        { cause: error },
      );
    }
  }
  await subject.store.sync({ data: true });
  await subject.reopen();
  same(await subject.get(0, sizeMax), m.bytes, `seed ${seed}: everything, opened again`);
  ok(done.length === count);
}

export function randomCases(options: StoreContractOptions): readonly StoreCase[] {
  const count = options.randomSteps ?? 300;
  return (options.seeds ?? [1, 2, 3]).map((seed) => ({
    name: `${count} random calls match a plain array (seed ${seed})`,
    size: 200_000,
    run: (subject: StoreSubject) => run(subject, seed, count),
  }));
}
