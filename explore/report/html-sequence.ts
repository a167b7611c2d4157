/**
 * One counterexample as a sequence diagram in HTML: a lane for each actor, time going down, each step a box in its lane with the
 * place in the sources, beside it the page words that it changed, a line between lanes where another actor goes on, and what went
 * wrong at the end.
 *
 * It is an ordered list, so that it can be read without being seen; the lines between are decoration to a screen reader. The lanes
 * are columns of a grid that all rows share; html-style.ts draws them narrow where there is no room.
 *
 * See also: page-flags.ts (what changed), schedule-text.ts (the same for a terminal).
 */
import { breakable, Markup, markup } from "./markup.js";
import { actorsOf, type PageChange, pageChanges, pageFlags, placeText, type ShownFlag, slotsOf } from "./page-flags.js";
import { several } from "./plain-text.js";
import type { CheckResult, Step } from "./result.js";
import { boundText, findingText, nameOf } from "./verdict.js";

/** Where a counterexample is, and the matrix cell that leads to it. */
export interface Anchors {
  readonly id: string;
  readonly cellId: string;
}

const nothing = new Markup("");

/** Devices answer shortly; threads get the room. */
const deviceLane = "minmax(0, .75fr)";
const threadLane = "minmax(0, 1fr)";

export function exampleMarkup(result: CheckResult, { id, cellId }: Anchors): Markup {
  const { schedule, violations, preemptions, turns } = result;
  return markup`<section class="example" id="${id}" aria-labelledby="${id}-name">
<h3 id="${id}-name">${nameOf(result)}: ${result.title}</h3>
<p class="quiet">${findingText(result)}; ${boundText(result.bound)}, ${result.complete ? "complete" : "search cut short"}.
<a class="back-link" href="#${cellId}">Back to the matrix<span class="unseen">, ${nameOf(result)}</span></a></p>
${schedule.length === 0 ? markup`<p>No schedule was recorded.</p>` : figureMarkup(schedule, preemptions, id)}
<div class="end">${violations.map((sentence) => markup`<p><strong>Violation:</strong> ${sentence}</p>`)}</div>
${turns === "" ? nothing : markup`<p class="turns">Turns, for <code>--replay</code>: <code>${turns}</code></p>`}
</section>
`;
}

function figureMarkup(schedule: readonly Step[], preemptions: number, id: string): Markup {
  const actors = actorsOf(schedule);
  const slots = slotsOf(schedule);
  const changes = pageChanges(schedule);
  const wide = actors.map((actor) => (kindOf(actor) === "device" ? deviceLane : threadLane)).join(" ");
  const columns = `--wide: 2.6rem ${wide} 21.5rem; --narrow: 2.2rem repeat(${actors.length}, 1.35rem) minmax(0, 1fr)`;
  return markup`<figure style="${columns}" aria-labelledby="${id}-caption">
<figcaption id="${id}-caption">The shortest schedule found: ${several(schedule.length, "step")}, ${several(preemptions, "preemption")}.
Lanes: ${actors.join(", ")}.</figcaption>
<div class="row lanes" aria-hidden="true"><span></span>${actors.map(
    (actor) => markup`<span class="lane actor-${kindOf(actor)}">${actor}</span>`,
  )}<span class="in-pages">pages that the step changed</span></div>
<div class="drawing">
<div class="row lifelines" aria-hidden="true"><span></span>${actors.map(() => markup`<i></i>`)}</div>
<ol class="steps" role="list">
${schedule.map((step, at) => stepMarkup(step, at, { actors, slots, schedule, changes: changes[at] ?? [] }))}</ol>
</div>
</figure>`;
}

interface StepContext {
  readonly actors: readonly string[];
  readonly slots: readonly number[];
  readonly schedule: readonly Step[];
  readonly changes: readonly PageChange[];
}

function stepMarkup(step: Step, at: number, { actors, slots, schedule, changes }: StepContext): Markup {
  const lane = actors.indexOf(step.actor);
  const previous = schedule[at - 1];
  const turn = previous === undefined ? nothing : turnMarkup(actors.indexOf(previous.actor), lane);
  const place = step.at === "" ? nothing : markup`<span class="at code">${breakable(step.at)}</span>`;
  const pages =
    changes.length === 0 ? nothing : markup`<div class="pages">${changes.map((c) => pageMarkup(c, slots))}</div>`;
  return markup`<li class="row step actor-${kindOf(step.actor)}" style="--lane: ${lane + 2}">${turn}<span class="number">${at + 1}</span>
<span class="node" aria-hidden="true"></span><div class="box"><span class="who">${step.actor}</span><span class="unseen">: </span><code>${breakable(
    step.what,
  )}</code>${place}</div>${pages}</li>
`;
}

/** The line from the lane of who acted before to that of who acts now. */
function turnMarkup(from: number, to: number): Markup {
  if (from === to) return nothing;
  const [left, right] = from < to ? [from, to] : [to, from];
  const way = from < to ? "forth" : "back";
  return markup`<span class="turn ${way}" aria-hidden="true" style="--from: ${left + 2}; --to: ${right + 2}"></span>`;
}

function pageMarkup(change: PageChange, slots: readonly number[]): Markup {
  const { flags, pageBefore } = change;
  const bits = slots.map((slot) =>
    bitMarkup(
      slot,
      flags.filter((entry) => entry.slot === slot),
    ),
  );
  const others = flags.filter((entry) => entry.slot < 0).map((entry) => chip(entry.text, stateClass(entry), true));
  const before = pageBefore === undefined ? "" : `, was ${pageBefore === "" ? "no page" : pageBefore}`;
  return markup`<div class="page"><p>${placeText(change)}${before}${changedMarkup(change)}</p>
<p class="unseen">Flags: ${flagsText(flags)}.</p><p class="word" aria-hidden="true">${bits}${others}</p></div>`;
}

/** What just changed, in words: "+dirty", "X(A) → S2". */
function changedMarkup({ isFirst, flags }: PageChange): Markup {
  if (isFirst) return markup`<span class="quiet">, first seen</span>`;
  const changed = flags.filter((entry) => entry.change !== "same");
  if (changed.length === 0) return nothing;
  const words = changed.flatMap(({ slot, text, change }) => {
    const before = changed.find((other) => slot >= 0 && other.slot === slot && other.change === "cleared");
    if (change === "cleared") {
      const isReplaced = changed.some((other) => slot >= 0 && other.slot === slot && other.change === "set");
      return isReplaced ? [] : [`\u2212${text}`];
    }
    return before === undefined ? [`+${text}`] : [`${before.text} \u2192 ${text.replace(/^pins /, "")}`];
  });
  return markup`: ${words.map((word) => markup`<b class="changed">${word}</b> `)}`;
}

function flagsText(flags: readonly ShownFlag[]): string {
  const on = flags.filter((entry) => entry.change !== "cleared").map((entry) => entry.text);
  return on.length === 0 ? "none" : on.join(", ");
}

/** One place of the word. Lock and pins show what they hold; where that changed, what they held is not repeated. */
function bitMarkup(slot: number, shown: readonly ShownFlag[]): Markup {
  const { code = "" } = pageFlags[slot] ?? {};
  const entry = shown.find((flag) => flag.change !== "cleared") ?? shown[0];
  const isWide = slot < 2;
  if (entry === undefined) return chip(code, "", isWide);
  return chip(isWide ? entry.text.replace(/^pins /, "") : code, stateClass(entry), isWide);
}

function stateClass({ change }: ShownFlag): string {
  return change === "same" ? "on" : change;
}

function chip(text: string, state: string, isWide: boolean): Markup {
  return markup`<span class="${["bit", ...(isWide ? ["wide"] : []), ...(state === "" ? [] : [state])].join(" ")}">${text}</span>`;
}

function kindOf(actor: string): string {
  return /^[ABC]$/.test(actor) ? actor.toLowerCase() : "device";
}
