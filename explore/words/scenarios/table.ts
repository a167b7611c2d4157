/**
 * Scenarios of the page table, the reclaim queues and the free list.
 *
 * See also: case.ts, src/sync/words/table.ts, src/sync/words/queues.ts.
 */
import * as layout from "../../../src/sync/layout.js";
import type { Actor, Play, Script } from "../actors.js";
import { WordsMemory, planWords } from "../words-memory.js";
import { addPage, evict, inTurn, lockAs, mutant, visit, type Case } from "./case.js";

/** A miss: takes a frame and puts the page in, or finds that somebody was faster. */
function fault(mapping: number, index: number): Script {
  return function* (actor) {
    const frame = yield* actor.until("reserve", actor.thread);
    if (frame < 0) return;
    if (yield* actor.insert(frame, mapping, index)) return yield* actor.unlockExclusive(frame);
    actor.check((yield* actor.until("release", frame)) === layout.OK, "a reserved frame is given back");
    const found = yield* actor.until("find", mapping, index, actor.thread);
    actor.check(found >= 0, "the page is there");
  };
}

/** Invalidation of page 0, which the actor owns from the beginning: takes it out, gives its frame back. */
function* drop(actor: Actor): Play {
  actor.claim(0, "exclusive");
  yield* actor.removeOwned(0, 0, 0);
  yield* actor.until("release", 0);
}

function reclaim(frame: number, mapping: number, index: number): Script {
  return function* (actor) {
    if (yield* evict(actor, frame, mapping, index)) yield* actor.until("release", frame);
  };
}

/** Reclaim's scan: sets a held frame aside, gives an idle one a second round. */
function* scan(actor: Actor): Play {
  const answer = yield* actor.until("setAside", 0, layout.LIST_SMALL);
  if (answer === layout.BUSY) yield* actor.until("moveTo", 0, layout.LIST_SMALL, layout.LIST_MAIN, 0);
}

/** Page indexes of mapping 0 that share a bucket when there are four frames. */
const sameBucket = new WordsMemory(
  planWords({ frames: 4 }),
  new ArrayBuffer(planWords({ frames: 4 }).bytes),
).collidingIndexes(0, 4);
const [first = 0, second = 0, third = 0, fourth = 0] = sameBucket;

export const tableCases: readonly Case[] = [
  {
    name: "two misses of one page",
    isLong: true,
    size: { frames: 3 },
    actors: [fault(0, 0), fault(0, 0), fault(0, 0)],
    mutants: [
      mutant(
        "insert does not prove that the page is not there",
        "words/table.ts",
        "let seen: u64 = atomic.load<u64>(threadOf(thread) + THREAD_SEEN_HEAD);\n  let record",
        "let seen: u64 = atomic.load<u64>(bucket);\n  let record",
      ),
      mutant(
        "reserve takes no latch",
        "words/table.ts",
        "if (!tryLatchLists()) return LOST;\n  let head: u32 = atomic.load<u32>(HEADER_LISTS + (LIST_FREE << 4));",
        "let head: u32 = atomic.load<u32>(HEADER_LISTS + (LIST_FREE << 4));",
      ),
    ],
  },
  {
    name: "insert and remove in one chain of three",
    size: { frames: 4 },
    prepare: inTurn(addPage(0, first), addPage(0, second), addPage(0, third)),
    actors: [reclaim(1, 0, second), reclaim(0, 0, first), fault(0, fourth)],
    mutants: [
      mutant(
        "remove does not look whether the chain is as it was",
        "words/table.ts",
        "if ((seen & HEAD_LATCH) != 0 || atomic.cmpxchg<u64>(bucket, seen, seen | HEAD_LATCH) != seen) {\n    unlatchLists();",
        "seen = atomic.load<u64>(bucket);\n  if ((seen & HEAD_LATCH) != 0 || atomic.cmpxchg<u64>(bucket, seen, seen | HEAD_LATCH) != seen) {\n    unlatchLists();",
      ),
    ],
  },
  {
    name: "an owner drops a page that others lock and wait for",
    size: { frames: 1, nodes: 2 },
    prepare: inTurn(addPage(0, 0), lockAs(1)),
    actors: [drop, visit("shared", 0, 0, 0, true), visit("exclusive", 0, 0, 0, true)],
    mutants: [
      mutant(
        "a condemned page takes waiters",
        "words/waiters.ts",
        "(word & EVICTING) != 0 || possible(word, mode, true)",
        "possible(word, mode, true)",
      ),
    ],
  },
  {
    name: "a scan sets a page aside that is locked and let go",
    isLong: true,
    size: { frames: 2, nodes: 2 },
    prepare: inTurn(addPage(0, 0), addPage(0, 1)),
    actors: [scan, visit("shared", 0, 0, 0), visit("exclusive", 0, 0, 0)],
    mutants: [
      mutant(
        "a frame that nobody holds is set aside",
        "words/queues.ts",
        " || (word & (EXCLUSIVE | HOLDERS | READS | WRITES)) == 0) {\n    unlatchLists();\n    return BUSY;\n  }\n  if (atomic.cmpxchg<u64>(record, word, word | OFF)",
        ") {\n    unlatchLists();\n    return BUSY;\n  }\n  if (atomic.cmpxchg<u64>(record, word, word | OFF)",
      ),
      mutant(
        "a release does not see that the frame is off its queue",
        "words/lock.ts",
        "if ((word & OFF) != 0 && (word & (EXCLUSIVE | HOLDERS | READS | WRITES)) == 0) answer = answer | IDLE;",
        "",
      ),
    ],
  },
];
