/**
 * A worker that leads pages through their lives, step after step with nothing in between, until it is terminated: the thread
 * of termination.test.ts. It counts the lives over a shared word.
 *
 * Invariant: nearly all its time goes into steps, so that is where a termination meets it.
 */
import { workerData } from "node:worker_threads";
import { makeReference } from "../../explore/words/reference.js";
import { configureWords, type WordsPlan } from "../../explore/words/words-memory.js";
import * as layout from "../../src/sync/layout.js";
import { loadWords, type Words } from "../../src/sync/words.js";

export interface StepperData {
  readonly memory: WebAssembly.Memory;
  readonly plan: WordsPlan;
  /** Pages led through their lives so far. */
  readonly lives: SharedArrayBuffer;
  /** The text of the reference build, to work with that instead of the module. */
  readonly reference?: string;
}

const thread = 1;
const { memory, plan, lives, reference } = workerData as StepperData;
const words: Words = reference === undefined ? loadWords(memory) : makeReference(reference, memory.buffer);
configureWords(words, plan);
const count = new Int32Array(lives);

/** Load, a counted write with a mapped view and a transfer, write-back, a wait, store sync, shared locks, eviction. */
function lead(mapping: number, index: number): void {
  const frame = words.reserve(thread);
  words.find(mapping, index, thread);
  words.insert(frame, mapping, index, thread);
  words.setUptodate(frame);
  words.markDirty(frame, thread, 5, 0);
  words.openView(frame, thread);
  words.exclusiveToCounted(frame, thread);
  words.takeCredits(thread, 1);
  const transfer = words.openTransfer(0, thread);
  words.sendPage(0, frame, thread, 1, 0);
  words.sendCredits(0, thread, 1);
  words.adopt(0, transfer, thread);
  words.takePage(0, thread, 0);
  words.takeTransferCredits(0, thread);
  words.endTransfer(0);
  words.giveCredits(thread, 1);
  words.putCountedWrite(frame, thread, 1);
  words.lockShared(frame, mapping, index, thread);
  words.revokeView(frame);
  words.closeView(frame);
  words.beginWriteback(frame, thread);
  const node = words.enqueue(frame, mapping, index, layout.MODE_EXCLUSIVE, thread, 0);
  words.endWriteback(frame, layout.OUTCOME_UNSTABLE);
  words.unlockShared(frame, thread);
  words.grant(node, frame);
  words.accept(node);
  words.stabilizeNext(mapping, words.flipEpoch(mapping));
  words.downgrade(frame, thread, 0);
  words.sharedToCounted(frame, thread);
  words.putCountedRead(frame, thread);
  words.requeue(frame);
  words.moveTo(frame, layout.LIST_SMALL, layout.LIST_MAIN, 0);
  words.freeze(frame, thread);
  words.find(mapping, index, thread);
  words.remove(frame, thread);
  words.release(frame);
  count[0] = (count[0] ?? 0) + 1;
}

for (let index = 0; ; index = (index + 1) % 1024) lead(index & 1, index);
