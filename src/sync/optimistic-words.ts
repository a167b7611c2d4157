/**
 * The look at a page's version after its bytes were read without a lock. The look before it is a step (words/views.ts,
 * optimisticBegin): begin, read the bytes with plain loads, then ask whether the version is still the one that begin saw.
 *
 * A writer changes the version after it has the page's lock and before it changes a byte. So if the version is the same after
 * the bytes were read as before, they were all read while nobody wrote. That needs the loads done in the order of the source:
 *
 * * x64 does a thread's loads in order, and shows its stores in order. A plain load of the version is enough.
 * * V8 may move a load down to the instruction that uses its value, past other loads, and may take a second load of the same
 *   word for the first. It does neither across a store. So there is a store, to a word that nobody reads, before the load.
 * * Elsewhere loads may be done in any order. There the store and the load are atomic: no load is done after the store that
 *   comes before it, and the load of the version not before that store.
 *
 * That is V8's behaviour, and not promised by the language: test/threads/optimistic-litmus.test.ts tries it on the Node that runs.
 *
 * See also: mapping/optimistic.ts (the only user), view-window.ts (the same for mapped views).
 */
import * as layout from "./layout.js";

const version0 = (layout.RECORDS + layout.RECORD_VERSION) >> 2;
const recordShift = layout.RECORD_SHIFT - 2;
const loadsAreOrdered = process.arch === "x64";
/** The word that nobody reads has a cache line of its own, in the middle of so many bytes. */
const unreadBytes = 256;
const unreadAt = unreadBytes / 2 / 4;

export class OptimisticWords {
  readonly #words: Int32Array;
  readonly #begunAt: number;
  readonly #isPlain: boolean;
  readonly #unread = new Int32Array(new SharedArrayBuffer(unreadBytes));

  /** `thread`: this thread's slot. */
  constructor(memory: WebAssembly.Memory, thread: number, isPlain = loadsAreOrdered) {
    this.#words = new Int32Array(memory.buffer);
    this.#begunAt = (layout.THREADS + thread * layout.THREAD_BYTES + layout.THREAD_VERSION) >> 2;
    this.#isPlain = isPlain;
  }

  /** The version that this thread's last optimisticBegin saw, if it answered a frame. */
  get begun(): number {
    return this.#words[this.#begunAt] as number;
  }

  /** After bytes of the frame were read: true if nobody has written to them, nor put another page there, since `version` was seen. */
  isUnchanged(frame: number, version: number): boolean {
    const at = version0 + (frame << recordShift);
    if (this.#isPlain) {
      this.#unread[unreadAt] = frame;
      return this.#words[at] === version;
    }
    Atomics.store(this.#unread, unreadAt, frame);
    return Atomics.load(this.#words, at) === version;
  }
}
