/**
 * A schedule: which alternative goes on, at every point of a run, also at those where nobody contends for anything. So it can be run by
 * a process that knows nothing of contention; and as long as the code is the same, it does the same again.
 *
 * Text form: "A12 B3 disk1", the alternatives' names with how many turns each has in a row.
 *
 * See also: shrink.ts (a simpler schedule for the same violation).
 */
import { pointsMaxDefault } from "./limits.js";
import { alternativesMax, STOP, type Subject, type Turns, Violation, type ViolationKind } from "./subject.js";
import { isSingle, type Path, unasked, usual } from "./turns.js";

/** Turns of a schedule: more points are asked than in a run that knows of contention. */
const turnsMax = 10 * pointsMaxDefault;

/** Alternatives, one a point. */
export type Schedule = readonly number[];

export interface FoundViolation {
  readonly kind: ViolationKind;
  readonly sentence: string;
  readonly schedule: Schedule;
  /** Turns at which another one was chosen though the last one could go on. */
  readonly preemptions: number;
}

/** How an observed run went, with every point asked. */
export interface Observation {
  /** What was chosen, and how often that was a preemption. */
  readonly schedule: number[];
  readonly preemptions: number;
  readonly violation: Violation | undefined;
}

/** Chooses at point `at`; STOP ends the run. */
type Chooser = (at: number, enabled: number, current: number) => number;

/** Runs the subject with every point asked, and notes what was chosen. */
export function observe(subject: Subject, choose: Chooser): Observation {
  const schedule: number[] = [];
  let preemptions = 0;
  const turns: Turns = {
    decide(enabled, current) {
      const choice = choose(schedule.length, enabled, current);
      if (choice === STOP) return STOP;
      schedule.push(choice);
      if (current >= 0 && choice !== current) preemptions++;
      return choice;
    },
  };
  const { everyPoint } = subject;
  subject.everyPoint = true;
  let violation: Violation | undefined;
  try {
    subject.run(turns);
  } catch (error) {
    if (!(error instanceof Violation)) throw error;
    violation = error;
  } finally {
    subject.everyPoint = everyPoint;
  }
  return { schedule, preemptions, violation };
}

/**
 * Runs exactly this schedule. Undefined: nothing went wrong.
 * @throws Error if the schedule does not fit the subject's points
 */
export function replay(subject: Subject, schedule: Schedule): FoundViolation | undefined {
  let misfit = "";
  const run = observe(subject, (at, enabled) => {
    const choice = schedule[at];
    if (choice === undefined) misfit = `the run goes on after the ${at} turns of the schedule`;
    else if (((enabled >>> choice) & 1) !== 0) return choice;
    else misfit = `at turn ${at + 1} of the schedule, ${subject.name(choice)} cannot go on`;
    return STOP;
  });
  const turns = run.schedule.length;
  if (misfit === "" && turns < schedule.length) misfit = `the run ends after ${turns} of ${schedule.length} turns`;
  if (misfit !== "") throw new Error(`the schedule does not fit, the code has changed: ${misfit}`);
  return found(run);
}

/** The violation that an observed run ended in. */
export function found(run: Observation): FoundViolation | undefined {
  const { schedule, preemptions, violation } = run;
  return violation === undefined
    ? undefined
    : { kind: violation.kind, sentence: violation.message, schedule, preemptions };
}

/**
 * The whole schedule of a run that ended in `violation` and that perhaps was not asked at every point: runs it again, with every
 * point asked. A point that was asked is known by its state; between those the usual one goes on, as subjects do.
 * @throws Error if the same does not happen again
 */
export function record(subject: Subject, path: Path, violation: Violation): FoundViolation {
  let next = 0;
  const skip = (): void => {
    while (next < path.length && path.states[next] === unasked) next++;
  };
  skip();
  const again = found(
    observe(subject, (at, enabled, current) => {
      if (at >= turnsMax) return STOP;
      if (isSingle(enabled) || next >= path.length || subject.state() !== path.states[next])
        return usual(enabled, current);
      const choice = path.chosen[next++] as number;
      skip();
      return choice;
    }),
  );
  if (again === undefined || again.kind !== violation.kind || again.sentence !== violation.message) {
    const happened = again === undefined ? "nothing went wrong" : again.sentence;
    throw new Error(`a run was not the same again: "${violation.message}", then: ${happened}`);
  }
  return again;
}

/** Turns of one alternative in a row. */
export interface Segment {
  readonly alternative: number;
  readonly turns: number;
}

export function segmentsOf(schedule: Schedule): Segment[] {
  const segments: Segment[] = [];
  for (let from = 0, to = 0; from < schedule.length; from = to) {
    const alternative = schedule[from] as number;
    while (schedule[to] === alternative) to++;
    segments.push({ alternative, turns: to - from });
  }
  return segments;
}

/** "A12 B3 disk1". */
export function scheduleText(subject: Subject, schedule: Schedule): string {
  return segmentsOf(schedule)
    .map(({ alternative, turns }) => `${subject.name(alternative)}${turns}`)
    .join(" ");
}

/** @throws Error for text that is no schedule of this subject */
export function readSchedule(subject: Subject, text: string): number[] {
  const schedule: number[] = [];
  for (const piece of text.split(/\s+/).filter((part) => part !== "")) {
    const [, name = "", count = ""] = /^(.*\D)(\d+)$/.exec(piece) ?? [];
    const turns = Number(count);
    if (turns === 0) throw new Error(`"${piece}" in a schedule is not a name and a number of turns, like "A12"`);
    if (schedule.length + turns > turnsMax) throw new Error(`a schedule has at most ${turnsMax} turns`);
    const alternative = numberOf(subject, name);
    for (let turn = 0; turn < turns; turn++) schedule.push(alternative);
  }
  return schedule;
}

function numberOf(subject: Subject, name: string): number {
  for (let alternative = 0; alternative < alternativesMax; alternative++) {
    if (subject.name(alternative) === name) return alternative;
  }
  throw new Error(`"${name}" in a schedule: there is no such actor here`);
}
