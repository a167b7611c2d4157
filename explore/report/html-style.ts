/**
 * The looks of the HTML page: colors for light and dark, and the style sheet. No font, image or script is loaded.
 *
 * Invariant: text has a contrast of 4.5 to what it stands on, lines that mean something 3 (WCAG AA); a test computes it.
 *
 * See also: html.ts, html-sequence.ts (the classes).
 */

/** Name of a CSS property -> color. */
export type Palette = Readonly<Record<string, string>>;

export const lightPalette: Palette = {
  paper: "#fcfcfb",
  panel: "#f3f4f3",
  ink: "#1b1f23",
  quiet: "#565e67",
  rule: "#d9dcdf",
  line: "#838b94",
  link: "#0b57a4",
  good: "#17693a",
  bad: "#b0241c",
  "bad-wash": "#fcebe9",
  warn: "#805300",
  "warn-wash": "#fbf1da",
  fill: "#3d4650",
  "fill-ink": "#ffffff",
  mark: "#ffe27a",
  "mark-ink": "#1b1f23",
  "mark-line": "#8f6b00",
  a: "#1f5fa8",
  b: "#0b7264",
  c: "#7c3f9e",
  device: "#636c76",
};

export const darkPalette: Palette = {
  paper: "#14171a",
  panel: "#1c2024",
  ink: "#e6e8ea",
  quiet: "#a5adb5",
  rule: "#33393f",
  line: "#7a838c",
  link: "#84b9f2",
  good: "#6fcb90",
  bad: "#ff8c82",
  "bad-wash": "#391c1b",
  warn: "#efbb52",
  "warn-wash": "#332a13",
  fill: "#b9c1c9",
  "fill-ink": "#14171a",
  mark: "#6a5300",
  "mark-ink": "#ffffff",
  "mark-line": "#d9b23c",
  a: "#7db2ee",
  b: "#55c0b0",
  c: "#cb9be6",
  device: "#a2abb4",
};

function properties(palette: Palette): string {
  return Object.entries(palette)
    .map(([name, color]) => `--${name}: ${color};`)
    .join(" ");
}

const page = `
* { box-sizing: border-box; }
html { color-scheme: light dark; scroll-padding-top: 1rem; -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto,
  "Helvetica Neue", "Liberation Sans", Arial, sans-serif; }
header, main { max-width: 90rem; margin: 0 auto; padding: 0 1.5rem; }
h1, h2, h3 { line-height: 1.25; font-weight: 650; text-wrap: balance; }
h1 { font-size: 1.15rem; margin: 1.75rem 0 0; color: var(--quiet); font-weight: 550; }
h2 { font-size: 1.3rem; margin: 3rem 0 .5rem; }
h3 { font-size: 1.1rem; margin: 0; }
p { margin: .5rem 0; max-width: 46rem; }
a { color: var(--link); text-underline-offset: .15em; text-decoration-thickness: 1px; }
a:hover { text-decoration-thickness: 2px; }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; border-radius: 2px; }
:target { scroll-margin-top: 1rem; }
code, .code { font-family: ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", "Liberation Mono",
  monospace; font-size: .86em; }
.quiet { color: var(--quiet); }
.good { color: var(--good); } .bad { color: var(--bad); } .warn { color: var(--warn); }
.unseen { position: absolute; width: 1px; height: 1px; margin: -1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.skip { position: absolute; left: -999rem; } .skip:focus { left: 1.5rem; top: .5rem; background: var(--paper); padding: .25rem .5rem; }
`;

const summary = `
.verdict { margin: .1rem 0 .75rem; font-size: 1.9rem; font-weight: 680; line-height: 1.2; letter-spacing: -.01em; max-width: none; }
.wrong { margin: .5rem 0 1.25rem; padding: 0; list-style: none; }
.wrong li { padding: .3rem .75rem; border-left: 3px solid currentColor; margin-bottom: .35rem; background: var(--bad-wash); }
.wrong li.warn { background: var(--warn-wash); }
.wrong li span, .wrong li a { color: var(--ink); overflow-wrap: anywhere; }
.facts { display: grid; grid-template-columns: repeat(6, 1fr); gap: .75rem 1.5rem; margin: 1rem 0 0; padding: .9rem 0;
  border: solid var(--rule); border-width: 1px 0; }
.facts div { min-width: 0; } .facts .wide { grid-column: span 3; }
.facts dt { font-size: .8rem; color: var(--quiet); }
.facts dd { margin: 0; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
`;

const matrix = `
.matrix { border-collapse: collapse; width: 100%; margin: 1rem 0; font-size: .9rem; font-variant-numeric: tabular-nums; }
.matrix caption { text-align: left; color: var(--quiet); padding-bottom: .5rem; }
.matrix th { text-align: left; font-weight: 600; vertical-align: top; }
.matrix thead th { padding: .4rem .75rem .4rem 0; border-bottom: 2px solid var(--line); vertical-align: bottom; }
.matrix thead small { display: block; font-weight: 400; color: var(--quiet); font-size: .8rem; }
.matrix tbody tr > * { border-bottom: 1px solid var(--rule); padding: .4rem .75rem .45rem 0; vertical-align: top; }
.matrix tbody th { width: 24%; overflow-wrap: anywhere; }
.matrix tbody th b { display: inline-block; min-width: 2.2rem; font-weight: 650; }
.matrix tbody th span { font-weight: 400; }
.matrix td { width: 19%; min-width: 6rem; overflow-wrap: anywhere; }
.matrix .result { padding-left: .5rem; margin-left: -.5rem; border-left: 3px solid transparent; }
.matrix .result + .result { margin-top: .5rem; }
.matrix .unexpected { background: var(--bad-wash); border-color: var(--bad); }
.matrix .incomplete { background: var(--warn-wash); border-color: var(--warn); }
.matrix .result:target { outline: 2px solid var(--link); outline-offset: 2px; }
.matrix small { display: block; color: var(--quiet); font-size: .8rem; line-height: 1.4; }
.mark { display: inline-block; min-width: 1em; font-weight: 700; }
.marks { margin: 0; padding: 0; list-style: none; display: flex; flex-wrap: wrap; gap: .1rem 1.5rem; font-size: .9rem; }
`;

const legend = `
.flags { display: grid; grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr)); gap: .4rem 2rem; margin: .75rem 0; font-size: .9rem; }
.flags div { display: grid; grid-template-columns: 3rem 1fr; gap: .5rem; align-items: baseline; break-inside: avoid; }
.flags dt { text-align: right; }
.flags dd { margin: 0; }
`;

const sequence = `
.example { margin: 2.5rem 0 3.5rem; padding-top: 1.25rem; border-top: 1px solid var(--line); }
h2 + .example { margin-top: 1rem; padding-top: 0; border-top: 0; }
.example > p { max-width: 60rem; overflow-wrap: anywhere; }
figure { margin: 1rem 0 0; }
figcaption { color: var(--quiet); font-size: .9rem; margin-bottom: .5rem; }
.row { display: grid; grid-template-columns: var(--wide); column-gap: 0; }
.lanes { position: sticky; top: 0; z-index: 2; background: var(--paper); border-bottom: 2px solid var(--line); font-weight: 650;
  font-size: .9rem; }
.lanes span { padding: .35rem .5rem .3rem 0; overflow-wrap: anywhere; }
.lanes .lane { border-left: 4px solid var(--who); padding-left: .55rem; margin-left: -1.5px; }
.drawing { position: relative; padding: .25rem 0 0; }
.lifelines { position: absolute; inset: 0; pointer-events: none; }
.lifelines i { border-left: 1px solid var(--line); }
.steps { position: relative; list-style: none; margin: 0; padding: 0; }
.step { grid-template-rows: auto auto; padding: .15rem 0; break-inside: avoid; }
.number { grid-row: 2; grid-column: 1; text-align: right; padding: .25rem .75rem 0 0; font-size: .78rem; color: var(--quiet);
  font-variant-numeric: tabular-nums; }
.turn { grid-row: 1; grid-column: var(--from) / var(--to); height: 1.1rem; margin-top: .1rem; border-top: 2px solid var(--who); position: relative;
  margin-left: 0; margin-right: -2px; transform: translateY(.45rem); }
.turn::before, .turn::after { content: ""; position: absolute; }
.turn::before { width: 7px; height: 7px; border-radius: 50%; background: var(--who); top: -4.5px; left: -3px; }
.turn::after { top: 0; right: 0; height: .7rem; border-left: 2px solid var(--who); }
.turn.back::before { left: auto; right: -2px; }
.turn.back::after { right: auto; left: -.5px; }
.box { grid-row: 2; grid-column: var(--lane) / -2; justify-self: start; min-width: 9.5rem; max-width: min(100% - .75rem, 30rem); padding: .25rem .5rem .3rem .55rem; background: var(--panel);
  border: 1px solid var(--rule); border-left: 4px solid var(--who); margin-left: -1.5px; border-radius: 0 3px 3px 0; min-width: 0;
  overflow-wrap: anywhere; line-height: 1.35; align-self: start; }
.box .at { display: block; color: var(--quiet); font-size: .78rem; margin-top: .1rem; }
.who, .node { display: none; }
.pages { grid-row: 2; grid-column: -2; align-self: start; padding-left: .5rem; min-width: 0; font-size: .84rem; line-height: 1.35; }
.page + .page { margin-top: .4rem; }
.page p { margin: 0 0 .1rem; overflow-wrap: anywhere; }
.changed { margin-right: .2rem; }
.word { display: flex; flex-wrap: wrap; gap: 2px; margin: 0; }
.bit { display: inline-block; min-width: 1.75rem; padding: 0 .2rem; text-align: center; font-size: .74rem; line-height: 1.3rem; border: 1px solid var(--rule);
  color: var(--quiet); border-radius: 2px; font-family: ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.bit.wide { min-width: 2.9rem; }
.bit.on { background: var(--fill); border-color: var(--fill); color: var(--fill-ink); }
.bit.set { background: var(--mark); border-color: var(--mark-line); color: var(--mark-ink); font-weight: 700; box-shadow: inset 0 0 0 1px var(--mark-line); }
.bit.cleared { border: 1px dashed var(--mark-line); color: var(--ink); text-decoration: line-through; text-decoration-thickness: 1.5px; }
.end { margin: .75rem 0 0; padding: .7rem 1rem; border: 2px solid var(--bad); border-radius: 3px; background: var(--bad-wash); break-inside: avoid;
  position: relative; overflow-wrap: anywhere; }
.end p { margin: 0; max-width: none; } .end p + p { margin-top: .35rem; }
.end strong { color: var(--bad); }
.turns { font-size: .85rem; }
.turns code { overflow-wrap: anywhere; }
.actor-a { --who: var(--a); } .actor-b { --who: var(--b); } .actor-c { --who: var(--c); } .actor-device { --who: var(--device); }
`;

/** Narrow: lanes become lines with a dot where their actor acts, text stands to the right of them, pages below the text. */
const narrow = `
@media (max-width: 60rem) {
  header, main { padding: 0 1rem; }
  .facts { grid-template-columns: repeat(3, 1fr); }
  .row { grid-template-columns: var(--narrow); }
  .lanes { align-items: end; }
  .lanes .lane { padding: .2rem 0 .2rem .2rem; border-left-width: 3px; white-space: nowrap; }
  .lanes .actor-device { writing-mode: vertical-rl; transform: rotate(180deg); border-left: 0; border-right: 3px solid var(--who);
    padding: .2rem .1rem .2rem 0; line-height: 1; margin-left: 0; margin-right: auto; }
  .lanes .in-pages { display: none; }
  .box { grid-column: -2; justify-self: stretch; max-width: none; margin: 0; border-radius: 3px; }
  .who { display: inline; color: var(--who); font-weight: 700; margin-right: .4rem; }
  .node { display: block; grid-row: 2; grid-column: var(--lane) / -2; border-top: 2px dotted var(--who); margin-top: .85rem; height: 0; position: relative; }
  .node::before { content: ""; position: absolute; left: -4px; top: -6px; width: 9px; height: 9px; border-radius: 50%; background: var(--who); }
  .turn::after { height: 1.1rem; }
  .pages { grid-row: 3; grid-column: -2; padding: .25rem 0 .25rem .55rem; }
}
`;

/** Narrower still: a race's name stands above its cells. */
const slim = `
@media (max-width: 46rem) {
  .matrix, .matrix thead, .matrix tbody, .matrix caption { display: block; }
  .matrix tr { display: grid; grid-template-columns: repeat(4, 1fr); column-gap: .75rem; border-bottom: 1px solid var(--rule); padding: .35rem 0; }
  .matrix thead tr { border-bottom: 2px solid var(--line); }
  .matrix thead th:first-child { display: none; }
  .matrix tbody th { grid-column: 1 / -1; }
  .matrix thead th, .matrix tbody th, .matrix td { width: auto; min-width: 0; padding: .1rem 0; border: 0 !important; align-self: end; }
  .matrix td { align-self: start; }
  .matrix td[colspan] { grid-column: 1 / -1; }
  .matrix .result { padding-left: .35rem; margin-left: -.35rem; }
}
`;

const printed = `
@media print {
  :root { ${properties({ ...lightPalette, paper: "#ffffff" })} }
  body { font-size: 10pt; } h2, h3 { break-after: avoid; } .skip, .back-link { display: none; }
  .lanes { position: static; } .bit, .box, .end, .result { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  .example + .example { break-before: page; } a { color: inherit; text-decoration: none; }
  tr { break-inside: avoid; } thead { display: table-header-group; }
}
`;

export const styleSheet = [
  `:root { ${properties(lightPalette)} }`,
  `@media (prefers-color-scheme: dark) { :root { ${properties(darkPalette)} } }`,
  page,
  summary,
  matrix,
  legend,
  sequence,
  narrow,
  slim,
  printed,
].join("\n");
