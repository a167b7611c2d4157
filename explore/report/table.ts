/**
 * The report as a table for a terminal: one row a race; under each protocol, and without the race's guard, how many schedules
 * ran, how far the search went, and what it found.
 *
 * Where there is room the cells have words; else a cell is mark, schedules, bound (with a question mark where the search was
 * cut short), violations. Below it stands what is not as expected, what was found inside of steps, and one line that sums up.
 *
 * See also: verdict.ts (what the marks mean), html.ts.
 */
import {
  colored,
  columnsMin,
  countText,
  cut,
  padEnd,
  secondsText,
  several,
  shortCount,
  type TextStyle,
  visible,
  widthOf,
  wrap,
} from "./plain-text.js";
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
  totalsOf,
  verdictColors,
  verdictOf,
} from "./verdict.js";

const idColumnsMax = 8;
const titleColumnsMin = 8;
/** Below this the cells have no words. */
const roomyColumns = 140;

/** How one result is written. `text` has `columns` columns, the mark not counted. */
interface CellForm {
  readonly columns: number;
  text(result: CheckResult): string;
}

const foundText = ({ violations }: CheckResult) =>
  (violations.length > 99 ? ">9" : String(violations.length)).padStart(2);

/** "1.20M all? 12" */
const tight: CellForm = {
  columns: 5 + 1 + 4 + 1 + 2,
  text(result) {
    const reach = `${result.bound ?? "all"}${result.complete ? "" : "?"}`;
    return `${shortCount(result.schedules).padStart(5)} ${reach.padEnd(4)} ${foundText(result)}`;
  },
};

/** "1,204,332 all cut short 12" */
const roomy: CellForm = {
  columns: 9 + 1 + 3 + 1 + 9 + 1 + 2,
  text(result) {
    const schedules = result.schedules < 1e7 ? countText(result.schedules) : shortCount(result.schedules);
    const reach = `${String(result.bound ?? "all").padEnd(3)} ${(result.complete ? "complete" : "cut short").padEnd(9)}`;
    return `${schedules.padStart(9)} ${reach} ${foundText(result)}`;
  },
};

/** The whole output of a check, without a line end. Lines have at most `style.columns`, which is taken as `columnsMin` or more. */
export function tableText(report: CheckReport, style: TextStyle): string {
  const columns = Math.max(columnsMin, style.columns);
  const rows = rowsOf(report);
  const form = columns >= roomyColumns ? roomy : tight;
  const cellsColumns = columnNames.length * (form.columns + 3);
  const idColumns = Math.min(idColumnsMax, Math.max(3, ...rows.map((row) => widthOf(visible(row.race)))));
  const titles = Math.max(titleColumnsMin, ...rows.map((row) => widthOf(visible(row.title))));
  const titleColumns = Math.min(titles, columns - idColumns - 1 - cellsColumns);
  const layout = { form, idColumns, titleColumns, style: { ...style, columns } };
  const table = [headLine(layout), ...rows.flatMap((row) => rowLines(row, layout)), "", ...wrap(legend(form), columns)];
  return [
    ...(rows.length === 0 ? [] : table),
    ...beyondLines(rows, layout.style),
    ...wrongLines(rows, layout.style),
    ...stepsLines(report, layout.style),
    "",
    ...summaryLines(report, layout.style),
  ].join("\n");
}

interface Layout {
  readonly form: CellForm;
  readonly idColumns: number;
  readonly titleColumns: number;
  readonly style: TextStyle;
}

function headLine({ form, idColumns, titleColumns, style }: Layout): string {
  const names = columnNames.map((name) => ` ${padEnd(name, form.columns + 2)}`).join("");
  return colored(`${padEnd("race", idColumns + 1 + titleColumns)}${names}`.trimEnd(), "bold", style);
}

function rowLines(row: MatrixRow, layout: Layout): string[] {
  const { form, idColumns, titleColumns, style } = layout;
  const id = padEnd(cut(visible(row.race), idColumns), idColumns);
  const title = padEnd(cut(visible(row.title), titleColumns), titleColumns);
  const indent = " ".repeat(idColumns + 1);
  const why = row.notApplicable;
  const note = why === undefined ? [] : wrap(`not applicable: ${visible(why)}`, style.columns - indent.length);
  const height = Math.max(0, ...columnNames.map((name) => row.cells[name].length));
  if (height === 0) return note.map((line, at) => colored(`${at === 0 ? `${id} ` : indent}${line}`, "dim", style));
  const lines: string[] = [];
  for (let at = 0; at < height; at++) {
    const cells = columnNames.map((name) => ` ${cellText(row.cells[name][at], at === 0, form, style)}`).join("");
    lines.push(`${at === 0 ? `${id} ${title}` : padEnd("", idColumns + 1 + titleColumns)}${cells}`.trimEnd());
  }
  return [...lines, ...note.map((line) => colored(indent + line, "dim", style))];
}

/** A cell of several results has a line for each. */
function cellText(result: CheckResult | undefined, isFirst: boolean, form: CellForm, style: TextStyle): string {
  const columns = form.columns + 2;
  const absent = isFirst ? "- not run" : "";
  if (result === undefined) return colored(absent, "dim", style) + " ".repeat(columns - absent.length);
  const verdict = verdictOf(result);
  const mark = colored(marks[verdict], verdictColors[verdict], style);
  const text = `${mark} ${form.text(result)}`;
  return verdict === "expected" ? text : text.replace(/\S+$/, (found) => colored(found, verdictColors[verdict], style));
}

function legend(form: CellForm): string {
  const meaning = `${marks.expected} as expected, ${marks.unexpected} not as expected, ${marks.incomplete} cut short: says nothing.`;
  const searched = form === tight ? " (?: cut short)" : "";
  return `${meaning} Each cell: schedules; preemptions, or all${searched}; violations found.`;
}

/** What deep searches did past the bound that they completed. */
function beyondLines(rows: readonly MatrixRow[], { columns }: TextStyle): string[] {
  const deep = inOrder(rows).filter((result) => beyondText(result) !== "");
  const lines = deep.flatMap((result) => {
    const reach = `${boundText(result.bound)} ${result.complete ? "complete" : "cut short"}`;
    return wrap(`${visible(nameOf(result))}: ${reach}, ${beyondText(result)}`, columns);
  });
  return lines.length === 0 ? [] : ["", ...lines];
}

/** Each result that is not complete and as expected, with the first thing it found. */
function wrongLines(rows: readonly MatrixRow[], style: TextStyle): string[] {
  const wrong = inOrder(rows).filter((result) => verdictOf(result) !== "expected");
  const lines = wrong.flatMap((result) => {
    const verdict = verdictOf(result);
    const parts = [`${visible(nameOf(result))}: ${findingText(result)}`];
    if (!result.complete)
      parts.push(`cut short after ${several(result.schedules, "schedule")}, ${boundText(result.bound)}`);
    const first = result.violations[0];
    const text = parts.join("; ") + (first === undefined ? "" : `: ${visible(first)}`);
    const [head = "", ...rest] = wrap(text, style.columns - 2);
    const mark = colored(marks[verdict], verdictColors[verdict], style);
    return [`${mark} ${head}`, ...rest.map((line) => `  ${line}`)];
  });
  return lines.length === 0 ? [] : ["", ...lines];
}

/** The search inside of steps, and what it has found there. */
function stepsLines({ steps }: CheckReport, style: TextStyle): string[] {
  if (steps === null) return [];
  const verdict = stepsVerdictOf(steps);
  const [head = "", ...rest] = wrap(stepsText(steps), style.columns - 2);
  const mark = colored(marks[verdict], verdictColors[verdict], style);
  const found = steps.violations.flatMap(({ scenario, sentence, turns, calls }) =>
    [`${scenario}: ${sentence}`, `turns: ${turns}`, ...calls].flatMap((line) => wrap(visible(line), style.columns - 2)),
  );
  return ["", `${mark} ${head}`, ...[...rest, ...found].map((line) => `  ${line}`)];
}

function summaryLines(report: CheckReport, style: TextStyle): string[] {
  const totals = totalsOf(report);
  const beyond = totals.beyond === 0 ? "" : `, ${countText(totals.beyond)} random or unfinished ones`;
  const parts = [`${several(totals.schedules, "schedule")}${beyond} in ${secondsText(report.seconds)}`];
  if (report.seed !== null) parts.push(`seed ${report.seed}`);
  if (report.notApplicable.length > 0) parts.push(`${report.notApplicable.length} not applicable`);
  parts.push(totals.ok ? "ok" : `NOT OK: ${totals.wrong}`);
  return wrap(parts.join(", "), style.columns).map((line) => colored(line, totals.ok ? "green" : "red", style));
}
