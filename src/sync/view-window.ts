/**
 * The racy words of mapped views: accesses to a page's bytes without its lock. All of them stand here.
 *
 * A frame's view word (layout.ts, RECORD_VIEW) says what a view that has looked a page up may still do. A *stamp* is that word
 * as it was at the look. Load: read the bytes, then see that the word still is the stamp but for bit 0; if not, the bytes
 * may have been another page's, and are thrown away. Store: name the frame in this thread's hazard slot, see that the
 * word is the stamp with bit 0 set, write, clear the slot.
 *
 * Guard of R24. A revoker clears bit 0, makes every thread see that, and then looks at the slots (frames/views.ts). Either it
 * finds the frame named, and waits; or the storer's look came later, and finds bit 0 gone. For that the storer's look must
 * not be done before its slot is seen by others: the plain build leaves that to the revoker's membarrier (barrier.ts), the
 * other one uses atomic operations, which are ordered.
 *
 * What the plain build takes for granted, and test/threads/view-litmus.test.ts tries on the Node that runs:
 * * x86 shows a thread's stores in order and does its loads in order; a load may overtake an older store, which is what the barrier is for.
 * * V8 keeps the order of typed-array accesses as the source has it, with one exception: it may move a load down, past other
 *   loads, to the one instruction that uses its value. So `holds` stores the value first: what is stored was loaded, and
 *   no load moves across a store.
 *
 * Invariant: between `enter` and `leave` there is no call that could wait, throw, or run a caller's code.
 *
 * See also: words/views.ts (the revoker's steps), mapping/view-tlb.ts (the only user).
 */
import * as layout from "./layout.js";

const viewWord0 = (layout.RECORDS + layout.RECORD_VIEW) >> 2;
const recordShift = layout.RECORD_SHIFT - 2;
const writable = layout.VIEW_WRITABLE;
/** Elsewhere an atomic load may be done before older plain ones; an atomic change may not. */
const loadsAreOrdered = process.arch === "x64";

/** A thread's accesses. `stamp`: with bit 0 set, whatever the view word said there. */
export interface ViewWindow {
  /** After `value` was read from the frame's bytes: true if they were those of the page that the stamp was taken for. */
  holds(frame: number, stamp: number, value: number): boolean;
  /** As holds, for a value of 64 bits. */
  holdsWide(frame: number, stamp: number, value: bigint): boolean;
  /** Opens the window for a store to the frame. False: no store; `leave` even so. */
  enter(frame: number, stamp: number): boolean;
  /** As enter, for two frames at once. */
  enterBoth(frame: number, stamp: number, other: number, otherStamp: number): boolean;
  /** Closes what `enter` has opened: the bytes are written before anybody sees this. */
  leave(): void;
  /** Closes what `enterBoth` has opened. */
  leaveBoth(): void;
}

/** `thread`: this thread's slot. `isPlain`: HEADER_PLAIN_VIEWS. */
export function viewWindow(memory: WebAssembly.Memory, thread: number, isPlain: boolean): ViewWindow {
  const words = new Int32Array(memory.buffer);
  const slot = layout.THREADS + thread * layout.THREAD_BYTES;
  const hazards = [(slot + layout.THREAD_HAZARD_0) >> 2, (slot + layout.THREAD_HAZARD_1) >> 2] as const;
  return isPlain ? new PlainWindow(words, hazards) : new AtomicWindow(words, hazards);
}

type Hazards = readonly [number, number];

// Fields without #, since V8 inlines by the length of the bytecode and a private name takes more of it; and only declared, since one
// that begins as undefined could hold anything for all that V8 knows.

class PlainWindow implements ViewWindow {
  declare private readonly words: Int32Array;
  declare private readonly hazard0: number;
  declare private readonly hazard1: number;
  private readonly settled = new Float64Array(1);
  private readonly settledWide = new BigInt64Array(1);

  constructor(words: Int32Array, [hazard0, hazard1]: Hazards) {
    this.words = words;
    this.hazard0 = hazard0;
    this.hazard1 = hazard1;
  }

  holds(frame: number, stamp: number, value: number): boolean {
    this.settled[0] = value;
    return ((this.words[viewWord0 + (frame << recordShift)] as number) | writable) === stamp;
  }

  holdsWide(frame: number, stamp: number, value: bigint): boolean {
    this.settledWide[0] = value;
    return ((this.words[viewWord0 + (frame << recordShift)] as number) | writable) === stamp;
  }

  enter(frame: number, stamp: number): boolean {
    this.words[this.hazard0] = frame + 1;
    return this.words[viewWord0 + (frame << recordShift)] === stamp;
  }

  enterBoth(frame: number, stamp: number, other: number, otherStamp: number): boolean {
    this.words[this.hazard0] = frame + 1;
    this.words[this.hazard1] = other + 1;
    const word = this.words[viewWord0 + (frame << recordShift)];
    return word === stamp && this.words[viewWord0 + (other << recordShift)] === otherStamp;
  }

  leave(): void {
    this.words[this.hazard0] = 0;
  }

  leaveBoth(): void {
    this.words[this.hazard0] = 0;
    this.words[this.hazard1] = 0;
  }
}

class AtomicWindow implements ViewWindow {
  declare private readonly words: Int32Array;
  declare private readonly hazard0: number;
  declare private readonly hazard1: number;
  private readonly settled = new Float64Array(1);
  private readonly settledWide = new BigInt64Array(1);

  constructor(words: Int32Array, [hazard0, hazard1]: Hazards) {
    this.words = words;
    this.hazard0 = hazard0;
    this.hazard1 = hazard1;
  }

  holds(frame: number, stamp: number, value: number): boolean {
    this.settled[0] = value;
    return (lookAfterLoads(this.words, frame) | writable) === stamp;
  }

  holdsWide(frame: number, stamp: number, value: bigint): boolean {
    this.settledWide[0] = value;
    return (lookAfterLoads(this.words, frame) | writable) === stamp;
  }

  enter(frame: number, stamp: number): boolean {
    Atomics.store(this.words, this.hazard0, frame + 1);
    return Atomics.load(this.words, viewWord0 + (frame << recordShift)) === stamp;
  }

  enterBoth(frame: number, stamp: number, other: number, otherStamp: number): boolean {
    Atomics.store(this.words, this.hazard0, frame + 1);
    Atomics.store(this.words, this.hazard1, other + 1);
    const word = Atomics.load(this.words, viewWord0 + (frame << recordShift));
    return word === stamp && Atomics.load(this.words, viewWord0 + (other << recordShift)) === otherStamp;
  }

  leave(): void {
    Atomics.store(this.words, this.hazard0, 0);
  }

  leaveBoth(): void {
    Atomics.store(this.words, this.hazard0, 0);
    Atomics.store(this.words, this.hazard1, 0);
  }
}

function lookAfterLoads(words: Int32Array, frame: number): number {
  const at = viewWord0 + (frame << recordShift);
  return loadsAreOrdered ? Atomics.load(words, at) : Atomics.or(words, at, 0);
}
