/**
 * Defects that page caches have had, planted to see that the simulation finds them. Some are guards of single races, which the explorer
 * takes out too (../races/): they are named, and stand there.
 *
 * See also: ../transform/build.ts (where texts are replaced).
 */
import type { Mutant } from "../transform/program.js";

export interface Defect {
  /** As it is asked for; a race's name is that of its guard. */
  readonly name: string;
  readonly what: string;
}

/** A planted one. */
interface Planted extends Defect, Mutant {}

export const planted: readonly Planted[] = [
  {
    name: "sync-error-forgotten",
    what: "a sync of the storage fails, and who asked for it is told that all is well",
    replacements: [
      {
        file: "src/mapping/sync.ts",
        original: "if (failures.length === 0 && !storeError) return undefined;",
        mutated: "if (failures.length === 0) return undefined;",
      },
      {
        file: "src/mapping/sync.ts",
        original: "if (space.syncErrors === failedBefore) {",
        mutated: "if (space.syncErrors >= failedBefore) {",
      },
    ],
  },
  {
    name: "written-is-clean",
    what: "a page is clean as soon as the storage has taken it, before that has made it durable",
    replacements: [
      {
        file: "src/writeback/writer.ts",
        original: 'space.durability === "device" ? layout.OUTCOME_UNSTABLE : layout.OUTCOME_STABLE;',
        mutated: 'space.durability === "device" ? layout.OUTCOME_STABLE : layout.OUTCOME_STABLE;',
      },
    ],
  },
  {
    name: "failed-sync-is-durable",
    what: "a sync of the storage fails, and what was written before it is taken for durable",
    replacements: [
      {
        file: "src/writeback/store-sync.ts",
        original: "this.#frames.words.redirtyNext(space.id, epoch)",
        mutated: "this.#frames.words.stabilizeNext(space.id, epoch)",
      },
    ],
  },
  {
    name: "in-flight-not-waited-for",
    what: "a sync does not wait for writes that are on their way",
    replacements: [
      {
        file: "src/mapping/sync.ts",
        original: "const pages = union(dirty, departed);",
        mutated: "const pages = union(dirty, departed.slice(0, 0));",
      },
    ],
  },
  {
    name: "killed-is-durable",
    what: "a sync does not ask the storage where this process has written nothing, though another one had that was killed",
    replacements: [
      {
        file: "src/mapping/lifetime.ts",
        original: "    if (!space.readOnly) space.noteChange();\n",
        mutated: "",
      },
    ],
  },
  {
    name: "failed-cut-forgotten",
    what: "a truncate whose last step fails in the storage is never finished",
    replacements: [
      {
        file: "src/mapping/extend.ts",
        original: "  if (space.cutDue !== layout.CUT_DUE) return;\n  try {",
        mutated: "  if (space.cutDue !== layout.CUT_DUE) return;\n  space.cutDue = layout.CUT_DUE_NO;\n  try {",
      },
    ],
  },
  {
    name: "page-past-the-end",
    what: "a write-back writes whole pages, so that the file grows to the end of its last page",
    replacements: [
      {
        file: "src/writeback/writer.ts",
        original: "cutRuns(this.#frames, sources, space.writableEnd)",
        mutated: "cutRuns(this.#frames, sources, Math.ceil(space.writableEnd / space.pageSize) * space.pageSize)",
      },
    ],
  },
];

/** Guards that the explorer takes out as well. */
const guards: readonly Defect[] = [
  { name: "R2", what: "a page that is being written can be written to" },
  { name: "R5", what: "a page that somebody may still write to leaves the cache" },
  { name: "R8", what: "a page is cut that a counted pin holds" },
  { name: "R7", what: "a page is made dirty that lies past the end by now" },
  { name: "R14", what: "dirty is cleared at completion" },
  { name: "R15", what: "a page whose write failed is dropped" },
  { name: "R19", what: "a page can be read before its bytes are there" },
  { name: "C26", what: "a cut or a punch takes a page for one of its own that came into a frame while it looked" },
  { name: "C27", what: "what was cut comes back, where the storage had failed to cut it" },
  { name: "C28", what: "a page is taken for written that a cut, undone later, hid from write-back" },
  { name: "C30", what: "leave to write past the end is asked for while a cut is due, and given back after it" },
  { name: "C29", what: "a thread that ends in an extension leaves dirty pages whose space is taken away" },
  { name: "C31", what: "a hole whose maker died is given up where the storage fails, though it may have been made" },
  { name: "C32", what: "a page that a sync makes clean while a punch fails stays locked" },
  { name: "C23", what: "a hole is not made durable by a sync" },
];

export const defects: readonly Defect[] = [...planted, ...guards];
