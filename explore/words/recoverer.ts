/**
 * The death of an actor, and what is done after it: as src/mapping/recovery.ts does for a thread that is gone.
 *
 * A `mortal` script ends for ever where the alarm is found raised: between two steps or stores of its own, or while it waits.
 * What was loading it takes over in its own name, the last slot of the memory, as production does. The `reaper` raises the alarm at some moment, so that the search tries every point at which the mortal can stop. Then its
 * actor goes on as the one who cleans up in the name of the dead one's slot; it knows only what the memory tells.
 *
 * Invariants of recovery: it looks at what the slot of a dead thread holds, which nobody else changes. Nodes that wait may still
 * be granted, so they are settled before the locks are let go. What a dead one owed after a release (to wake, to requeue) is
 * done by those who wait, and by a look at all frames.
 *
 * See also: actors.ts (Death), scenarios/recovery.ts.
 */
import * as layout from "../../src/sync/layout.js";
import { Death, type Actor, type Play, type Script } from "./actors.js";

/** Runs `life`, which may be cut short, and then `after`; if it was not, `life` alone. */
export function mortal(life: Script, after: Script = recover): Script {
  return function* (actor) {
    actor.mortal = true;
    try {
      yield* life(actor);
      actor.mortal = false;
      return;
    } catch (error) {
      if (!(error instanceof Death)) throw error;
    }
    yield* after(actor);
  };
}

/** Kills the mortal actors of a scenario. */
export function* reaper(actor: Actor): Play {
  yield* actor.store(actor.traced.memory.plan.alarm, 1);
}

/** Cleans up after a thread that had this actor's slot. */
export function* recover(actor: Actor): Play {
  for (const part of recoveryParts) yield* part(actor);
}

/** Recovery without one of its parts, for mutants. */
export function recoverWithout(missing: Script): Script {
  return function* (actor) {
    for (const part of recoveryParts) if (part !== missing) yield* part(actor);
  };
}

/** A store of a dead thread's view has landed, or never will. */
export function* clearHazards(actor: Actor): Play {
  const slot = actor.traced.memory.thread(actor.thread);
  for (const field of [layout.THREAD_HAZARD_0, layout.THREAD_HAZARD_1]) yield* actor.store(slot + field, 0);
}

/** Takes the slot's nodes out of their queues; what they were granted is in word and ledger then. */
export function* settleNodes(actor: Actor): Play {
  const { memory } = actor.traced;
  for (let node = 0; node < memory.plan.nodes; node++) {
    const state = yield* actor.load(memory.node(node) + layout.NODE_STATE);
    if (state === layout.NODE_FREE) continue;
    if ((yield* actor.load(memory.node(node) + layout.NODE_THREAD)) !== actor.thread) continue;
    const frame = yield* actor.load(memory.node(node) + layout.NODE_FRAME);
    if (state === layout.NODE_WAITING) yield* actor.until("withdraw", node, layout.NODE_CANCELLED, 0);
    actor.check((yield* actor.until("accept", node)) === layout.OK, "a dead one's node is settled");
    yield* actor.wake(frame);
  }
}

/** What the slot was writing is dirty again. */
export function* endWritebacks(actor: Actor): Play {
  const { memory } = actor.traced;
  for (let frame = 0; frame < memory.plan.frames; frame++) {
    const high = yield* actor.do("highWord", frame);
    const writer = (high >>> (layout.WRITER_SHIFT - 32)) & layout.WRITER_MASK;
    if (((high >>> (layout.WRITEBACK_BIT - 32)) & 1) === 0 || writer !== actor.thread) continue;
    yield* actor.settle(frame, yield* actor.until("endWriteback", frame, layout.OUTCOME_FAILED));
  }
}

/** Takes back what the slot offered or was adopting, into its ledger. */
export function* takeTransfers(actor: Actor): Play {
  for (let transfer = 0; transfer < actor.traced.memory.plan.transferCount; transfer++) {
    const state = yield* actor.do("transferState", transfer);
    const owner = (state >>> layout.TRANSFER_THREAD_SHIFT) & (layout.THREADS_MAX - 1);
    if ((state & layout.TRANSFER_STATE_MASK) === layout.TRANSFER_FREE || owner !== actor.thread) continue;
    if ((yield* actor.do("adopt", transfer, state, actor.thread)) > 0) yield* unload(actor, transfer);
  }
}

/** Takes everything out of a transfer that the actor owns, and ends it. The frames that were pinned for writing. */
export function* unload(actor: Actor, transfer: number): Play<number[]> {
  const frames: number[] = [];
  for (let entry = 0; entry < actor.traced.memory.plan.transitCount; entry++) {
    const page = yield* actor.do("transitOf", entry, transfer);
    if (page === 0) continue;
    const answer = yield* actor.until("takePage", entry, actor.thread, transfer);
    actor.check(answer === layout.OK, "a page in transit is its owner's");
    if (page >>> layout.TRANSIT_WRITE_BIT !== 0) frames.push((page & (2 ** layout.TRANSIT_WRITE_BIT - 1)) - 1);
  }
  yield* actor.do("takeTransferCredits", transfer, actor.thread);
  actor.check((yield* actor.do("endTransfer", transfer)) === layout.OK, "an empty transfer ends");
  return frames;
}

/** Lets go of every lock, pin, frame and credit of the slot. */
export function* letGo(actor: Actor): Play {
  const { memory } = actor.traced;
  for (let frame = 0; frame < memory.plan.records; frame++) {
    const low = yield* actor.do("lowWord", frame);
    const [state, exclusive] = [low & layout.STATE_MASK, (low >>> layout.EXCLUSIVE_BIT) & 1];
    const owner = ((low >>> layout.HOLDERS_SHIFT) & layout.HOLDERS_MASK) === actor.thread;
    if (owner && state === layout.STATE_RESERVED) yield* actor.until("release", frame);
    if (owner && state === layout.STATE_SNAPSHOT && exclusive === 1) yield* actor.until("giveSnapshot", frame);
    if (owner && state === layout.STATE_MAPPED && exclusive === 1) yield* letGoOwned(actor, frame, low);
    yield* putAll(actor, frame);
  }
  const credits = yield* actor.load(memory.thread(actor.thread) + layout.THREAD_CREDITS);
  if (credits > 0) yield* actor.do("giveCredits", actor.thread, credits);
}

/** A page that was loading goes; another stays, and who takes it next is told. */
function* letGoOwned(actor: Actor, frame: number, low: number): Play {
  const high = yield* actor.do("highWord", frame);
  actor.track.holding |= 2 << (frame * 2);
  if (((high >>> (layout.UPTODATE_BIT - 32)) & 1) === 0) {
    const rescuer = actor.traced.memory.plan.threads - 1;
    actor.check(
      (yield* actor.until("takeOver", frame, actor.thread, rescuer)) === layout.OK,
      "a dead one's lock stays",
    );
    const record = actor.traced.memory.record(frame);
    const mapping = yield* actor.load16(record + layout.RECORD_MAPPING);
    const index = yield* actor.load(record + layout.RECORD_INDEX);
    yield* actor.removeOwned(frame, mapping, index, rescuer);
    yield* actor.until("release", frame);
    return;
  }
  if (((low >>> layout.EVICTING_BIT) & 1) === 1) yield* actor.until("thaw", frame, actor.thread);
  yield* actor.do("markOwnerDied", frame);
  yield* actor.unlockExclusive(frame, 1);
}

/** The dead one may have let go last of a page that is off its queue: nobody else puts it back. */
export function* requeueIdle(actor: Actor): Play {
  for (let frame = 0; frame < actor.traced.memory.plan.frames; frame++) {
    const low = yield* actor.do("lowWord", frame);
    if (((low >>> layout.OFF_BIT) & 1) === 1) yield* actor.until("requeue", frame);
  }
}

const recoveryParts: readonly Script[] = [clearHazards, settleNodes, endWritebacks, takeTransfers, letGo, requeueIdle];

function* putAll(actor: Actor, frame: number): Play {
  const entry = yield* actor.do("ledgerEntry", frame, actor.thread);
  for (let shares = entry & 0xfff; shares > 0; shares--)
    yield* actor.settle(frame, yield* actor.do("unlockShared", frame, actor.thread));
  for (let reads = (entry >>> 12) & 0x3ff; reads > 0; reads--)
    yield* actor.settle(frame, yield* actor.do("putCountedRead", frame, actor.thread));
  for (let writes = entry >>> 22; writes > 0; writes--)
    yield* actor.settle(frame, yield* actor.until("putCountedWrite", frame, actor.thread, 1));
}
