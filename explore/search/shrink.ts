/**
 * A simpler schedule for the same violation, so that people can read it: fewer preemptions, then fewer changes of turn, then fewer
 * turns. The same violation is one of the same kind with the same sentence.
 *
 * By rewriting: a schedule is a list of *segments*, one alternative with a number of turns. Segments are moved to others of the same
 * alternative, or left out, or the rest is left to itself; what then happens is noted, and kept if it is the same violation and
 * simpler. (A segment that is left out happens later, by itself.) This is cheap, and greedy. Then by search, with a bound of 0, 1, 2, ...
 * preemptions as long as that is fewer than rewriting came to; what it finds is rewritten too. All this ends after a number of runs;
 * where they are enough, no schedule has fewer preemptions.
 *
 * See also: schedule.ts, exhaustive.ts.
 */
import { search } from "./exhaustive.js";
import { pointsMaxDefault } from "./limits.js";
import { type FoundViolation, found, observe, replay, type Schedule, type Segment, segmentsOf } from "./schedule.js";
import { STOP, type Subject } from "./subject.js";
import { usual } from "./turns.js";

export interface ShrinkLimits {
  /** Runs in all; 10,000 by default. */
  readonly runsMax?: number;
}

const runsMaxDefault = 10_000;
/** What of the runs each rewriting may use. */
const rewritingShare = 0.2;
/** Bounds to be tried: a search with more would not end. */
const boundMost = 4;

/**
 * The violation that `schedule` ends in, with the simplest schedule that was found for it.
 * @throws Error if the schedule does not fit the subject, or ends in no violation
 */
export function shrink(subject: Subject, schedule: Schedule, limits: ShrinkLimits = {}): FoundViolation {
  const runsMax = limits.runsMax ?? runsMaxDefault;
  const given = replay(subject, schedule);
  if (given === undefined) throw new Error("a schedule that ends in no violation cannot be made simpler");
  const rewritingMax = Math.ceil(runsMax * rewritingShare);
  const rewritten = new Rewriting(subject, given, rewritingMax).run();
  const fewer = searchFewer(subject, rewritten, runsMax - 2 * rewritingMax);
  return fewer === undefined ? rewritten : new Rewriting(subject, fewer, rewritingMax).run();
}

/** Looks for the violation with fewer preemptions; the fewest first. */
function searchFewer(subject: Subject, given: FoundViolation, runsMax: number): FoundViolation | undefined {
  let runs = 0;
  for (let bound = 0; bound < given.preemptions && bound <= boundMost && runs < runsMax; bound++) {
    const result = search(subject, {
      bound,
      schedulesMax: runsMax - runs,
      wanted: (violation) => violation.kind === given.kind && violation.message === given.sentence,
    });
    runs += result.runs;
    const [violation] = result.violations;
    if (violation !== undefined) return violation;
  }
  return undefined;
}

class Rewriting {
  readonly #subject: Subject;
  #best: FoundViolation;
  #runsLeft: number;

  constructor(subject: Subject, violation: FoundViolation, runsLeft: number) {
    this.#subject = subject;
    this.#best = violation;
    this.#runsLeft = runsLeft;
  }

  /** Ends: each round but the last makes the schedule simpler, or the runs are used up. */
  run(): FoundViolation {
    while (this.#runsLeft > 0 && this.#improve());
    return this.#best;
  }

  /** Tries one change after another until one is an improvement. */
  #improve(): boolean {
    const segments = segmentsOf(this.#best.schedule);
    for (let at = 0; at < segments.length; at++) {
      if (this.#try(segments.slice(0, at))) return true;
      if (this.#try([...segments.slice(0, at), ...segments.slice(at + 1)])) return true;
      const next = segments.findIndex(
        ({ alternative }, other) => other > at && alternative === segments[at]?.alternative,
      );
      if (next < 0) continue;
      if (this.#try(moved(segments, next, at + 1)) || this.#try(moved(segments, at, next))) return true;
    }
    return false;
  }

  #try(segments: readonly Segment[]): boolean {
    if (this.#runsLeft <= 0) return false;
    this.#runsLeft--;
    const best = this.#best;
    const got = runSegments(this.#subject, segments);
    if (got === undefined || got.kind !== best.kind || got.sentence !== best.sentence || !isSimpler(got, best))
      return false;
    this.#best = got;
    return true;
  }
}

/** Runs the segments as far as they fit: one whose alternative cannot go on is over. After the last, the usual one goes on. */
function runSegments(subject: Subject, segments: readonly Segment[]): FoundViolation | undefined {
  let segment = 0;
  let turns = 0;
  return found(
    observe(subject, (at, enabled, current) => {
      if (at >= pointsMaxDefault) return STOP;
      for (; segment < segments.length; segment++, turns = 0) {
        const { alternative, turns: turnsMax } = segments[segment] as Segment;
        if (turns >= turnsMax || ((enabled >>> alternative) & 1) === 0) continue;
        turns++;
        return alternative;
      }
      return usual(enabled, current);
    }),
  );
}

function isSimpler(violation: FoundViolation, than: FoundViolation): boolean {
  if (violation.preemptions !== than.preemptions) return violation.preemptions < than.preemptions;
  const changes = segmentsOf(violation.schedule).length - segmentsOf(than.schedule).length;
  return changes !== 0 ? changes < 0 : violation.schedule.length < than.schedule.length;
}

/** The segments with the one at `from` put before the one that was at `to`. */
function moved(segments: readonly Segment[], from: number, to: number): Segment[] {
  const segment = segments[from] as Segment;
  const rest = segments.toSpliced(from, 1);
  return rest.toSpliced(from < to ? to - 1 : to, 0, segment);
}
