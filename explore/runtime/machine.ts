/**
 * The machine that the transformed sources run on: virtual threads over one traced memory, a clock, events from outside. Whose turn
 * it is comes from a search (../search/subject.ts).
 *
 * At a scheduling point the operation asks `goesOn`. A step of the page words is done first, to see what it touches, and taken back
 * where somebody else is to go first. An operation on a word that nobody else changes (or, for a change, nobody else looks at) is
 * no point: it commutes with all that others do meanwhile. Which words these are is learnt (`learnt`).
 *
 * Invariants: two runs with the same turns do the same. While `quiet`, nothing is a point, and nobody else runs.
 *
 * See also: scheduler.ts (whose turn it is), ../transform/rewrite.ts (who calls the `$` functions), thread.ts, world.ts.
 */
import { Contended } from "./contended.js";
import type { Play } from "./play.js";
import type { RaceCheck } from "./race-check.js";
import { Scheduler } from "./scheduler.js";
import type { StoreBuffers } from "./store-buffer.js";
import type { VirtualThread } from "./thread.js";
import { TracedWords } from "./traced-words.js";

/** Answer of an operation that was not done: somebody else goes first. */
export const SWITCH = Symbol("switch");
const nothing: readonly number[] = [];
/** Put into a thread's history for what it learns nothing from: where it is in its program follows from that. */
const doneMark = 0x2f2f;
export type AtomicName = "load" | "peek" | "store" | "poke" | "add" | "or" | "swap";

export class Machine extends Scheduler {
  contended: Contended;
  /** Plain stores are seen later, if there are any. */
  buffers: StoreBuffers | undefined;
  /** Looks for data races, if there is one. */
  races: RaceCheck | undefined;
  /** During a step that may be taken back: the hash before it. */
  #hashOne = 0;
  #hashTwo = 0;
  #isSpeculating = false;
  readonly #extraBase: number;
  readonly #extras: number;

  constructor(bytes: number, extras: number) {
    super(new TracedWords(bytes));
    this.#extraBase = this.words.words.length;
    this.#extras = extras;
    this.contended = this.newContended();
  }

  /** Nothing learnt yet. */
  newContended(): Contended {
    return new Contended(this.#extraBase + this.#extras, this.#extraBase);
  }

  override begin(blank: Uint32Array): void {
    super.begin(blank);
    this.races?.begin();
    this.buffers?.begin();
    this.#isSpeculating = false;
  }

  #tell(site: number, what: string): void {
    const { number } = this.current as VirtualThread;
    this.onTrace?.({ thread: number, site: this.callSite >= 0 ? this.callSite : site, what });
  }

  #isContended(at: number, changes: boolean): boolean {
    return this.contended.isContended(at, (this.current as VirtualThread).number, changes);
  }

  #note(at: number, changes: boolean): void {
    if (changes) this.writes |= 1 << (at & 31);
    else this.reads |= 1 << (at & 31);
    this.contended.note(at, (this.current as VirtualThread).number, changes);
  }

  // Operations.

  /** One step of the page words. */
  step(
    site: number,
    work: (...taken: number[]) => number,
    a = 0,
    b = 0,
    c = 0,
    d = 0,
    e = 0,
    f = 0,
    g = 0,
    h = 0,
    i = 0,
  ): unknown {
    if (this.quiet > 0) return work(a, b, c, d, e, f, g, h, i);
    const { words } = this;
    const mark = words.mark();
    this.#hashOne = words.one;
    this.#hashTwo = words.two;
    words.isNoting = true;
    const answer = work(a, b, c, d, e, f, g, h, i);
    words.isNoting = false;
    const isFence = words.written.count > 0 && this.buffers?.isPending === true;
    let contended = this.everyPoint || (isFence && this.buffers?.isContended === true);
    for (let at = 0; at < words.read.count && !contended; at++) contended = this.#isContended(words.read.at(at), false);
    if (!contended)
      words.changedSince(mark, (word) => {
        contended ||= this.#isContended(word, true);
      });
    if (contended) {
      this.#isSpeculating = true;
      const goesOn = this.goesOn();
      this.#isSpeculating = false;
      if (!goesOn) {
        words.rewind(mark);
        words.read.clear();
        (this.current as VirtualThread).redo = () => this.#stepNow(site, work, [a, b, c, d, e, f, g, h, i]);
        return SWITCH;
      }
    }
    if (isFence) {
      words.rewind(mark);
      words.read.clear();
      return this.#stepNow(site, work, [a, b, c, d, e, f, g, h, i]);
    }
    return this.#stepped(site, work, mark, answer, this.onTrace ? [a, b, c, d, e, f, g, h, i] : nothing);
  }

  #stepNow(site: number, work: (...taken: number[]) => number, taken: number[]): number {
    const { words } = this;
    const mark = words.mark();
    words.isNoting = true;
    const answer = work(...taken);
    words.isNoting = false;
    if (words.written.count === 0 || !this.buffers?.isPending) return this.#stepped(site, work, mark, answer, taken);
    words.rewind(mark);
    words.read.clear();
    this.buffers.fence();
    return this.#stepNow(site, work, taken);
  }

  #stepped(
    site: number,
    work: (...taken: number[]) => number,
    mark: number,
    answer: number,
    taken: readonly number[],
  ): number {
    const { words } = this;
    this.races?.step(site, words.read, words.written);
    for (let at = 0; at < words.read.count; at++) this.#note(words.read.at(at), false);
    words.read.clear();
    words.written.clear();
    words.changedSince(mark, (word) => this.#note(word, true));
    (this.current as VirtualThread).note(answer ?? 0);
    if (this.onTrace)
      this.#tell(
        site,
        `${work.name}(${taken.slice(0, work.length).join(", ")})${answer === undefined ? "" : ` = ${answer}`}`,
      );
    this.callSite = -1;
    return answer;
  }

  /** One atomic operation on a word, or a plain access to it. What was there before. */
  atomic(site: number, name: AtomicName, word: number, a = 0, b = 0): unknown {
    if (this.quiet > 0) return this.#change(name, word, a, b);
    const isFence = this.buffers?.isPending === true && name !== "load" && name !== "peek" && name !== "poke";
    if (this.buffers) {
      if (name === "poke") return this.#poke(this.buffers, site, word, a);
      const own = name === "peek" || name === "load" ? this.buffers.newest(word) : undefined;
      if (own !== undefined) {
        this.learn(own);
        return own;
      }
    }
    const isPoint =
      this.everyPoint ||
      (isFence && this.buffers?.isContended === true) ||
      this.#isContended(word, name !== "load" && name !== "peek");
    if (isPoint && !this.goesOn()) {
      (this.current as VirtualThread).redo = () => this.#atomicNow(site, name, word, a, b);
      return SWITCH;
    }
    return this.#atomicNow(site, name, word, a, b);
  }

  #poke(buffers: StoreBuffers, site: number, word: number, value: number): unknown {
    const land = () => this.words.write(word, value);
    return buffers.push(site, { place: word, value, at: word, what: `poke ${word * 4} = ${value}`, land });
  }

  #atomicNow(site: number, name: AtomicName, word: number, a: number, b: number): number {
    if (name !== "load" && name !== "peek") this.buffers?.fence();
    const before = this.#change(name, word, a, b);
    this.races?.word(site, name, word, name !== "swap" || before === a);
    // A swap that found something else, or puts what is there, changes nothing.
    const thread = this.current as VirtualThread;
    const isBlind = name === "store" || name === "poke";
    if (!isBlind) this.#note(word, false);
    // Of a blind store it learns nothing but that it was done.
    thread.note(isBlind ? doneMark : before);
    if (this.words.words[word] !== before >>> 0) this.#note(word, true);
    if (this.onTrace) this.#tell(site, `${name} ${word * 4} = ${before}`);
    this.callSite = -1;
    return before;
  }

  #change(name: AtomicName, word: number, a: number, b: number): number {
    const { words } = this;
    const before = (words.words[word] as number) | 0;
    if (name === "store" || name === "poke") words.write(word, a);
    else if (name === "add") words.write(word, before + a);
    else if (name === "or") words.write(word, before | a);
    else if (name === "swap" && before === a) words.write(word, b);
    return before;
  }

  /**
   * One operation on a word, or on something else that is contended for (`at` from `extra`). Who learns from it says so by
   * `learn`, and what else it touches by `touches`.
   */
  operate<T>(site: number, at: number, changes: boolean, what: () => string, work: () => T): T | typeof SWITCH {
    if (this.quiet > 0) return work();
    const done = (): T => {
      this.#note(at, changes);
      (this.current as VirtualThread).note(doneMark);
      const answer = work();
      if (this.onTrace)
        this.#tell(
          site,
          `${what()}${answer === undefined || typeof answer === "object" ? "" : ` = ${String(answer)}`}`,
        );
      this.callSite = -1;
      return answer;
    };
    if ((this.everyPoint || this.#isContended(at, changes)) && !this.goesOn()) {
      (this.current as VirtualThread).redo = done;
      return SWITCH;
    }
    return done();
  }

  /** The current thread learns a value. */
  learn(value: number): void {
    if (this.quiet === 0) this.current?.note(value);
  }

  /** The operation that is being done looks at, or changes, something else, too. */
  touches(at: number, changes: boolean): void {
    if (this.quiet === 0) this.#note(at, changes);
  }

  /** The number of something contended for that is no word: a frame's bytes, the storage. */
  extra(which: number): number {
    return this.#extraBase + which;
  }

  /** An operation of the runtime's own, for a generator. */
  *operation<T>(at: number, changes: boolean, what: () => string, work: () => T): Play<T> {
    const answer = this.operate(-1, at, changes, what, work);
    return (answer === SWITCH ? yield* this.again() : answer) as T;
  }

  /** What is yielded to where an operation was not done: does it when the thread goes on. */
  *again(): Play<unknown> {
    const thread = this.current as VirtualThread;
    for (;;) {
      yield undefined;
      this.callSite = thread.callSite;
      const answer = thread.redo?.();
      if (answer !== SWITCH) return answer;
    }
  }

  /** Wakes all who sleep on a word: other threads' queues change with it. */
  notify(word: number): number {
    this.reads = -1;
    this.writes = -1;
    const woken = this.time.notify(word);
    this.learn(woken);
    return woken;
  }

  /** Blocks the current thread on a word. When it goes on, it is told how its wait has ended. */
  block(word: number, timeoutMs: number): typeof SWITCH {
    const thread = this.current as VirtualThread;
    thread.note(this.nowMs);
    thread.blocked = { word, untilMs: this.nowMs + timeoutMs };
    this.time.sleep(word, thread, undefined);
    thread.redo = () => {
      this.time.forget(thread);
      thread.note(thread.isWoken ? 1 : 2);
      return thread.isWoken ? "ok" : "timed-out";
    };
    return SWITCH;
  }

  after(delayMs: number, run: () => unknown, keepAlive = false): { cancel(): void } {
    this.learn(this.nowMs);
    return this.time.after(this.current as VirtualThread, delayMs, run, keepAlive);
  }

  // Hashes.

  get hashOne(): number {
    return this.#isSpeculating ? this.#hashOne : this.words.one;
  }

  get hashTwo(): number {
    return this.#isSpeculating ? this.#hashTwo : this.words.two;
  }
}
