/**
 * A schedule that was found, run again: exactly, and step by step for people.
 *
 * See also: ../search/schedule.ts, ../report/json.ts (where the turns are read from).
 */
import { PinfoldError } from "../../src/base/errors.js";
import { visible } from "../report/plain-text.js";
import type { CheckResult, PageState, Step } from "../report/result.js";
import { nameOf } from "../report/verdict.js";
import { WordNames } from "../report/word-names.js";
import type { Machine } from "../runtime/machine.js";
import { pageState } from "../runtime/pages.js";
import type { Traced } from "../runtime/scheduler.js";
import type { World } from "../runtime/world.js";
import { readSchedule, replay, type Schedule } from "../search/schedule.js";
import type { Interleaved } from "../transform/emit.js";
import { type CheckTask, worldOf } from "./tasks.js";

type Replayed = Pick<CheckResult, "race" | "protocol" | "without" | "turns">;

/**
 * Runs the turns of a result again; `tasks` has all that there are.
 * @throws PinfoldError EINVAL where there is no such scenario or guard, or the turns do not fit: the code is another one
 */
export function replayed(source: Interleaved, tasks: readonly CheckTask[], wanted: Replayed): CheckResult {
  const { race, protocol, without, turns } = wanted;
  const task = tasks.find((one) => one.race === race);
  if (task === undefined) throw new PinfoldError("EINVAL", `replay: there is no scenario ${visible(race)}`);
  if (without !== null && !tasks.some((one) => one.without === without))
    throw new PinfoldError("EINVAL", `replay: there is no guard to be taken out for ${visible(without)}`);
  const expected = tasks.find((one) => nameOf(one) === nameOf(wanted))?.expected ?? "none";
  const world = worldOf(source, { file: task.file, protocol, without });
  try {
    const schedule = readSchedule(world, turns);
    const violation = replay(world, schedule);
    return {
      race,
      title: task.title,
      protocol,
      without,
      schedules: 1,
      states: 0,
      bound: null,
      complete: false,
      violations: violation ? [`${violation.kind}: ${violation.sentence}`] : [],
      expected,
      schedule: stepsOf(source, world, schedule),
      turns,
      preemptions: violation?.preemptions ?? 0,
      seconds: 0,
      beyond: null,
    };
  } catch (error) {
    throw new PinfoldError("EINVAL", `replay: ${nameOf(wanted)}: ${visible((error as Error).message)}`, {
      cause: error,
    });
  }
}

/** What was done in a schedule, step by step. */
export function stepsOf(source: Interleaved, world: World, schedule: Schedule): Step[] {
  const { frames } = world.scenario;
  const steps = new StepNotes(source, world.machine, frames, (alternative) => world.name(alternative));
  world.onTrace = (traced) => steps.note(traced);
  try {
    replay(world, schedule);
  } finally {
    world.onTrace = undefined;
  }
  return steps.all;
}

/** Steps as people read them, with the pages that each one changed. */
export class StepNotes {
  readonly all: Step[] = [];
  readonly #source: Interleaved;
  readonly #machine: Machine;
  readonly #frames: number;
  readonly #actorOf: (alternative: number) => string;
  readonly #words: WordNames;
  readonly #before = new Map<number, string>();

  constructor(source: Interleaved, machine: Machine, frames: number, actorOf: (alternative: number) => string) {
    this.#source = source;
    this.#machine = machine;
    this.#frames = frames;
    this.#actorOf = actorOf;
    this.#words = new WordNames(frames);
  }

  note({ thread, site, what }: Traced): void {
    const pages: PageState[] = [];
    for (let frame = 0; frame < this.#frames; frame++) {
      const state = pageState(this.#machine, frame);
      const text = JSON.stringify(state);
      if (this.#before.get(frame) !== text && this.#before.has(frame)) pages.push(state);
      this.#before.set(frame, text);
    }
    const actor = this.#actorOf(thread).split("-")[0] as string;
    this.all.push({ actor, at: this.#source.sites[site] ?? "", what: this.#words.named(what), pages });
  }
}
