/**
 * Scenarios of optimistic readers, who take no lock: what they accept is whole, and of the page that they asked for.
 *
 * A page has two parts, each of two words of the scenario's own, which are equal in a page that is whole; above 4 bits the page's
 * index.
 *
 * See also: case.ts, views.ts, src/sync/words/views.ts (optimisticBegin).
 */
import * as layout from "../../../src/sync/layout.js";
import type { Actor, Play, Script } from "../actors.js";
import {
  addPage,
  bytesOf,
  evict,
  inTurn,
  mutant,
  mutantScripts,
  pinAs,
  putCounted,
  storedOf,
  type Case,
} from "./case.js";

/** The second word of a part of the page. */
const secondOf = storedOf;

/** Reads page 0 without its lock. Accepts what it read if the version is the same afterwards. */
function readOptimistically(validate = true): Script {
  return function* (actor) {
    const { memory } = actor.traced;
    const frame = yield* actor.do("optimisticBegin", 0, 0, actor.thread);
    if (frame < 0) return;
    const version = yield* actor.load(memory.thread(actor.thread) + layout.THREAD_VERSION);
    const firsts = [yield* actor.load(bytesOf(memory, 0)), yield* actor.load(bytesOf(memory, 1))];
    const seconds = [yield* actor.load(secondOf(memory, 0)), yield* actor.load(secondOf(memory, 1))];
    if (validate && (yield* actor.do("versionOf", frame)) !== version) return;
    actor.check(firsts.join() === seconds.join(), "an accepted page is whole");
    actor.check((firsts[0] ?? 0) >>> 4 === 0, "an accepted page is the one that was asked for");
  };
}

function* writeBoth(actor: Actor, part: number, value: number): Play {
  yield* actor.store(bytesOf(actor.traced.memory, part), value);
  yield* actor.store(secondOf(actor.traced.memory, part), value);
}

/** Writes the page under its lock. */
const writeLocked: Script = function* (actor) {
  if ((yield* actor.tryLock("exclusive", 0, 0, 0)) !== layout.OK) return;
  yield* writeBoth(actor, 0, 2);
  yield* actor.unlockExclusive(0);
};

/** Writes through the counted pin that the actor has, and puts it. Another part of the page than writeLocked's. */
const writePinned: Script = function* (actor) {
  yield* writeBoth(actor, 1, 3);
  yield* putCounted(actor, 0, 1);
};

/** Evicts page 0 and loads page 1 into its frame. */
const replace: Script = function* (actor) {
  if (!(yield* evict(actor, 0, 0, 0))) return;
  actor.check(yield* actor.insert(0, 0, 1), "page 1 is new");
  yield* writeBoth(actor, 0, 16);
  yield* actor.unlockExclusive(0);
};

const size = { frames: 1, nodes: 2, threads: 4 };

export const readerCases: readonly Case[] = [
  {
    name: "an optimistic reader, a counted writer and one who owns the lock",
    size,
    prepare: inTurn(addPage(0, 0), pinAs(2)),
    actors: [readOptimistically(), writePinned, writeLocked],
    mutants: [
      mutant(
        "a reader trusts an even version",
        "words/views.ts",
        "(word & (EXCLUSIVE | WRITES | VIEW)) != 0 || (version & 1) != 0",
        "(version & 1) != 0",
      ),
      mutantScripts("a reader does not look at the version again", readOptimistically(false), writePinned, writeLocked),
    ],
  },
  {
    name: "an optimistic reader and an evictor that puts another page into the frame",
    size,
    prepare: addPage(0, 0),
    actors: [readOptimistically(), replace, writeLocked],
    mutants: [
      mutant(
        "a reader does not look at the key again",
        "words/views.ts",
        "if (!keyIs(record, mapping, index) || (word & STATES) != STATE_MAPPED) return GONE;",
        "if ((word & STATES) != STATE_MAPPED) return GONE;",
      ),
      mutantScripts("a reader does not look at the version again", readOptimistically(false), replace, writeLocked),
    ],
  },
];
