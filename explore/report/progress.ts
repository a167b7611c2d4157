/**
 * How far a check is. On a terminal one line that is drawn over itself, at most ten times a second, and results that are not as
 * expected above it; elsewhere one line for each result that is there, and nothing else.
 *
 * There is no timer: who searches calls `update` every so often. The line is shorter than the terminal, is written in one piece and erased behind, so that nothing flickers, wraps or stays. Whoever writes
 * to the same terminal calls `end` first.
 *
 * See also: table.ts.
 */
import type { WriteStream } from "node:tty";
import { type Clock, systemClock } from "../../src/base/clock.js";
import { colored, columnsMin, cut, secondsText, several, shortCount, visible } from "./plain-text.js";
import type { CheckResult, StepsResult } from "./result.js";
import {
  beyondText,
  boundText,
  findingText,
  marks,
  nameOf,
  stepsText,
  stepsVerdictOf,
  verdictColors,
  verdictOf,
} from "./verdict.js";

const drawPeriodMs = 100;
/** The rate is of the schedules since this long ago, or since the search began. */
const ratePeriodMs = 2_000;
/** Searches that run side by side; more are not shown. */
const runningMax = 16;

const eraseBehind = "\u001b[K";

export interface Running extends Pick<CheckResult, "race" | "protocol" | "without" | "bound"> {
  /** So far, of this search. */
  readonly schedules: number;
  /** These are random ones. */
  readonly isRandom?: boolean;
}

interface Entry {
  now: Running;
  /** Where the rate is counted from, and from where next. */
  since: { atMs: number; schedules: number };
  next: { atMs: number; schedules: number };
}

export interface ProgressOptions {
  /** Results that there will be. */
  readonly total: number;
  readonly color?: boolean;
  readonly clock?: Pick<Clock, "nowMs">;
}

export class Progress {
  readonly #out: Pick<WriteStream, "write"> & Partial<Pick<WriteStream, "isTTY" | "columns">>;
  readonly #total: number;
  readonly #color: boolean;
  readonly #clock: Pick<Clock, "nowMs">;
  readonly #running = new Map<string, Entry>();
  #done = 0;
  #drawnAtMs = Number.NEGATIVE_INFINITY;
  #drawn = "";

  constructor(
    out: Pick<WriteStream, "write"> & Partial<Pick<WriteStream, "isTTY" | "columns">>,
    { total, color = false, clock = systemClock }: ProgressOptions,
  ) {
    this.#out = out;
    this.#total = total;
    this.#color = color && out.isTTY === true;
    this.#clock = clock;
  }

  /** A search goes on. Cheap where nothing is to be drawn: a look at the clock and at a small table. */
  update(now: Running): void {
    if (this.#out.isTTY !== true) return;
    const nowMs = this.#clock.nowMs();
    this.#note(now, nowMs);
    if (nowMs - this.#drawnAtMs < drawPeriodMs) return;
    this.#drawnAtMs = nowMs;
    this.#draw(nowMs);
  }

  #note(now: Running, nowMs: number): void {
    const key = nameOf(now);
    const entry = this.#running.get(key);
    // A search may begin again, with fewer schedules than before.
    if (entry === undefined || now.schedules < entry.now.schedules) {
      if (entry === undefined && this.#running.size >= runningMax) return;
      const since = { atMs: nowMs, schedules: now.schedules };
      this.#running.set(key, { now, since, next: since });
      return;
    }
    entry.now = now;
    if (nowMs - entry.next.atMs < ratePeriodMs) return;
    entry.since = entry.next;
    entry.next = { atMs: nowMs, schedules: now.schedules };
  }

  #draw(nowMs: number): void {
    const columns = (this.#out.columns || columnsMin) - 1;
    let line = "";
    for (const part of [
      `${this.#done}/${this.#total}`,
      ...[...this.#running.values()].map((e) => runningText(e, nowMs)),
    ]) {
      const longer = line === "" ? part : `${line} | ${part}`;
      // The first search is cut rather than left out.
      if (cut(longer, columns) !== longer && line.includes(" | ")) break;
      line = cut(longer, columns);
    }
    if (line === this.#drawn) return;
    this.#drawn = line;
    this.#out.write(`\r${line}${eraseBehind}`);
  }

  /** One of the results is there. */
  finished(result: CheckResult): void {
    this.#done += 1;
    this.#running.delete(nameOf(result));
    const verdict = verdictOf(result);
    if (this.#out.isTTY === true && verdict === "expected") return;
    const mark = colored(marks[verdict], verdictColors[verdict], { color: this.#color });
    this.#out.write(`${this.#clear()}${mark} ${resultText(result)}\n`);
  }

  /** The search inside of steps is done. */
  finishedSteps(result: StepsResult): void {
    this.#done += 1;
    const verdict = stepsVerdictOf(result);
    if (this.#out.isTTY === true && verdict === "expected") return;
    const mark = colored(marks[verdict], verdictColors[verdict], { color: this.#color });
    this.#out.write(`${this.#clear()}${mark} ${stepsText(result)}, ${secondsText(result.seconds)}\n`);
  }

  /** Takes the line away. May be called again. */
  end(): void {
    const clear = this.#clear();
    if (clear !== "") this.#out.write(clear);
    this.#running.clear();
  }

  #clear(): string {
    if (this.#drawn === "") return "";
    this.#drawn = "";
    return `\r${eraseBehind}`;
  }
}

/** "R7 locked without R7, bound 2: 1,234,567 schedules, 25.3k/s" */
function runningText({ now, since }: Entry, nowMs: number): string {
  const name = visible(nameOf(now));
  const elapsedMs = nowMs - since.atMs;
  const rate = elapsedMs > 0 ? `, ${shortCount(((now.schedules - since.schedules) * 1000) / elapsedMs)}/s` : "";
  const bound = now.isRandom === true ? "random" : now.bound === null ? "all" : `bound ${now.bound}`;
  return `${name}, ${bound}: ${several(now.schedules, "schedule")}${rate}`;
}

/** "R7 locked: none found; 1,204 schedules, every interleaving, complete, 0.42 s" */
function resultText(result: CheckResult): string {
  const complete = result.complete ? "complete" : "CUT SHORT";
  const reach = `${several(result.schedules, "schedule")}, ${boundText(result.bound)}, ${complete}`;
  const beyond = beyondText(result);
  return `${visible(nameOf(result))}: ${findingText(result)}; ${reach}${beyond === "" ? "" : `, ${beyond}`}, ${secondsText(result.seconds)}`;
}
