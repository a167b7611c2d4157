/**
 * The part of check-words.ts about what links frames and nodes: lists, the page table's chains, waiting queues, counts.
 *
 * Every walk is bounded by the number of frames or nodes: a circle is a finding, not a hang.
 *
 * See also: check-words.ts.
 */
import * as layout from "../../src/sync/layout.js";
import type { Findings, Waiting } from "./check-words.js";
import type { WordsMemory } from "./words-memory.js";

/** Frames by list, each list's links mended both ways, its tail and count right. */
export function checkLists(memory: WordsMemory, findings: Findings): void {
  const { mappings, frames, snapshots } = memory.plan;
  const places = new Map<number, string>();
  for (const list of [layout.LIST_FREE, layout.LIST_SMALL, layout.LIST_MAIN, layout.LIST_SNAPSHOT])
    walkList(memory, list, 0, places, findings);
  for (let mapping = 0; mapping < mappings; mapping++) {
    for (let list = layout.LIST_DIRTY; list <= layout.LIST_WRITEBACK; list++)
      walkList(memory, list, mapping, places, findings);
  }
  for (let frame = 0; frame < frames + snapshots; frame++) {
    const wanted = placeOf(memory, frame);
    const found = places.get(frame) ?? "none";
    findings.expect(found === wanted, () => `frame ${frame} belongs on list ${wanted} and is on ${found}`);
    if (found === "none") {
      const free = memory.get(memory.link(frame)) === 0 && memory.get(memory.link(frame) + 4) === 0;
      findings.expect(free, () => `frame ${frame} is on no list and its link says otherwise`);
    }
  }
}

function place(list: number, mapping: number): string {
  return list >= layout.LIST_DIRTY && list <= layout.LIST_WRITEBACK ? `${list} of mapping ${mapping}` : `${list}`;
}

/** The list that a frame has to be on, by its word. */
function placeOf(memory: WordsMemory, frame: number): string {
  const bit = (number: number): boolean => memory.bit(frame, number);
  const state = memory.state(frame);
  if (state === layout.STATE_FREE) return place(layout.LIST_FREE, 0);
  if (state === layout.STATE_RESERVED) return "none";
  if (state === layout.STATE_SNAPSHOT) return bit(layout.EXCLUSIVE_BIT) ? "none" : place(layout.LIST_SNAPSHOT, 0);
  const mapping = memory.mappingOf(frame);
  if (bit(layout.DIRTY_BIT)) return place(layout.LIST_DIRTY, mapping);
  if (bit(layout.WRITEBACK_BIT)) return place(layout.LIST_WRITEBACK, mapping);
  if (bit(layout.OFF_BIT)) return "none";
  if (bit(layout.UNSTABLE_BIT)) return place(layout.LIST_UNSTABLE_0 + (bit(layout.EPOCH_BIT) ? 1 : 0), mapping);
  return place(bit(layout.MAIN_BIT) ? layout.LIST_MAIN : layout.LIST_SMALL, 0);
}

function walkList(
  memory: WordsMemory,
  list: number,
  mapping: number,
  places: Map<number, string>,
  findings: Findings,
): void {
  const head = memory.list(list, mapping);
  const what = `list ${place(list, mapping)}`;
  const all = memory.plan.frames + memory.plan.snapshots;
  let previous = 0;
  let count = 0;
  let next = memory.get(head);
  while (next !== 0 && count <= all) {
    const frame = next - 1;
    if (frame >= all || places.has(frame)) break;
    const link = memory.get(memory.link(frame));
    findings.expect(
      link >>> layout.LINK_LIST_SHIFT === list,
      () => `frame ${frame} is on ${what}, its link names another`,
    );
    findings.expect(
      (link & layout.LINK_FRAME_MASK) === previous,
      () => `frame ${frame} on ${what} has the wrong one before it`,
    );
    places.set(frame, place(list, mapping));
    previous = next;
    next = memory.get(memory.link(frame) + 4);
    count++;
  }
  findings.expect(next === 0, () => `${what} leads to a frame that is on a list already, or to none`);
  findings.expect(memory.get(head + 4) === previous, () => `${what} has a wrong tail`);
  findings.expect(memory.get(head + 8) === count, () => `${what} counts ${memory.get(head + 8)}, it has ${count}`);
}

/** A mapped frame is in its bucket's chain, once; no other frame is in any. */
export function checkTable(memory: WordsMemory, findings: Findings): void {
  const { frames, buckets } = memory.plan;
  const seen = new Set<number>();
  const keys = new Set<string>();
  for (let bucket = 0; bucket < frames; bucket++) {
    findings.expect(
      (memory.get(buckets + bucket * 8 + 4) & 1) === 0,
      () => `bucket ${bucket} is latched between steps`,
    );
    let next = memory.get(buckets + bucket * 8);
    for (let length = 0; next !== 0 && length <= frames; length++) {
      const frame = next - 1;
      const good = frame < frames && !seen.has(frame) && memory.state(frame) === layout.STATE_MAPPED;
      findings.expect(
        good,
        () => `bucket ${bucket} leads to frame ${frame}, which is in a chain already or not mapped`,
      );
      if (!good) break;
      const key = `${memory.mappingOf(frame)}:${memory.index(frame)}`;
      findings.expect(
        memory.bucket(memory.mappingOf(frame), memory.index(frame)) === bucket,
        () => `frame ${frame} is in a foreign chain`,
      );
      findings.expect(!keys.has(key), () => `page ${key} is in the table twice`);
      keys.add(key);
      seen.add(frame);
      next = memory.get(memory.record(frame) + layout.RECORD_NEXT);
    }
  }
  for (let frame = 0; frame < frames; frame++) {
    if (memory.state(frame) === layout.STATE_MAPPED)
      findings.expect(seen.has(frame), () => `frame ${frame} is mapped and in no chain`);
  }
}

/** Queues and the stack of free nodes; answers who waits, by record. */
export function checkNodes(memory: WordsMemory, findings: Findings): Waiting {
  const { nodes, records } = memory.plan;
  const waiting = new Map<number, number[]>();
  const queued = new Set<number>();
  for (let record = 0; record < records; record++) {
    const queue = memory.queue(record);
    findings.expect((queue & layout.QUEUE_LATCH) === 0, () => `the queue of record ${record} is latched between steps`);
    const members = walkQueue(memory, record, queue, queued, findings);
    if (members.length > 0) waiting.set(record, members);
  }
  let free = 0;
  let next = memory.get(layout.HEADER_NODES_FREE);
  while (next !== 0 && free <= nodes) {
    findings.expect(
      next <= nodes && memory.nodeState(next - 1) === layout.NODE_FREE,
      () => `node ${next - 1} is on the free stack and used`,
    );
    next = memory.get(memory.node(next - 1) + layout.NODE_NEXT);
    free++;
  }
  let used = 0;
  for (let node = 0; node < nodes; node++) {
    const state = memory.nodeState(node);
    if (state !== layout.NODE_FREE) used++;
    findings.expect(
      (state === layout.NODE_WAITING) === queued.has(node),
      () => `node ${node} is in state ${state}, its queue says otherwise`,
    );
  }
  findings.expect(free + used === nodes, () => `${free} nodes are free and ${used} used, of ${nodes}`);
  findings.expect(
    memory.get(layout.HEADER_NODES_USED) === used,
    () => `the header counts ${memory.get(layout.HEADER_NODES_USED)} nodes, ${used} are used`,
  );
  return waiting;
}

function walkQueue(
  memory: WordsMemory,
  record: number,
  queue: number,
  queued: Set<number>,
  findings: Findings,
): number[] {
  const members: number[] = [];
  let previous = 0;
  let next = (queue >>> layout.QUEUE_HEAD_SHIFT) & layout.QUEUE_MASK;
  while (next !== 0 && !queued.has(next - 1) && next <= memory.plan.nodes) {
    const node = memory.node(next - 1);
    findings.expect(
      memory.get(node + layout.NODE_FRAME) === record,
      () => `node ${next - 1} is queued on record ${record}, it names another`,
    );
    findings.expect(
      memory.get(node + layout.NODE_PREVIOUS) === previous,
      () => `node ${next - 1} has the wrong one before it`,
    );
    queued.add(next - 1);
    members.push(next - 1);
    previous = next;
    next = memory.get(node + layout.NODE_NEXT);
  }
  findings.expect(next === 0, () => `the queue of record ${record} leads to a node that is queued already, or to none`);
  findings.expect(
    ((queue >>> layout.QUEUE_TAIL_SHIFT) & layout.QUEUE_MASK) === previous,
    () => `the queue of record ${record} has a wrong tail`,
  );
  return members;
}

/** The counts of mappings and of the header are recounts. */
export function checkCounts(memory: WordsMemory, findings: Findings): void {
  const { frames, mappings } = memory.plan;
  const of = (mapping: number, test: (frame: number) => boolean): number => {
    let count = 0;
    for (let frame = 0; frame < frames; frame++) {
      const mine = memory.state(frame) === layout.STATE_MAPPED && (mapping < 0 || memory.mappingOf(frame) === mapping);
      if (mine && test(frame)) count++;
    }
    return count;
  };
  const counters: readonly [string, number, number, (frame: number) => boolean][] = [
    ["resident", layout.MAPPING_RESIDENT, -1, () => true],
    ["dirty", layout.MAPPING_DIRTY, layout.HEADER_DIRTY, (frame) => memory.bit(frame, layout.DIRTY_BIT)],
    [
      "write-back",
      layout.MAPPING_WRITEBACK,
      layout.HEADER_WRITEBACK,
      (frame) => memory.bit(frame, layout.WRITEBACK_BIT),
    ],
    ["unstable", layout.MAPPING_UNSTABLE, layout.HEADER_UNSTABLE, (frame) => memory.bit(frame, layout.UNSTABLE_BIT)],
    ["write-pinned", -1, layout.HEADER_WRITE_PINNED, (frame) => memory.writes(frame) > 0],
  ];
  for (const [name, ofMapping, ofHeader, test] of counters) {
    const counting = ofMapping < 0 ? 0 : mappings;
    for (let mapping = 0; mapping < counting; mapping++) {
      const [counted, is] = [memory.get(memory.mapping(mapping) + ofMapping), of(mapping, test)];
      findings.expect(counted === is, () => `mapping ${mapping} counts ${counted} ${name} pages, it has ${is}`);
    }
    if (ofHeader < 0) continue;
    const [counted, is] = [memory.get(ofHeader), of(-1, test)];
    findings.expect(counted === is, () => `the header counts ${counted} ${name} pages, there are ${is}`);
  }
  const held = Array.from({ length: memory.plan.threads }, (_, thread) =>
    memory.get(layout.THREADS + thread * layout.THREAD_BYTES + layout.THREAD_CREDITS),
  );
  for (let transfer = 0; transfer < memory.plan.transferCount; transfer++)
    held.push(memory.get(memory.transfer(transfer) + layout.TRANSFER_CREDITS));
  const credits = memory.get(layout.HEADER_CREDITS) + held.reduce((sum, count) => sum + count, 0);
  findings.expect(credits === frames, () => `there are ${credits} frame credits, of ${frames}`);
}

/** A page in transit belongs to a transfer that is not free, and each transfer counts its own. */
export function checkTransfers(memory: WordsMemory, findings: Findings): void {
  const { transferCount, transitCount, frames } = memory.plan;
  const pages = new Array<number>(transferCount).fill(0);
  for (let entry = 0; entry < transitCount; entry++) {
    const page = memory.get(memory.transit(entry));
    const transfer = memory.get(memory.transit(entry) + 4) - 1;
    findings.expect((page === 0) === transfer < 0, () => `transit entry ${entry} is half taken`);
    if (page === 0) continue;
    const frame = (page & (2 ** layout.TRANSIT_WRITE_BIT - 1)) - 1;
    findings.expect(
      frame < frames && transfer < transferCount,
      () => `transit entry ${entry} names frame ${frame} and transfer ${transfer}`,
    );
    pages[transfer] = (pages[transfer] ?? 0) + 1;
  }
  for (let transfer = 0; transfer < transferCount; transfer++) {
    const at = memory.transfer(transfer);
    const [counted, is] = [memory.get(at + layout.TRANSFER_PAGES), pages[transfer] ?? 0];
    findings.expect(counted === is, () => `transfer ${transfer} counts ${counted} pages in transit, it has ${is}`);
    const free = (memory.get(at) & layout.TRANSFER_STATE_MASK) === layout.TRANSFER_FREE;
    findings.expect(
      !free || (is === 0 && memory.get(at + layout.TRANSFER_CREDITS) === 0),
      () => `transfer ${transfer} is free and carries something`,
    );
  }
}
