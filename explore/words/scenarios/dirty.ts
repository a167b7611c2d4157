/**
 * Scenarios of dirty, write-back and unstable pages. Two words of the scenario's own stand for the page's bytes and for
 * what the store has: at the end a page that is not dirty has to be what the store has.
 *
 * See also: case.ts, src/sync/words/dirty.ts.
 */
import * as layout from "../../../src/sync/layout.js";
import type { Actor, Play, Script } from "../actors.js";
import {
  addPage,
  bytesOf,
  dirtyOwned,
  inTurn,
  mutant,
  noLostWrite,
  pinAs,
  putCounted,
  storedOf,
  type Case,
} from "./case.js";

/** A write under the exclusive lock. */
function write(value: number): Script {
  return function* (actor) {
    actor.check((yield* actor.lock("exclusive", 0, 0, 0)) === layout.OK, "the page is there");
    yield* dirtyOwned(actor, 0);
    yield* actor.store(bytesOf(actor.traced.memory), value);
    yield* actor.unlockExclusive(0, 1);
  };
}

/** A write through a counted pin that the actor has from the beginning. */
function writeCounted(value: number): Script {
  return function* (actor) {
    yield* actor.store(bytesOf(actor.traced.memory), value);
    yield* putCounted(actor, 0, 1);
  };
}

/** A write pin that turns out not to have changed anything. */
function* pinUnmodified(actor: Actor): Play {
  actor.check((yield* actor.lock("exclusive", 0, 0, 0)) === layout.OK, "the page is there");
  yield* dirtyOwned(actor, 0);
  yield* actor.until("cleanUnmodified", 0, actor.thread);
  yield* actor.unlockExclusive(0);
}

/** The flusher: if nobody owns the page, writes it back, as it is or a snapshot where it is pinned for counted writes. */
function writeBack(outcome: number): Script {
  return function* (actor) {
    if ((yield* actor.tryLock("shared", 0, 0, 0)) !== layout.OK) return;
    const syncErrors = yield* actor.load(actor.traced.memory.mapping(0) + layout.MAPPING_SYNC_ERRORS);
    let begun = yield* actor.until("beginWriteback", 0, actor.thread);
    if (begun !== layout.OK) begun = yield* actor.until("beginSnapshot", 0, actor.thread);
    if (begun === layout.OK) {
      const bytes = yield* actor.load(bytesOf(actor.traced.memory));
      if (outcome !== layout.OUTCOME_FAILED) yield* actor.store(storedOf(actor.traced.memory), bytes);
      yield* actor.settle(0, yield* actor.until("endWriteback", 0, outcome, syncErrors));
    }
    yield* actor.unlockShared(0);
  };
}

/** A store sync: what was written before it is durable after it, or dirty again. */
function storeSync(step: "stabilizeNext" | "redirtyNext"): Script {
  return function* (actor) {
    const epoch = yield* actor.until("flipEpoch", 0);
    for (let turn = 0; turn < 3; turn++) {
      if ((yield* actor.until(step, 0, epoch)) === layout.NONE) return;
    }
    throw new Error("the list of unstable pages does not end");
  };
}

/** Waits until the page is not under write-back. */
function* waitForWriteback(actor: Actor): Play {
  const node = yield* actor.do("enqueue", 0, 0, 0, layout.MODE_WRITEBACK, actor.thread, 0);
  if (node >= 0) actor.check((yield* actor.waitFor(node, 0)) === layout.NODE_GRANTED, "the wait ends with a grant");
  else actor.check(node === layout.LOST, `enqueue answered ${node}`);
}

const addDirtyPage: Script = function* (actor) {
  yield* addPage(0, 0)(actor);
  yield* write(1)(actor);
};

const size = { frames: 1, nodes: 3 };

export const dirtyCases: readonly Case[] = [
  {
    name: "a write, a write-back and a store sync",
    isLong: true,
    size,
    prepare: addDirtyPage,
    actors: [write(2), writeBack(layout.OUTCOME_UNSTABLE), storeSync("stabilizeNext")],
    atEnd: noLostWrite,
    mutants: [
      mutant(
        "a page becomes stable by a plain store",
        "words/dirty.ts",
        "let after: u64 = cleanedWord(word);\n  if (atomic.cmpxchg<u64>(record, word, after) != word) {\n    unlatchLists();\n    return LOST;\n  }",
        "let after: u64 = cleanedWord(word);\n  atomic.store<u64>(record, after);",
      ),
      mutant(
        "a page stays unstable when it gets dirty",
        "words/dirty.ts",
        "(word | DIRTY | GRANT) & ~(UNSTABLE | OFF)",
        "(word | DIRTY | GRANT) & ~OFF",
      ),
      mutant(
        "R20: write-back is not counted",
        "words/dirty.ts",
        "countDirty(mapping, -1);\n  countWriteback(mapping, 1);",
        "countDirty(mapping, -1);",
      ),
    ],
  },
  {
    name: "a failed write-back, a failed store sync and a write",
    isLong: true,
    size,
    prepare: addDirtyPage,
    actors: [
      inTurn(writeBack(layout.OUTCOME_FAILED), writeBack(layout.OUTCOME_UNSTABLE)),
      write(2),
      storeSync("redirtyNext"),
    ],
    atEnd: noLostWrite,
    mutants: [
      mutant(
        "R15: a failed write leaves the page clean",
        "words/dirty.ts",
        "after = after | DIRTY | FAILED;",
        "after = cleanedWord(after);",
      ),
    ],
  },
  {
    name: "an unmodified write pin, a write and a write-back",
    isLong: true,
    size,
    prepare: addPage(0, 0),
    actors: [pinUnmodified, write(2), writeBack(layout.OUTCOME_STABLE)],
    atEnd: noLostWrite,
    mutants: [
      mutant(
        "a page that was dirty before goes back to clean",
        "words/dirty.ts",
        "(word & (DIRTY | FRESH)) != (DIRTY | FRESH)",
        "(word & DIRTY) == 0",
      ),
    ],
  },
  {
    name: "an unmodified write pin, a counted writer and its snapshot",
    isLong: true,
    size,
    prepare: inTurn(addPage(0, 0), pinAs(2)),
    actors: [pinUnmodified, writeCounted(2), writeBack(layout.OUTCOME_UNSTABLE)],
    atEnd: noLostWrite,
    mutants: [
      mutant(
        "the end of a snapshot's write-back clears dirty",
        "words/dirty.ts",
        "let after: u64 = word & ~(WRITEBACK | WRITER);",
        "let after: u64 = word & ~(WRITEBACK | WRITER | DIRTY);",
      ),
      mutant(
        "a page goes back to clean under a counted writer",
        "words/dirty.ts",
        "(word & (MODIFIED | WRITEBACK | WRITES | VIEW)) != 0",
        "(word & (MODIFIED | WRITEBACK | VIEW)) != 0",
      ),
      mutant(
        "R4: a pinned page is cleaned by write-back",
        "words/dirty.ts",
        "(word & (EXCLUSIVE | WRITEBACK | WRITES | VIEW)) != 0",
        "(word & (EXCLUSIVE | WRITEBACK | VIEW)) != 0",
      ),
    ],
  },
  {
    name: "two flushers of one page and who waits for write-back",
    size,
    prepare: addDirtyPage,
    actors: [writeBack(layout.OUTCOME_STABLE), waitForWriteback, writeBack(layout.OUTCOME_STABLE)],
    atEnd: noLostWrite,
    mutants: [
      mutant(
        "R25: two images of a page are in flight",
        "words/dirty.ts",
        "(word & DIRTY) == 0 || (word & WRITEBACK) != 0 || (word & (WRITES | EXCLUSIVE)) == 0",
        "(word & (DIRTY | WRITEBACK)) == 0",
      ),
    ],
  },
];
