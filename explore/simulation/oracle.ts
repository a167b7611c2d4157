/**
 * Knows for each byte of the file, and for its size, which values a reader may find, and which a crash may leave.
 *
 * It hears when tasks begin and end (hand.ts), what they have read, and which errors they have met: an error that nothing in this
 * simulation can be the cause of is a violation, as a wrong byte is.
 *
 * Rules that it holds the cache to: a task that fails with an error has changed nothing, but for cuts, whose store call may
 * have failed after the pages were gone, and copying writes of several pages that were aborted; a sync that succeeds covers every write that had ended when it began (rule 8); a read finds a
 * write that had ended before, or one beside it.
 *
 * See also: register.ts, ../../docs/durability.md.
 */
import { Violation } from "../search/subject.js";
import { Register, type RegisterWrite } from "./register.js";
import { type Task, fileBytesMax } from "./task.js";

/** What may go wrong in this life. */
export interface Troubles {
  readonly requestsFail: boolean;
  readonly isScarce: boolean;
  readonly hasCounted: boolean;
  readonly hasScopes: boolean;
}

/** A task that has begun. */
export interface Begun {
  readonly task: Task;
  readonly since: number;
  readonly bytes: RegisterWrite[];
  readonly sizes: RegisterWrite[];
}

export class Oracle {
  troubles: Troubles = { requestsFail: false, isScarce: false, hasCounted: false, hasScopes: false };
  readonly #bytes = Array.from({ length: fileBytesMax }, () => new Register(0));
  readonly #size = new Register(0);
  /** Of each byte: when the last sync began that covered it and succeeded; and of the size. */
  readonly #durableSince = new Float64Array(fileBytesMax);
  #sizeDurableSince = 0;
  readonly #pageBytes: number;
  readonly #open = new Set<Begun>();
  #now = 1;
  /** Errors that tasks have met, by code. */
  readonly errors = new Map<string, number>();
  tasks = 0;
  /** Set to be told of every task's beginning and end, in words. */
  onEvent: ((what: string) => void) | undefined;

  /** `pageBytes`: what is written at once. */
  constructor(pageBytes: number) {
    this.#pageBytes = pageBytes;
  }

  #tick(): number {
    return ++this.#now;
  }

  /** Nobody who reads asks for what was past before this any more. */
  #oldestOpen(): number {
    let oldest = Infinity;
    for (const { since } of this.#open) if (since < oldest) oldest = since;
    return oldest;
  }

  // --- tasks ---------------------------------------------------------------------------------------------------------

  begins(task: Task): Begun {
    const since = this.#tick();
    const begun: Begun = { task, since, bytes: [], sizes: [] };
    this.#open.add(begun);
    this.tasks++;
    this.onEvent?.(`${since} begins: ${JSON.stringify(task)}`);
    if (task.kind === "pin to write" && !task.isUnused) this.#writes(begun, task.position, task.length, task.value);
    if (task.kind === "write") {
      this.#writes(begun, task.position, task.length, task.value);
      for (const end of this.#endsOf(task)) this.#extends(begun, end);
    }
    if (task.kind === "punch") this.#writes(begun, task.position, task.length, 0);
    if (task.kind === "truncate") {
      this.#writes(begun, task.size, fileBytesMax - task.size, 0);
      this.#cuts(begun, task.size);
    }
    return begun;
  }

  /** A write of some bytes that is not known when its task begins. */
  alsoWrites(begun: Begun, position: number, length: number, value: number): void {
    this.#writes(begun, position, length, value);
  }

  #writes(begun: Begun, position: number, length: number, value: number): void {
    const oldestOpen = this.#oldestOpen();
    for (let at = position; at < position + length; at++) {
      const oldest = Math.min(oldestOpen, this.#durableSince[at] as number);
      begun.bytes.push(this.#register(at).begin(value, begun.since, oldest));
    }
  }

  #register(position: number): Register {
    const register = this.#bytes[position];
    if (!register) throw new Error(`no byte ${position} in the simulated file`);
    return register;
  }

  /** Where an extending write may stop for a moment, or for good: it is atomic a page (../../src/mapping/copy.ts). */
  #endsOf({ position, length }: { readonly position: number; readonly length: number }): number[] {
    const ends: number[] = [];
    const first = (Math.floor(position / this.#pageBytes) + 1) * this.#pageBytes;
    for (let end = first; end < position + length; end += this.#pageBytes) ends.push(end);
    return [...ends, position + length];
  }

  /** The file ends at `end` or later. */
  #extends(begun: Begun, end: number): void {
    const sizes = new Set(this.#size.possible(begun.since).map((size) => Math.max(size, end)));
    for (const size of sizes) this.#newSize(begun, size);
  }

  /** A write that came to less than was asked for. */
  #extendsTo(begun: Begun, end: number, now: number): void {
    const before = begun.sizes.length;
    this.#extends(begun, end);
    for (const size of begun.sizes.slice(before)) size.end = now;
  }

  #cuts(begun: Begun, size: number): void {
    const sizes = new Set([size]);
    // Whoever extends it meanwhile does so before or after.
    for (const { task } of this.#open)
      if (task.kind === "write") for (const end of this.#endsOf(task)) sizes.add(Math.max(size, end));
    for (const one of sizes) this.#newSize(begun, one);
  }

  #newSize(begun: Begun, size: number): void {
    const oldest = Math.min(this.#oldestOpen(), this.#sizeDurableSince);
    begun.sizes.push(this.#size.begin(size, begun.since, oldest));
  }

  /** It succeeded. `bytes`: how many of a write were written. */
  ended(begun: Begun, bytes: number): void {
    const now = this.#tick();
    this.#open.delete(begun);
    const { task } = begun;
    this.onEvent?.(`${begun.since} ends at ${now}: ${task.kind}${task.kind === "write" ? `, ${bytes} bytes` : ""}`);
    const isShort = task.kind === "write" && bytes < task.length;
    begun.bytes.forEach((write, at) => {
      if (isShort && at >= bytes) this.#register(task.position + at).drop(write);
      else write.end = now;
    });
    for (const size of begun.sizes) {
      size.end = now;
      if (isShort) size.isDoubtful = true;
    }
    if (isShort) this.#extendsTo(begun, task.position + bytes, now);
    if (task.kind === "sync") this.#synced(begun);
  }

  #synced({ task, since }: Begun): void {
    if (task.kind !== "sync") return;
    const [from, to] = task.length === 0 ? [0, fileBytesMax] : [task.position, task.position + task.length];
    for (let at = from; at < to; at++) this.#durableSince[at] = Math.max(this.#durableSince[at] as number, since);
    if (task.length === 0) this.#sizeDurableSince = Math.max(this.#sizeDurableSince, since);
  }

  /** It failed. @throws Violation for an error that nothing can have caused */
  failed(begun: Begun, code: string, message: string): void {
    const now = this.#tick();
    this.#open.delete(begun);
    this.onEvent?.(`${begun.since} fails at ${now}: ${begun.task.kind}: ${code} ${message}`);
    this.errors.set(code, (this.errors.get(code) ?? 0) + 1);
    const { task } = begun;
    if (!this.#isExpected(begun, code))
      throw new Violation("check", `${task.kind} failed with ${code}, which nothing has caused: ${message}`);
    const isCut = task.kind === "truncate" || task.kind === "punch";
    const mayBeDone = isCut || (task.kind === "write" && code === "ABORT_ERR");
    begun.bytes.forEach((write) => {
      write.end = now;
      write.isDoubtful = true;
    });
    if (!mayBeDone && task.kind !== "pin two" && "position" in task)
      begun.bytes.forEach((write, at) => this.#register(task.position + at).drop(write));
    for (const size of begun.sizes) {
      size.end = now;
      size.isDoubtful = true;
    }
  }

  #isExpected({ task, since }: Begun, code: string): boolean {
    const { requestsFail, isScarce, hasCounted, hasScopes } = this.troubles;
    if (code === "ABORT_ERR") return task.abortAfterMs !== undefined;
    if (code === "EIO") return requestsFail;
    if (code === "ENOSPC") return isScarce;
    if (code === "EBUSY" && task.kind === "invalidate") return true;
    if (code === "EBUSY") return hasCounted && (task.kind === "truncate" || task.kind === "punch");
    if (code === "ERR_PINFOLD_PIN_LIMIT") return hasCounted;
    if (code === "EDEADLK") return hasScopes;
    if (code === "ERR_PINFOLD_NO_FRAMES") return true;
    if (code !== "ERR_PINFOLD_OUT_OF_RANGE") return false;
    const end = task.kind === "pin two" ? fileBytesMax : "length" in task ? task.position + task.length : 0;
    return this.#size.possible(since).some((size) => size < end);
  }

  // --- what is found -------------------------------------------------------------------------------------------------

  /** A byte was read by a task that began at `since`. @throws Violation */
  saw({ task, since }: Begun, position: number, value: number): void {
    this.#check(position, value, since, `${task.kind}: byte ${position}`);
  }

  #check(position: number, value: number, since: number, what: string): void {
    const register = this.#register(position);
    if (register.allows(value, since)) return;
    throw new Violation(
      "check",
      `${what} is ${value}, and may be ${[...new Set(register.possible(since))].join(", ")}`,
    );
  }

  /** All tasks have ended: this is what the file has. @throws Violation */
  atRest(size: number, valueAt: (position: number) => number, what: string): void {
    const since = this.#tick();
    const sizes = this.#size.possible(since);
    if (!sizes.includes(size))
      throw new Violation("check", `${what}: ${size} bytes, and there may be ${[...new Set(sizes)].join(", ")}`);
    for (let at = 0; at < size; at++) this.#check(at, valueAt(at), since, `${what}: byte ${at}`);
  }

  /**
   * After a crash: this is what is left. `isDurable`: what was there then stays, whatever happens (a power cut), or the storage may still
   * lose what it was not told to make durable (the process was killed). @throws Violation
   */
  crashed(size: number, valueAt: (position: number) => number, isDurable: boolean): void {
    const what = isDurable ? "after a power cut" : "after a kill";
    const sizes = this.#size.possible(this.#sizeDurableSince);
    if (!sizes.includes(size))
      throw new Violation("check", `${what}: ${size} bytes, and there may be ${[...new Set(sizes)].join(", ")}`);
    for (let at = 0; at < size; at++)
      this.#check(at, valueAt(at), this.#durableSince[at] as number, `${what}: byte ${at}`);
    this.#settle(size, valueAt, isDurable);
  }

  /**
   * A sync of the storage has failed, and it dropped what it had not made durable. What tasks of this life wrote the cache has to have
   * still; what a process had written that was killed nobody has.
   */
  storageLost(): void {
    for (const register of this.#bytes) register.lose();
  }

  /** The life has ended in order: what is there is all that there is. */
  closed(size: number, valueAt: (position: number) => number): void {
    this.#settle(size, valueAt, true);
  }

  #settle(size: number, valueAt: (position: number) => number, isDurable: boolean): void {
    this.#open.clear();
    const now = this.#tick();
    this.#tick();
    this.#bytes.forEach((register, at) => {
      register.settle(at < size ? valueAt(at) : 0, now, this.#durableSince[at] as number, isDurable);
      if (isDurable) this.#durableSince[at] = this.#now;
    });
    this.#size.settle(size, now, this.#sizeDurableSince, isDurable);
    if (isDurable) this.#sizeDurableSince = this.#now;
  }
}
