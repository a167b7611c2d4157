/**
 * The page words' module: loads words.wasm over a cache's shared memory, one instance a thread.
 *
 * What each function does, and which arrow of the page word it makes, stands with its source in words/.
 * Numbers that are unsigned in the source may come back negative (wasm's i32): those that can are wrapped here.
 *
 * See also: words/README.md, layout.ts.
 */
import { readFileSync } from "node:fs";
import { PinfoldError, toPinfoldError } from "../base/errors.js";

/** The module's exports: integers in, integers out. */
export interface Words {
  configure(
    frames: number,
    records: number,
    buckets: number,
    links: number,
    blocks: number,
    ghosts: number,
    ledger: number,
    transfers: number,
    transits: number,
  ): void;
  lockShared(frame: number, mapping: number, index: number, thread: number): number;
  tryPinShared(mapping: number, index: number, thread: number): number;
  lockExclusive(frame: number, mapping: number, index: number, thread: number): number;
  unlockShared(frame: number, thread: number): number;
  unlockExclusive(frame: number, thread: number, modified: number): number;
  takeOver(frame: number, dead: number, thread: number): number;
  downgrade(frame: number, thread: number, modified: number): number;
  upgrade(frame: number, thread: number): number;
  exclusiveToCounted(frame: number, thread: number): number;
  sharedToCounted(frame: number, thread: number): number;
  putCountedRead(frame: number, thread: number): number;
  putCountedWrite(frame: number, thread: number, modified: number): number;
  setGate(frame: number, closed: number): number;
  markDirty(frame: number, thread: number, blocks: number, seconds: number): number;
  markModified(frame: number): void;
  cleanUnmodified(frame: number, thread: number): number;
  beginWriteback(frame: number, thread: number): number;
  beginSnapshot(frame: number, thread: number): number;
  /** `syncErrors`: with OUTCOME_UNSTABLE. */
  endWriteback(frame: number, outcome: number, syncErrors?: number): number;
  flipEpoch(mapping: number): number;
  stabilizeNext(mapping: number, epoch: number): number;
  redirtyNext(mapping: number, epoch: number): number;
  nextDirty(mapping: number): number;
  nextWriteback(mapping: number): number;
  tagTowrite(frame: number): number;
  find(mapping: number, index: number, thread: number): number;
  reserve(thread: number): number;
  release(frame: number): number;
  insert(frame: number, mapping: number, index: number, thread: number): number;
  setUptodate(frame: number): void;
  condemn(frame: number, thread: number): number;
  freeze(frame: number, thread: number): number;
  thaw(frame: number, thread: number): number;
  remove(frame: number, thread: number): number;
  takeSnapshot(thread: number): number;
  giveSnapshot(frame: number): number;
  nextResident(mapping: number, first: number, last: number, from: number): number;
  queueHead(list: number): number;
  moveTo(frame: number, from: number, to: number, frequency: number): number;
  setAside(frame: number, from: number): number;
  requeue(frame: number): number;
  setHomeMain(frame: number): number;
  ghostRemember(mapping: number, index: number): void;
  ghostTake(mapping: number, index: number): number;
  enqueue(frame: number, mapping: number, index: number, mode: number, thread: number, scope: number): number;
  withdraw(node: number, state: number, result: number): number;
  dismiss(node: number, frame: number, result: number): number;
  answer(node: number, frame: number, scope: number, result: number): number;
  firstWaiter(frame: number): number;
  nextWaiter(node: number): number;
  grant(node: number, frame: number): number;
  accept(node: number): number;
  clearWaiters(frame: number): number;
  lowWord(frame: number): number;
  highWord(frame: number): number;
  linkWord(frame: number): number;
  versionOf(frame: number): number;
  indexOf(frame: number): number;
  mappingIdOf(frame: number): number;
  dirtiedAt(frame: number): number;
  blockWord(frame: number): number;
  ledgerEntry(frame: number, thread: number): number;
  sizeOf(mapping: number): number;
  setSize(mapping: number, size: number): void;
  takeCredits(thread: number, count: number): number;
  giveCredits(thread: number, count: number): void;
  markOwnerDied(frame: number): void;
  clearOwnerDied(frame: number): void;
  viewOf(frame: number): number;
  openView(frame: number, thread: number): number;
  revokeView(frame: number): void;
  ageView(frame: number): void;
  closeView(frame: number): number;
  optimisticBegin(mapping: number, index: number, thread: number): number;
  transferState(transfer: number): number;
  openTransfer(transfer: number, thread: number): number;
  sendPage(entry: number, frame: number, thread: number, write: number, transfer: number): number;
  sendCredits(transfer: number, thread: number, count: number): void;
  adopt(transfer: number, state: number, thread: number): number;
  transitOf(entry: number, transfer: number): number;
  takePage(entry: number, thread: number, transfer: number): number;
  takeTransferCredits(transfer: number, thread: number): number;
  endTransfer(transfer: number): number;
}

let module: WebAssembly.Module | undefined;

/**
 * An instance of the module over `memory`.
 * @throws PinfoldError EMFILE, ENOMEM
 */
export function loadWords(memory: WebAssembly.Memory): Words {
  try {
    module ??= new WebAssembly.Module(readFileSync(new URL("./words.wasm", import.meta.url)));
    const instance = new WebAssembly.Instance(module, { env: { memory, abort: aborted } });
    return instance.exports as unknown as Words;
  } catch (error) {
    const operation = "loading the page words' module";
    // V8's word for memory that the system did not give.
    if (error instanceof RangeError)
      throw new PinfoldError("ENOMEM", `${operation}: ${error.message}`, { cause: error, operation });
    throw toPinfoldError(error, operation);
  }
}

function aborted(): never {
  throw new Error("the page words' module aborted");
}
