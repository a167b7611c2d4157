/**
 * A voyage that goes wrong, for people: what its users did in its last life, in turn, and the last steps with their places.
 *
 * See also: shorten.ts, ../report/schedule-text.ts.
 */
import { StepNotes } from "../check/replays.js";
import type { TextStyle } from "../report/plain-text.js";
import type { Step } from "../report/result.js";
import { scheduleText } from "../report/schedule-text.js";
import { nameOfAlternative } from "../runtime/scheduler.js";
import type { Interleaved } from "../transform/emit.js";
import type { VoyagePlan } from "./script.js";
import { type Wreck, sail } from "./voyage.js";

const eventsMax = 120;
const stepsMax = 80;

export interface Replay {
  readonly wreck: Wreck | undefined;
  readonly lines: string[];
}

/** Makes the voyage once more, and tells it. */
export function replayVoyage(source: Interleaved, plan: VoyagePlan, mutant: string, style: TextStyle): Replay {
  const lines: string[] = [];
  let events: string[] = [];
  let notes: StepNotes | undefined;
  const { frames } = plan.character;
  const wreck = sail(source, plan, {
    mutant,
    watch: {
      onTask: (what) => void events.push(what),
      onStep: (step) => notes?.note(step),
      onLife(life, machine) {
        events = [];
        const actors = (plan.lives[life]?.crew ?? []).map((_, at) => String.fromCharCode(65 + at));
        notes = new StepNotes(source, machine, frames, (one) => nameOfAlternative(one, actors, false));
      },
    },
  });
  lines.push(`character: ${JSON.stringify(plan.character)}`);
  plan.lives.forEach(({ crew, odds, end }, at) => {
    const ends =
      odds.cutAt === undefined ? "in order" : `${end.isPowerCut ? "power cut" : "kill"} at point ${odds.cutAt}`;
    lines.push(`life ${at + 1}: ${crew.flat(2).length} tasks, ends ${ends}`);
  });
  lines.push("", "The last life's tasks, by the numbers of their beginnings:", ...tail(events, eventsMax, "tasks"));
  lines.push("", stepsText(notes?.all ?? [], wreck, style));
  return { wreck, lines };
}

function tail(all: readonly string[], most: number, what: string): string[] {
  return all.length <= most ? [...all] : [`(${all.length - most} ${what} before)`, ...all.slice(-most)];
}

function stepsText(steps: readonly Step[], wreck: Wreck | undefined, style: TextStyle): string {
  const shown = steps.slice(-stepsMax);
  return scheduleText(
    {
      race: "simulation",
      title: shown.length < steps.length ? `the last ${shown.length} of ${steps.length} steps` : "all steps",
      protocol: "locked",
      without: null,
      schedules: 1,
      states: 0,
      bound: null,
      complete: false,
      violations: wreck ? [`${wreck.violation.kind}: ${wreck.violation.message}`] : [],
      expected: "none",
      schedule: shown,
      turns: "",
      preemptions: 0,
      seconds: 0,
      beyond: null,
    },
    style,
  );
}
