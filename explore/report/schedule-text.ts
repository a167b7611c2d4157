/**
 * A schedule for a terminal: a lane for each actor side by side, time going down, each step in its actor's lane with the place in
 * the sources, and on the right the pages that it changed.
 *
 * Lanes stand apart as far as the width allows. Where that is too little for text, a step's text reaches over the lanes to its
 * right, which is no loss, because one actor does something at a time. Every step is shown.
 *
 * See also: html-sequence.ts (the same as a picture), page-flags.ts.
 */
import { actorsOf, type PageChange, pageChanges, placeText } from "./page-flags.js";
import { colored, columnsMin, cut, padEnd, several, type TextStyle, visible, widthOf, wrap } from "./plain-text.js";
import type { CheckResult, Step } from "./result.js";
import { nameOf } from "./verdict.js";

/** What a step's text has at least. */
const textColumnsMin = 24;
const laneColumnsMax = 44;
const laneColumnsMin = 2;
const pagesColumnsMin = 24;
const pagesColumnsMax = 44;
const guide = "│";

interface Lanes {
  readonly actors: readonly string[];
  readonly style: TextStyle;
  /** Columns before the first lane: the step's number and two spaces. */
  readonly start: number;
  readonly laneColumns: number;
  /** Where the pages begin. */
  readonly pagesAt: number;
}

/** The first violation and the steps that led to it; without a line end. Lines have at most `style.columns` (columnsMin or more). */
export function scheduleText(result: CheckResult, style: TextStyle): string {
  const columns = Math.max(columnsMin, style.columns);
  const { schedule, violations } = result;
  const head = [`${visible(nameOf(result))}: ${visible(result.title)}`];
  if (schedule.length > 0)
    head.push(`${several(schedule.length, "step")}, ${several(result.preemptions, "preemption")}`);
  const lines = wrap(head.join("; "), columns).map((line) => colored(line, "bold", style));
  if (schedule.length > 0) lines.push("", ...stepsLines(schedule, { ...style, columns }), "");
  else lines.push(violations.length === 0 ? "No violation was found." : "No schedule was recorded.");
  for (const violation of violations) {
    lines.push(...wrap(`VIOLATION: ${visible(violation)}`, columns).map((line) => colored(line, "red", style)));
  }
  if (result.turns !== "") lines.push(...wrap(`turns: ${visible(result.turns)}`, columns));
  return lines.join("\n");
}

function stepsLines(schedule: readonly Step[], style: TextStyle): string[] {
  const lanes = lanesOf(schedule, style);
  const changes = pageChanges(schedule);
  const lines = headLines(lanes);
  schedule.forEach((step, at) => {
    const previous = schedule[at - 1];
    // A switch to another actor has a line of its own.
    if (previous === undefined || previous.actor !== step.actor) lines.push(lay(lanes, -1, ""));
    lines.push(...stepLines(step, at + 1, changes[at] ?? [], lanes));
  });
  return lines;
}

function lanesOf(schedule: readonly Step[], style: TextStyle): Lanes {
  const actors = actorsOf(schedule);
  const start = String(schedule.length).length + 2;
  const room = style.columns - start;
  const pagesColumns = Math.min(pagesColumnsMax, Math.max(pagesColumnsMin, Math.floor(room / 4)));
  const lanesRoom = room - pagesColumns - 2;
  const even = Math.floor(lanesRoom / actors.length);
  const apart = even >= textColumnsMin + 3;
  const stepped = Math.floor((lanesRoom - textColumnsMin - 2) / Math.max(1, actors.length - 1));
  const laneColumns = Math.max(laneColumnsMin, Math.min(laneColumnsMax, apart ? even : stepped));
  const lastText = apart ? laneColumns : Math.max(textColumnsMin + 2, lanesRoom - laneColumns * (actors.length - 1));
  return { actors, style, start, laneColumns, pagesAt: start + laneColumns * (actors.length - 1) + lastText + 2 };
}

/** Names of the lanes; where they stand too close for that, one below the other. */
function headLines(lanes: Lanes): string[] {
  const { actors, laneColumns, start, pagesAt, style } = lanes;
  const fits = actors.every((actor, at) => at === actors.length - 1 || widthOf(visible(actor)) < laneColumns);
  const names = actors.map((actor) => cut(visible(actor), pagesAt - start - laneColumns * (actors.length - 1) - 2));
  const lines = fits
    ? [" ".repeat(start) + names.map((name) => padEnd(name, laneColumns)).join("")]
    : names.map((name, at) => " ".repeat(start) + `${guide}${" ".repeat(laneColumns - 1)}`.repeat(at) + name);
  const last = lines.length - 1;
  lines[last] = `${padEnd(lines[last] ?? "", pagesAt)}pages`;
  return lines.map((line) => colored(line, "bold", style));
}

function stepLines(step: Step, number: number, changes: readonly PageChange[], lanes: Lanes): string[] {
  const { actors, laneColumns, start, pagesAt, style } = lanes;
  const lane = actors.indexOf(step.actor);
  const apart = laneColumns >= textColumnsMin + 3;
  const columns = apart ? laneColumns - 3 : pagesAt - 2 - start - lane * laneColumns - 2;
  const texts = wrap(visible(step.what), columns).map((text) => ({ text, dim: false }));
  if (step.at !== "") texts.push(...wrap(visible(step.at), columns).map((text) => ({ text, dim: true })));
  const pages = changes.flatMap((change) => changeLines(change, style.columns - pagesAt));
  const height = Math.max(texts.length, pages.length);
  const lines: string[] = [];
  for (let at = 0; at < height; at++) {
    const { text, dim } = texts[at] ?? { text: "", dim: false };
    const mark = at === 0 ? String(number).padStart(start - 2) : "";
    const left = lay(lanes, lane, text, mark);
    const page = pages[at] ?? "";
    const line = page === "" ? left : `${padEnd(left, pagesAt)}${page}`;
    // After the widths are settled, because what sets a color has no width.
    lines.push(dim ? line.replace(text, () => colored(text, "dim", style)) : line);
  }
  return lines;
}

/** One line of the lanes: `text` in its lane, a guide in every other one that it leaves room for. */
function lay(lanes: Lanes, lane: number, text: string, mark = ""): string {
  const { actors, laneColumns, start } = lanes;
  let line = padEnd(mark, start);
  for (let at = 0; at < actors.length; at++) {
    const from = start + at * laneColumns;
    if (widthOf(line) > from) continue;
    line = padEnd(line, from);
    line += at === lane ? `${text === "" ? guide : "┃"} ${text}`.trimEnd() : guide;
    // A space at least between a text and the guide to its right.
    if (at === lane && text !== "") line += " ";
  }
  return line.trimEnd();
}

/** "page 0:3 in frame 1" and its flags below, those that the step set with a plus, those that it cleared with a minus. */
function changeLines(change: PageChange, columns: number): string[] {
  const before = change.pageBefore === undefined ? "" : ` (was ${visible(change.pageBefore) || "no page"})`;
  const signs = { same: "", set: "+", cleared: "-" } as const;
  const flags = change.flags.map(({ text, change: kind }) => `${signs[kind]}${visible(text)}`);
  return [
    ...wrap(`${visible(placeText(change))}${before}`, columns),
    ...wrap(flags.length === 0 ? "no flags" : flags.join(" "), columns - 2).map((line) => `  ${line}`),
  ];
}
