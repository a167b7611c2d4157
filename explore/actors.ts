/**
 * An actor: a thread of the explorer with a script, and the loops around steps that production's callers have.
 *
 * Histories: what an actor does next depends on its script and on what it has read, so the enumerator hashes that. After
 * a step only its answer counts, not what it read inside; after an answer LOST the caller's loop is where it was before,
 * so the history goes back as well. That is sound because no loop here keeps anything else from one turn to the next.
 *
 * See also: enumerator.ts; src/frames/locks.ts, which has the same loops for production.
 */
import * as layout from "../src/sync/layout.js";
import type { Step, StepWords } from "./builds.js";
import { POINT_LOAD, POINT_STORE } from "./transform.js";
import { newTrack, remember, type TracedMemory, type Track } from "./traced-memory.js";

/** A piece of a script: points out, an answer at the end. */
export type Play<Answer = void> = Generator<number, Answer, undefined>;

export type Script = (actor: Actor) => Play;

export type Hold = "shared" | "exclusive";

type StepName = Exclude<keyof StepWords, "configure">;

/** Turns of a loop that has to end long before. */
const turnsMax = 100_000;

/** What the actors of one run share beside the memory: who believes to hold what. */
export class Holds {
  readonly #holds = new Map<number, Map<Actor, Hold>>();

  claim(frame: number, actor: Actor, hold: Hold): void {
    const holders = this.#holds.get(frame) ?? new Map<Actor, Hold>();
    for (const [other, theirs] of holders) {
      if (hold === "exclusive" || theirs === "exclusive") throw new Error(`${actor.name} holds record ${frame} ${hold}, ${other.name} ${theirs}`);
    }
    holders.set(actor, hold);
    this.#holds.set(frame, holders);
  }

  drop(frame: number, actor: Actor): void {
    if (this.#holds.get(frame)?.delete(actor) !== true) throw new Error(`${actor.name} lets go of record ${frame}, which it does not hold`);
  }
}

export class Actor {
  readonly name: string;
  readonly thread: number;
  readonly words: StepWords;
  readonly traced: TracedMemory;
  readonly holds: Holds;
  readonly track: Track = newTrack();
  /** Calls and answers so far, where somebody wants to read them. */
  readonly calls: string[] | undefined;

  constructor(name: string, thread: number, words: StepWords, traced: TracedMemory, holds: Holds, calls?: string[]) {
    this.name = name;
    this.thread = thread;
    this.words = words;
    this.traced = traced;
    this.holds = holds;
    this.calls = calls;
  }

  /** One call of a step. */
  *do(name: StepName, ...taken: number[]): Play<number> {
    const { track } = this;
    const { one, two } = track;
    const answer = yield* (this.words[name] as (...all: number[]) => Step)(...taken);
    track.one = one;
    track.two = two;
    remember(track, answer ?? 0);
    track.wrote = false;
    this.calls?.push(`${this.name}: ${name}(${taken.join(", ")}) = ${answer ?? "-"}`);
    if (track.held !== 0) throw new Error(`${name} ended with a latch taken`);
    return answer;
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
    yield address * 4 + POINT_LOAD;
    return this.traced.load32(address);
  }

  *store(address: number, value: number): Play {
    yield address * 4 + POINT_STORE;
    this.traced.store32(address, value);
    this.track.wrote = false;
  }

  check(condition: boolean, sentence: string): void {
    if (!condition) throw new Error(`${this.name}: ${sentence}`);
  }

  // What production's callers do around steps.

  /** Blocks until a node is not waiting any more, then frees it. The node's last state. */
  *waitFor(node: number): Play<number> {
    yield -(node + 1);
    const state = this.traced.load32(this.traced.memory.node(node) + layout.NODE_STATE);
    this.check((yield* this.until("accept", node)) === layout.OK, "a settled node is accepted");
    return state;
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
          : yield* this.do("lockExclusive", frame, mapping, index, this.thread, 0);
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
      if ((yield* this.waitFor(node)) !== layout.NODE_GRANTED) return layout.GONE;
      yield* this.holdsPage(hold, frame, mapping, index);
      return layout.OK;
    }
    throw new Error("lock never got on");
  }

  /** Says that the actor holds this page now, and looks whether it is that page. */
  *holdsPage(hold: Hold, frame: number, mapping: number, index: number): Play {
    this.holds.claim(frame, this, hold);
    const { memory } = this.traced;
    const key = yield* this.load(memory.record(frame) + layout.RECORD_INDEX);
    yield memory.record(frame) * 4 + layout.RECORD_MAPPING * 4 + POINT_LOAD;
    const owner = this.traced.load16(memory.record(frame) + layout.RECORD_MAPPING);
    this.check(key === index && owner === mapping, `locked page ${mapping}:${index} in frame ${frame} and got ${owner}:${key}`);
  }

  *unlockShared(frame: number): Play {
    this.holds.drop(frame, this);
    yield* this.settle(frame, yield* this.do("unlockShared", frame, this.thread));
  }

  *unlockExclusive(frame: number, modified = 0): Play {
    this.holds.drop(frame, this);
    yield* this.settle(frame, yield* this.until("unlockExclusive", frame, this.thread, modified));
  }

  /** Takes the page, which the actor owns exclusively, out of the table: dismisses who waits, then removes it. */
  *removeOwned(frame: number, mapping: number, index: number): Play {
    this.check((yield* this.until("condemn", frame, this.thread)) === layout.OK, "its owner condemns a page");
    yield* this.dismissAll(frame);
    yield* this.removeFrozen(frame, mapping, index);
    this.holds.drop(frame, this);
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
  *removeFrozen(frame: number, mapping: number, index: number): Play {
    const { one, two } = this.track;
    for (let turn = 0; turn < turnsMax; turn++) {
      const found = yield* this.until("find", mapping, index, this.thread);
      this.check(found === frame, `page ${mapping}:${index} is found in ${found}, not in ${frame}`);
      const answer = yield* this.do("remove", frame, this.thread);
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
      if ((yield* this.do("insert", frame, mapping, index, this.thread, 0)) === layout.OK) {
        this.holds.claim(frame, this, "exclusive");
        yield* this.do("setUptodate", frame);
        return true;
      }
      this.forget(one, two);
    }
    throw new Error("insert never got on");
  }
}
