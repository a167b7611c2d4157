/**
 * What a scenario of the page words is made of: scripts for the actors, and mutants that it has to find.
 *
 * A mutant changes the words' source where a guard stands; the scenario with it has to be violated, which proves that the
 * scenario can fail and that the guard is needed.
 *
 * See also: ../enumerator.ts, ../builds.ts (Replacement).
 */
import * as layout from "../../../src/sync/layout.js";
import type { Actor, Hold, Play, Script } from "../actors.js";
import type { Replacement } from "../builds.js";
import type { Scenario } from "../enumerator.js";
import type { WordsMemory } from "../words-memory.js";

export interface Mutant {
  readonly name: string;
  readonly replacements: readonly Replacement[];
  /** Scripts in place of the scenario's: what a caller owes the steps, and here does not do. */
  readonly actors?: readonly Script[];
}

export interface Case extends Scenario {
  readonly mutants: readonly Mutant[];
  /** Takes a fifth of a second or more: nothing for a quick check. */
  readonly isLong?: boolean;
}

/** A mutant of one replacement. */
export function mutant(name: string, file: string, original: string, mutated: string): Mutant {
  return { name, replacements: [{ file, original, mutated }] };
}

/** A mutant of what callers do. */
export function mutantScripts(name: string, ...actors: Script[]): Mutant {
  return { name, replacements: [], actors };
}

/** Runs scripts one after the other. */
export function inTurn(...scripts: Script[]): Script {
  return function* (actor) {
    for (const script of scripts) yield* script(actor);
  };
}

/** Puts a page in, uptodate, clean, on its queue. */
export function addPage(mapping: number, index: number): Script {
  return function* (actor) {
    const frame = yield* actor.until("reserve", actor.thread);
    actor.check(frame >= 0, "there is a free frame");
    actor.check(yield* actor.insert(frame, mapping, index), "the page is new");
    yield* actor.unlockExclusive(frame);
  };
}

/** Locks a page in `frame` and lets go of it; `gone` says that it may be gone. */
export function visit(hold: Hold, frame: number, mapping: number, index: number, gone = false): Script {
  return function* (actor) {
    const answer = yield* actor.lock(hold, frame, mapping, index);
    actor.check(answer === layout.OK || (gone && answer === layout.GONE), `lock answered ${answer}`);
    if (answer !== layout.OK) return;
    if (hold === "shared") yield* actor.unlockShared(frame);
    else yield* actor.unlockExclusive(frame);
  };
}

/** As `visit`, but does not wait: where the lock is held, that is all. */
export function tryVisit(hold: Hold, frame: number, mapping: number, index: number): Script {
  return function* (actor) {
    if ((yield* actor.tryLock(hold, frame, mapping, index)) !== layout.OK) return;
    if (hold === "shared") yield* actor.unlockShared(frame);
    else yield* actor.unlockExclusive(frame);
  };
}

/** Locks page 0:0 in frame 0 exclusively as `thread` does, whose actor goes on with `letGoOwned`; to be run alone. */
export function lockAs(thread: number): Script {
  return function* (actor) {
    const answer = yield* actor.until("lockExclusive", 0, 0, 0, thread);
    actor.check(answer === layout.OK, "the page is there");
  };
}

/** Lets go of frame 0, which `lockAs` has locked for this actor. */
export function* letGoOwned(actor: Actor): Play {
  actor.claim(0, "exclusive");
  yield* actor.unlockExclusive(0);
}

/** Reclaim: freezes the page in `frame` and takes it out of the table, if it may. True if the frame is reserved now. */
export function* evict(actor: Actor, frame: number, mapping: number, index: number): Play<boolean> {
  if ((yield* actor.until("freeze", frame, actor.thread)) !== layout.OK) return false;
  actor.claim(frame, "exclusive");
  yield* actor.removeFrozen(frame, mapping, index);
  actor.drop(frame);
  return true;
}

/** Makes a page dirty that the actor owns exclusively. */
export function* dirtyOwned(actor: Actor, frame: number): Play {
  const answer = yield* actor.until("markDirty", frame, actor.thread, 5, 0);
  actor.check(answer === layout.OK || answer === 1, `markDirty answered ${answer}`);
}

/** Pins page 0:0 in frame 0 for counted writes as `thread` does, whose actor goes on from there; to be run alone. */
export function pinAs(thread: number): Script {
  return function* (actor) {
    const answer = yield* actor.until("lockExclusive", 0, 0, 0, thread);
    actor.check(answer === layout.OK, "the page is there");
    yield* actor.until("markDirty", 0, thread, 5, 0);
    yield* actor.until("exclusiveToCounted", 0, thread);
  };
}

/** The exclusive lock, under which the page is dirty, becomes a counted write pin. */
export function* countOwned(actor: Actor, frame: number): Play {
  actor.drop(frame);
  yield* actor.settle(frame, yield* actor.until("exclusiveToCounted", frame, actor.thread));
}

export function* putCounted(actor: Actor, frame: number, modified: number): Play {
  yield* actor.settle(frame, yield* actor.until("putCountedWrite", frame, actor.thread, modified));
}

/** Two words of the scenario's own: what the page holds and what the store has. */
export function bytesOf(memory: WordsMemory, page = 0): number {
  return memory.plan.scratch + page * 8;
}

export function storedOf(memory: WordsMemory, page = 0): number {
  return memory.plan.scratch + page * 8 + 4;
}

/** At the end: what is not dirty is what the store has. */
export function noLostWrite(memory: WordsMemory): string[] {
  const lost = !memory.bit(0, layout.DIRTY_BIT) && memory.get(bytesOf(memory)) !== memory.get(storedOf(memory));
  return lost ? ["frame 0 is not dirty and the store has other bytes: a lost write"] : [];
}
