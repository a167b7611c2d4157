/**
 * The pages of a run as people read them: which page each frame has, and the flags of its word.
 *
 * See also: ../report/page-flags.ts (what the flags mean), src/sync/layout.ts.
 */
import type { PageState } from "../report/result.js";
import * as layout from "../../src/sync/layout.js";
import { shortTables } from "../transform/short-tables.js";
import type { Machine } from "./machine.js";

const states = ["free", "reserved", "mapped", "snapshot"];
const bits: readonly (readonly [number, string])[] = [
  [layout.WAITERS_BIT, "waiters"],
  [layout.GATE_BIT, "gate"],
  [layout.EVICTING_BIT, "evicting"],
  [layout.OFF_BIT, "off"],
  [layout.UPTODATE_BIT, "uptodate"],
  [layout.DIRTY_BIT, "dirty"],
  [layout.WRITEBACK_BIT, "writeback"],
  [layout.UNSTABLE_BIT, "unstable"],
  [layout.GRANT_BIT, "grant"],
  [layout.TOWRITE_BIT, "towrite"],
  [layout.FRESH_BIT, "fresh"],
  [layout.MODIFIED_BIT, "modified"],
  [layout.OWNER_DIED_BIT, "ownerDied"],
  [layout.VIEW_BIT, "view"],
  [layout.FAILED_BIT, "failed"],
];

/** Where the records of frames begin in a run's memory. */
const records =
  shortTables.HEADER_BYTES +
  shortTables.THREADS_MAX * layout.THREAD_BYTES +
  shortTables.MAPPINGS_MAX * layout.MAPPING_BYTES +
  shortTables.NODES_MAX * layout.NODE_BYTES;

/** The state of one frame, as it is at this moment of a run. */
export function pageState(machine: Machine, frame: number): PageState {
  const at = (records + (frame << layout.RECORD_SHIFT)) >> 2;
  const { words } = machine.words;
  const low = words[at] as number;
  const high = words[at + 1] as number;
  const state = low & layout.STATE_MASK;
  const isMapped = state === layout.STATE_MAPPED;
  const flags: string[] = isMapped ? holdersOf(machine, low, high) : [states[state] as string];
  if (isMapped) {
    for (const [bit, name] of bits) if ((((bit < 32 ? low : high) >>> (bit & 31)) & 1) !== 0) flags.push(name);
  }
  const page = isMapped ? `model:${words[at + (layout.RECORD_INDEX >> 2)]}` : "";
  return { frame, page, flags };
}

function holdersOf(machine: Machine, low: number, high: number): string[] {
  const holders = (low >>> layout.HOLDERS_SHIFT) & layout.HOLDERS_MASK;
  const flags: string[] = [];
  if (((low >>> layout.EXCLUSIVE_BIT) & 1) !== 0) flags.push(`X(${machine.threads[holders]?.name ?? holders})`);
  else if (holders > 0) flags.push(`S${holders}`);
  const reads = (low >>> layout.READS_SHIFT) & layout.READS_MASK;
  const writes = high & layout.WRITES_MASK;
  if (reads + writes > 0) flags.push(`pins ${reads}r ${writes}w`);
  return flags;
}
