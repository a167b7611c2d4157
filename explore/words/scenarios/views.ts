/**
 * Scenarios of mapped views: stores without the page's lock (R24), and their loads.
 *
 * The viewer does what frames/views.ts does: it publishes the frame in its hazard slot, looks at the view word, stores, clears
 * the slot. Whoever takes the access away revokes, [makes every thread see that], looks at the hazard slots, closes. Here all
 * memory is sequentially consistent; where it says "store buffer", the viewer's stores reach the memory later, in order.
 *
 * A page's bytes are a word of the scenario's own: above 4 bits the page's index.
 *
 * See also: case.ts, readers.ts, src/sync/words/views.ts.
 */
import * as layout from "../../../src/sync/layout.js";
import type { Actor, Play, Script } from "../actors.js";
import type { WordsMemory } from "../words-memory.js";
import {
  addPage,
  bytesOf,
  dirtyOwned,
  inTurn,
  mutant,
  mutantScripts,
  noLostWrite,
  pinAs,
  putCounted,
  storedOf,
  tryVisit,
  type Case,
} from "./case.js";

const viewer = 1;

function hazardOf(memory: WordsMemory): number {
  return memory.thread(viewer) + layout.THREAD_HAZARD_0;
}

/** Page 0:0 in frame 0 is dirty, and views may store to it; to be run alone. */
export const addViewed: Script = function* (actor) {
  yield* addPage(0, 0)(actor);
  actor.check((yield* actor.do("lockExclusive", 0, 0, 0, viewer)) === layout.OK, "the page is there");
  yield* actor.until("markDirty", 0, viewer, 5, 0);
  actor.check((yield* actor.do("openView", 0, viewer)) === layout.OK, "a dirty page's view opens");
  yield* actor.until("unlockExclusive", 0, viewer, 1);
};

/** The view word of what addViewed made. */
const looked = layout.VIEW_WRITABLE;

/** Stores through a view that was looked up as `view`. False: it has to look the page up again. */
function* storeThrough(actor: Actor, view: number, value: number): Play<boolean> {
  const { memory } = actor.traced;
  yield* actor.store(hazardOf(memory), 1);
  const good = (yield* actor.do("viewOf", 0)) === view && (view & layout.VIEW_WRITABLE) !== 0;
  if (good) yield* actor.store(bytesOf(memory), value);
  yield* actor.store(hazardOf(memory), 0);
  return good;
}

/** A store, if the access is still there. */
export const storeOnce: Script = function* (actor) {
  yield* storeThrough(actor, looked, 2);
};

/** A store; where the access was taken away, the fault that brings it back, and the store again. */
const storeOrFault: Script = function* (actor) {
  if (yield* storeThrough(actor, looked, 2)) return;
  actor.check((yield* actor.lock("exclusive", 0, 0, 0)) === layout.OK, "the page is there");
  yield* dirtyOwned(actor, 0);
  actor.check((yield* actor.until("openView", 0, actor.thread)) === layout.OK, "a dirty page's view opens");
  const view = yield* actor.do("viewOf", 0);
  yield* actor.unlockExclusive(0, 1);
  yield* storeThrough(actor, view, 3);
};

/** Revokes, looks at the hazard slot, closes. True where no store can come any more. The actor holds the page's lock. */
function* takeAway(actor: Actor, look = true): Play<boolean> {
  yield* actor.do("revokeView", 0);
  const hazard = look ? yield* actor.load(hazardOf(actor.traced.memory)) : 0;
  if (hazard !== 0) return false;
  actor.check((yield* actor.until("closeView", 0)) === layout.OK, "a revoked view is closed");
  return true;
}

/** As takeAway, until nobody stores any more. */
export function* takeAwayInTheEnd(actor: Actor): Play {
  const { one, two } = actor.track;
  while (!(yield* takeAway(actor))) actor.forget(one, two);
}

/** The flusher: takes the access away and writes the page back; where a store may be on its way, it leaves the page. */
function flush(look = true): Script {
  return function* (actor) {
    if ((yield* actor.tryLock("shared", 0, 0, 0)) !== layout.OK) return;
    yield* takeAway(actor, look);
    if ((yield* actor.until("beginWriteback", 0, actor.thread)) === layout.OK) {
      const bytes = yield* actor.load(bytesOf(actor.traced.memory));
      yield* actor.store(storedOf(actor.traced.memory), bytes);
      yield* actor.settle(0, yield* actor.until("endWriteback", 0, layout.OUTCOME_STABLE));
    }
    yield* actor.unlockShared(0);
  };
}

/** As storeThrough, wrongly. */
const storeUnpublished: Script = function* (actor) {
  if ((yield* actor.do("viewOf", 0)) === looked) yield* actor.store(bytesOf(actor.traced.memory), 2);
};

const storePublishedLate: Script = function* (actor) {
  const { memory } = actor.traced;
  const view = yield* actor.do("viewOf", 0);
  yield* actor.store(hazardOf(memory), 1);
  if (view === looked) yield* actor.store(bytesOf(memory), 2);
  yield* actor.store(hazardOf(memory), 0);
};

// A store buffer: values that the viewer has stored and the memory has not got, in order.

const buffered = 3;

function bufferOf(memory: WordsMemory, entry: number): number {
  return memory.plan.scratch + 64 + entry * 4;
}

/** How many entries were put in (by the viewer), and how many have come out. */
function issuedOf(memory: WordsMemory): number {
  return bufferOf(memory, buffered);
}

function drainedOf(memory: WordsMemory): number {
  return bufferOf(memory, buffered + 1);
}

/** storeThrough with stores that go to the buffer: its look at the view word may come before its hazard is seen. */
const storeBuffered: Script = function* (actor) {
  const { memory } = actor.traced;
  let issued = 0;
  const issue = function* (value: number): Play {
    yield* actor.store(bufferOf(memory, issued++), value);
    yield* actor.store(issuedOf(memory), issued);
  };
  yield* issue(1);
  yield* issue((yield* actor.do("viewOf", 0)) === looked ? 2 : 0);
  yield* issue(0);
};

/** Brings the buffer's entries to the memory, one by one, at any time. */
const drain: Script = function* (actor) {
  const { memory } = actor.traced;
  const places = [hazardOf(memory), bytesOf(memory), hazardOf(memory)];
  for (const [entry, place] of places.entries()) {
    const { one, two } = actor.track;
    while ((yield* actor.load(issuedOf(memory))) <= entry) actor.forget(one, two);
    actor.forget(one, two);
    yield* actor.store(place, yield* actor.load(bufferOf(memory, entry)));
    yield* actor.store(drainedOf(memory), entry + 1);
  }
};

/** Waits until what the viewer has stored is in the memory: membarrier. */
function* barrier(actor: Actor): Play {
  const { memory } = actor.traced;
  const { one, two } = actor.track;
  const issued = yield* actor.load(issuedOf(memory));
  const from = { one: actor.track.one, two: actor.track.two };
  while ((yield* actor.load(drainedOf(memory))) < issued) actor.forget(from.one, from.two);
  actor.forget(one, two);
}

/** The flusher of `storeBuffered`. */
function flushBuffered(withBarrier: boolean): Script {
  return function* (actor) {
    yield* actor.do("lockShared", 0, 0, 0, actor.thread);
    yield* actor.do("revokeView", 0);
    if (withBarrier) yield* barrier(actor);
    if ((yield* actor.load(hazardOf(actor.traced.memory))) === 0) {
      yield* actor.until("closeView", 0);
      yield* actor.until("beginWriteback", 0, actor.thread);
      const bytes = yield* actor.load(bytesOf(actor.traced.memory));
      yield* actor.store(storedOf(actor.traced.memory), bytes);
      yield* actor.settle(0, yield* actor.until("endWriteback", 0, layout.OUTCOME_STABLE));
    }
    yield* actor.settle(0, yield* actor.do("unlockShared", 0, actor.thread));
  };
}

/** Page 0 is dropped, page 1 comes into its frame, and views may store to it. */
const dropViewed: Script = function* (actor) {
  actor.check((yield* actor.lock("exclusive", 0, 0, 0)) === layout.OK, "the page is there");
  yield* takeAwayInTheEnd(actor);
  yield* dropOwned(actor);
};

/** As dropViewed, but does not wait for a store on its way. */
const dropOpen: Script = function* (actor) {
  actor.check((yield* actor.lock("exclusive", 0, 0, 0)) === layout.OK, "the page is there");
  yield* takeAway(actor, false);
  yield* dropOwned(actor);
};

function* dropOwned(actor: Actor): Play {
  const { memory } = actor.traced;
  yield* actor.removeOwned(0, 0, 0);
  actor.check(yield* actor.insert(0, 0, 1), "page 1 is new");
  yield* actor.store(bytesOf(memory), 16);
  yield* dirtyOwned(actor, 0);
  yield* actor.until("openView", 0, actor.thread);
  yield* actor.unlockExclusive(0, 1);
}

/** A load through a view of page 0: good if the view word is the same before and after. */
const loadThrough: Script = function* (actor) {
  if ((yield* actor.do("viewOf", 0)) !== looked) return;
  const bytes = yield* actor.load(bytesOf(actor.traced.memory));
  if ((yield* actor.do("viewOf", 0)) >>> 1 !== looked >>> 1) return;
  actor.check(bytes >>> 4 === 0, "a view of page 0 reads page 0");
};

const storeAndLoad: Script = function* (actor) {
  yield* storeOnce(actor);
  yield* loadThrough(actor);
};

const pageOne = (memory: WordsMemory): string[] =>
  memory.index(0) === 1 && memory.get(bytesOf(memory)) !== 16 ? ["a store through a view of page 0 is in page 1"] : [];

const close: Script = function* (actor) {
  if ((yield* actor.tryLock("shared", 0, 0, 0)) !== layout.OK) return;
  yield* takeAway(actor);
  yield* actor.unlockShared(0);
};

const closeUnlocked: Script = function* (actor) {
  yield* takeAway(actor);
};

const size = { frames: 1, nodes: 2, threads: 4 };

export const viewCases: readonly Case[] = [
  {
    name: "R24: a view's store and a flusher",
    size,
    prepare: addViewed,
    actors: [storeOrFault, inTurn(flush(), flush())],
    atEnd: noLostWrite,
    mutants: [
      mutant(
        "a page with a view is cleaned by write-back",
        "words/dirty.ts",
        "(word & (EXCLUSIVE | WRITEBACK | WRITES | VIEW)) != 0",
        "(word & (EXCLUSIVE | WRITEBACK | WRITES)) != 0",
      ),
      mutant(
        "a view's page is not marked when it closes",
        "words/views.ts",
        "let bump: u32 = others ? 2 : 1;",
        "let bump: u32 = 2;",
      ),
      {
        name: "stores are not revoked",
        replacements: [
          {
            file: "words/views.ts",
            original: "atomic.and<u32>(recordOf(frame) + RECORD_VIEW, ~VIEW_WRITABLE);",
            mutated: "atomic.or<u32>(recordOf(frame) + RECORD_VIEW, 0);",
          },
          {
            file: "words/views.ts",
            original: " || (atomic.load<u32>(record + RECORD_VIEW) & VIEW_WRITABLE) != 0) return BUSY;",
            mutated: ") return BUSY;",
          },
        ],
      },
      mutantScripts("the flusher does not look at the hazard slots", storeOrFault, flush(false)),
      mutantScripts("the viewer does not publish its hazard", storeUnpublished, flush()),
      mutantScripts("the viewer publishes its hazard after it has looked", storePublishedLate, flush()),
    ],
  },
  {
    name: "R24: a view's store in a store buffer and a flusher",
    size,
    prepare: addViewed,
    actors: [storeBuffered, drain, flushBuffered(true)],
    atEnd: noLostWrite,
    mutants: [mutantScripts("there is no barrier", storeBuffered, drain, flushBuffered(false))],
  },
  {
    name: "a view's store and load, and another page in its frame",
    size,
    prepare: addViewed,
    actors: [storeAndLoad, dropViewed, loadThrough],
    atEnd: pageOne,
    mutants: [
      mutant(
        "a page leaves its frame and views do not see it",
        "words/table.ts",
        "& ~VIEW_WRITABLE) + VIEW_STEP);",
        "& ~VIEW_WRITABLE));",
      ),
      mutantScripts("the page is dropped while its view may store", storeAndLoad, dropOpen),
    ],
  },
  {
    name: "a view is closed while others write",
    size,
    prepare: inTurn(addViewed, pinAs(2)),
    actors: [close, (actor) => putCounted(actor, 0, 1), tryVisit("shared", 0, 0, 0)],
    mutants: [
      mutant(
        "a close that lost does not take its version back",
        "words/views.ts",
        "atomic.add<u32>(record + RECORD_VERSION, bump);\n    return LOST;",
        "return LOST;",
      ),
      mutant(
        "a close does not see who else writes",
        "words/views.ts",
        "let bump: u32 = others ? 2 : 1;",
        "let bump: u32 = 1;",
      ),
      mutant(
        "a closed view's page stays modified without a writer",
        "words/views.ts",
        "(others ? VIEW : VIEW | FRESH | MODIFIED)",
        "VIEW",
      ),
      mutant(
        "a put does not see the view",
        "words/lock.ts",
        "(left & (EXCLUSIVE | WRITES | VIEW)) == 0 ? 1 : 2",
        "(left & (EXCLUSIVE | WRITES)) == 0 ? 1 : 2",
      ),
      mutantScripts("a view is closed without the lock", closeUnlocked, (actor) => putCounted(actor, 0, 1)),
    ],
  },
];
