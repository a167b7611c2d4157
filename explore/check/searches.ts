/**
 * One search of a check, from its beginning to what is reported of it.
 *
 * Where nothing is expected the whole space within the bound is searched; where something is, with few preemptions first, and the first
 * violation ends it. A deep search goes on after its bound: with one preemption more, and one more, as long as half of its time lasts; then
 * at random, by even walks and by PCT in turns, until the time is over or all there is was searched.
 *
 * Invariants: what was cut short is never called complete, and what was run at random never counts as searched. The random runs come from
 * the seed alone, in a world that knows nothing of those before: the same seed does the same again, as far as the time lasts.
 *
 * See also: ../search/, search-thread.ts.
 */
import type { Beyond, CheckResult } from "../report/result.js";
import type { World } from "../runtime/world.js";
import { search } from "../search/exhaustive.js";
import type { Progress } from "../search/limits.js";
import { searchAtRandom } from "../search/random.js";
import { type FoundViolation, scheduleText } from "../search/schedule.js";
import { shrink } from "../search/shrink.js";
import type { Interleaved } from "../transform/emit.js";
import { stepsOf } from "./replays.js";
import { type CheckTask, worldOf } from "./tasks.js";

/** How far a search is. */
export interface SearchProgress extends Pick<Progress, "schedules"> {
  readonly bound: number | null;
  readonly isRandom: boolean;
}

/** That a search is a deep one. */
export interface Depth {
  readonly seed: number;
  readonly millisecondsMax: number;
}

export interface SearchRun {
  readonly nowMs: () => number;
  readonly onProgress: (progress: SearchProgress) => void;
  readonly depth?: Depth | undefined;
  /** Asked now and then: true ends the search, which is incomplete then. */
  readonly isStopped?: (() => boolean) | undefined;
}

/** What was reached; the world is one in which the violations happen. */
interface Reached extends Pick<CheckResult, "schedules" | "states" | "complete" | "bound" | "beyond"> {
  readonly violations: readonly FoundViolation[];
  readonly world: World;
}

const nothingBeyond: Beyond = { bound: null, schedules: 0, walks: 0, priorities: 0 };
/** Schedules of one search that is not deep; what needs more is incomplete. */
const schedulesMax = 5_000_000;
const boundMost = 250;
const deepStatesMax = 16_000_000;
/** What of a deep search's time goes to bounds. */
const boundsShare = 0.5;
/** Ordered events that random runs are out for, round after round: PCT's depth; undefined: an even walk. */
const depths = [undefined, 2, 3, 4] as const;
const runsPerRound = 1_000;
/** Odd: runs are numbered from the seed on, and those of 1 and 2 must not be almost the same. */
const seedSpread = 0x85ebca6b;
/** Points of a run with priorities: one that has priority and waits in a circle goes on for ever, and says nothing. */
const priorityPointsMax = 5_000;

/** Does one search. @throws Error where the runtime, or what it runs, does not do the same again */
export function searchOne(source: Interleaved, task: CheckTask, run: SearchRun): CheckResult {
  const startMs = run.nowMs();
  const { race, title, protocol, without, expected } = task;
  if (run.isStopped?.() === true) return notBegun(task, run.depth !== undefined);
  const reached = run.depth === undefined ? searchUpTo(source, task, run) : searchDeep(source, task, run, run.depth);
  const { world, schedules, states, complete, bound, violations, beyond } = reached;
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
    schedule: shown ? stepsOf(source, world, shown.schedule) : [],
    turns: shown ? scheduleText(world, shown.schedule) : "",
    preemptions: shown?.preemptions ?? 0,
    seconds: (run.nowMs() - startMs) / 1000,
    beyond,
  };
}

/** Of a search that was stopped before it began. */
function notBegun({ race, title, protocol, without, expected, bound }: CheckTask, isDeep: boolean): CheckResult {
  return {
    race,
    title,
    protocol,
    without,
    schedules: 0,
    states: 0,
    bound,
    complete: false,
    violations: [],
    expected,
    schedule: [],
    turns: "",
    preemptions: 0,
    seconds: 0,
    beyond: isDeep ? nothingBeyond : null,
  };
}

/** Where something is expected, with few preemptions first: most is found with one or two. */
function searchUpTo(source: Interleaved, task: CheckTask, { onProgress, isStopped }: SearchRun): Reached {
  const world = worldOf(source, task);
  const upTo = (bound: number) =>
    search(world, {
      bound,
      schedulesMax,
      ...(isStopped && { isStopped }),
      progress: ({ schedules }) => onProgress({ schedules, bound, isRandom: false }),
    });
  for (let few = task.expected === "some" ? 0 : task.bound; few < task.bound; few++) {
    const result = upTo(few);
    if (result.violations.length > 0) return { ...result, world, beyond: null };
  }
  return { ...upTo(task.bound), world, beyond: null };
}

function searchDeep(source: Interleaved, task: CheckTask, run: SearchRun, depth: Depth): Reached {
  const endMs = run.nowMs() + depth.millisecondsMax;
  const reached = searchBounds(source, task, run, endMs - depth.millisecondsMax * (1 - boundsShare));
  if (reached.violations.length > 0 || (reached.complete && reached.bound === null)) return reached;
  return searchOn(source, task, { ...run, seed: depth.seed, endMs, reached });
}

/** With more and more preemptions. What is reported is the highest bound that was completed. */
function searchBounds(source: Interleaved, task: CheckTask, run: SearchRun, endMs: number): Reached {
  const { nowMs, onProgress, isStopped } = run;
  const world = worldOf(source, task, "exactly");
  let reached: Reached | undefined;
  for (let bound = task.bound; ; bound++) {
    const result = search(world, {
      bound,
      statesMax: deepStatesMax,
      millisecondsMax: Math.max(0, endMs - nowMs()),
      nowMs,
      ...(isStopped && { isStopped }),
      progress: ({ schedules }) => onProgress({ schedules, bound, isRandom: false }),
    });
    const isLast = !result.complete || result.bound === null || bound === boundMost;
    const { schedules } = result;
    if (result.complete || reached === undefined) reached = { ...result, world, beyond: nothingBeyond };
    else reached = { ...reached, violations: result.violations, beyond: { ...nothingBeyond, bound, schedules } };
    if (isLast) return reached;
  }
}

interface RandomRun extends SearchRun {
  readonly seed: number;
  readonly endMs: number;
  /** What was searched before, to which the random runs are added. */
  readonly reached: Reached;
}

function searchOn(source: Interleaved, task: CheckTask, run: RandomRun): Reached {
  const { nowMs, onProgress, isStopped, seed, endMs, reached } = run;
  const world = worldOf(source, task, "exactly");
  const first = Math.imul(seed, seedSpread) >>> 0;
  let walks = 0;
  let priorities = 0;
  for (let round = 0; ; round++) {
    const depth = depths[round % depths.length];
    const before = walks + priorities;
    const result = searchAtRandom(world, {
      seed: first + round * runsPerRound,
      schedulesMax: runsPerRound,
      millisecondsMax: Math.max(0, endMs - nowMs()),
      nowMs,
      ...(isStopped && { isStopped }),
      ...(depth !== undefined && { depth, pointsMax: priorityPointsMax }),
    });
    if (depth === undefined) walks += result.schedules;
    else priorities += result.schedules;
    onProgress({ schedules: walks + priorities, bound: null, isRandom: true });
    const isOver = result.violations.length > 0 || walks + priorities === before || nowMs() >= endMs;
    if (!isOver) continue;
    const beyond: Beyond = { ...nothingBeyond, ...reached.beyond, walks, priorities };
    const { violations } = result;
    return { ...reached, world, violations, beyond };
  }
}
