/**
 * Which words, and what else threads share, are contended for: learnt while they run.
 *
 * Invariants: what is learnt only grows. `learnt` says that something that was taken for uncontended before may not be, so that what
 * was explored so far may lack something.
 *
 * See also: machine.ts (why an operation on something uncontended is no point).
 */
const storage = 0x80;

export class Contended {
  learnt = false;
  /** Which threads look at it, and which change it: a bit each. */
  readonly #lookers: Uint8Array;
  readonly #changers: Uint8Array;

  /** From `always` on everything is contended for from the beginning: by the storage, which is no thread. */
  constructor(count: number, always: number) {
    this.#lookers = new Uint8Array(count);
    this.#changers = new Uint8Array(count).fill(storage, always);
  }

  /** Whether another thread may do something with it that does not commute. */
  isContended(at: number, thread: number, changes: boolean): boolean {
    const changers = this.#changers[at] as number;
    const theirs = changes ? changers | (this.#lookers[at] as number) : changers;
    return (theirs & ~(1 << thread)) !== 0;
  }

  note(at: number, thread: number, changes: boolean): void {
    const accesses = changes ? this.#changers : this.#lookers;
    const before = accesses[at] as number;
    if ((before & (1 << thread)) !== 0) return;
    accesses[at] = before | (1 << thread);
    const changers = this.#changers[at] as number;
    const all = changers | (this.#lookers[at] as number);
    if (changers !== 0 && (all & (all - 1)) !== 0) this.learnt = true;
  }
}
