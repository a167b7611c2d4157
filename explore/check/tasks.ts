/**
 * What a check is made of: one search for each scenario under each protocol, and one without its guard.
 *
 * Invariant: whatever is asked for by name and is not there is an error that says what there is.
 *
 * See also: ../races/scenario.ts, searches.ts.
 */
import { readFileSync } from "node:fs";
import { PinfoldError } from "../../src/base/errors.js";
import type { ProtocolName, Scenario } from "../races/scenario.js";
import { plainModules } from "../runtime/modules.js";
import { type RacesWanted, World } from "../runtime/world.js";
import type { Interleaved } from "../transform/emit.js";

/** One search. */
export interface CheckTask {
  readonly file: string;
  readonly race: string;
  readonly title: string;
  readonly protocol: ProtocolName;
  readonly without: string | null;
  /** Preemptions up to which it goes. */
  readonly bound: number;
  readonly expected: "none" | "some";
}

/** Which searches; what is not given selects all. */
export interface Selection {
  /** "R6", ... */
  readonly races?: readonly string[];
  readonly protocol?: ProtocolName;
  /** Only those without these guards, each by its race. */
  readonly without?: readonly string[];
  /** Only those that are to find nothing in the code as it is. */
  readonly guardedOnly?: boolean;
  /** In place of each scenario's own bound. */
  readonly bound?: number;
  /** Where nothing is expected: no more preemptions than a quick check has time for. */
  readonly quick?: boolean;
}

/** Preemptions of a quick check, where the scenario does not say. */
const quickBoundDefault = 1;

/** Races that cannot be checked yet, and why. */
export const notApplicable = [{ race: "R16", why: "there are no snapshots of files yet" }];

/** What the build has made for the explorer. */
export const interleavedUrl = new URL("../interleaved.json", import.meta.url);

/** @throws Error where it was not built */
export function readInterleaved(url: URL = interleavedUrl): Interleaved {
  return JSON.parse(readFileSync(url, "utf8")) as Interleaved;
}

/** All searches that are selected, in the order of the scenarios' files. @throws PinfoldError EINVAL where there is none */
export function tasksOf(source: Interleaved, selection: Selection): CheckTask[] {
  const { races, without, protocol, guardedOnly = false } = selection;
  const all = (source.scenarios ?? []).flatMap((path) => tasksOfFile(source, path.replace(/\.ts$/, ".js"), selection));
  refuseUnknown(
    races,
    namesOf(all, ({ race }) => race),
    "scenario",
  );
  refuseUnknown(
    without,
    namesOf(all, (task) => task.without),
    "guard to be taken out for",
  );
  const tasks = all.filter(
    (task) =>
      (races === undefined || races.includes(task.race)) &&
      (protocol === undefined || task.protocol === protocol) &&
      (without === undefined || (task.without !== null && without.includes(task.without))) &&
      (!guardedOnly || (task.without === null && task.expected === "none")),
  );
  if (tasks.length === 0) throw new PinfoldError("EINVAL", "no search is all of what was asked for");
  return tasks;
}

function tasksOfFile(source: Interleaved, file: string, { bound: wanted, quick = false }: Selection): CheckTask[] {
  const scenario = scenarioOf(source, file);
  const { race, title, bound: own, underReference, without, found = "locked" } = scenario;
  const most = quick ? (scenario.quickBound ?? quickBoundDefault) : Infinity;
  const tasks: CheckTask[] = [];
  const add = (protocol: ProtocolName, taken: string | null, expected: "none" | "some") => {
    // What is to be found ends its search: it may go as far as it has to.
    const bound = expected === "some" ? Math.max(own, wanted ?? 0) : Math.min(wanted ?? own, most);
    tasks.push({ file, race, title, protocol, without: taken, bound, expected });
  };
  add("reference", null, underReference);
  add("locked", null, "none");
  add("counted", null, "none");
  if (without.length > 0) add(found, race, "some");
  return tasks;
}

/**
 * Data races are looked for where nothing is taken out: a bare reference orders nothing. `races`: "exactly" takes up to twice as long
 * (runtime/race-check.ts).
 */
export function worldOf(
  source: Interleaved,
  { file, protocol, without }: Pick<CheckTask, "file" | "protocol" | "without">,
  races: RacesWanted = "in runs",
): World {
  return new World(source, file, protocol, without ?? "", protocol === "reference" || without !== null ? "not" : races);
}

function scenarioOf(source: Interleaved, file: string): Scenario {
  return plainModules(source).load(file)["scenario"] as Scenario;
}

function namesOf(tasks: readonly CheckTask[], nameOf: (task: CheckTask) => string | null): string[] {
  return [...new Set(tasks.map(nameOf))].filter((name) => name !== null);
}

function refuseUnknown(wanted: readonly string[] | undefined, known: readonly string[], what: string): void {
  const unknown = wanted?.filter((name) => !known.includes(name)) ?? [];
  if (unknown.length === 0) return;
  const reasons = notApplicable
    .filter(({ race }) => unknown.includes(race))
    .map(({ race, why }) => ` (${race}: ${why})`);
  throw new PinfoldError(
    "EINVAL",
    `there is no ${what} ${unknown.join(", ")}${reasons.join("")}; there are ${known.join(", ")}`,
  );
}
