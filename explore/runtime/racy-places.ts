/**
 * Plain accesses that race on purpose: by file, with the reason why they may. All others are found by race-check.ts.
 *
 * Invariant: a file that relies on the order in which a processor does plain accesses is run under store-buffer.ts.
 */

/** Plain accesses to words. */
const racyWords: ReadonlyMap<string, string> = new Map([
  [
    "src/sync/shared.ts",
    "`peek` says that its answer may be a moment old; words are never torn, and who acts on it looks again",
  ],
  ["src/cache/space.ts", "state and generation of a file only go on; they are asked again once a page of it is locked"],
  [
    "src/sync/view-window.ts",
    "hazard slots and view words: ordered by the processor and the revoker's barrier (store-buffer.ts)",
  ],
  ["src/sync/optimistic-words.ts", "the version after a read: ordered by the processor (store-buffer.ts)"],
]);

/** Copies of bytes that others may be changing under a long-term pin: a write-back's snapshot may be in the midst of an update. */
const snapshots: ReadonlySet<string> = new Set(["src/writeback/writer.ts"]);

function fileOf(place: string): string {
  return place.split(":")[0] as string;
}

/**
 * Whether accesses at two places may race; a scenario's own have no place. `isCounted`: whoever holds a long-term pin shares the
 * bytes with others who do, and with write-back.
 */
export function mayRace(place: string, other: string, isCounted: boolean): boolean {
  const [one, two] = [fileOf(place), fileOf(other)];
  if (racyWords.has(one) || racyWords.has(two)) return true;
  return isCounted && ((snapshots.has(one) && two === "") || (snapshots.has(two) && one === ""));
}
