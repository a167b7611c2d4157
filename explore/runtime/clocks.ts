/**
 * Vector clocks: what each thread, and each request to the storage, knows to have happened before (C. Fidge, "Timestamps in
 * message-passing systems that preserve the partial ordering", 1988; F. Mattern, "Virtual time and global states of distributed
 * systems", 1989), with a clock for each word that atomic operations have changed.
 *
 * What orders, by JavaScript's memory model: an atomic operation that reads a word comes after the one that wrote what it reads, and
 * so after all that was before that in its thread. An atomic store over another one orders nothing, and makes what was there before
 * order nothing any more. A plain store orders nothing either.
 *
 * Invariants: times only grow, from run to run, too. A run begins with everybody at the same time, which is after all that was before:
 * nothing has to be cleared.
 *
 * See also: race-check.ts (what is done with them).
 */
import { failBit } from "./scheduler.js";

/** Threads, and requests to the storage: numbered as alternatives. */
export const partsMax = failBit;

/** What somebody knows: the time of each part. */
export type Clock = Float64Array;

export class Clocks {
  readonly #parts: Clock[] = [];
  /** By thread: what its requests knew that have ended. */
  readonly #ended: Clock[] = [];
  /** By word: what whoever reads it atomically comes to know. */
  readonly #words: (Clock | undefined)[] = [];
  #startTime = 0;
  /** Changes with what all words say. */
  #hash = 0;
  readonly #hashes: number[] = [];

  constructor() {
    for (let part = 0; part < partsMax; part++) {
      this.#parts.push(new Float64Array(partsMax));
      this.#ended.push(new Float64Array(partsMax));
    }
  }

  /** A new run. */
  begin(): void {
    for (const clock of this.#parts) for (const time of clock) if (time > this.#startTime) this.#startTime = time;
    this.#parts.forEach((clock, part) => {
      clock.fill(this.#startTime);
      clock[part] = this.#startTime + 1;
    });
    for (const clock of this.#ended) clock.fill(this.#startTime);
    this.#hash = 0;
    this.#hashes.length = 0;
  }

  #of(part: number): Clock {
    return this.#parts[part] as Clock;
  }

  /** The part's own time: that of what it does now. */
  now(part: number): number {
    return this.#of(part)[part] as number;
  }

  /** As now, the same in every run that does the same. */
  sinceStart(part: number): number {
    return this.now(part) - this.#startTime;
  }

  /** Whether `part` knows that what `other` did at `time` has happened. */
  knows(part: number, other: number, time: number): boolean {
    return time <= (this.#of(part)[other] as number);
  }

  /** An atomic read. */
  acquire(part: number, word: number): void {
    const left = this.#words[word];
    if (left) join(this.#of(part), left);
  }

  /** An atomic write. `keeps`: what was there before goes on to order, as with a word of which others change another half. */
  release(part: number, word: number, keeps: boolean): void {
    const own = this.#of(part);
    const left = (this.#words[word] ??= new Float64Array(partsMax));
    if (keeps) join(left, own);
    else left.set(own);
    own[part] = (own[part] as number) + 1;
    this.#rehash(word, left);
  }

  /** A plain write: whoever reads it knows nothing by that. */
  drop(word: number): void {
    const left = this.#words[word];
    if (!left) return;
    left.fill(0);
    this.#rehash(word, left);
  }

  /** What `part` knows, for somebody else to learn later; what it does from now on is not among it. */
  hand(part: number): Clock {
    const own = this.#of(part);
    const handed = own.slice();
    own[part] = (own[part] as number) + 1;
    return handed;
  }

  learn(part: number, handed: Clock): void {
    join(this.#of(part), handed);
  }

  /** A request of `thread` has ended. @returns what it knew */
  end(part: number, thread: number): Clock {
    const handed = this.hand(part);
    join(this.#ended[thread] as Clock, handed);
    return handed;
  }

  /** `part` has seen that `thread` has ended, and so have its requests. */
  bury(part: number, thread: number): void {
    this.learn(part, this.hand(thread));
    this.learn(part, this.#ended[thread] as Clock);
  }

  #rehash(word: number, clock: Clock): void {
    const hash = this.#hashOf(clock, word);
    this.#hash ^= (this.#hashes[word] ?? 0) ^ hash;
    this.#hashes[word] = hash;
  }

  /** By times since the run began. Nobody knows less than that; what is older orders nothing. */
  #hashOf(clock: Clock, seed: number): number {
    let hash = seed + 1;
    for (const time of clock) {
      hash = Math.imul(hash ^ Math.max(0, time - this.#startTime), 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    return hash;
  }

  /** Of all that is known: two runs in the same state with the same hash will find the same races. */
  get hash(): number {
    return [...this.#parts, ...this.#ended].reduce(
      (hash, clock, part) => hash ^ this.#hashOf(clock, -2 - part),
      this.#hash,
    );
  }
}

function join(into: Clock, from: Clock): void {
  for (let part = 0; part < partsMax; part++) {
    const time = from[part] as number;
    if (time > (into[part] as number)) into[part] = time;
  }
}
