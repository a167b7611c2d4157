/**
 * A thread that is terminated is not stopped inside a loop-free wasm function: the page words build on that (rule 17,
 * decision 0002), and it is V8's behaviour, no promise. So it is tried here on the Node that runs: a worker makes steps in
 * a row, is terminated at a random moment, and the memory has to be as it is between two steps.
 *
 * The same with the reference build, whose steps are JavaScript, does leave torn words: so the test would see them.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setTimeout as after } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { readSources, referenceText } from "../../explore/words/builds.js";
import { checkWords } from "../../explore/words/check-words.js";
import { planWords, WordsMemory } from "../../explore/words/words-memory.js";
import { sharedMemory } from "../../src/sync/shared.js";
import { Random } from "./random-calls.js";
import type { StepperData } from "./stepper.js";

const terminations = 60;
const tornTries = 40;
const startDeadlineMs = 30_000;

/** Lets a worker step for a random while and terminates it. What is wrong with the memory then. */
async function terminateOne(seed: number, reference?: string): Promise<string[]> {
  const plan = planWords({ frames: 8, nodes: 6, threads: 2, transfers: 1, transits: 1 });
  const memory = sharedMemory(plan.bytes);
  const view = new WordsMemory(plan, memory.buffer);
  view.initialise();
  const lives = new SharedArrayBuffer(4);
  const data: StepperData = { memory, plan, lives, ...(reference === undefined ? {} : { reference }) };
  const worker = new Worker(new URL("./stepper.js", import.meta.url), { workerData: data });
  const failed = new Promise<never>((_, reject) => worker.once("error", reject));
  const count = new Int32Array(lives);
  const random = new Random(seed);
  const startedMs = performance.now();
  while (Atomics.load(count, 0) === 0) {
    assert.ok(performance.now() - startedMs < startDeadlineMs, "the worker steps");
    await Promise.race([after(1), failed]);
  }
  for (let spin = random.below(100_000); spin > 0; spin--) Atomics.load(count, 0);
  await worker.terminate();
  return checkWords(view);
}

/** Two at a time. How many memories were wrong, and in what. */
async function terminateMany(times: number, reference?: string): Promise<string[][]> {
  const torn: string[][] = [];
  for (let seed = 1; seed <= times; seed += 2) {
    torn.push(...(await Promise.all([terminateOne(seed, reference), terminateOne(seed + 1, reference)])));
  }
  return torn.filter((findings) => findings.length > 0);
}

describe("a thread that is terminated while it makes steps", () => {
  it(`leaves no step torn, ${terminations} times`, async () => {
    assert.deepEqual(await terminateMany(terminations), []);
  });

  it("does leave steps torn that are JavaScript, which this test sees", async (test) => {
    const torn = await terminateMany(tornTries, referenceText(readSources()));
    test.diagnostic(`${torn.length} of ${tornTries} terminations left JavaScript steps torn`);
    assert.ok(torn.length > 0, "terminated JavaScript left no step torn: the test would see nothing");
  });
});
