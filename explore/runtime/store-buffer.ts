/**
 * Store buffers: what a thread stores plainly is seen by others later, at any time until it does something atomic (a search's
 * alternative), in the order of its stores; the thread itself sees it at once. That is total store order, as of x86 processors
 * (P. Sewell, S. Sarkar, S. Owens, F. Zappa Nardelli, M. Myreen, "x86-TSO: a rigorous and usable programmer's model for x86
 * multiprocessors", CACM 53(7), 2010), which is what the plain build of the mapped views' windows is made for (sync/view-window.ts).
 *
 * A thread's atomic change, and a step of the page words that changes something, waits until its buffer is empty; an atomic load does not
 * (on x86 it is a plain one). `barrier` empties the buffers of all threads one by one, as membarrier(2) makes each of them
 * run a fence at some time during the call.
 *
 * What is buffered: plain stores to words, and a scenario's stores to bytes of frames. Copies of many bytes are made at once; they
 * stand in code that has the page's lock. Loads are done in order. What a compiler may do beyond that is not modelled: the litmus
 * tests of test/threads try it.
 *
 * Invariants: a buffer that is not empty is an alternative of its own, whose mark says what is in it; so it is in the state. A thread
 * that has ended goes on to empty its buffer.
 *
 * See also: machine.ts (who calls it), racy-places.ts (which files need it).
 */
import { hashOfNumbers } from "./hash.js";
import type { Machine } from "./machine.js";
import { drainBit } from "./scheduler.js";
import type { Play } from "./play.js";
import type { VirtualThread } from "./thread.js";

/** Stores on their way, in one buffer. */
const storesMax = 16;

/** A store on its way. */
export interface Pending {
  /** The word, or a number below 0 for each byte of the frames. */
  readonly place: number;
  readonly value: number;
  /** Under which number it is contended for. */
  readonly at: number;
  readonly what: string;
  land(): void;
}

export class StoreBuffers {
  readonly #machine: Machine;
  readonly #lastExtra: number;
  readonly #buffers: Pending[][] = [];

  constructor(machine: Machine, lastExtra: number) {
    this.#machine = machine;
    this.#lastExtra = lastExtra;
  }

  /** A new run. */
  begin(): void {
    this.#buffers.length = 0;
  }

  #of({ number }: VirtualThread): Pending[] {
    return (this.#buffers[number] ??= []);
  }

  get #current(): VirtualThread {
    return this.#machine.current as VirtualThread;
  }

  /** False while nobody else runs: then stores land at once. */
  get isOn(): boolean {
    return this.#machine.quiet === 0;
  }

  /** The current thread stores. That nobody sees yet; but it comes before somebody's barrier, or after it, and so is a point. */
  push(site: number, pending: Pending): unknown {
    const thread = this.#current;
    const buffer = this.#of(thread);
    if (buffer.length === storesMax) this.#machine.fail(new Error(`more than ${storesMax} stores on their way`));
    return this.#machine.operate(
      site,
      this.#numberOf(thread),
      true,
      () => `${pending.what}, buffered`,
      () => {
        buffer.push(pending);
        this.#offer(thread);
      },
    );
  }

  /** Under which number a thread's buffer is contended for: the last ones. */
  #numberOf({ number }: VirtualThread): number {
    return this.#machine.extra(this.#lastExtra - number);
  }

  /** What the current thread itself has last stored there, if that is still on its way. */
  newest(place: number): number | undefined {
    return this.#of(this.#current).findLast((one) => one.place === place)?.value;
  }

  /** Whether the current thread has stores on their way that others may notice, or has any. */
  get isPending(): boolean {
    return this.isOn && this.#of(this.#current).length > 0;
  }

  /** Whether somebody else looks at what the current thread has stored. */
  get isContended(): boolean {
    const { number } = this.#current;
    return this.isOn && this.#of(this.#current).some(({ at }) => this.#machine.contended.isContended(at, number, true));
  }

  /** All that the current thread has stored is seen by others. */
  fence(): void {
    if (this.isPending) this.#drain(this.#current, storesMax);
  }

  /** A thread that is found dead has left the processor: all that it has stored is seen. */
  empty(thread: VirtualThread): void {
    if (this.isOn) this.#drain(thread, storesMax);
  }

  /** The same for all threads: one after the other. */
  *barrier(): Play<void> {
    const machine = this.#machine;
    for (const thread of machine.threads) {
      yield* machine.operation(
        this.#numberOf(thread),
        true,
        () => `barrier in ${thread.name}`,
        () => this.#drain(thread, storesMax),
      );
    }
  }

  #drain(thread: VirtualThread, count: number): void {
    const machine = this.#machine;
    for (const pending of this.#of(thread).splice(0, count)) {
      pending.land();
      machine.writes |= 1 << (pending.at & 31);
      machine.contended.note(pending.at, thread.number, true);
      machine.onTrace?.({ thread: drainBit + thread.number, site: -1, what: `${pending.what} is seen` });
    }
    this.#offer(thread);
  }

  /** What is on its way may land at any time from now on. */
  #offer(thread: VirtualThread): void {
    const machine = this.#machine;
    const alternative = drainBit + thread.number;
    machine.outside = machine.outside.filter((one) => one.alternative !== alternative);
    const buffer = this.#of(thread);
    if (buffer.length === 0) return;
    const mark = hashOfNumbers(buffer.flatMap(({ place, value }) => [place, value]));
    machine.outside.push({ alternative, mark, happen: () => this.#drain(thread, 1) });
  }
}
