/**
 * Scenarios of the page lock and counted pins: frames that change their page under a late swap, version, upgrade.
 *
 * See also: case.ts, src/sync/words/lock.ts.
 */
import * as layout from "../../../src/sync/layout.js";
import type { Actor, Play, Script } from "../actors.js";
import {
  addPage,
  countOwned,
  dirtyOwned,
  evict,
  inTurn,
  mutant,
  pinAs,
  putCounted,
  tryVisit,
  visit,
  type Case,
} from "./case.js";

/** Evicts page 0 from its frame, puts page 1 there, and locks that once more. */
function replacePage(frame: number): Script {
  return function* (actor) {
    if (!(yield* evict(actor, frame, 0, 0))) return;
    actor.check(yield* actor.insert(frame, 0, 1), "page 1 is new");
    yield* actor.unlockExclusive(frame);
    yield* visit("exclusive", frame, 0, 1)(actor);
  };
}

/** Loads page 0 into a free frame, evicts it at once, and loads page 1 there. */
function* loadTwice(actor: Actor): Play {
  const frame = yield* actor.until("reserve", actor.thread);
  actor.check(frame === 0 && (yield* actor.insert(0, 0, 0)), "page 0 is new");
  yield* actor.unlockExclusive(0);
  if (!(yield* evict(actor, 0, 0, 0))) return;
  actor.check(yield* actor.insert(0, 0, 1), "page 1 is new");
  yield* actor.unlockExclusive(0);
}

/** As a hit does: looks a page up and pins it, all in one step. */
function* hit(actor: Actor): Play {
  for (let turn = 0; turn < 2; turn++) {
    const frame = yield* actor.do("tryPinShared", 0, 0, actor.thread);
    if (frame >= 0) {
      yield* actor.holdsPage("shared", frame, 0, 0);
      return yield* actor.unlockShared(frame);
    }
    if (frame === layout.LOST_WAKE) {
      const raced = layout.THREADS + actor.thread * layout.THREAD_BYTES + layout.THREAD_RACED;
      yield* actor.settle(yield* actor.load(raced), layout.WAKE | layout.IDLE);
    } else if (frame !== layout.LOST) {
      return;
    }
  }
}

/** Takes the shared lock and makes it exclusive, or gives it up where another is first. */
function* upgradeOrLeave(actor: Actor): Play {
  actor.check((yield* actor.lock("shared", 0, 0, 0)) === layout.OK, "the page is there");
  const { one, two } = actor.track;
  for (;;) {
    const tried = yield* actor.until("upgrade", 0, actor.thread);
    if (tried === layout.OK) break;
    actor.check(tried === layout.BUSY, `upgrade answered ${tried}`);
    const node = yield* actor.do("enqueue", 0, 0, 0, layout.MODE_UPGRADE, actor.thread, 0);
    if (node === layout.DEADLOCK) return yield* actor.unlockShared(0);
    if (node >= 0) {
      actor.check((yield* actor.waitFor(node, 0)) === layout.NODE_GRANTED, "the wait ends with a grant");
      break;
    }
    actor.forget(one, two);
  }
  actor.drop(0);
  actor.claim(0, "exclusive");
  yield* actor.unlockExclusive(0);
}

/** Page 0 in frame 0 is dirty, fresh and pinned once for a counted write by thread 1. */
function* replacePinnedPage(actor: Actor): Play {
  yield* putCounted(actor, 0, 0);
  if ((yield* actor.tryLock("exclusive", 0, 0, 0)) !== layout.OK) return;
  yield* actor.removeOwned(0, 0, 0);
  actor.check(yield* actor.insert(0, 0, 1), "page 1 is new");
  yield* actor.unlockExclusive(0);
  actor.check((yield* actor.lock("exclusive", 0, 0, 1)) === layout.OK, "page 1 is there");
  yield* dirtyOwned(actor, 0);
  yield* countOwned(actor, 0);
  yield* putCounted(actor, 0, 1);
}

const sharedRecheck = `if (!keyIs(record, mapping, index)) {
    let after: u64 = atomic.sub<u64>(record, ONE_HOLDER) - ONE_HOLDER;`;
const exclusiveRecheck = `if (!keyIs(record, mapping, index)) {
    let after: u64 = atomic.sub<u64>(record, owned) - owned;`;

export const lockCases: readonly Case[] = [
  {
    name: "two pinners and an evictor that puts another page into the frame",
    isLong: true,
    size: { frames: 1, nodes: 2 },
    prepare: addPage(0, 0),
    actors: [visit("shared", 0, 0, 0, true), visit("exclusive", 0, 0, 0, true), replacePage(0)],
    mutants: [
      mutant(
        "a shared lock does not look at the key again",
        "words/lock.ts",
        sharedRecheck,
        sharedRecheck.replace("!keyIs(record, mapping, index)", "false"),
      ),
      mutant(
        "an exclusive lock does not look at the key again",
        "words/lock.ts",
        exclusiveRecheck,
        exclusiveRecheck.replace("!keyIs(record, mapping, index)", "false"),
      ),
      mutant(
        "an undone shared lock wakes nobody",
        "words/lock.ts",
        `${sharedRecheck}\n    return afterRelease(after) != 0 ? LOST_WAKE : LOST;`,
        `${sharedRecheck}\n    return LOST;`,
      ),
      mutant(
        "freeze does not look for holders",
        "words/table.ts",
        "(EXCLUSIVE | HOLDERS | READS | WRITES | WAITERS | EVICTING | DIRTY | WRITEBACK | UNSTABLE)",
        "(EXCLUSIVE | READS | WRITES | WAITERS | EVICTING | DIRTY | WRITEBACK | UNSTABLE)",
      ),
    ],
  },
  {
    name: "a hit and an evictor that puts another page into the frame",
    size: { frames: 2, nodes: 2 },
    prepare: inTurn(addPage(1, 0), addPage(0, 0)),
    actors: [hit, replacePage(1)],
    mutants: [
      mutant(
        "an undone hit does not say in which frame",
        "words/lock.ts",
        "if (answer == LOST_WAKE) atomic.store<u32>(threadOf(thread) + THREAD_RACED, frame);",
        "",
      ),
    ],
  },
  {
    name: "a wait for a page that is dropped while another comes into its frame",
    size: { frames: 1, nodes: 2 },
    actors: [loadTwice, visit("shared", 0, 0, 0, true)],
    mutants: [
      mutant(
        "a waiter does not look at the key again after its swap",
        "words/waiters.ts",
        "if (!keyIs(record, mapping, index)) answer = GONE;\n  else if (atomic.cmpxchg<u64>(HEADER_NODES_FREE",
        "if (atomic.cmpxchg<u64>(HEADER_NODES_FREE",
      ),
      mutant(
        "insert does not advance the version",
        "words/table.ts",
        "| OFF);\n  atomic.add<u32>(record + RECORD_VERSION, 2);",
        "| OFF);\n  atomic.add<u32>(record + RECORD_VERSION, 1);",
      ),
    ],
  },
  {
    name: "a late exclusive lock meets another page with a counted write pin",
    size: { frames: 1, nodes: 2 },
    prepare: inTurn(addPage(0, 0), pinAs(1)),
    actors: [replacePinnedPage, visit("exclusive", 0, 0, 0, true)],
    mutants: [
      {
        name: "the exclusive lock of a pinned page takes no latch",
        replacements: [
          {
            file: "words/lock.ts",
            original: "if (othersWrite(word)) return lockPinned(",
            mutated: "if (false) return lockPinned(",
          },
          {
            file: "words/lock.ts",
            original: "atomic.add<u32>(record + RECORD_VERSION, 1);",
            mutated: "atomic.add<u32>(record + RECORD_VERSION, othersWrite(word) ? 2 : 1);",
          },
        ],
      },
    ],
  },
  {
    name: "a counted put and the unlock of an exclusive lock",
    size: { frames: 1, nodes: 3 },
    prepare: inTurn(addPage(0, 0), pinAs(1), pinAs(2)),
    actors: [(actor) => putCounted(actor, 0, 1), (actor) => putCounted(actor, 0, 0), visit("exclusive", 0, 0, 0)],
    mutants: [
      mutant(
        "a put that lost does not take its version back",
        "words/lock.ts",
        "atomic.add<u32>(record + RECORD_VERSION, bump);\n    return LOST;\n  }\n  addLedger(frame, thread, 0 - LEDGER_WRITE);",
        "return LOST;\n  }\n  addLedger(frame, thread, 0 - LEDGER_WRITE);",
      ),
      mutant(
        "a put does not see the owner of the lock",
        "words/lock.ts",
        "(left & (EXCLUSIVE | WRITES | VIEW)) == 0 ? 1 : 2",
        "(left & (WRITES | VIEW)) == 0 ? 1 : 2",
      ),
    ],
  },
  {
    name: "two upgraders of a page and a sharer",
    isLong: true,
    size: { frames: 1, nodes: 3 },
    prepare: addPage(0, 0),
    actors: [upgradeOrLeave, upgradeOrLeave, tryVisit("shared", 0, 0, 0)],
    mutants: [
      mutant(
        "the second upgrader waits",
        "words/waiters.ts",
        "NODE_MODE) == MODE_UPGRADE) answer = DEADLOCK;",
        "NODE_MODE) == MODE_UPGRADE) answer = OK;",
      ),
      mutant("an upgrade does not count the others", "words/lock.ts", "if (holdersIn(word) != 1) return BUSY;", ""),
    ],
  },
];
