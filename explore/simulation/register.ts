/**
 * A value that many may write at once, and what may be found of it: by a reader, and after a crash.
 *
 * A write has a beginning and an end (numbers that only grow), and takes effect somewhere between them. It is *past* for somebody who
 * begins at `since` if a write that began after its end had ended before `since`. A reader may find what is not past for
 * him; a crash leaves what is not past for the last sync that succeeded. (A register of L. Lamport, "On interprocess communication",
 * Distributed Computing 1, 1986, there called regular.)
 *
 * A write that failed half way is *doubtful*: it may be found, and makes no other past.
 *
 * Invariants: writes stand in the order of their beginnings; one that nobody can find any more is forgotten.
 */
const writesMax = 4096;

export interface RegisterWrite {
  readonly value: number;
  readonly begin: number;
  /** Infinity: it goes on. */
  end: number;
  isDoubtful: boolean;
}

export class Register {
  #writes: RegisterWrite[];
  /** What a crash has left and the storage may still lose. */
  #survivor: RegisterWrite | undefined;

  constructor(value: number) {
    this.#writes = [{ value, begin: 0, end: 0, isDoubtful: false }];
  }

  get length(): number {
    return this.#writes.length;
  }

  /** `oldest`: nobody asks for anything that was past before. @throws Error for more than can be kept */
  begin(value: number, now: number, oldest: number): RegisterWrite {
    this.#forget(oldest);
    const write = { value, begin: now, end: Infinity, isDoubtful: false };
    this.#writes.push(write);
    if (this.#writes.length > writesMax)
      throw new Error(`more than ${writesMax} writes of one byte are to be told apart`);
    return write;
  }

  /** It was as if it had never begun. */
  drop(write: RegisterWrite): void {
    this.#writes = this.#writes.filter((one) => one !== write);
  }

  /** Writes that end at or after this are not past for somebody who begins at `since`. */
  #horizon(since: number): number {
    let horizon = 0;
    for (const { begin, end, isDoubtful } of this.#writes)
      if (!isDoubtful && end < since && begin > horizon) horizon = begin;
    return horizon;
  }

  /** What somebody may find who begins at `since`. */
  possible(since: number): readonly number[] {
    const horizon = this.#horizon(since);
    return this.#writes.filter(({ end }) => end >= horizon).map(({ value }) => value);
  }

  /** Whether `value` may be found by somebody who begins at `since`. */
  allows(value: number, since: number): boolean {
    const horizon = this.#horizon(since);
    return this.#writes.some((write) => write.end >= horizon && write.value === value);
  }

  #forget(oldest: number): void {
    const horizon = this.#horizon(oldest);
    const [first] = this.#writes;
    if (first && first.end < horizon) this.#writes = this.#writes.filter(({ end }) => end >= horizon);
  }

  /**
   * A crash has left `value`: from now on that is found. What may be found after a crash before a sync succeeds stays possible there
   * where the storage kept what it had not made durable (`isDurable` false).
   */
  settle(value: number, now: number, durableSince: number, isDurable: boolean): void {
    const kept = isDurable ? [] : this.possible(durableSince);
    this.#writes = kept.map((one) => ({ value: one, begin: now, end: now, isDoubtful: true }));
    const left = { value, begin: now + 1, end: now + 1, isDoubtful: false };
    this.#writes.push(left);
    this.#survivor = isDurable ? undefined : left;
  }

  /** The storage has lost what it was not told to make durable in time: what a crash had left may be gone, too. */
  lose(): void {
    if (this.#survivor) this.#survivor.isDoubtful = true;
  }
}
