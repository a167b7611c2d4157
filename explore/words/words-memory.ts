/**
 * A small words memory: where everything lies in it, how it begins, and how its words are read.
 *
 * Invariants: regions follow each other as in frames/plan.ts, but with few frames and nodes. Frames come first, then
 * snapshot frames, then lock records. A frame that is not mapped has an odd version.
 *
 * See also: check-words.ts (what has to be true of such a memory), src/frames/plan.ts.
 */
import * as layout from "../../src/sync/layout.js";

export interface WordsPlan {
  readonly frames: number;
  readonly snapshots: number;
  readonly locks: number;
  readonly records: number;
  readonly nodes: number;
  readonly mappings: number;
  readonly threads: number;
  readonly buckets: number;
  readonly links: number;
  readonly blocks: number;
  readonly ghosts: number;
  readonly ledger: number;
  readonly transfers: number;
  readonly transits: number;
  /** How many of each. */
  readonly transferCount: number;
  readonly transitCount: number;
  /** Words for the use of a scenario, which no step knows. */
  readonly scratch: number;
  /** One word more: set when an actor has died (recoverer.ts). */
  readonly alarm: number;
  readonly bytes: number;
}

export interface WordsSize {
  readonly frames: number;
  readonly snapshots?: number;
  readonly locks?: number;
  readonly nodes?: number;
  readonly mappings?: number;
  readonly threads?: number;
  readonly transfers?: number;
  readonly transits?: number;
}

const scratchBytes = 256;

export function planWords({
  frames,
  snapshots = 0,
  locks = 1,
  nodes = 8,
  mappings = 2,
  threads = 4,
  transfers: transferCount = 0,
  transits: transitCount = 0,
}: WordsSize): WordsPlan {
  const records = frames + snapshots + locks;
  let at = layout.RECORDS + (records << layout.RECORD_SHIFT);
  const region = (bytes: number): number => {
    const start = at;
    at += Math.ceil(bytes / 8) * 8;
    return start;
  };
  const buckets = region(frames * 8);
  const links = region((frames + snapshots) * 8);
  const blocks = region((frames + snapshots) * 4);
  const ghosts = region(frames * 4);
  const ledger = region(records * 4 * threads);
  const transfers = region(transferCount * layout.TRANSFER_BYTES);
  const transits = region(transitCount * layout.TRANSIT_BYTES);
  const scratch = region(scratchBytes);
  const alarm = region(4);
  return {
    frames,
    snapshots,
    locks,
    records,
    nodes,
    mappings,
    threads,
    buckets,
    links,
    blocks,
    ghosts,
    ledger,
    transfers,
    transits,
    transferCount,
    transitCount,
    scratch,
    alarm,
    bytes: at,
  };
}

/** Takes the sizes and places of a plan as words.configure does. */
export function configureWords(words: { configure(...taken: number[]): void }, plan: WordsPlan): void {
  const { frames, records, buckets, links, blocks, ghosts, ledger, transfers, transits } = plan;
  words.configure(frames, records, buckets, links, blocks, ghosts, ledger, transfers, transits);
}

/** Reads and, before anything runs, writes a words memory. Plain accesses: nobody else is at work, or a torn read may be told. */
export class WordsMemory {
  readonly plan: WordsPlan;
  readonly words32: Uint32Array;

  constructor(plan: WordsPlan, buffer: ArrayBufferLike) {
    this.plan = plan;
    this.words32 = new Uint32Array(buffer, 0, plan.bytes >> 2);
  }

  /** Sets everything as frames/frames.ts does for a new cache. */
  initialise(): void {
    const { plan } = this;
    this.words32.fill(0);
    this.#chain(layout.LIST_FREE, 0, plan.frames);
    if (plan.snapshots > 0) this.#chain(layout.LIST_SNAPSHOT, plan.frames, plan.snapshots);
    for (let frame = 0; frame < plan.frames + plan.snapshots; frame++) {
      this.put(this.record(frame), frame < plan.frames ? layout.STATE_FREE : layout.STATE_SNAPSHOT);
      this.put(this.record(frame) + layout.RECORD_VERSION, 1);
    }
    for (let node = 0; node < plan.nodes; node++) {
      this.put(this.node(node) + layout.NODE_NEXT, node + 1 < plan.nodes ? node + 2 : 0);
    }
    this.put(layout.HEADER_NODES_FREE, plan.nodes > 0 ? 1 : 0);
    this.put(layout.HEADER_CREDITS, plan.frames);
    for (let lock = plan.frames + plan.snapshots; lock < plan.records; lock++) {
      this.put(this.record(lock), layout.STATE_MAPPED);
      this.put(this.record(lock) + 4, 1 << (layout.UPTODATE_BIT - 32));
      this.put(this.record(lock) + layout.RECORD_INDEX, lock - plan.frames - plan.snapshots);
    }
  }

  #chain(list: number, first: number, count: number): void {
    const head = this.list(list, 0);
    this.put(head, first + 1);
    this.put(head + 4, first + count);
    this.put(head + 8, count);
    for (let frame = first; frame < first + count; frame++) {
      this.put(this.link(frame), (list << layout.LINK_LIST_SHIFT) | (frame === first ? 0 : frame));
      this.put(this.link(frame) + 4, frame + 1 === first + count ? 0 : frame + 2);
    }
  }

  get(address: number): number {
    return this.words32[address >> 2] ?? 0;
  }

  put(address: number, value: number): void {
    this.words32[address >> 2] = value;
  }

  get16(address: number): number {
    return (this.get(address) >>> ((address & 2) * 8)) & 0xffff;
  }

  /** The list of an id; those of a mapping lie in its record. */
  list(list: number, mapping: number): number {
    const ofMapping = list >= layout.LIST_DIRTY && list <= layout.LIST_WRITEBACK;
    if (!ofMapping) return layout.HEADER_LISTS + list * 16;
    return this.mapping(mapping) + layout.MAPPING_DIRTY_LIST + (list - layout.LIST_DIRTY) * 16;
  }

  record(frame: number): number {
    return layout.RECORDS + (frame << layout.RECORD_SHIFT);
  }

  mapping(mapping: number): number {
    return layout.MAPPINGS + mapping * layout.MAPPING_BYTES;
  }

  thread(thread: number): number {
    return layout.THREADS + thread * layout.THREAD_BYTES;
  }

  node(node: number): number {
    return layout.NODES + node * layout.NODE_BYTES;
  }

  transfer(transfer: number): number {
    return this.plan.transfers + transfer * layout.TRANSFER_BYTES;
  }

  transit(entry: number): number {
    return this.plan.transits + entry * layout.TRANSIT_BYTES;
  }

  link(frame: number): number {
    return this.plan.links + frame * 8;
  }

  ledger(frame: number, thread: number): number {
    return this.plan.ledger + (thread * this.plan.records + frame) * 4;
  }

  /** One bit of a frame's word, by its number in layout.ts. */
  bit(frame: number, bit: number): boolean {
    const half = this.get(this.record(frame) + (bit >= 32 ? 4 : 0));
    return ((half >>> (bit & 31)) & 1) !== 0;
  }

  state(frame: number): number {
    return this.get(this.record(frame)) & layout.STATE_MASK;
  }

  /** Shared holders, or the slot of the owner. */
  holders(frame: number): number {
    return (this.get(this.record(frame)) >>> layout.HOLDERS_SHIFT) & layout.HOLDERS_MASK;
  }

  reads(frame: number): number {
    return (this.get(this.record(frame)) >>> layout.READS_SHIFT) & layout.READS_MASK;
  }

  writes(frame: number): number {
    return (this.get(this.record(frame) + 4) >>> (layout.WRITES_SHIFT - 32)) & layout.WRITES_MASK;
  }

  /** The slot of the thread that writes the page back. */
  writer(frame: number): number {
    return (this.get(this.record(frame) + 4) >>> (layout.WRITER_SHIFT - 32)) & layout.WRITER_MASK;
  }

  view(frame: number): number {
    return this.get(this.record(frame) + layout.RECORD_VIEW);
  }

  version(frame: number): number {
    return this.get(this.record(frame) + layout.RECORD_VERSION);
  }

  index(frame: number): number {
    return this.get(this.record(frame) + layout.RECORD_INDEX);
  }

  mappingOf(frame: number): number {
    return this.get16(this.record(frame) + layout.RECORD_MAPPING);
  }

  queue(frame: number): number {
    return this.get(this.record(frame) + layout.RECORD_QUEUE);
  }

  nodeState(node: number): number {
    return this.get(this.node(node) + layout.NODE_STATE);
  }

  /** The bucket of a key, computed as words/lock.ts does. */
  bucket(mapping: number, index: number): number {
    let hash = (Math.imul(index, 0x9e3779b1) + Math.imul(mapping, 0x85ebca77)) >>> 0;
    hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) >>> 0;
    hash = (hash ^ (hash >>> 13)) >>> 0;
    return Number((BigInt(hash) * BigInt(this.plan.frames)) >> 32n);
  }

  /** `count` page indexes of a mapping that share one bucket. */
  collidingIndexes(mapping: number, count: number): number[] {
    const found: number[] = [];
    const wanted = this.bucket(mapping, 0);
    for (let index = 0; found.length < count && index < 10_000; index++) {
      if (this.bucket(mapping, index) === wanted) found.push(index);
    }
    return found;
  }
}
