/**
 * Scenarios of waiting: lost wake-ups (R22), abort against grant (R23), dismissal, the stack of free nodes.
 *
 * See also: case.ts, src/sync/words/waiters.ts.
 */
import * as layout from "../../../src/sync/layout.js";
import type { Actor, Hold, Play, Script } from "../actors.js";
import { addPage, inTurn, letGoOwned, lockAs, mutant, visit, type Case } from "./case.js";

const modes: Readonly<Record<Hold, number>> = { shared: layout.MODE_SHARED, exclusive: layout.MODE_EXCLUSIVE };

/** Asks for a lock and, if that means waiting, gives up at once. */
function impatient(hold: Hold, frame: number, mapping: number, index: number): Script {
  return function* (actor) {
    const tried = yield* actor.tryLock(hold, frame, mapping, index);
    if (tried === layout.BUSY) yield* withdrawn(actor, hold, frame, mapping, index);
    else if (tried === layout.OK) yield* letGo(actor, hold, frame);
  };
}

function* withdrawn(actor: Actor, hold: Hold, frame: number, mapping: number, index: number): Play {
  const node = yield* actor.do("enqueue", frame, mapping, index, modes[hold], actor.thread, 0);
  if (node < 0) return;
  const answer = yield* actor.until("withdraw", node, layout.NODE_CANCELLED, 0);
  const state = yield* actor.waitFor(node, frame);
  actor.check(answer !== layout.OK || state === layout.NODE_CANCELLED, "a withdrawn wait is cancelled");
  if (state === layout.NODE_GRANTED) {
    yield* actor.holdsPage(hold, frame, mapping, index);
    yield* letGo(actor, hold, frame);
  } else if (answer === layout.OK) {
    yield* actor.wake(frame);
  }
}

function* letGo(actor: Actor, hold: Hold, frame: number): Play {
  if (hold === "shared") yield* actor.unlockShared(frame);
  else yield* actor.unlockExclusive(frame);
}

/** Owns page 0 from the beginning, condemns it, ends all waits for it, and lets it stay after all. */
function* dismissAndStay(actor: Actor): Play {
  actor.claim(0, "exclusive");
  yield* actor.until("condemn", 0, actor.thread);
  yield* actor.dismissAll(0);
  yield* actor.until("thaw", 0, actor.thread);
  yield* actor.unlockExclusive(0);
}

/** Joins a queue whatever is there (a wait that takes no lock), and leaves it. */
function* enrol(actor: Actor, frame: number): Play<number> {
  const node = yield* actor.until("enqueue", frame, 0, frame, layout.MODE_NOTIFY, actor.thread, 0);
  actor.check(node >= 0 || node === layout.FULL, `enqueue answered ${node}`);
  return node;
}

function* resign(actor: Actor, node: number, frame: number): Play {
  if (node < 0) return;
  yield* actor.until("withdraw", node, layout.NODE_CANCELLED, 0);
  actor.check((yield* actor.until("accept", node)) === layout.OK, "a settled node is accepted");
  yield* actor.wake(frame);
}

/** Closes the gate for an exclusive waiter, and opens it. */
function* gatekeeper(actor: Actor): Play {
  if ((yield* actor.until("setGate", 0, 1)) === layout.OK) {
    yield* actor.until("setGate", 0, 0);
    yield* actor.wake(0);
  }
}

/** Looks at the queue of a record once, and gives up where a swap was lost. */
function* enrolOnce(actor: Actor): Play {
  const node = yield* actor.do("enqueue", 0, 0, 0, layout.MODE_NOTIFY, actor.thread, 0);
  yield* resign(actor, node, 0);
}

/** Waits for an answer to call `number`. The node; less than 0: there is none free. */
function* ask(actor: Actor, number: number): Play<number> {
  return yield* actor.until("enqueue", 0, 0, 0, layout.MODE_NOTIFY, actor.thread, number);
}

/** Asks, and gives up at once. */
function* askAndLeave(actor: Actor): Play {
  const node = yield* ask(actor, 7);
  if (node < 0) return;
  yield* actor.until("withdraw", node, layout.NODE_CANCELLED, 0);
  actor.check((yield* actor.until("accept", node)) === layout.OK, "a settled node is accepted");
}

/** Asks what nobody answers. */
function* askAndStay(actor: Actor): Play {
  const node = yield* ask(actor, 8);
  if (node < 0) return;
  const answer = yield* actor.until("withdraw", node, layout.NODE_CANCELLED, 0);
  actor.check(answer === layout.OK, "nobody has answered this call");
  actor.check((yield* actor.until("accept", node)) === layout.OK, "a settled node is accepted");
}

/** Answers the first call, whose asker was in node 0. */
function* answerFirst(actor: Actor): Play {
  const answer = yield* actor.until("answer", 0, 0, 7, 5);
  actor.check(answer === layout.OK || answer === layout.GONE, `answer answered ${answer}`);
}

const stillWaits = "atomic.load<u32>(at + NODE_STATE) != NODE_WAITING || atomic.load<u32>(at + NODE_FRAME) != frame";
const freed = "  atomic.store<u32>(at + NODE_STATE, NODE_FREE);\n";
const uncounted = "  atomic.sub<u32>(HEADER_NODES_USED, 1);\n";
const popTag = "let rest: u64 = ((free >> 32) + 1) << 32 | ";
const pushTag = "let pushed: u64 = ((free >> 32) + 1) << 32 | ";

export const waiterCases: readonly Case[] = [
  {
    name: "exclusive and shared locks with waiters",
    isLong: true,
    size: { frames: 1, nodes: 3 },
    prepare: addPage(0, 0),
    actors: [visit("exclusive", 0, 0, 0), visit("shared", 0, 0, 0), visit("exclusive", 0, 0, 0)],
    mutants: [
      mutant(
        "R22: a waiter does not look again under the latch",
        "words/waiters.ts",
        "(word & EVICTING) != 0 || possible(word, mode, true)",
        "(word & EVICTING) != 0",
      ),
      mutant(
        "a grant does not look whether it is possible",
        "words/waiters.ts",
        "(word & EVICTING) != 0 || !possible(word, mode, false)",
        "(word & EVICTING) != 0",
      ),
      mutant("every grant takes the mark out of the word", "words/waiters.ts", "if (alone) after", "after"),
    ],
  },
  {
    name: "an aborted wait while it is granted",
    isLong: true,
    size: { frames: 1, nodes: 3 },
    prepare: inTurn(addPage(0, 0), lockAs(1)),
    actors: [letGoOwned, impatient("exclusive", 0, 0, 0), visit("shared", 0, 0, 0)],
    mutants: [
      mutant(
        "R23: a wait is cancelled that was granted",
        "words/waiters.ts",
        `if (!same || ${stillWaits}) {`,
        "if (false) {",
      ),
      mutant(
        "a grant goes to a wait that was cancelled",
        "words/waiters.ts",
        `if (${stillWaits}) answer = GONE;\n  else if`,
        "if",
      ),
    ],
  },
  {
    name: "waits are dismissed while one goes on to another page",
    isLong: true,
    size: { frames: 2, nodes: 1 },
    prepare: inTurn(addPage(0, 0), addPage(0, 1), lockAs(1)),
    actors: [
      dismissAndStay,
      inTurn(impatient("shared", 0, 0, 0), visit("shared", 1, 0, 1)),
      visit("exclusive", 1, 0, 1),
    ],
    mutants: [
      mutant(
        "a dismissal does not look where a node waits",
        "words/waiters.ts",
        `if (!same || ${stillWaits}) {`,
        "if (!same || atomic.load<u32>(at + NODE_STATE) != NODE_WAITING) {",
      ),
    ],
  },
  {
    name: "nodes go round through the stack of free ones",
    size: { frames: 3, nodes: 3 },
    prepare: inTurn(addPage(0, 0), addPage(0, 1), addPage(0, 2)),
    actors: [
      function* (actor) {
        yield* resign(actor, yield* enrol(actor, 0), 0);
      },
      function* (actor) {
        const one = yield* enrol(actor, 1);
        const two = yield* enrol(actor, 2);
        yield* resign(actor, one, 1);
        yield* resign(actor, two, 2);
      },
    ],
    mutants: [
      {
        name: "a node is freed before its owner is done with it",
        replacements: [
          { file: "words/waiters.ts", original: freed, mutated: "" },
          { file: "words/waiters.ts", original: uncounted, mutated: `${freed}${uncounted}` },
        ],
      },
      {
        name: "the top of the stack has no tag",
        replacements: [
          { file: "words/waiters.ts", original: popTag, mutated: "let rest: u64 = " },
          { file: "words/waiters.ts", original: pushTag, mutated: "let pushed: u64 = " },
        ],
      },
    ],
  },
  {
    name: "a wait is given up where its node went to another",
    size: { frames: 2, nodes: 3 },
    prepare: inTurn(addPage(0, 0), addPage(0, 1)),
    actors: [
      enrolOnce,
      function* (actor) {
        yield* resign(actor, yield* enrol(actor, 1), 1);
      },
    ],
    mutants: [
      mutant(
        "a failed wait leaves its mark in the word",
        "words/waiters.ts",
        "if (head == 0) atomic.and<u64>(record, ~(WAITERS | GATE));",
        "",
      ),
    ],
  },
  {
    name: "a gate closes and opens before a sharer",
    isLong: true,
    size: { frames: 1, nodes: 3 },
    prepare: addPage(0, 0),
    actors: [visit("shared", 0, 0, 0), visit("exclusive", 0, 0, 0), gatekeeper],
    mutants: [
      mutant(
        "a gate closes where nobody waits",
        "words/lock.ts",
        "if (closed != 0 && (word & WAITERS) == 0) return BUSY;",
        "",
      ),
    ],
  },
  {
    name: "an answer comes when its asker has gone and another waits in its node",
    size: { frames: 1, nodes: 1 },
    prepare: addPage(0, 0),
    actors: [askAndLeave, askAndStay, answerFirst],
    mutants: [
      mutant(
        "an answer does not look for its number",
        "words/waiters.ts",
        "let same: bool = scope == ANY_SCOPE || atomic.load<u32>(at + NODE_SCOPE) == scope;",
        "let same: bool = true;",
      ),
    ],
  },
];
