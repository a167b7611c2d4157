/**
 * `pinfold check`, once its command line was read: runs the check, shows how far it is, prints what it has found.
 *
 * See also: check.ts; src/cli/check.ts (the command line); report/.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { systemClock } from "../src/base/clock.js";
import { PinfoldError } from "../src/base/errors.js";
import { check, readInterleaved, replayed, tasksOf } from "./check.js";
import { htmlText } from "./report/html.js";
import { jsonText, readReplay } from "./report/json.js";
import { styleOf } from "./report/plain-text.js";
import { Progress } from "./report/progress.js";
import { scheduleText } from "./report/schedule-text.js";
import { tableText } from "./report/table.js";
import { verdictOf } from "./report/verdict.js";

export interface CheckCommand {
  /** "R6", ...: these alone; empty: all. */
  readonly races: readonly string[];
  readonly quick: boolean;
  readonly json: boolean;
  readonly html?: string | undefined;
  readonly replay?: string | undefined;
  /** What was typed, for the page. */
  readonly typed: string;
  readonly version: string;
}

/** Preemptions that --quick searches. */
const quickBound = 1;

/** True where every result is as expected, and complete. @throws PinfoldError EINVAL for races that are not there */
export function runCheck(command: CheckCommand): boolean {
  if (command.replay !== undefined) return runReplay(command.replay, command.races[0]);
  const source = readInterleaved();
  const selection = {
    ...(command.races.length > 0 && { races: command.races }),
    ...(command.quick && { boundMax: quickBound }),
  };
  const tasks = tasksOf(source, selection);
  const unknown = command.races.filter((race) => !tasks.some((task) => task.race === race));
  if (unknown.length > 0) throw new PinfoldError("EINVAL", `there is no scenario ${unknown.join(", ")}`);
  const style = styleOf(process.stdout, process.env);
  const live = new Progress(process.stderr, { total: tasks.length, color: style.color });
  const report = check(source, {
    ...selection,
    nowMs: () => systemClock.nowMs(),
    onProgress: (task, { schedules }) => live.update({ ...task, schedules }),
    onResult: (result) => live.finished(result),
  });
  live.end();
  if (command.html !== undefined) {
    const versions = { pinfold: command.version, node: process.versions.node };
    writeFileSync(command.html, htmlText(report, { command: command.typed, versions }));
  }
  if (command.json) {
    process.stdout.write(jsonText(report));
    return report.ok;
  }
  process.stdout.write(`${tableText(report, style)}\n`);
  for (const result of report.results.filter((one) => verdictOf(one) === "unexpected" && one.schedule.length > 0))
    process.stdout.write(`\n${scheduleText(result, style)}\n`);
  return report.ok;
}

/** Runs the turns of a report's result again and prints them. True: the same was found again. */
function runReplay(path: string, race: string | undefined): boolean {
  const wanted = readReplay(readFileSync(path, "utf8"), race === undefined ? {} : { race });
  const source = readInterleaved();
  const task = tasksOf(source, { races: [wanted.race] })[0];
  if (task === undefined) throw new PinfoldError("EINVAL", `there is no scenario ${wanted.race}`);
  const { violation, steps } = replayed(source, wanted);
  const result = {
    ...wanted,
    title: task.title,
    schedules: 1,
    states: 0,
    bound: null,
    complete: false,
    violations: violation ? [`${violation.kind}: ${violation.sentence}`] : [],
    expected: task.expected,
    schedule: steps,
    preemptions: violation?.preemptions ?? 0,
    seconds: 0,
  };
  process.stdout.write(`${scheduleText(result, styleOf(process.stdout, process.env))}\n`);
  return violation !== undefined;
}
