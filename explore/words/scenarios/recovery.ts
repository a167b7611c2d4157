/**
 * Scenarios of death: an actor stops for ever between any two of its steps, another cleans up in the name of its slot, and a third
 * goes on: it gets its lock, and every invariant holds. The reaper decides when.
 *
 * See also: case.ts, ../recoverer.ts, docs/decisions/0002-page-words.md.
 */
import * as layout from "../../../src/sync/layout.js";
import type { Actor, Play, Script } from "../actors.js";
import {
  clearHazards,
  endWritebacks,
  letGo,
  mortal,
  reaper,
  recoverWithout,
  requeueIdle,
  settleNodes,
} from "../recoverer.js";
import {
  addPage,
  bytesOf,
  countOwned,
  dirtyOwned,
  evict,
  inTurn,
  lockAs,
  letGoOwned,
  mutant,
  mutantScripts,
  noLostWrite,
  pinAs,
  putCounted,
  storedOf,
  tryVisit,
  visit,
  type Case,
  type Mutant,
} from "./case.js";
import { addViewed, storeOnce, takeAwayInTheEnd } from "./views.js";

/** A miss: takes a frame and puts the page in, unless it is there by now. */
function* fault(actor: Actor): Play {
  const frame = yield* actor.until("reserve", actor.thread);
  if (frame >= 0 && !(yield* load(actor, frame))) yield* actor.until("release", frame);
}

/** Looks the page up and, where it is, waits for it. */
function* visitFound(actor: Actor): Play {
  const found = yield* actor.until("find", 0, 0, actor.thread);
  if (found >= 0) yield* visit("shared", found, 0, 0, true)(actor);
}

/** Inserts the page, takes its time until its bytes are there, and lets go. False: it is there by now. */
function* load(actor: Actor, frame: number): Play<boolean> {
  for (;;) {
    if ((yield* actor.until("find", 0, 0, actor.thread)) >= 0) return false;
    if ((yield* actor.do("insert", frame, 0, 0, actor.thread)) === layout.OK) break;
  }
  actor.claim(frame, "exclusive");
  yield* actor.store(bytesOf(actor.traced.memory), 1);
  yield* actor.do("setUptodate", frame);
  yield* actor.unlockExclusive(frame);
  return true;
}

/** A write under the exclusive lock, or one through a counted pin that it becomes. */
function write(value: number, counted: boolean): Script {
  return function* (actor) {
    actor.check((yield* actor.lock("exclusive", 0, 0, 0)) === layout.OK, "the page is there");
    yield* dirtyOwned(actor, 0);
    if (counted) yield* countOwned(actor, 0);
    yield* actor.store(bytesOf(actor.traced.memory), value);
    if (counted) yield* putCounted(actor, 0, 1);
    else yield* actor.unlockExclusive(0, 1);
  };
}

/** A write through the counted pin that the actor has from the beginning. */
function* writePinned(actor: Actor): Play {
  yield* actor.store(bytesOf(actor.traced.memory), 2);
  yield* putCounted(actor, 0, 1);
}

/** Joins the queue of a page that another owns, if it still does, and has the lock in the end. */
function* waitOnce(actor: Actor): Play {
  const node = yield* actor.do("enqueue", 0, 0, 0, layout.MODE_EXCLUSIVE, actor.thread, 0);
  if (node < 0) return;
  yield* actor.waitFor(node, 0);
  actor.claim(0, "exclusive");
  yield* actor.unlockExclusive(0);
}

/** Changes two words of the page, which are equal in a page that is whole. */
function* writeBoth(actor: Actor): Play {
  const { memory } = actor.traced;
  actor.check((yield* actor.lock("exclusive", 0, 0, 0)) === layout.OK, "the page is there");
  yield* actor.store(bytesOf(memory), 2);
  yield* actor.store(storedOf(memory), 2);
  yield* actor.unlockExclusive(0, 1);
}

/** Reads them. A page that is not whole says that its owner has died. */
function* readBoth(actor: Actor): Play {
  const { memory } = actor.traced;
  actor.check((yield* actor.lock("shared", 0, 0, 0)) === layout.OK, "the page is there");
  const high = yield* actor.do("highWord", 0);
  const whole = (yield* actor.load(bytesOf(memory))) === (yield* actor.load(storedOf(memory)));
  const told = ((high >>> (layout.OWNER_DIED_BIT - 32)) & 1) === 1;
  actor.check(whole || told, "whoever reads a page that a dead one was writing is told");
  yield* actor.unlockShared(0);
}

/** Writes the page back, from a snapshot where it is pinned for counted writes. */
function* writeBack(actor: Actor): Play {
  actor.check((yield* actor.lock("shared", 0, 0, 0)) === layout.OK, "the page is there");
  let begun = yield* actor.until("beginWriteback", 0, actor.thread);
  if (begun === layout.OK) yield* finish(actor);
  else {
    const snapshot = yield* actor.until("takeSnapshot", actor.thread);
    actor.check(snapshot >= 0, "there is a free snapshot");
    begun = yield* actor.until("beginSnapshot", 0, actor.thread);
    if (begun === layout.OK) yield* finish(actor);
    yield* actor.until("giveSnapshot", snapshot);
  }
  yield* actor.unlockShared(0);
}

function* finish(actor: Actor): Play {
  yield* actor.store(storedOf(actor.traced.memory), yield* actor.load(bytesOf(actor.traced.memory)));
  yield* actor.settle(0, yield* actor.until("endWriteback", 0, layout.OUTCOME_STABLE));
}

/** Takes the access of views away and writes the page back. */
function* flushViewed(actor: Actor): Play {
  actor.check((yield* actor.lock("shared", 0, 0, 0)) === layout.OK, "the page is there");
  yield* takeAwayInTheEnd(actor);
  if ((yield* actor.until("beginWriteback", 0, actor.thread)) === layout.OK) yield* finish(actor);
  yield* actor.unlockShared(0);
}

function* evictPage(actor: Actor): Play {
  if (yield* evict(actor, 0, 0, 0)) yield* actor.until("release", 0);
}

/** A shared hold becomes exclusive, or is given up. */
function* upgrade(actor: Actor): Play {
  actor.check((yield* actor.lock("shared", 0, 0, 0)) === layout.OK, "the page is there");
  const { one, two } = actor.track;
  while ((yield* actor.until("upgrade", 0, actor.thread)) !== layout.OK) {
    const node = yield* actor.do("enqueue", 0, 0, 0, layout.MODE_UPGRADE, actor.thread, 0);
    actor.check(node !== layout.DEADLOCK, "nobody else upgrades");
    if (node >= 0) {
      yield* actor.waitFor(node, 0);
      break;
    }
    actor.forget(one, two);
  }
  actor.drop(0);
  actor.claim(0, "exclusive");
  yield* actor.unlockExclusive(0);
}

const size = { frames: 1, nodes: 2, threads: 4 };
function* addNothing(): Play {}

const afterDirty = inTurn(addPage(0, 0), write(1, false));

const dies = (
  name: string,
  life: Script,
  other: Script,
  mutants: readonly Mutant[],
  more: Partial<Case> = {},
): Case => ({
  name,
  size,
  prepare: addPage(0, 0),
  actors: [mortal(life), other, reaper],
  mutants,
  ...more,
});

/** A mutant: recovery lacks a part. */
const lacks = (name: string, part: Script, life: Script, other: Script): Mutant =>
  mutantScripts(name, mortal(life, recoverWithout(part)), other, reaper);

const sharer = visit("shared", 0, 0, 0);
const owner = visit("exclusive", 0, 0, 0);
const grantor = inTurn(letGoOwned, tryVisit("shared", 0, 0, 0));

export const recoveryCases: readonly Case[] = [
  dies("a sharer dies", sharer, owner, [
    mutant(
      "a shared lock is in no ledger",
      "words/lock.ts",
      "addLedger(frame, thread, LEDGER_SHARED);\n  return OK;\n}\n\n/** Step. Takes the page lock shared",
      "return OK;\n}\n\n/** Step. Takes the page lock shared",
    ),
    lacks("nobody lets go of its locks", letGo, sharer, owner),
  ]),
  dies("a writer dies", writeBoth, readBoth, [
    mutant(
      "the owner's slot is not in the word",
      "words/memory.ts",
      "return EXCLUSIVE | (u64(thread) << HOLDERS_SHIFT);",
      "return EXCLUSIVE | (u64(thread & 2) << HOLDERS_SHIFT);",
    ),
    lacks("nobody lets go of its locks", letGo, writeBoth, readBoth),
    mutant(
      "a dead owner is not marked",
      "words/state.ts",
      "atomic.or<u64>(recordOf(frame), OWNER_DIED);",
      "atomic.or<u64>(recordOf(frame), 0);",
    ),
  ]),
  dies("a counted writer dies", write(2, true), owner, [
    mutant("a counted write is in no ledger", "words/lock.ts", "addLedger(frame, thread, LEDGER_WRITE);", ""),
    lacks("nobody puts its pins", letGo, write(2, true), owner),
  ]),
  dies(
    "a waiter dies as it is granted",
    waitOnce,
    grantor,
    [
      lacks("nobody settles its waits", settleNodes, waitOnce, grantor),
      mutantScripts(
        "its locks are let go before its waits are settled",
        mortal(waitOnce, inTurn(letGo, settleNodes)),
        grantor,
        reaper,
      ),
    ],
    { prepare: inTurn(addPage(0, 0), lockAs(2)) },
  ),
  dies("an upgrader dies", upgrade, sharer, [
    mutant(
      "an accepted upgrade leaves its shared hold in the ledger",
      "words/waiters.ts",
      "if (state == NODE_GRANTED && mode == MODE_UPGRADE) addLedger(frame, thread, 0 - LEDGER_SHARED);",
      "",
    ),
    lacks("nobody settles its waits", settleNodes, upgrade, sharer),
  ]),
  dies(
    "a loader dies",
    fault,
    inTurn(visitFound, fault),
    [
      mutant(
        "a reserved frame has no owner",
        "words/table.ts",
        "u64(STATE_RESERVED) | (u64(thread) << HOLDERS_SHIFT));\n  unlatchLists();\n  return i32(head - 1);",
        "u64(STATE_RESERVED));\n  unlatchLists();\n  return i32(head - 1);",
      ),
      mutant(
        "a dead one's lock is taken over by a plain store",
        "words/lock.ts",
        "return atomic.cmpxchg<u64>(record, word, word - ownedBy(dead) + ownedBy(thread)) == word ? OK : LOST;",
        "atomic.store<u64>(record, word - ownedBy(dead) + ownedBy(thread));\n  return OK;",
      ),
      lacks("a page that it put back on no queue stays off", requeueIdle, fault, visitFound),
    ],
    { prepare: addNothing },
  ),
  dies(
    "a flusher dies",
    writeBack,
    write(2, false),
    [
      mutant(
        "a write-back has no writer",
        "words/dirty.ts",
        "MODIFIED | WRITER)) | WRITEBACK | (u64(thread) << WRITER_SHIFT);\n  if (atomic.cmpxchg<u64>(record, word, after) != word) {\n    unlatchLists();\n    return LOST;\n  }\n  unlinkLatched",
        "MODIFIED | WRITER)) | WRITEBACK;\n  if (atomic.cmpxchg<u64>(record, word, after) != word) {\n    unlatchLists();\n    return LOST;\n  }\n  unlinkLatched",
      ),
      mutant(
        "an ended write-back keeps its writer",
        "words/dirty.ts",
        "let after: u64 = word & ~(WRITEBACK | WRITER);",
        "let after: u64 = word & ~WRITEBACK;",
      ),
      lacks("its write-back is not ended", endWritebacks, writeBack, write(2, false)),
    ],
    { prepare: afterDirty, atEnd: noLostWrite },
  ),
  dies(
    "a flusher dies with a snapshot",
    writeBack,
    writePinned,
    [
      mutant(
        "a snapshot has no owner",
        "words/table.ts",
        "u64(STATE_SNAPSHOT) | ownedBy(thread));",
        "u64(STATE_SNAPSHOT) | EXCLUSIVE);",
      ),
    ],
    { size: { ...size, snapshots: 1 }, prepare: inTurn(addPage(0, 0), pinAs(2)), atEnd: noLostWrite },
  ),
  dies("an evictor dies", evictPage, visit("shared", 0, 0, 0, true), [
    mutant(
      "a page that stays after all cannot be locked",
      "words/table.ts",
      "atomic.cmpxchg<u64>(record, word, word & ~EVICTING) == word",
      "atomic.cmpxchg<u64>(record, word, word) == word",
    ),
  ]),
  dies(
    "a view's thread dies",
    storeOnce,
    flushViewed,
    [lacks("its hazard slots are not cleared", clearHazards, storeOnce, flushViewed)],
    { prepare: addViewed, atEnd: noLostWrite },
  ),
];
