/**
 * An actor: a thread of the explorer with a script, and the loops around steps that production's callers have.
 *
 * Histories: what an actor does next depends on its script and on what it has read, so the enumerator hashes that. After
 * a step only its answer counts, not what it read inside; after an answer LOST the caller's loop is where it was before,
 * so the history goes back as well. That is sound because no loop here keeps anything else from one turn to the next.
 *
 * A script runs again to come back to an earlier point: answers that it got before are given to it at once (`given`). So it
 * must not look at anything but what its steps answered.
 *
 * An actor that may die (`mortal`) looks before each step and each store whether the alarm is raised: see recoverer.ts.
 *
 * See also: enumerator.ts; src/frames/locks.ts, which has the same loops for production.
 */
import * as layout from "../../src/sync/layout.js";
import { POINT_LOAD, POINT_STORE, type Step, type StepWords } from "./reference.js";
import { remember, Track, type TracedMemory } from "./traced-memory.js";

/** A piece of a script: points out, an answer at the end. */
export type Play<Answer = void> = Generator<number, Answer, undefined>;

export type Script = (actor: Actor) => Play;

export type Hold = "shared" | "exclusive";

type StepName = Exclude<keyof StepWords, "configure">;

/** The history of all that are dead. */
const [deadOne, deadTwo] = [0x2545f491, 0x4f6cdd1d];
/** Turns of a loop that has to end long before. */
const turnsMax = 100_000;

/** Ends the script of an actor that has died (recoverer.ts). */
export class Death extends Error {
  override readonly name = "Death";
}

/** One for all: to make one takes time, and they differ in nothing. */
const death = new Death();

/** Holds take two bits a record, so records below 15 can be held by actors. */
const holdBits: Readonly<Record<Hold, number>> = { shared: 1, exclusive: 2 };
const anyHold = 3;

export class Actor {
  readonly name: string;
  readonly thread: number;
  readonly words: StepWords;
  readonly traced: TracedMemory;
  /** All actors of the run, this one included. */
  readonly all: readonly Actor[];
  readonly track = new Track();
  /** Calls and answers so far, where somebody wants to read them. */
  readonly calls: string[] | undefined;
  /** It may die: before each step and each store it looks whether the alarm is raised. */
  mortal = false;

  constructor(
    name: string,
    thread: number,
    words: StepWords,
    traced: TracedMemory,
    all: readonly Actor[],
    calls?: string[],
  ) {
    this.name = name;
    this.thread = thread;
    this.words = words;
    this.traced = traced;
    this.all = all;
    this.calls = calls;
  }

  /** One call of a step. */
  *do(name: StepName, ...taken: number[]): Play<number> {
    if (this.mortal) yield* this.#survive();
    const { track } = this;
    const { one, two } = track;
    let answer = this.#given();
    if (answer === undefined) {
      answer = (yield* this.#step(name)(...taken)) ?? 0;
      track.finish(answer);
      this.calls?.push(`${this.name}: ${name}(${taken.join(", ")}) = ${answer}`);
      if (track.held !== 0) throw new Error(`${name} ended with a latch taken`);
    }
    track.one = one;
    track.two = two;
    remember(track, answer);
    return answer;
  }

  #step(name: StepName): (...taken: number[]) => Step {
    return this.words[name];
  }

  /** What the script was answered here before, where it runs again. */
  #given(): number | undefined {
    return this.track.given < this.track.answers.length ? this.track.answers[this.track.given++] : undefined;
  }

  /** Dies if the alarm is raised. That it was not is nothing to remember. */
  *#survive(): Play {
    const { one, two } = this.track;
    const alarm = yield* this.load(this.traced.memory.plan.alarm);
    this.forget(one, two);
    if (alarm !== 0) this.#die();
  }

  /** What the actor knew and held is forgotten with it: memory alone tells what there is to clean up. */
  #die(): never {
    this.mortal = false;
    this.track.holding = 0;
    this.forget(deadOne, deadTwo);
    throw death;
  }

  /** One operation of the script's own, which is a step of its own. */
  *#operation(point: number, run: () => number): Play<number> {
    const { one, two } = this.track;
    let answer = this.#given();
    if (answer === undefined) {
      yield point;
      answer = run();
      this.track.finish(answer);
    }
    this.forget(one, two);
    remember(this.track, answer);
    return answer;
  }

  /** Says that this actor holds a record now. */
  claim(frame: number, hold: Hold): void {
    if (!this.traced.feeding) {
      for (const { name, track } of this.all) {
        const theirs = (track.holding >>> (frame * 2)) & anyHold;
        if (theirs === 0 || (theirs === holdBits.shared && hold === "shared")) continue;
        throw new Error(
          `${this.name} holds record ${frame} ${hold}, ${name} ${theirs === holdBits.shared ? "shared" : "exclusive"}`,
        );
      }
    }
    this.track.holding |= holdBits[hold] << (frame * 2);
  }

  /** Says that this actor is about to let go of a record. */
  drop(frame: number): void {
    this.check(
      ((this.track.holding >>> (frame * 2)) & anyHold) !== 0,
      `lets go of record ${frame}, which it does not hold`,
    );
    this.track.holding &= ~(anyHold << (frame * 2));
  }

  /** A call repeated while it answers LOST. */
  *until(name: StepName, ...taken: number[]): Play<number> {
    const { one, two } = this.track;
    for (let turn = 0; turn < turnsMax; turn++) {
      const answer = yield* this.do(name, ...taken);
      if (answer !== layout.LOST) return answer;
      this.forget(one, two);
    }
    throw new Error(`${name} never got on`);
  }

  /** Puts the history back: nothing that happened since is known to this actor. */
  forget(one: number, two: number): void {
    this.track.one = one;
    this.track.two = two;
  }

  /** A word of the scenario's own, or of the memory, read as a point. */
  *load(address: number): Play<number> {
    return yield* this.#operation(address * 4 + POINT_LOAD, () => this.traced.load32(address));
  }

  *load16(address: number): Play<number> {
    return yield* this.#operation(address * 4 + POINT_LOAD, () => this.traced.load16(address));
  }

  *store(address: number, value: number): Play {
    if (this.mortal) yield* this.#survive();
    yield* this.#operation(address * 4 + POINT_STORE, () => {
      this.traced.store32(address, value);
      return 0;
    });
  }

  check(condition: boolean, sentence: string): void {
    if (!condition) throw new Error(`${this.name}: ${sentence}`);
  }

  // What production's callers do around steps.

  /**
   * Blocks until a node is not waiting any more, then frees it. The node's last state. Once the alarm is raised it looks again and
   * again and wakes the record itself, since whoever had to may be dead (as production's waiters do from time to time).
   */
  *waitFor(node: number, frame: number): Play<number> {
    const address = this.traced.memory.node(node) + layout.NODE_STATE;
    const { one, two } = this.track;
    for (let turn = 0; turn < turnsMax; turn++) {
      const state = yield* this.#operation(-(node + 1), () => this.traced.load32(address));
      if (state !== layout.NODE_WAITING) {
        this.check((yield* this.until("accept", node)) === layout.OK, "a settled node is accepted");
        return state;
      }
      if (this.mortal) this.#die();
      yield* this.wake(frame);
      this.forget(one, two);
    }
    throw new Error("waitFor never got on");
  }

  /** Grants to who waits for a record, first come first served, until the first that has to go on waiting. */
  *wake(frame: number): Play {
    const { one, two } = this.track;
    for (let turn = 0; turn < turnsMax; turn++) {
      this.forget(one, two);
      const node = yield* this.do("firstWaiter", frame);
      if (node < 0) {
        if ((yield* this.do("clearWaiters", frame)) === layout.OK) return;
      } else if ((yield* this.do("grant", node, frame)) === layout.BUSY) {
        return;
      }
    }
    throw new Error("wake never got on");
  }

  /** What the answer of a release asks for. */
  *settle(frame: number, answer: number): Play {
    this.check(answer >= 0, `a release answered ${answer}`);
    if ((answer & layout.WAKE) !== 0) yield* this.wake(frame);
    if ((answer & layout.IDLE) !== 0) yield* this.until("requeue", frame);
  }

  /** One try, repeated where a race undid it. OK, BUSY, GONE, or FULL. */
  *tryLock(hold: Hold, frame: number, mapping: number, index: number): Play<number> {
    const { one, two } = this.track;
    for (let turn = 0; turn < turnsMax; turn++) {
      const answer =
        hold === "shared"
          ? yield* this.do("lockShared", frame, mapping, index, this.thread)
          : yield* this.do("lockExclusive", frame, mapping, index, this.thread);
      if (answer === layout.OK) yield* this.holdsPage(hold, frame, mapping, index);
      if (answer !== layout.LOST && answer !== layout.LOST_WAKE) return answer;
      if (answer === layout.LOST_WAKE) yield* this.settle(frame, layout.WAKE | layout.IDLE);
      this.forget(one, two);
    }
    throw new Error("tryLock never got on");
  }

  /** Takes a page's lock, waiting where that is due. OK, or GONE: look the page up again. */
  *lock(hold: Hold, frame: number, mapping: number, index: number): Play<number> {
    const mode = hold === "shared" ? layout.MODE_SHARED : layout.MODE_EXCLUSIVE;
    const { one, two } = this.track;
    for (let turn = 0; turn < turnsMax; turn++) {
      const tried = yield* this.tryLock(hold, frame, mapping, index);
      if (tried !== layout.BUSY) return tried;
      const node = yield* this.do("enqueue", frame, mapping, index, mode, this.thread, 0);
      if (node === layout.GONE) return node;
      if (node < 0) {
        this.forget(one, two);
        continue;
      }
      if ((yield* this.waitFor(node, frame)) !== layout.NODE_GRANTED) return layout.GONE;
      yield* this.holdsPage(hold, frame, mapping, index);
      return layout.OK;
    }
    throw new Error("lock never got on");
  }

  /** Says that the actor holds this page now, and looks whether it is that page. */
  *holdsPage(hold: Hold, frame: number, mapping: number, index: number): Play {
    this.claim(frame, hold);
    const record = this.traced.memory.record(frame);
    const key = yield* this.load(record + layout.RECORD_INDEX);
    const owner = yield* this.load16(record + layout.RECORD_MAPPING);
    this.check(
      key === index && owner === mapping,
      `locked page ${mapping}:${index} in frame ${frame} and got ${owner}:${key}`,
    );
  }

  *unlockShared(frame: number): Play {
    this.drop(frame);
    yield* this.settle(frame, yield* this.do("unlockShared", frame, this.thread));
  }

  *unlockExclusive(frame: number, modified = 0): Play {
    this.drop(frame);
    yield* this.settle(frame, yield* this.until("unlockExclusive", frame, this.thread, modified));
  }

  /** Takes the page, which the actor owns exclusively, out of the table: dismisses who waits, then removes it. */
  *removeOwned(frame: number, mapping: number, index: number, thread = this.thread): Play {
    this.check((yield* this.until("condemn", frame, thread)) === layout.OK, "its owner condemns a page");
    yield* this.dismissAll(frame);
    yield* this.removeFrozen(frame, mapping, index, thread);
    this.drop(frame);
  }

  *dismissAll(frame: number): Play {
    const { one, two } = this.track;
    for (let turn = 0; turn < turnsMax; turn++) {
      this.forget(one, two);
      const node = yield* this.do("firstWaiter", frame);
      if (node >= 0) yield* this.do("dismiss", node, frame, 0);
      else if ((yield* this.do("clearWaiters", frame)) === layout.OK) return;
    }
    throw new Error("dismissAll never got on");
  }

  /** The last step of a removal, of a page that nobody waits for. */
  *removeFrozen(frame: number, mapping: number, index: number, thread = this.thread): Play {
    const { one, two } = this.track;
    for (let turn = 0; turn < turnsMax; turn++) {
      const found = yield* this.until("find", mapping, index, thread);
      this.check(found === frame, `page ${mapping}:${index} is found in ${found}, not in ${frame}`);
      const answer = yield* this.do("remove", frame, thread);
      if (answer === layout.OK) return;
      if (answer === layout.BUSY) yield* this.until("clearWaiters", frame);
      this.forget(one, two);
    }
    throw new Error("remove never got on");
  }

  /** Puts a reserved frame in as a page, loaded at once. The frame, held exclusively, or -1: the page is there by now. */
  *insert(frame: number, mapping: number, index: number): Play<boolean> {
    const { one, two } = this.track;
    for (let turn = 0; turn < turnsMax; turn++) {
      if ((yield* this.until("find", mapping, index, this.thread)) >= 0) return false;
      if ((yield* this.do("insert", frame, mapping, index, this.thread)) === layout.OK) {
        this.claim(frame, "exclusive");
        yield* this.do("setUptodate", frame);
        return true;
      }
      this.forget(one, two);
    }
    throw new Error("insert never got on");
  }
}
