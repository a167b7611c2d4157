/**
 * The check: every scenario under each pin protocol, and without its guard, as far as its bound says.
 *
 * Invariant: what was cut short is reported as incomplete, never as passed. Under a protocol for which nothing is expected the whole
 * space within the bound is searched; where something is expected, the first violation ends the search.
 *
 * See also: races/, search/, report/; src/cli/check.ts (the command).
 */
import { readFileSync } from "node:fs";
import type { ProtocolName, Scenario } from "./races/scenario.js";
import type { CheckReport, CheckResult, Step } from "./report/result.js";
import { allExpected } from "./report/verdict.js";
import { World } from "./runtime/world.js";
import { pageState } from "./runtime/pages.js";
import { search } from "./search/exhaustive.js";
import type { SearchResult } from "./search/findings.js";
import type { Progress } from "./search/limits.js";
import { type FoundViolation, readSchedule, replay, scheduleText } from "./search/schedule.js";
import { shrink } from "./search/shrink.js";
import type { Interleaved } from "./transform/emit.js";

export interface CheckOptions {
  /** "R6", ...; all without. */
  readonly races?: readonly string[];
  /** At most so many preemptions; each scenario's own bound without. */
  readonly boundMax?: number;
  readonly nowMs: () => number;
  /** A search begins, or has gone on. */
  readonly onProgress?: (
    task: CheckTask,
    progress: Progress,
    all: { readonly done: number; readonly total: number },
  ) => void;
  readonly onResult?: (result: CheckResult) => void;
}

/** One search. */
export interface CheckTask {
  readonly file: string;
  readonly race: string;
  readonly title: string;
  readonly protocol: ProtocolName;
  readonly without: string | null;
  readonly bound: number;
  readonly expected: "none" | "some";
}

const notApplicable = [{ race: "R16", why: "there are no snapshots of files yet" }];
const interleavedUrl = new URL("./interleaved.json", import.meta.url);
/** Schedules of one search; what needs more is incomplete. */
const schedulesMax = 5_000_000;

/** What the build has made for the explorer. @throws Error where it was not built */
export function readInterleaved(): Interleaved {
  return JSON.parse(readFileSync(interleavedUrl, "utf8")) as Interleaved;
}

/** All searches of a check, in order. */
export function tasksOf(
  source: Interleaved,
  { races, boundMax = Infinity }: Pick<CheckOptions, "races" | "boundMax">,
): CheckTask[] {
  const tasks: CheckTask[] = [];
  for (const path of source.scenarios ?? []) {
    const file = path.replace(/\.ts$/, ".js");
    const { race, title, bound, underReference, without, found = "locked" } = scenarioOf(source, file);
    if (races !== undefined && !races.includes(race)) continue;
    // What is to be found ends its search: it may go as far as it has to.
    const boundFor = (expected: "none" | "some") => (expected === "some" ? bound : Math.min(bound, boundMax));
    const add = (protocol: ProtocolName, taken: string | null, expected: "none" | "some") =>
      tasks.push({ file, race, title, protocol, without: taken, bound: boundFor(expected), expected });
    add("reference", null, underReference);
    add("locked", null, "none");
    add("counted", null, "none");
    if (without.length > 0) add(found, race, "some");
  }
  return tasks;
}

function scenarioOf(source: Interleaved, file: string): Scenario {
  return new World(source, file, "locked").scenario;
}

/** Does everything. */
export function check(source: Interleaved, options: CheckOptions): CheckReport {
  const startMs = options.nowMs();
  const tasks = tasksOf(source, options);
  const results = tasks.map((task, done) => {
    const result = checkOne(source, task, options.nowMs, (progress) =>
      options.onProgress?.(task, progress, { done, total: tasks.length }),
    );
    options.onResult?.(result);
    return result;
  });
  const ok = results.length > 0 && allExpected(results);
  return { results, notApplicable, ok, seed: null, seconds: (options.nowMs() - startMs) / 1000 };
}

function checkOne(
  source: Interleaved,
  task: CheckTask,
  nowMs: () => number,
  progress: (progress: Progress) => void,
): CheckResult {
  const startMs = nowMs();
  const world = new World(source, task.file, task.protocol, task.without ?? "");
  const { race, title, protocol, without, expected } = task;
  const { schedules, states, complete, bound, violations } = searchUpTo(world, task, progress);
  const [first] = violations;
  const shown = first && shrink(world, first.schedule);
  return {
    race,
    title,
    protocol,
    without,
    schedules,
    states,
    bound,
    // A search that was to find something and has is done.
    complete: complete || (first !== undefined && expected === "some"),
    violations: shown ? [`${shown.kind}: ${shown.sentence}`] : [],
    expected,
    schedule: shown ? stepsOf(source, world, shown) : [],
    turns: shown ? scheduleText(world, shown.schedule) : "",
    preemptions: shown?.preemptions ?? 0,
    seconds: (nowMs() - startMs) / 1000,
  };
}

/** Where something is expected, with few preemptions first: most is found with one or two. */
function searchUpTo(
  world: World,
  { bound, expected }: CheckTask,
  progress: (progress: Progress) => void,
): SearchResult {
  const first = expected === "some" ? 0 : bound;
  for (let few = first; few < bound; few++) {
    const result = search(world, { bound: few, schedulesMax, progress });
    if (result.violations.length > 0) return result;
  }
  return search(world, { bound, schedulesMax, progress });
}

/** Runs the turns of a result again, exactly. @throws Error where they do not fit: the code is another one */
export function replayed(
  source: Interleaved,
  { race, protocol, without, turns }: Pick<CheckResult, "race" | "protocol" | "without" | "turns">,
): { readonly violation: FoundViolation | undefined; readonly steps: Step[] } {
  const task = tasksOf(source, { races: [race] })[0];
  if (task === undefined) throw new Error(`there is no scenario ${race}`);
  const world = new World(source, task.file, protocol, without ?? "");
  const schedule = readSchedule(world, turns);
  const steps = stepsOf(source, world, { schedule });
  return { violation: replay(world, schedule), steps };
}

/** What was done in a schedule, step by step. */
function stepsOf(source: Interleaved, world: World, { schedule }: Pick<FoundViolation, "schedule">): Step[] {
  const steps: Step[] = [];
  const before = new Map<number, string>();
  world.onTrace = ({ thread, site, what }) => {
    const pages = [];
    for (let frame = 0; frame < world.scenario.frames; frame++) {
      const state = pageState(world.machine, frame);
      const text = JSON.stringify(state);
      if (before.get(frame) !== text && before.has(frame)) pages.push(state);
      before.set(frame, text);
    }
    const name = world.name(thread);
    steps.push({ actor: name.split("-")[0] as string, at: source.sites[site] ?? "", what, pages });
  };
  try {
    replay(world, schedule);
  } finally {
    world.onTrace = undefined;
  }
  return steps;
}
