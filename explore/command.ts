/**
 * `pinfold check`, once its command line was read: runs the check, shows how far it is, prints what it has found.
 *
 * See also: check.ts, check/; src/cli/check.ts (the command line); report/.
 */
import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { systemClock } from "../src/base/clock.js";
import { PinfoldError } from "../src/base/errors.js";
import { newNumber } from "../src/base/random.js";
import { check } from "./check.js";
import { newStop } from "./check/crew.js";
import { replayed } from "./check/replays.js";
import { type CheckTask, notApplicable, readInterleaved, type Selection, tasksOf } from "./check/tasks.js";
import type { ProtocolName } from "./races/scenario.js";
import { htmlText } from "./report/html.js";
import { jsonText, readReplays } from "./report/json.js";
import { styleOf } from "./report/plain-text.js";
import { Progress } from "./report/progress.js";
import type { CheckReport } from "./report/result.js";
import { scheduleText } from "./report/schedule-text.js";
import { tableText } from "./report/table.js";
import { nameOf, verdictOf } from "./report/verdict.js";

export interface CheckCommand {
  /** "R6", ...: these alone; empty: all. */
  readonly races: readonly string[];
  /** Without one of these guards; empty: all there is. */
  readonly without: readonly string[];
  readonly protocol?: ProtocolName;
  readonly quick: boolean;
  readonly bound?: number;
  /** A deep check, for so long. */
  readonly deepMs?: number;
  readonly seed?: number;
  readonly jobs?: number;
  readonly json: boolean;
  readonly html?: string;
  readonly replay?: string;
  /** What was typed, for the page. */
  readonly typed: string;
  readonly version: string;
}

/** What asks for the search inside of steps, among races. */
const stepsName = "STEPS";

/**
 * True where every result is as expected, and complete.
 * @throws PinfoldError EINVAL for what does not go together, and for races and guards that are not there
 */
export async function runCheck(command: CheckCommand): Promise<boolean> {
  refuseNonsense(command);
  const named = namedOf(command);
  if (command.replay !== undefined) return runReplay(command.replay, named);
  const { deepMs, jobs } = command;
  const tasks = tasksFor(command, named);
  // Better now than when all is done.
  if (command.html !== undefined) closeSync(openSync(command.html, "a"));
  const depth = deepMs === undefined ? undefined : { millisecondsMax: deepMs, seed: command.seed ?? newNumber() };
  if (depth !== undefined) process.stderr.write(`seed ${depth.seed}: the same again with --seed ${depth.seed}\n`);
  const steps = stepsFor(command, named);
  const live = new Progress(process.stderr, {
    total: tasks.length + (steps === "no" ? 0 : 1),
    color: styleOf(process.stderr, process.env).color,
  });
  const stop = newStop();
  const onSignal = () => stopSearches(stop, live);
  process.once("SIGINT", onSignal);
  try {
    const report = await check(tasks, {
      stop,
      nowMs: () => systemClock.nowMs(),
      notApplicable: isAll(named) ? notApplicable : [],
      steps,
      onSteps: (result) => live.finishedSteps(result),
      onProgress: (task, progress) => live.update({ ...task, ...progress }),
      onResult: (result) => live.finished(result),
      ...(jobs !== undefined && { jobs }),
      ...(depth !== undefined && { depth }),
    });
    live.end();
    show(report, command);
    return report.ok;
  } finally {
    live.end();
    process.removeListener("SIGINT", onSignal);
  }
}

/** What has been found by now is reported; the next signal ends the process. */
function stopSearches(stop: Int32Array, live: Progress): void {
  Atomics.store(stop, 0, 1);
  live.end();
  process.stderr.write("stopping: what was not searched is reported as incomplete; once more ends it at once\n");
}

type Named = Pick<Selection, "races" | "without" | "protocol">;

function isAll(named: Named): boolean {
  return Object.keys(named).length === 0;
}

/** What is searched inside of steps, which stand among the races by a name of their own. */
function stepsFor({ quick }: CheckCommand, named: Named): "no" | "quick" | "all" {
  if (!isAll(named) && !named.races?.includes(stepsName)) return "no";
  return quick ? "quick" : "all";
}

function tasksFor({ quick, bound, deepMs }: CheckCommand, { races, ...named }: Named): CheckTask[] {
  const others = races?.filter((race) => race !== stepsName);
  if (others?.length === 0) return [];
  return tasksOf(readInterleaved(), {
    ...named,
    ...(others !== undefined && { races: others }),
    ...(bound !== undefined && { bound }),
    quick,
    guardedOnly: deepMs !== undefined,
  });
}

/** What was named on the command line. */
function namedOf({ races, without, protocol }: CheckCommand): Named {
  return {
    ...(races.length > 0 && { races }),
    ...(without.length > 0 && { without }),
    ...(protocol !== undefined && { protocol }),
  };
}

function refuseNonsense({ replay, quick, json, html, bound, deepMs, seed, jobs, without }: CheckCommand): void {
  const refuse = (sentence: string) => {
    throw new PinfoldError("EINVAL", sentence);
  };
  const isDeep = deepMs !== undefined;
  if (
    replay !== undefined &&
    (quick || json || html !== undefined || bound !== undefined || isDeep || jobs !== undefined)
  )
    refuse("--replay goes with races, --protocol and --without alone");
  if (quick && (bound !== undefined || isDeep)) refuse("--quick goes with neither --bound nor --deep");
  if (isDeep && without.length > 0) refuse("--deep searches the code as it is: it does not go with --without");
  if (seed !== undefined && !isDeep) refuse("--seed is for --deep: nothing else is random");
}

function show(report: CheckReport, { html, json, typed, version }: CheckCommand): void {
  if (html !== undefined) {
    const versions = { pinfold: version, node: process.versions.node };
    writeFileSync(html, htmlText(report, { command: typed, versions }));
  }
  if (json) {
    process.stdout.write(jsonText(report));
    return;
  }
  const style = styleOf(process.stdout, process.env);
  process.stdout.write(`${tableText(report, style)}\n`);
  for (const result of report.results.filter((one) => verdictOf(one) === "unexpected" && one.schedule.length > 0))
    process.stdout.write(`\n${scheduleText(result, style)}\n`);
}

/** Runs the turns of a report's results again and prints them. True: the same was found again, each time. */
function runReplay(path: string, choice: ReturnType<typeof namedOf>): boolean {
  const replays = readReplays(readFileSync(path, "utf8"), choice);
  const source = readInterleaved();
  const tasks = tasksOf(source, {});
  const style = styleOf(process.stdout, process.env);
  let isSame = true;
  replays.forEach((wanted, at) => {
    const result = replayed(source, tasks, wanted);
    process.stdout.write(`${at > 0 ? "\n" : ""}${scheduleText(result, style)}\n`);
    const [found = ""] = result.violations;
    const before = wanted.violations?.[0] ?? found;
    if (found !== "" && found === before) return;
    isSame = false;
    const name = nameOf(result);
    process.stdout.write(found === "" ? `${name}: nothing went wrong\n` : `${name}: it was another one: ${before}\n`);
  });
  return isSame;
}
