/**
 * The directory of open files in shared memory: slots, who has each open how often, and what a thread has to know to use one.
 *
 * Invariants: a slot leaves FREE, and its openers change, only under the directory lock (a record with a page word, so that
 * it outlives whoever holds it). A slot is OPENING only while the lock's holder opens it. The openers of a slot are counted by
 * thread, so that those of a dead thread can be taken away. Facts are written before the slot is OPEN, and never changed.
 *
 * See also: space.ts; mapping/lifetime.ts, which opens and closes; mapping/recovery.ts.
 */
import { assert } from "../base/assert.js";
import { PinfoldError } from "../base/errors.js";
import type { Frames } from "../frames/frames.js";
import type { StoreCapabilities } from "../store/contract.js";
import * as layout from "../sync/layout.js";
import { resetCounters } from "./counters.js";

/** What every thread may know of an open file. */
export interface FileFacts {
  readonly key: string;
  readonly name: string;
  readonly capabilities: StoreCapabilities;
  /** What two opens have to agree on, as text. */
  readonly identity: string;
  /** What attaches the store in another thread; none: it stays in the thread that opened it. */
  readonly store?: string;
}

const keyCharactersMax = 1_024;
const nameCharactersMax = 1_024;
const cellCount = 8;
/** What begins anew with each file; the counts of pages are 0 by themselves. */
const ownFields = [
  layout.MAPPING_PHASE,
  layout.MAPPING_EPOCH,
  layout.MAPPING_ERRSEQ,
  layout.MAPPING_CHANGES,
  layout.MAPPING_DURABLE,
  layout.MAPPING_DURABLE_WHOLE,
  layout.MAPPING_SYNC_ERRORS,
  layout.MAPPING_SYNCING,
  layout.MAPPING_CUT_DUE,
  layout.MAPPING_GATE_UNTIL,
  layout.MAPPING_STORE_THREAD,
  layout.MAPPING_CLOSER,
  layout.MAPPING_WRITE_ERRORS,
  layout.MAPPING_FAILING,
];

export class Directory {
  readonly #frames: Frames;
  readonly #facts: Uint8Array;

  constructor(frames: Frames) {
    this.#frames = frames;
    this.#facts = new Uint8Array(frames.wordsMemory.buffer, frames.plan.facts);
  }

  #at(slot: number, field: number): number {
    return layout.MAPPINGS + slot * layout.MAPPING_BYTES + field;
  }

  get(slot: number, field: number): number {
    return this.#frames.shared.load(this.#at(slot, field));
  }

  set(slot: number, field: number, value: number): void {
    this.#frames.shared.store(this.#at(slot, field), value);
  }

  stateOf(slot: number): number {
    return this.get(slot, layout.MAPPING_STATE);
  }

  setState(slot: number, state: number): void {
    this.set(slot, layout.MAPPING_STATE, state);
  }

  /** Slots of files: open, closing, or orphaned. */
  *slots(): IterableIterator<number> {
    for (let slot = 0; slot < layout.MAPPINGS_MAX; slot++) {
      const state = this.#frames.shared.peek(this.#at(slot, layout.MAPPING_STATE));
      if (state !== layout.MAPPING_FREE && state !== layout.MAPPING_OPENING) yield slot;
    }
  }

  /** The slot of the file with this key, or -1. */
  find(key: string): number {
    const hash = hashOf(key);
    for (const slot of this.slots()) {
      if (this.get(slot, layout.MAPPING_KEY_HASH) === hash && this.factsOf(slot).key === key) return slot;
    }
    return -1;
  }

  factsOf(slot: number): FileFacts {
    const length = this.get(slot, layout.MAPPING_FACTS_BYTES);
    const from = slot * layout.FACTS_BYTES;
    return JSON.parse(new TextDecoder().decode(this.#facts.slice(from, from + length))) as FileFacts;
  }

  /** Words of a slot that belong to its store. */
  cellsOf(slot: number): Int32Array {
    return new Int32Array(this.#frames.wordsMemory.buffer, this.#at(slot, layout.MAPPING_CELLS), cellCount);
  }

  /**
   * A slot for a new file, OPENING, all its words as for an empty file of which no page is here.
   * @throws PinfoldError ERR_PINFOLD_TOO_MANY
   */
  take(): number {
    let slot = 0;
    while (slot < layout.MAPPINGS_MAX && !this.#isFree(slot)) slot++;
    if (slot === layout.MAPPINGS_MAX)
      throw new PinfoldError("ERR_PINFOLD_TOO_MANY", `${layout.MAPPINGS_MAX} files are open already`);
    this.setState(slot, layout.MAPPING_OPENING);
    this.#frames.shared.add(this.#at(slot, layout.MAPPING_GENERATION), 1);
    for (const field of ownFields) this.set(slot, field, 0);
    for (let at = 0; at < cellCount; at++) this.set(slot, layout.MAPPING_CELLS + at * 4, 0);
    for (let at = 0; at < layout.THREADS_MAX / 2; at++) this.set(slot, layout.MAPPING_OPENERS + at * 4, 0);
    resetCounters(this.#frames, slot);
    return slot;
  }

  /** Nobody has it. A thread that held on to a file which was closed may be taking a page of it back out at this moment. */
  #isFree(slot: number): boolean {
    return this.stateOf(slot) === layout.MAPPING_FREE && this.get(slot, layout.MAPPING_RESIDENT) === 0;
  }

  /** The slot can be found from now on. `storeThread`: the slot of the thread that keeps its store to itself, or -1. */
  publish(slot: number, facts: FileFacts, storeThread: number): void {
    const bytes = new TextEncoder().encode(JSON.stringify({ ...facts, name: facts.name.slice(-nameCharactersMax) }));
    if (facts.key.length > keyCharactersMax || bytes.length > layout.FACTS_BYTES)
      throw new PinfoldError("EINVAL", `${facts.name.slice(0, 64)}: the store's key or facts are too long`);
    this.#facts.set(bytes, slot * layout.FACTS_BYTES);
    this.set(slot, layout.MAPPING_FACTS_BYTES, bytes.length);
    this.set(slot, layout.MAPPING_KEY_HASH, hashOf(facts.key));
    this.set(slot, layout.MAPPING_STORE_THREAD, storeThread + 1);
    this.setState(slot, layout.MAPPING_OPEN);
  }

  /** The thread that has the store of a slot to itself, or -1. */
  storeThread(slot: number): number {
    return this.get(slot, layout.MAPPING_STORE_THREAD) - 1;
  }

  openersOf(slot: number, thread: number): number {
    const both = this.get(slot, layout.MAPPING_OPENERS + (thread >> 1) * 4);
    return (both >>> ((thread & 1) * 16)) & 0xffff;
  }

  /** Openers of all threads. */
  openers(slot: number): number {
    let sum = 0;
    for (let thread = 0; thread < layout.THREADS_MAX; thread++) sum += this.openersOf(slot, thread);
    return sum;
  }

  /** @throws PinfoldError ERR_PINFOLD_TOO_MANY */
  addOpeners(slot: number, thread: number, count: number): void {
    const now = this.openersOf(slot, thread) + count;
    assert(now >= 0, "an opener closes once");
    if (now > 0xffff) throw new PinfoldError("ERR_PINFOLD_TOO_MANY", "a thread has the file open too often");
    this.#frames.shared.add(
      this.#at(slot, layout.MAPPING_OPENERS + (thread >> 1) * 4),
      count * 2 ** ((thread & 1) * 16),
    );
  }

  /** A close has failed: the file is open again, unless its store has ended meanwhile. */
  reopen(slot: number): void {
    this.#frames.shared.swap(this.#at(slot, layout.MAPPING_STATE), layout.MAPPING_CLOSING, layout.MAPPING_OPEN);
  }

  /** The slot is free again. Its store is closed and none of its pages is here. */
  free(slot: number): void {
    this.set(slot, layout.MAPPING_STORE_THREAD, 0);
    this.setState(slot, layout.MAPPING_FREE);
  }
}

/** FNV-1a, 32 bits (Fowler, Noll, Vo), over UTF-16 units. */
function hashOf(key: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < key.length; at++) hash = Math.imul(hash ^ key.charCodeAt(at), 0x01000193);
  return hash | 0;
}
