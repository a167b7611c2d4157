/**
 * What a result means, and a report's results as a matrix of races and protocols: the same for every form of output.
 *
 * Invariant: a search that was cut short is never "expected", whatever it found or did not find.
 *
 * See also: result.ts.
 */
import { type Color, several } from "./plain-text.js";
import type { CheckReport, CheckResult, StepsResult } from "./result.js";

export type Verdict = "expected" | "unexpected" | "incomplete";

/** Told apart without color. */
export const marks: Readonly<Record<Verdict, string>> = { expected: "✓", unexpected: "✗", incomplete: "?" };

export const verdictColors: Readonly<Record<Verdict, Color>> = {
  expected: "green",
  unexpected: "red",
  incomplete: "yellow",
};

export const columnNames = ["reference", "locked", "counted", "without guard"] as const;
export type ColumnName = (typeof columnNames)[number];

export interface MatrixRow {
  readonly race: string;
  readonly title: string;
  readonly cells: Readonly<Record<ColumnName, readonly CheckResult[]>>;
  /** Why the race cannot be checked yet; undefined where it can. */
  readonly notApplicable: string | undefined;
}

export interface Totals {
  readonly schedules: number;
  readonly states: number;
  /** Of deep searches, random and cut short: not among `schedules`. */
  readonly beyond: number;
  readonly verdicts: Readonly<Record<Verdict, number>>;
  readonly ok: boolean;
  /** What keeps it from being ok, shortest form: "1 not as expected, 2 incomplete"; "" where it is ok. */
  readonly wrong: string;
}

export function verdictOf(result: CheckResult): Verdict {
  const found = result.violations.length > 0;
  if (found && result.expected === "none") return "unexpected";
  if (!result.complete) return "incomplete";
  return found === (result.expected === "some") ? "expected" : "unexpected";
}

/** True where each result is complete and as expected, nothing was found inside of steps, and anything was looked at. */
export function allExpected({ results, steps }: Pick<CheckReport, "results" | "steps">): boolean {
  const verdicts = results.map(verdictOf);
  if (steps !== null) verdicts.push(stepsVerdictOf(steps));
  return verdicts.length > 0 && verdicts.every((verdict) => verdict === "expected");
}

export function stepsVerdictOf({ violations, complete }: StepsResult): Verdict {
  if (violations.length > 0) return "unexpected";
  return complete ? "expected" : "incomplete";
}

/** "steps of the page words: none found; 43 scenarios, 1,234,567 schedules, every interleaving". */
export function stepsText({ scenarios, complete, leftOut, schedules, violations }: StepsResult): string {
  const soFar = complete ? "none found" : "cut short, none found so far";
  const found = violations.length === 0 ? soFar : `${violations.length} found, none expected`;
  const left = leftOut === 0 ? "" : `; ${several(leftOut, "longer scenario")} left out`;
  return `steps of the page words: ${found}; ${several(scenarios, "scenario")}, ${several(schedules, "schedule")}, every interleaving${left}`;
}

/** "none found", "2 found, none expected", "none found so far, some expected". */
export function findingText({ violations, expected, complete }: CheckResult): string {
  const count = violations.length;
  const found = count === 0 ? `none found${complete ? "" : " so far"}` : `${count} found`;
  if (count > 0) return expected === "some" ? `${found}, as expected` : `${found}, none expected`;
  return expected === "some" ? `${found}, some expected` : found;
}

/** "every interleaving", "up to 2 preemptions". */
export function boundText(bound: number | null): string {
  return bound === null ? "every interleaving" : `up to ${several(bound, "preemption")}`;
}

/** "then 1,234 schedules with up to 5 preemptions, cut short, and 5,678 random ones"; "" where the check was not a deep one. */
export function beyondText({ beyond }: CheckResult): string {
  if (beyond === null) return "";
  const parts: string[] = [];
  if (beyond.bound !== null)
    parts.push(`${several(beyond.schedules, "schedule")} with ${boundText(beyond.bound)}, cut short`);
  const random = beyond.walks + beyond.priorities;
  if (random > 0) parts.push(several(random, "random schedule"));
  return parts.length === 0 ? "" : `then ${parts.join(", and ")}`;
}

/** "R7 locked", "R7 locked without R7". */
export function nameOf({ race, protocol, without }: Pick<CheckResult, "race" | "protocol" | "without">): string {
  return without === null ? `${race} ${protocol}` : `${race} ${protocol} without ${without}`;
}

/** One row a race, R1 first, compound scenarios after the races; also for races that cannot be checked. */
export function rowsOf(report: CheckReport): MatrixRow[] {
  const races = new Set([...report.results, ...report.notApplicable].map(({ race }) => race));
  return [...races].toSorted(byRace).map((race) => {
    const results = report.results.filter((result) => result.race === race);
    const guarded = results.filter((result) => result.without === null);
    const of = (protocol: CheckResult["protocol"]) => guarded.filter((result) => result.protocol === protocol);
    return {
      race,
      title: results[0]?.title ?? "",
      cells: {
        reference: of("reference"),
        locked: of("locked"),
        counted: of("counted"),
        "without guard": results.filter((result) => result.without !== null),
      },
      notApplicable: report.notApplicable.find((entry) => entry.race === race)?.why,
    };
  });
}

/** All results in the order of the matrix. */
export function inOrder(rows: readonly MatrixRow[]): CheckResult[] {
  return rows.flatMap((row) => columnNames.flatMap((name) => row.cells[name]));
}

function byRace(a: string, b: string): number {
  const letters = (race: string) => race.replace(/\d+$/, "");
  const first = (race: string) => (letters(race) === "R" ? 0 : 1);
  if (letters(a) !== letters(b)) return first(a) - first(b) || (letters(a) < letters(b) ? -1 : 1);
  return Number(a.slice(letters(a).length)) - Number(b.slice(letters(b).length));
}

export function totalsOf(report: CheckReport): Totals {
  const verdicts = { expected: 0, unexpected: 0, incomplete: 0 };
  let schedules = 0;
  let states = 0;
  let beyond = 0;
  schedules += report.steps?.schedules ?? 0;
  states += report.steps?.states ?? 0;
  for (const result of report.results) {
    verdicts[verdictOf(result)] += 1;
    schedules += result.schedules;
    states += result.states;
    if (result.beyond !== null) beyond += result.beyond.schedules + result.beyond.walks + result.beyond.priorities;
  }
  const wrong: string[] = [];
  if (verdicts.unexpected > 0) wrong.push(`${verdicts.unexpected} not as expected`);
  if (verdicts.incomplete > 0) wrong.push(`${verdicts.incomplete} incomplete`);
  const inside = report.steps === null ? "expected" : stepsVerdictOf(report.steps);
  if (inside === "unexpected") wrong.push(`${report.steps?.violations.length} inside of steps`);
  if (inside === "incomplete") wrong.push("steps incomplete");
  if (report.results.length === 0 && report.steps === null) wrong.push("nothing was checked");
  if (wrong.length === 0 && !report.ok) wrong.push("the check itself says so");
  return { schedules, states, beyond, verdicts, ok: wrong.length === 0, wrong: wrong.join(", ") };
}
