/**
 * What has to be true of a words memory between steps: every invariant that the words' sources state in prose.
 *
 * `checkWords` holds at any moment when no thread is inside a step, locks held and waiters queued: it is what recovery
 * finds after a thread's death. `checkQuiet` holds in addition when nobody holds, pins or waits for anything.
 * Both answer the broken invariants as sentences, none when all is well.
 *
 * See also: check-lists.ts (lists, table, nodes), words-memory.ts, src/sync/words/ (each file's header).
 */
import * as layout from "../../src/sync/layout.js";
import { checkCounts, checkLists, checkNodes, checkTable, checkTransfers } from "./check-lists.js";
import type { WordsMemory } from "./words-memory.js";

/** Collects what is wrong. */
export class Findings {
  readonly sentences: string[] = [];

  /** Records `sentence` unless `condition`. */
  expect(condition: boolean, sentence: () => string): void {
    if (!condition) this.sentences.push(sentence());
  }
}

export function checkWords(memory: WordsMemory): string[] {
  const findings = new Findings();
  findings.expect(memory.get(layout.HEADER_LISTS_LATCH) === 0, () => "the lists' latch is taken between steps");
  const waiting = checkNodes(memory, findings);
  const { frames, snapshots, records } = memory.plan;
  for (let frame = 0; frame < records; frame++) {
    const state = memory.state(frame);
    if (state === layout.STATE_MAPPED) {
      checkLock(memory, frame, waiting, findings);
      checkContents(memory, frame, findings);
    } else {
      checkUnmapped(memory, frame, findings);
    }
    checkLedger(memory, frame, findings);
    const mayBe =
      frame < frames
        ? state !== layout.STATE_SNAPSHOT
        : frame < frames + snapshots
          ? state === layout.STATE_SNAPSHOT
          : state === layout.STATE_MAPPED;
    findings.expect(mayBe, () => `record ${frame} is in state ${state}, which its kind never is`);
  }
  checkTable(memory, findings);
  checkLists(memory, findings);
  checkCounts(memory, findings);
  checkTransfers(memory, findings);
  return findings.sentences;
}

/** Nothing is held, pinned, reserved, waited for, or forgotten off its queue. */
export function checkQuiet(memory: WordsMemory): string[] {
  const findings = new Findings();
  for (let frame = 0; frame < memory.plan.records; frame++) {
    const state = memory.state(frame);
    if (state !== layout.STATE_MAPPED) {
      findings.expect(state !== layout.STATE_RESERVED, () => `frame ${frame} is still reserved`);
      const taken = state === layout.STATE_SNAPSHOT && memory.bit(frame, layout.EXCLUSIVE_BIT);
      findings.expect(!taken, () => `snapshot ${frame} is still taken`);
      continue;
    }
    findings.expect(
      !memory.bit(frame, layout.EXCLUSIVE_BIT) && memory.holders(frame) === 0,
      () => `record ${frame} is still locked`,
    );
    findings.expect(memory.reads(frame) === 0 && memory.writes(frame) === 0, () => `record ${frame} is still pinned`);
    findings.expect(!memory.bit(frame, layout.WAITERS_BIT), () => `record ${frame} still shows waiters`);
    findings.expect(!memory.bit(frame, layout.EVICTING_BIT), () => `record ${frame} is still condemned`);
    findings.expect(!memory.bit(frame, layout.OFF_BIT), () => `frame ${frame} is idle and off the reclaim queues`);
  }
  findings.expect(memory.get(layout.HEADER_NODES_USED) === 0, () => "waiter nodes are still used");
  for (let transfer = 0; transfer < memory.plan.transferCount; transfer++) {
    const state = memory.get(memory.transfer(transfer)) & layout.TRANSFER_STATE_MASK;
    findings.expect(state === layout.TRANSFER_FREE, () => `transfer ${transfer} is still used`);
  }
  return findings.sentences;
}

/** A queue's node that waits, by record. */
export type Waiting = ReadonlyMap<number, readonly number[]>;

function checkLock(memory: WordsMemory, frame: number, waiting: Waiting, findings: Findings): void {
  const exclusive = memory.bit(frame, layout.EXCLUSIVE_BIT);
  const waiters = memory.bit(frame, layout.WAITERS_BIT);
  const writes = memory.writes(frame);
  const what = `record ${frame}`;
  if (exclusive)
    findings.expect(memory.holders(frame) < layout.THREADS_MAX, () => `${what} is owned by a slot that there is not`);
  else findings.expect(memory.holders(frame) <= layout.HOLDERS_MAX, () => `${what} has too many holders`);
  findings.expect(
    memory.reads(frame) <= layout.READS_MAX && writes <= layout.WRITES_MAX,
    () => `${what} has too many counted pins`,
  );
  findings.expect(
    (waiting.get(frame)?.length ?? 0) === 0 || waiters,
    () => `${what} has a queue, its word does not say so`,
  );
  findings.expect(!memory.bit(frame, layout.GATE_BIT) || waiters, () => `${what} has a closed gate and nobody waits`);
  findings.expect(
    !memory.bit(frame, layout.EVICTING_BIT) || exclusive,
    () => `${what} is condemned and nobody owns it`,
  );
  findings.expect(
    (memory.version(frame) % 2 === 0) === (!exclusive && writes === 0 && !memory.bit(frame, layout.VIEW_BIT)),
    () => `${what} has the wrong parity of its version`,
  );
  findings.expect(
    exclusive || memory.bit(frame, layout.UPTODATE_BIT),
    () => `${what} is not uptodate and not exclusively locked`,
  );
}

/** Dirty, under write-back, unstable: which exclude each other, and what goes with them. */
function checkContents(memory: WordsMemory, frame: number, findings: Findings): void {
  const bit = (number: number): boolean => memory.bit(frame, number);
  const dirty = bit(layout.DIRTY_BIT);
  const unclean = dirty || bit(layout.WRITEBACK_BIT) || bit(layout.UNSTABLE_BIT);
  const what = `frame ${frame}`;
  const writes = memory.writes(frame);
  findings.expect(!dirty || !bit(layout.UNSTABLE_BIT), () => `${what} is dirty and unstable`);
  findings.expect(
    !bit(layout.WRITEBACK_BIT) || !bit(layout.UNSTABLE_BIT),
    () => `${what} is under write-back and unstable`,
  );
  findings.expect(!unclean || bit(layout.GRANT_BIT), () => `${what} is not clean and has no grant`);
  findings.expect(writes === 0 || dirty, () => `${what} is pinned for write and not dirty`);
  findings.expect(!bit(layout.FRESH_BIT) || dirty, () => `${what} is fresh and not dirty`);
  const written = bit(layout.EXCLUSIVE_BIT) || writes > 0 || bit(layout.VIEW_BIT);
  findings.expect(
    (!bit(layout.FRESH_BIT) && !bit(layout.MODIFIED_BIT)) || written,
    () => `${what} is fresh or modified and has no writer`,
  );
  findings.expect(!bit(layout.TOWRITE_BIT) || dirty, () => `${what} is to be written and not dirty`);
  findings.expect(!bit(layout.FAILED_BIT) || dirty, () => `${what} failed and is not dirty`);
  findings.expect(!bit(layout.OFF_BIT) || !unclean, () => `${what} is off the reclaim queues and not clean`);
  findings.expect(
    bit(layout.WRITEBACK_BIT) || memory.writer(frame) === 0,
    () => `${what} has a thread that writes it back`,
  );
  findings.expect(!bit(layout.VIEW_BIT) || dirty, () => `${what} may be stored to by views and is not dirty`);
  findings.expect(
    bit(layout.VIEW_BIT) || (memory.view(frame) & layout.VIEW_WRITABLE) === 0,
    () => `${what} lets views store and its word does not say so`,
  );
  if (frame >= memory.plan.frames) return;
  const blocks = memory.get(memory.plan.blocks + frame * 4);
  findings.expect(bit(layout.GRANT_BIT) || blocks === 0, () => `${what} has a block word and no grant`);
}

function checkUnmapped(memory: WordsMemory, frame: number, findings: Findings): void {
  const low = memory.get(memory.record(frame));
  const high = memory.get(memory.record(frame) + 4);
  const what = `frame ${frame}`;
  const state = memory.state(frame);
  const taken = state === layout.STATE_SNAPSHOT && memory.bit(frame, layout.EXCLUSIVE_BIT);
  const owner = state === layout.STATE_RESERVED || taken ? memory.holders(frame) : 0;
  const plain = (state | (owner << layout.HOLDERS_SHIFT) | (taken ? 1 << layout.EXCLUSIVE_BIT : 0)) >>> 0;
  findings.expect(low === plain && high === 0, () => `${what} is in state ${state} with bits of a page`);
  findings.expect(owner < layout.THREADS_MAX, () => `${what} is owned by a slot that there is not`);
  findings.expect(memory.version(frame) % 2 === 1, () => `${what} is in state ${state} with an even version`);
  findings.expect(memory.queue(frame) === 0, () => `${what} is in state ${state} with a queue`);
  findings.expect(
    memory.get(memory.plan.blocks + frame * 4) === 0,
    () => `${what} is in state ${state} with a block word`,
  );
  findings.expect(
    (memory.view(frame) & layout.VIEW_WRITABLE) === 0,
    () => `${what} is in state ${state} and views may store`,
  );
}

const frameMask = 2 ** layout.TRANSIT_WRITE_BIT - 1;

/** The word counts what the threads' ledgers and the entries in transit say, holds apart that were granted and not yet accepted. */
function checkLedger(memory: WordsMemory, frame: number, findings: Findings): void {
  let shared = 0;
  let reads = 0;
  let writes = 0;
  for (let thread = 0; thread < memory.plan.threads; thread++) {
    const entry = memory.get(memory.ledger(frame, thread));
    shared += entry & 0xfff;
    reads += (entry >>> 12) & 0x3ff;
    writes += entry >>> 22;
  }
  for (let node = 0; node < memory.plan.nodes; node++) {
    const granted =
      memory.nodeState(node) === layout.NODE_GRANTED && memory.get(memory.node(node) + layout.NODE_FRAME) === frame;
    const mode = memory.get(memory.node(node) + layout.NODE_MODE);
    if (granted && mode === layout.MODE_SHARED) shared++;
    if (granted && mode === layout.MODE_UPGRADE) shared--;
  }
  for (let entry = 0; entry < memory.plan.transitCount; entry++) {
    const page = memory.get(memory.transit(entry));
    if (page === 0 || (page & frameMask) - 1 !== frame) continue;
    if (page >>> layout.TRANSIT_WRITE_BIT === 0) reads++;
    else writes++;
  }
  const mapped = memory.state(frame) === layout.STATE_MAPPED;
  const locked = mapped && !memory.bit(frame, layout.EXCLUSIVE_BIT) ? memory.holders(frame) : 0;
  findings.expect(shared === locked, () => `record ${frame} has ${locked} shared holders, the ledgers ${shared}`);
  findings.expect(
    reads === (mapped ? memory.reads(frame) : 0),
    () => `record ${frame} and the ledgers differ in counted reads`,
  );
  findings.expect(
    writes === (mapped ? memory.writes(frame) : 0),
    () => `record ${frame} and the ledgers differ in counted writes`,
  );
}
