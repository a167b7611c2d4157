/**
 * Scenarios of transfers: counted pins and frame credits on their way from thread to thread. Whoever adopts a transfer first has it,
 * and all of it; nothing is counted twice or lost.
 *
 * See also: case.ts, ../recoverer.ts, src/sync/words/transfers.ts.
 */
import * as layout from "../../../src/sync/layout.js";
import type { Actor, Play, Script } from "../actors.js";
import { mortal, reaper, recover, recoverWithout, takeTransfers, unload } from "../recoverer.js";
import type { WordsMemory } from "../words-memory.js";
import { addPage, inTurn, mutant, mutantScripts, pinAs, putCounted, type Case } from "./case.js";

const sender = 1;

/** Where the sender posts its transfer's state word. */
function mailOf(memory: WordsMemory): number {
  return memory.plan.scratch;
}

/** Takes a credit, opens transfer 0 and puts a pin of page 0:0 and the credit into it. The state word to post. */
function* send(actor: Actor, thread: number): Play<number> {
  yield* actor.until("takeCredits", thread, 1);
  const state = yield* actor.until("openTransfer", 0, thread);
  actor.check(state > 0, "the transfer is free");
  actor.check((yield* actor.do("sendPage", 0, 0, thread, 1, 0)) === layout.OK, "the entry is free");
  yield* actor.do("sendCredits", 0, thread, 1);
  return state;
}

/** Page 0:0 is pinned by the sender and offered; to be run alone. */
const addOffered: Script = inTurn(addPage(0, 0), pinAs(sender), function* (actor) {
  yield* actor.store(mailOf(actor.traced.memory), yield* send(actor, sender));
});

/** Adopts what was offered, puts its pins and gives its credits back. */
function adopt(offered?: number): Script {
  return function* (actor) {
    const state = offered ?? (yield* actor.load(mailOf(actor.traced.memory)));
    if ((yield* actor.do("adopt", 0, state, actor.thread)) < 0) return;
    const frames = yield* unload(actor, 0);
    actor.check(frames.join() === "0", `adopted frames ${frames.join()}, the offer was of frame 0`);
    yield* putCounted(actor, 0, 1);
    yield* actor.do("giveCredits", actor.thread, 1);
  };
}

/** Takes its offer back, if nobody has it; then offers its pin of page 1:0, which is in frame 1, and takes that back. */
const sendAgain: Script = function* (actor) {
  yield* adopt()(actor);
  const { one, two } = actor.track;
  let state = yield* actor.until("openTransfer", 0, actor.thread);
  while (state === layout.BUSY) {
    actor.forget(one, two);
    state = yield* actor.until("openTransfer", 0, actor.thread);
  }
  yield* actor.until("sendPage", 1, 1, actor.thread, 1, 0);
  actor.check((yield* actor.do("adopt", 0, state, actor.thread)) > 0, "an offer that nobody knows of is its sender's");
  actor.check((yield* unload(actor, 0)).join() === "1", "the second offer was of frame 1");
  yield* putCounted(actor, 1, 1);
};

/** Pins page 1:0 in frame 1 as the sender; to be run alone. */
const pinOther: Script = function* (actor) {
  yield* addPage(1, 0)(actor);
  yield* actor.until("lockExclusive", 1, 1, 0, sender);
  yield* actor.until("markDirty", 1, sender, 5, 0);
  yield* actor.until("exclusiveToCounted", 1, sender);
};

/** Sends its pin, posts, and may change its mind. */
const post: Script = function* (actor) {
  const state = yield* send(actor, sender);
  yield* actor.store(mailOf(actor.traced.memory), state);
  yield* adopt(state)(actor);
};

/** Waits for the post or for the sender's death, and adopts. */
const receive: Script = function* (actor) {
  const { plan } = actor.traced.memory;
  const { one, two } = actor.track;
  for (;;) {
    const state = yield* actor.load(mailOf(actor.traced.memory));
    if (state !== 0) return yield* adopt(state)(actor);
    if ((yield* actor.load(plan.alarm)) !== 0) return;
    actor.forget(one, two);
  }
};

/** A transfer that thread 2 had, and has ended; to be run alone. */
const addEnded: Script = function* (actor) {
  yield* actor.until("openTransfer", 0, 2);
  yield* actor.do("endTransfer", 0);
};

const size = { frames: 1, nodes: 1, threads: 5, transfers: 1, transits: 1 };

const plainSwap =
  "return atomic.cmpxchg<u32>(transferAt(transfer) + TRANSFER_STATE, state, after) == state ? i32(after) : GONE;";

export const transferCases: readonly Case[] = [
  {
    name: "two adopters and the sender, who takes it back",
    size,
    prepare: addOffered,
    actors: [adopt(), adopt(), adopt()],
    mutants: [
      mutant(
        "whoever adopts has it",
        "words/transfers.ts",
        plainSwap,
        "atomic.store<u32>(transferAt(transfer) + TRANSFER_STATE, after);\n  return i32(after);",
      ),
      mutant(
        "a page in transit stays there",
        "words/transfers.ts",
        "if (atomic.cmpxchg<u64>(transitAt(entry), value, 0) != value) return LOST;",
        "",
      ),
      mutant(
        "credits in transit are counted twice",
        "words/transfers.ts",
        "atomic.store<u32>(transferAt(transfer) + TRANSFER_CREDITS, 0);",
        "",
      ),
    ],
  },
  {
    name: "a late adopter and the next offer in the same transfer",
    size: { ...size, frames: 2, transits: 2 },
    prepare: inTurn(addOffered, pinOther),
    actors: [sendAgain, adopt(), adopt()],
    mutants: [
      mutant(
        "all offers of a thread look the same",
        "words/transfers.ts",
        "((state >> TRANSFER_GENERATION_SHIFT) + 1) & 0x1ffffff",
        "(state >> TRANSFER_GENERATION_SHIFT) & 0x1ffffff",
      ),
    ],
  },
  {
    name: "a sender dies",
    size,
    prepare: inTurn(addPage(0, 0), pinAs(sender)),
    actors: [mortal(post), receive, reaper],
    mutants: [
      mutant(
        "a pin in transit is in the sender's ledger as well",
        "words/transfers.ts",
        "addLedger(frame, thread, 0 - (write != 0 ? LEDGER_WRITE : LEDGER_READ));",
        "",
      ),
      mutantScripts("nobody takes its transfers", mortal(post, recoverWithout(takeTransfers)), receive, reaper),
    ],
  },
  {
    name: "an adopter dies",
    size,
    prepare: addOffered,
    actors: [adopt(), mortal(adopt()), reaper],
    mutants: [
      mutant(
        "an adopted transfer stays the sender's",
        "words/transfers.ts",
        "after = after | (thread << TRANSFER_THREAD_SHIFT) | TRANSFER_ADOPTING;",
        "after = after | (1 << TRANSFER_THREAD_SHIFT) | TRANSFER_ADOPTING;",
      ),
      mutantScripts("nobody takes its transfers", adopt(), mortal(adopt(), recoverWithout(takeTransfers)), reaper),
    ],
  },
  {
    name: "a transfer that a dead thread once had",
    size,
    prepare: inTurn(addPage(0, 0), pinAs(sender), addEnded),
    actors: [post, recover, receive],
    atEnd: (memory) => (memory.get(mailOf(memory)) === 0 ? ["nothing was offered"] : []),
    mutants: [
      mutant(
        "it belongs to nobody else until a later store",
        "words/transfers.ts",
        "return atomic.cmpxchg<u32>(at + TRANSFER_STATE, state, after) == state ? i32(after) : LOST;",
        `let half: u32 = (after & ~(15 << TRANSFER_THREAD_SHIFT)) | (state & (15 << TRANSFER_THREAD_SHIFT));
  if (atomic.cmpxchg<u32>(at + TRANSFER_STATE, state, half) != state) return LOST;
  atomic.store<u32>(at + TRANSFER_STATE, after);
  return i32(after);`,
      ),
    ],
  },
];
