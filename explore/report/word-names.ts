/**
 * Words of a run's memory by name, as in src/sync/layout.ts: "peek file 0 state" is read, "peek 896" is not.
 *
 * What lies behind the records has no name here, and keeps its number.
 *
 * See also: ../transform/short-tables.ts (the lengths of tables in a run), ../runtime/pages.ts (page words).
 */
import * as layout from "../../src/sync/layout.js";
import { shortTables } from "../transform/short-tables.js";

/** One kind of record: where the first is, and the names of its words by offset. */
interface Region {
  readonly from: number;
  readonly bytes: number;
  readonly count: number;
  readonly offsets: readonly (readonly [offset: number, name: string])[];
  what(at: number): string;
}

/** Names of constants with this prefix, as offsets; those in `others` are something else. */
function offsetsOf(prefix: string, others: readonly string[]): [number, string][] {
  return Object.entries(layout)
    .filter(([name]) => name.startsWith(prefix) && !others.includes(name.slice(prefix.length)))
    .map(([name, offset]): [number, string] => [offset, name.slice(prefix.length).toLowerCase().replaceAll("_", " ")])
    .toSorted((a, b) => a[0] - b[0]);
}

const threads = shortTables.HEADER_BYTES;
const mappings = threads + shortTables.THREADS_MAX * layout.THREAD_BYTES;
const nodes = mappings + shortTables.MAPPINGS_MAX * layout.MAPPING_BYTES;
const records = nodes + shortTables.NODES_MAX * layout.NODE_BYTES;

const regionsOf = (frames: number): Region[] => [
  {
    from: 0,
    bytes: threads,
    count: 1,
    offsets: offsetsOf("HEADER_", ["BYTES"]),
    what: () => "cache's",
  },
  {
    from: threads,
    bytes: layout.THREAD_BYTES,
    count: shortTables.THREADS_MAX,
    offsets: offsetsOf("THREAD_", ["BYTES", "FREE", "ATTACHED", "DEAD"]),
    what: (at) => `thread ${String.fromCharCode(65 + at)}'s`,
  },
  {
    from: mappings,
    bytes: layout.MAPPING_BYTES,
    count: shortTables.MAPPINGS_MAX,
    offsets: offsetsOf("MAPPING_", ["BYTES", "FREE", "OPENING", "OPEN", "CLOSING", "ORPHANED"]),
    what: (at) => `file ${at}'s`,
  },
  {
    from: nodes,
    bytes: layout.NODE_BYTES,
    count: shortTables.NODES_MAX,
    offsets: offsetsOf("NODE_", ["BYTES", "FREE", "WAITING", "GRANTED", "CANCELLED", "DISMISSED"]),
    what: (at) => `waiter ${at}'s`,
  },
  {
    from: records,
    bytes: 2 ** layout.RECORD_SHIFT,
    count: frames,
    offsets: offsetsOf("RECORD_", ["SHIFT"]),
    what: (at) => `frame ${at}'s`,
  },
];

/** Names for the words of a memory with so many frames. */
export class WordNames {
  readonly #regions: readonly Region[];

  constructor(frames: number) {
    this.#regions = regionsOf(frames);
  }

  /** "file 0's resident"; of the second half of a number of 64 bits "file 0's size + 4"; or the address. */
  nameOf(address: number): string {
    const region = this.#regions.find(({ from, bytes, count }) => address >= from && address < from + bytes * count);
    if (region === undefined) return String(address);
    const { from, bytes, offsets } = region;
    const offset = (address - from) % bytes;
    const [at = 0, name = "?"] = offsets.findLast(([start]) => start <= offset) ?? [];
    return `${region.what(Math.floor((address - from) / bytes))} ${name}${offset > at ? ` + ${offset - at}` : ""}`;
  }

  /** "load 960 = 0" with the word's name in place of its address; other steps as they are. */
  named(step: string): string {
    return step.replace(/^(load|peek|store|poke|add|or|swap) (\d+)(?= = )/, (_, operation: string, address: string) =>
      [operation, this.nameOf(Number(address))].join(" "),
    );
  }
}
