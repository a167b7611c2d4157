/**
 * The compiled module against its plain-JavaScript reference: the same random calls on two memories have the same answers
 * and leave the same bytes, all of them, after each call; and every invariant holds in between.
 *
 * One thread calls, so answers that need a race inside a step do not come up here (interleavings.test.ts has those): LOST
 * is brought about by a latch that is taken before the call and given back after it.
 */
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { describe, it } from "node:test";
import { mutate, readSources, referenceText } from "../../explore/words/builds.js";
import { checkWords } from "../../explore/words/check-words.js";
import { makeReference, runText } from "../../explore/words/reference.js";
import { exportedNames, transform } from "../../explore/words/transform.js";
import { configureWords, planWords, WordsMemory, type WordsPlan } from "../../explore/words/words-memory.js";
import * as layout from "../../src/sync/layout.js";
import { sharedMemory } from "../../src/sync/shared.js";
import { loadWords, type Words } from "../../src/sync/words.js";
import { Random, RandomCalls, type Name } from "./random-calls.js";

const seeds = [...Array.from({ length: 40 }, (_, at) => at + 1), randomInt(2 ** 31)];
/** Stands for every answer above 0. */
const done = 1;
const callsPerSeed = 2_000;

interface Side {
  readonly words: Words;
  readonly memory: WordsMemory;
  readonly bytes: Buffer;
}

function sideOf(plan: WordsPlan, load: (memory: WebAssembly.Memory) => Words): Side {
  const memory = sharedMemory(plan.bytes);
  const view = new WordsMemory(plan, memory.buffer);
  view.initialise();
  const words = load(memory);
  configureWords(words, plan);
  return { words, memory: view, bytes: Buffer.from(memory.buffer, 0, plan.bytes) };
}

/** Answers by function, as often as they came. */
type Coverage = Map<string, Map<number, number>>;

/** Takes a latch on both sides that the call may need; the answer gives it back. */
function takeLatch(sides: readonly Side[], random: Random, name: Name, taken: readonly number[]): () => void {
  const [{ memory }] = sides as [Side];
  const { plan } = memory;
  const nodes: readonly Name[] = ["grant", "withdraw", "dismiss", "answer"];
  const [first = 0, second = 0, third = 0] = taken;
  const frame = nodes.includes(name) ? memory.get(memory.node(first) + layout.NODE_FRAME) : first % plan.frames;
  const record = memory.record(frame) + layout.RECORD_QUEUE;
  const bucket = plan.buckets + (name === "insert" ? memory.bucket(second, third) : random.below(plan.frames)) * 8 + 4;
  const address = random.pick([layout.HEADER_LISTS_LATCH, record, bucket]) as number;
  const before = memory.get(address);
  for (const side of sides) side.memory.put(address, before | 1);
  return () => {
    for (const side of sides) {
      assert.equal(side.memory.get(address), (before | 1) >>> 0, "a step left a foreign latch alone");
      side.memory.put(address, before);
    }
  };
}

function runSeed(seed: number, text: string, coverage: Coverage): void {
  const plan = planWords({
    frames: 8,
    snapshots: 2,
    locks: 2,
    nodes: seed % 2 === 0 ? 3 : 6,
    mappings: 2,
    threads: 3,
    transfers: 2,
    transits: 2,
  });
  const compiled = sideOf(plan, loadWords);
  const reference = sideOf(plan, ({ buffer }) => makeReference(text, buffer));
  const random = new Random(seed);
  let count = 0;
  const run = (name: Name, taken: readonly number[]): number => {
    const where = `seed ${seed}, call ${++count}: ${name}(${taken.join(", ")})`;
    const giveBack = random.chance(12) ? takeLatch([compiled, reference], random, name, taken) : () => {};
    const call = ({ words }: Side): number | void => {
      const called: (...all: readonly number[]) => number | void = words[name];
      return called(...taken);
    };
    const answer = call(compiled);
    assert.equal(call(reference), answer, where);
    giveBack();
    assert.ok(compiled.bytes.equals(reference.bytes), `${where}: the memories differ`);
    assert.deepEqual(checkWords(compiled.memory), [], where);
    const answers = coverage.get(name) ?? new Map<number, number>();
    const kind = answer === undefined ? layout.OK : Math.min(answer, done);
    answers.set(kind, (answers.get(kind) ?? 0) + 1);
    coverage.set(name, answers);
    return answer ?? 0;
  };
  const calls = new RandomCalls(compiled.memory, random, run);
  for (let turn = 0; turn < callsPerSeed; turn++) calls.next();
}

describe("the compiled page words and their reference", () => {
  const coverage: Coverage = new Map();
  const sources = readSources();

  it("answer the same and change the same bytes, call by call", () => {
    const text = referenceText(sources);
    for (const seed of seeds) runSeed(seed, text, coverage);
  });

  it("are told apart where they differ in one place", () => {
    const original = "atomic.store<u16>(record + RECORD_DIRTIED, u16(seconds));";
    const changed = mutate(sources, [
      { file: "words/dirty.ts", original, mutated: original.replace("seconds", "seconds + 1") },
    ]);
    assert.throws(
      () => runSeed(1, referenceText(changed), new Map()),
      /seed 1, call \d+: markDirty.*the memories differ/,
    );
  });

  it("were compared on every exported function, done and refused", () => {
    const all = exportedNames(sources).filter((name) => name !== "configure");
    const missing = all.filter((name) => !coverage.get(name)?.has(layout.OK) && !coverage.get(name)?.has(done));
    assert.deepEqual(missing, [], "functions that were never called with success");
    const wanted: Record<string, number[]> = {
      lockShared: [layout.BUSY, layout.GONE, layout.LOST],
      lockExclusive: [layout.BUSY, layout.GONE, layout.LOST],
      tryPinShared: [layout.BUSY, layout.GONE],
      upgrade: [layout.BUSY],
      ghostTake: [layout.OK, done],
      markDirty: [layout.OK, done, layout.LOST, layout.BUSY],
      beginWriteback: [layout.LOST, layout.BUSY],
      find: [layout.NONE, layout.LOST],
      insert: [layout.LOST],
      remove: [layout.BUSY, layout.LOST],
      freeze: [layout.BUSY, layout.GONE],
      enqueue: [layout.LOST, layout.GONE, layout.FULL, layout.DEADLOCK],
      grant: [layout.BUSY, layout.GONE, layout.LOST],
      withdraw: [layout.GONE, layout.LOST],
      dismiss: [layout.GONE, layout.LOST],
      answer: [layout.GONE, layout.LOST],
      clearWaiters: [layout.BUSY, layout.LOST],
      openView: [layout.BUSY],
      closeView: [layout.BUSY],
      optimisticBegin: [layout.BUSY, layout.GONE],
      openTransfer: [layout.BUSY],
      sendPage: [layout.BUSY],
      adopt: [layout.GONE],
      takePage: [layout.GONE],
      endTransfer: [layout.BUSY],
    };
    for (const [name, answers] of Object.entries(wanted)) {
      for (const answer of answers) assert.ok(coverage.get(name)?.has(answer), `${name} never answered ${answer}`);
    }
  });
});

describe("the transform", () => {
  const wrap = (body: string): Map<string, string> =>
    new Map([
      ["src/sync/words/index.ts", 'export { f } from "./one";'],
      ["src/sync/words/one.ts", `export function f(a: u32, b: u64): u32 {\n${body}\n}`],
    ]);

  it("refuses what it does not know, with file and line", () => {
    const unknown = {
      "a loop of another kind": "for (let i: u32 = 0; i < a; i++) {}\nreturn a;",
      "a local without a type": "let c = a;\nreturn c;",
      "operands of two types": "return a + b;",
      "an unknown function": "return g(a);",
      "an unknown operator": "return a ** a;",
      "an unknown atomic operation": "return atomic.xor<u32>(a, a);",
      "a constant that does not fit": "return a + 0x100000000;",
      "an assignment that is not one": "a += 1;\nreturn a;",
    };
    for (const [what, body] of Object.entries(unknown)) {
      assert.throws(() => transform(wrap(body), "plain"), /src\/sync\/words\/one\.ts:[23]: /, what);
    }
  });

  it("wraps as the module's integers do", () => {
    const evaluate = (expression: string, ...taken: number[]): unknown => {
      const sources = new Map([
        ["src/sync/words/index.ts", 'export { f } from "./one";'],
        ["src/sync/words/one.ts", `export function f(a: u32, b: u32): u32 { return ${expression}; }`],
      ]);
      const made = runText(transform(sources, "plain"))(undefined as never) as { f(...all: number[]): number };
      return made.f(...taken) >>> 0;
    };
    assert.equal(evaluate("a * b", 0x9e3779b1, 0x85ebca77), Number((0x9e3779b1n * 0x85ebca77n) & 0xffffffffn));
    assert.equal(evaluate("a - b", 0, 1), 0xffffffff);
    assert.equal(evaluate("u32((u64(a) * u64(b)) >> 32)", 0xffffffff, 0xffffffff), 0xfffffffe);
    assert.equal(evaluate("a / b + a >> 1", 7, 2), 5);
    assert.equal(evaluate("u32(u16(a)) | (b << 31)", 0x12345, 3), 0x80002345);
    assert.equal(evaluate("u32(u64(a) - u64(b))", 0, 1), 0xffffffff);
  });
});
