/**
 * A virtual thread: an event loop with what it runs, and a hash of all that it has learnt from outside.
 *
 * Invariant: what the thread does next depends on its history alone (and on what it reads next): its heap is its own, and it starts
 * the same in every run.
 */
import { Violation } from "../search/subject.js";
import type { Job, Loop, OwnPromise } from "./promises.js";
import { isGenerator } from "./promises.js";
import type { Play } from "./play.js";

export interface Event {
  /** What it is, for the history. */
  readonly mark: number;
  readonly job: Job;
}

export interface Blocked {
  readonly word: number;
  readonly untilMs: number;
}

export class VirtualThread implements Loop {
  readonly number: number;
  readonly name: string;
  readonly #jobs: Job[] = [];
  readonly #events: Event[] = [];
  /** What it was stopped in. */
  #play: Play<unknown> | undefined;
  /** Two halves of the hash of its history. */
  one = 0;
  two = 0;
  /** It waits in a call that blocks it. */
  blocked: Blocked | undefined;
  /** How its last wait has ended: somebody woke it, or its time was up. */
  isWoken = false;
  /** It has ended in the midst of what it did. */
  isDead = false;
  /** It may end so. */
  isMortal = false;
  /** Its requests to the storage that are under way: it is there for the others until they have ended. */
  requests = 0;
  /** Promises that were rejected before anybody asked. */
  #orphans: OwnPromise[] = [];
  /** Where that is called, or -1. */
  callSite = -1;
  /** Does the operation at which it was stopped. */
  redo: (() => unknown) | undefined;

  constructor(number: number, name: string) {
    this.number = number;
    this.name = name;
  }

  enqueue(job: Job): void {
    this.#jobs.push(job);
  }

  rejected(promise: OwnPromise): void {
    this.#orphans.push(promise);
  }

  post(event: Event): void {
    this.#events.push(event);
  }

  get canGoOn(): boolean {
    return (
      !this.isDead &&
      this.blocked === undefined &&
      (this.#play !== undefined || this.#jobs.length > 0 || this.#events.length > 0)
    );
  }

  note(value: number): void {
    this.one = Math.imul((this.one + 0x1b873593) ^ value, 0x9e3779b1);
    this.one ^= this.one >>> 15;
    this.two = Math.imul((this.two + 0x52dce729) ^ value, 0x85ebca77);
    this.two ^= this.two >>> 13;
  }

  /** Ends a blocking wait. */
  wake(isWoken: boolean): void {
    this.blocked = undefined;
    this.isWoken = isWoken;
  }

  /** Hash of what waits for it. */
  get waiting(): number {
    let hash = (this.isDead ? 7 : this.blocked ? 5 : 3) + (this.isWoken ? 8 : 0) + this.requests * 16;
    for (const { mark } of this.#events) hash = Math.imul(hash ^ mark, 0x01000193) + 1;
    return hash;
  }

  /** Goes on until it is stopped at a point, or has nothing to do. */
  advance(): void {
    for (;;) {
      if (this.#play === undefined) {
        let job = this.#jobs.shift();
        if (job === undefined) {
          if (this.#orphans.length > 0) this.#lookAfterOrphans();
          job = this.#next();
        }
        if (job === undefined) return;
        const made = job();
        if (isGenerator(made)) this.#play = made;
        continue;
      }
      const { done } = this.#play.next();
      if (done !== true) return;
      this.#play = undefined;
    }
  }

  /** As Node does when all jobs are done. @throws Violation */
  #lookAfterOrphans(): void {
    const orphan = this.#orphans.find(({ isHandled }) => !isHandled);
    this.#orphans = [];
    if (orphan)
      throw new Violation("unhandled", `a rejection in ${this.name} that nobody handles: ${String(orphan.value)}`);
  }

  #next(): Job | undefined {
    const event = this.#events.shift();
    if (event === undefined) return undefined;
    this.note(event.mark);
    return event.job;
  }
}
