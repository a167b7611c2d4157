/**
 * A report as one HTML file that needs no network and no script: what was run, the matrix of races and protocols, a legend, and
 * each counterexample as a sequence diagram that its cell of the matrix links to.
 *
 * Invariants: all text is escaped; ids are unique and each link's target exists; what is not complete and as expected is said at
 * the top.
 *
 * See also: html-sequence.ts, html-style.ts, markup.ts.
 */
import { exampleMarkup } from "./html-sequence.js";
import { styleSheet } from "./html-style.js";
import { Markup, markup } from "./markup.js";
import { pageFlags } from "./page-flags.js";
import { countText, secondsText, several } from "./plain-text.js";
import type { CheckReport, CheckResult } from "./result.js";
import {
  beyondText,
  boundText,
  columnNames,
  findingText,
  inOrder,
  type MatrixRow,
  marks,
  nameOf,
  rowsOf,
  stepsText,
  stepsVerdictOf,
  type Totals,
  totalsOf,
  type Verdict,
  verdictOf,
} from "./verdict.js";

export interface HtmlOptions {
  /** What was run: "pinfold check --html page.html". */
  readonly command: string;
  /** Name -> version: of Pinfold, Node, the system. */
  readonly versions: Readonly<Record<string, string>>;
}

const verdictClasses: Readonly<Record<Verdict, string>> = { expected: "good", unexpected: "bad", incomplete: "warn" };

const columnNotes: Readonly<Record<(typeof columnNames)[number], string>> = {
  reference: "the pin is a bare reference",
  locked: "the pin holds the page lock",
  counted: "the pin holds a count",
  "without guard": "the race's guard taken out",
};

const nothing = new Markup("");

/** Where a result stands in the page. `example` is empty where nothing was found. */
interface Anchor {
  readonly cell: string;
  readonly example: string;
}

export function htmlText(report: CheckReport, options: HtmlOptions): string {
  const rows = rowsOf(report);
  const results = inOrder(rows);
  const anchors = anchorsOf(results);
  const totals = totalsOf(report);
  const found = results.filter((result) => result.violations.length > 0);
  const examples = found.map((result) => {
    const { cell, example } = anchorOf(anchors, result);
    return exampleMarkup(result, { id: example, cellId: cell });
  });
  return markup`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8" />
<meta name="viewport" content="width=device-width, initial-scale=1" />
<meta name="color-scheme" content="light dark" />
<title>Pinfold check: ${totals.ok ? "ok" : "not ok"}</title>
<style>
${new Markup(styleSheet)}
</style>
</head>
<body>
<a class="skip" href="#matrix">Skip to the matrix</a>
${headerMarkup(report, totals, options, { results, anchors })}
<main>
<section aria-labelledby="matrix">
<h2 id="matrix">Races and protocols</h2>
${matrixMarkup(rows, anchors)}
${marksMarkup()}
${stepsMarkup(report)}
</section>
${legendMarkup()}
<section aria-labelledby="counterexamples">
<h2 id="counterexamples">Counterexamples</h2>
${found.length === 0 ? markup`<p>None: no search found a violation.</p>` : examples}
</section>
</main>
</body>
</html>
`.text;
}

interface Placed {
  readonly results: readonly CheckResult[];
  readonly anchors: ReadonlyMap<CheckResult, Anchor>;
}

function headerMarkup(report: CheckReport, totals: Totals, options: HtmlOptions, { results, anchors }: Placed): Markup {
  const wrong = results.filter((result) => verdictOf(result) !== "expected");
  const facts: [string, string][] = [
    ["Schedules", countText(totals.schedules)],
    ["Random, or cut short", totals.beyond === 0 ? "" : countText(totals.beyond)],
    ["States", countText(totals.states)],
    ["Time", secondsText(report.seconds)],
    ["As expected", `${totals.verdicts.expected} of ${results.length}`],
    ["Not applicable", report.notApplicable.length === 0 ? "" : String(report.notApplicable.length)],
    ["Seed", report.seed === null ? "" : String(report.seed)],
  ];
  const shown = facts.filter(([, value]) => value !== "");
  const item = (name: string, value: string | Markup, isWide = false) =>
    markup`<div${isWide ? new Markup(' class="wide"') : nothing}><dt>${name}</dt><dd>${value}</dd></div>`;
  return markup`<header>
<h1>Pinfold check</h1>
<p class="verdict ${totals.ok ? "good" : "bad"}">${totals.ok ? "Ok: every search is complete and as expected" : `Not ok: ${totals.wrong}`}</p>
${wrong.length === 0 ? nothing : markup`<ul class="wrong">${wrong.map((result) => wrongMarkup(result, anchorOf(anchors, result)))}</ul>`}
<dl class="facts">${item("Run", markup`<code>${options.command}</code>`, true)}${item("Versions", versionsText(options), true)}${shown.map(([name, value]) => item(name, value))}</dl>
</header>`;
}

function wrongMarkup(result: CheckResult, { cell, example }: Anchor): Markup {
  const verdict = verdictOf(result);
  const short = result.complete ? "" : `; search cut short after ${several(result.schedules, "schedule")}`;
  const first = result.violations[0];
  return markup`<li class="${verdictClasses[verdict]}"><b class="mark" aria-hidden="true">${marks[verdict]}</b> <a href="#${
    example === "" ? cell : example
  }">${nameOf(result)}</a><span>: ${findingText(result)}${short}${first === undefined ? "" : `. ${first}`}</span></li>
`;
}

function versionsText({ versions }: HtmlOptions): string {
  return Object.entries(versions)
    .map(([name, version]) => `${name} ${version}`)
    .join(", ");
}

/** The roles say what the elements are anyway, and still do where the narrow layout takes their display away. */
function matrixMarkup(rows: readonly MatrixRow[], anchors: ReadonlyMap<CheckResult, Anchor>): Markup {
  return markup`<table class="matrix" role="table">
<caption>Each cell: whether the race can happen, how many schedules ran, and how far the search went. A race that was found links to its
schedule.</caption>
<thead role="rowgroup"><tr role="row"><th scope="col" role="columnheader">Race</th>${columnNames.map(
    (name) => markup`<th scope="col" role="columnheader">${name}<small>${columnNotes[name]}</small></th>`,
  )}</tr></thead>
<tbody role="rowgroup">
${rows.map((row) => rowMarkup(row, anchors))}</tbody>
</table>`;
}

function rowMarkup(row: MatrixRow, anchors: ReadonlyMap<CheckResult, Anchor>): Markup {
  const why = row.notApplicable;
  const note =
    why === undefined ? nothing : markup`<small><b>Not applicable, not counted as passed:</b> ${why}</small>`;
  const cells = columnNames.map((name) => {
    const results = row.cells[name];
    if (results.length === 0) return markup`<td role="cell" class="quiet">not run</td>`;
    return markup`<td role="cell">${results.map((result) => resultMarkup(result, anchorOf(anchors, result)))}</td>`;
  });
  const isEmpty = columnNames.every((name) => row.cells[name].length === 0);
  return markup`<tr role="row"><th scope="row" role="rowheader"><b>${row.race}</b> <span>${row.title}</span>${isEmpty ? nothing : note}</th>${
    isEmpty ? markup`<td role="cell" colspan="${columnNames.length}">${note}</td>` : cells
  }</tr>
`;
}

function resultMarkup(result: CheckResult, { cell, example }: Anchor): Markup {
  const verdict = verdictOf(result);
  const finding =
    example === "" ? markup`${findingText(result)}` : markup`<a href="#${example}">${findingText(result)}</a>`;
  // The column says that a guard is out, the row says which, unless it is another one.
  const guard = result.without === null || result.without === result.race ? "" : ` without ${result.without}`;
  const beyond = beyondText(result);
  const under = result.without === null ? "" : `${result.protocol}${guard}, `;
  return markup`<div class="result ${verdict}" id="${cell}"><span class="mark ${verdictClasses[verdict]}" aria-hidden="true">${
    marks[verdict]
  }</span> <span class="unseen">${meanings[verdict]}: </span>${finding}<small>${under}${several(result.schedules, "schedule")}</small><small>${
    result.complete ? "complete" : markup`<b class="warn">cut short</b>`
  }, ${boundText(result.bound).replace(/^up to /, "")}</small>${beyond === "" ? nothing : markup`<small>${beyond}</small>`}</div>`;
}

const meanings: Readonly<Record<Verdict, string>> = {
  expected: "complete and as expected",
  unexpected: "not as expected",
  incomplete: "cut short, so it says nothing",
};

/** The search inside of steps, and what it has found there. */
function stepsMarkup({ steps }: CheckReport): Markup {
  if (steps === null) return nothing;
  const verdict = stepsVerdictOf(steps);
  const found = steps.violations.map(
    ({ scenario, sentence, turns, calls }) =>
      markup`<li><b>${scenario}</b>: ${sentence}. Turns: <code>${turns}</code>
<ol>${calls.map((call) => markup`<li><code>${call}</code></li>`)}</ol></li>
`,
  );
  return markup`<p><span class="mark ${verdictClasses[verdict]}" aria-hidden="true">${marks[verdict]}</span> <span class="unseen">${
    meanings[verdict]
  }: </span>Inside the ${stepsText(steps)}.</p>
${found.length === 0 ? nothing : markup`<ul>${found}</ul>`}`;
}

function marksMarkup(): Markup {
  const verdicts = ["expected", "unexpected", "incomplete"] as const;
  return markup`<ul class="marks">${verdicts.map(
    (verdict) =>
      markup`<li><span class="mark ${verdictClasses[verdict]}" aria-hidden="true">${marks[verdict]}</span> ${meanings[verdict]}</li>`,
  )}</ul>`;
}

function legendMarkup(): Markup {
  return markup`<section aria-labelledby="legend">
<h2 id="legend">How to read a counterexample</h2>
<p>Time goes down; each lane is one actor, and a line between lanes is where another one goes on. The page word beside a step is drawn as it
is after that step, for the pages that the step changed:
<span class="bit on">di</span> set, <span class="bit">di</span> not set, <span class="bit set">di</span> just set,
<span class="bit cleared">di</span> just cleared.</p>
<dl class="flags">${pageFlags.map(
    ({ name, code, meaning }) =>
      markup`<div><dt><span class="bit">${code}</span></dt><dd><b>${name}</b> <span class="quiet">${meaning}</span></dd></div>`,
  )}</dl>
</section>`;
}

/** Ids from the results' names; where two would be the same, numbered. */
function anchorsOf(results: readonly CheckResult[]): Map<CheckResult, Anchor> {
  const taken = new Set<string>();
  const anchors = new Map<CheckResult, Anchor>();
  for (const result of results) {
    const name = nameOf(result)
      .toLowerCase()
      .replaceAll(/[^a-z0-9]+/g, "-");
    let id = name;
    for (let number = 2; taken.has(id); number++) id = `${name}-${number}`;
    taken.add(id);
    anchors.set(result, { cell: `cell-${id}`, example: result.violations.length > 0 ? `schedule-${id}` : "" });
  }
  return anchors;
}

function anchorOf(anchors: ReadonlyMap<CheckResult, Anchor>, result: CheckResult): Anchor {
  const anchor = anchors.get(result);
  if (anchor === undefined) throw new Error(`no anchor for ${nameOf(result)}`);
  return anchor;
}
