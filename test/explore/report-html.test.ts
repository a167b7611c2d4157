/** The HTML page of a check: well-formed, nothing missing, nothing that came in as text going out as markup. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { htmlText } from "../../explore/report/html.js";
import { darkPalette, lightPalette, type Palette } from "../../explore/report/html-style.js";
import { actorsOf } from "../../explore/report/page-flags.js";
import { visible } from "../../explore/report/plain-text.js";
import type { CheckReport, CheckResult, Step } from "../../explore/report/result.js";
import { nameOf } from "../../explore/report/verdict.js";
import { badReport, goodReport, hostile, lateDirty, reportOf, resultOf } from "./report-fixtures.js";
import { all, classesOf, type Element, elementsBelow, only, propertyOf, readMarkup, textOf } from "./report-markup.js";

const options = {
  command: 'pinfold check --html "<page>.html"',
  versions: { pinfold: "0.1.0", node: "20.19.0 & more" },
};

function pageOf(report: CheckReport): Element {
  return readMarkup(htmlText(report, options));
}

function foundWith(schedule: readonly Step[]): CheckResult {
  return resultOf({ schedule, violations: ["check: wrong"], expected: "some" });
}

/** The page of one counterexample: its steps. */
function stepsOf(schedule: readonly Step[]): Element[] {
  return all(pageOf(reportOf([foundWith(schedule)])), "step");
}

/** The counterexamples of a page by the result's name. */
function examplesOf(page: Element): (result: CheckResult) => Element {
  const sections = all(page, "example");
  const names = sections.map((section) => textOf(only(section, "<h3>")));
  return (result) => {
    const at = names.indexOf(`${nameOf(result)}: ${visible(result.title)}`);
    assert.ok(at >= 0, `no counterexample of ${nameOf(result)}`);
    return sections[at] as Element;
  };
}

function cellOf(page: Element, race: string, column: number): Element {
  const row = all(page, "<tr>").find((tr) => all(tr, "<b>").some((b) => textOf(b) === race));
  assert.ok(row, race);
  return all(row, "<td>")[column] as Element;
}

test("the page is well-formed, has each id once, and every link leads to an id that exists", () => {
  for (const report of [goodReport(), badReport(), reportOf([])]) {
    const elements = elementsBelow(pageOf(report));
    const ids = elements.flatMap((element) => element.attributes.get("id") ?? []);
    assert.deepEqual(ids.toSorted(), [...new Set(ids)].toSorted());
    const links = elements.filter((element) => element.tag === "a");
    for (const link of links) {
      const href = link.attributes.get("href") ?? "";
      assert.ok(href.startsWith("#") && ids.includes(href.slice(1)), `${textOf(link)}: ${href}`);
    }
    for (const element of elements) {
      for (const name of ["aria-labelledby"]) {
        const id = element.attributes.get(name);
        if (id !== undefined) assert.ok(ids.includes(id), `${name}: ${id}`);
      }
    }
    if (report.results.length > 0) assert.ok(links.length > 50, `${links.length} links`);
  }
});

test("two results of one name have a cell and a counterexample each", () => {
  const result = foundWith(lateDirty());
  const page = pageOf(reportOf([result, { ...result, violations: ["check: another"] }]));
  const links = all(cellOf(page, "R1", 1), "<a>").map((link) => link.attributes.get("href")?.slice(1));
  const ends = links.map((id) => elementsBelow(page).find((element) => element.attributes.get("id") === id));
  assert.deepEqual(
    ends.map((section) => textOf(only(section as Element, "end"))),
    ["Violation: check: wrong", "Violation: check: another"],
  );
});

test("a long path may end a line after each of its folders", () => {
  const place = only(
    stepsOf([{ actor: "A", at: "src/mapping/truncate.ts:120", what: "x", pages: [] }])[0] as Element,
    "at",
  );
  const parts = place.children.map((child) => (typeof child === "string" ? child : `<${child.tag}>`));
  assert.deepEqual(parts, ["src/", "<wbr>", "mapping/", "<wbr>", "truncate.ts:120"]);
});

test("the page loads nothing and runs nothing", () => {
  const text = htmlText(badReport(), options);
  const elements = elementsBelow(readMarkup(text));
  const tags = new Set(elements.map((element) => element.tag));
  for (const tag of ["script", "link", "img", "iframe", "object"]) assert.ok(!tags.has(tag), tag);
  const names = new Set(elements.flatMap((element) => [...element.attributes.keys()]));
  for (const name of names) assert.ok(!name.startsWith("on") && name !== "src", name);
  const style = textOf(only(readMarkup(text), "<style>"));
  assert.doesNotMatch(style, /url\(|@import|@font-face|https?:/);
});

test("hostile text is shown as text, wherever it stands", () => {
  const page = pageOf(badReport());
  const text = textOf(page);
  for (const shown of [hostile.title, hostile.word, hostile.sentence, hostile.place])
    assert.ok(text.includes(visible(shown)), shown);
  assert.ok(text.includes(options.command));
  assert.ok(text.includes("node 20.19.0 & more"));
  const source = htmlText(badReport(), options);
  for (const character of ["\u001b", "\u202e", "\u0007"]) assert.ok(!source.includes(character), escape(character));
  const strange = foundWith([
    { actor: '"><i>', at: "<a>'", what: "<b>", pages: [{ frame: 0, page: "<p>", flags: ['"<u>', "<script>"] }] },
  ]);
  const example = textOf(only(pageOf(reportOf([{ ...strange, turns: "<i>1" }])), "example"));
  for (const shown of ['"><i>', "<a>'", "<b>", "page <p> in frame 0", '"<u>', "<script>", "<i>1"])
    assert.ok(example.includes(shown), shown);
});

test("every step of every schedule is in the page, in its order, with its place in the sources", () => {
  for (const report of [goodReport(), badReport()]) {
    const page = pageOf(report);
    const exampleOf = examplesOf(page);
    const found = report.results.filter((result) => result.violations.length > 0);
    assert.equal(all(page, "example").length, found.length);
    for (const result of found) {
      const boxes = all(exampleOf(result), "box").map(textOf);
      const steps = result.schedule.map((step) => `${step.actor}: ${visible(step.what)}${visible(step.at)}`);
      assert.deepEqual(boxes, steps);
    }
  }
});

test("lanes stand in the order of threads, disk and clock, and each step in its actor's", () => {
  const report = badReport();
  const exampleOf = examplesOf(pageOf(report));
  for (const result of report.results.filter(({ schedule }) => schedule.length > 0)) {
    const example = exampleOf(result);
    const lanes = all(only(example, "lanes"), "lane").map(textOf);
    assert.deepEqual(lanes, actorsOf(result.schedule));
    const wanted = result.schedule.map((step) => String(lanes.indexOf(step.actor) + 2));
    assert.deepEqual(
      all(example, "step").map((step) => propertyOf(step, "--lane")),
      wanted,
    );
    assert.equal(all(only(example, "lifelines"), "<i>").length, lanes.length);
  }
  const step = (actor: string): Step => ({ actor, at: "", what: "x", pages: [] });
  assert.deepEqual(actorsOf(["clock", "flusher", "disk", "C", "A", "B"].map(step)), [
    "A",
    "B",
    "C",
    "flusher",
    "disk",
    "clock",
  ]);
});

test("a line between lanes shows where another actor goes on, and only there", () => {
  const turns = stepsOf(lateDirty()).map((step) =>
    all(step, "turn").map((turn) =>
      [propertyOf(turn, "--from"), propertyOf(turn, "--to"), classesOf(turn)[1]].join(" "),
    ),
  );
  const shown = turns.flatMap((turn, at) => (turn.length === 0 ? [] : [`${at + 1}: ${turn.join()}`]));
  assert.deepEqual(shown, [
    "8: 2 6 forth",
    "9: 3 6 back",
    "14: 3 5 forth",
    "15: 3 5 back",
    "17: 3 5 forth",
    "18: 3 5 back",
    "19: 2 3 back",
    "20: 2 4 forth",
    "23: 2 4 back",
  ]);
});

/** The drawn word of a step's page: "up:on di:set". Places that are not set are left out. */
function wordOf(step: Element): string {
  return all(step, "bit")
    .map(
      (bit) =>
        `${textOf(bit)}:${classesOf(bit)
          .filter((name) => name !== "bit" && name !== "wide")
          .join()}`,
    )
    .filter((text) => !text.endsWith(":"))
    .join(" ");
}

test("the page word beside a step shows what is set, what was just set and what was just cleared", () => {
  const steps = stepsOf(lateDirty());
  assert.equal(wordOf(steps[0] as Element), "");
  assert.equal(wordOf(steps[2] as Element), "X(A):on up:on");
  assert.match(textOf(steps[2] as Element), /page 0:2 in frame 1, first seen/);
  assert.equal(wordOf(steps[4] as Element), "X(A):on up:on di:set gr:on");
  assert.match(textOf(steps[4] as Element), /page 0:2 in frame 1: \+dirty/);
  assert.equal(wordOf(steps[10] as Element), "X(B):on up:on di:cleared wb:set gr:on");
  assert.match(textOf(steps[10] as Element), /\u2212dirty \+writeback/);
  assert.match(textOf(steps[10] as Element), /Flags: X\(B\), uptodate, writeback, grant\./);
  assert.equal(wordOf(steps[20] as Element), "X(C):cleared up:cleared ev:cleared reserved:set");
  assert.match(textOf(steps[20] as Element), /frame 1, no page, was 0:2/);
});

test("a lock or pin count that becomes another one is shown as that, and frames do not mix", () => {
  const page = (frame: number, ...flags: string[]) => ({ frame, page: `0:${frame}`, flags });
  const steps = stepsOf([
    { actor: "A", at: "", what: "1", pages: [page(0, "X(A)", "pins 1r 0w", "dirty"), page(1, "dirty")] },
    { actor: "A", at: "", what: "2", pages: [page(0, "S2", "pins 2r 0w")] },
    { actor: "A", at: "", what: "3", pages: [page(1, "dirty", "view")] },
  ]);
  assert.match(textOf(steps[1] as Element), /X\(A\) \u2192 S2 pins 1r 0w \u2192 2r 0w \u2212dirty/);
  assert.equal(wordOf(steps[1] as Element), "S2:set 2r 0w:set di:cleared");
  assert.equal(wordOf(steps[2] as Element), "di:on vw:set");
});

test("each cell says what was found and how far the search went, and links to its counterexample", () => {
  const page = pageOf(badReport());
  const found = cellOf(page, "R8", 1);
  assert.match(textOf(found), /✗ not as expected: 3 found, none expected477,987 schedulescomplete, every interleaving/);
  const href = only(found, "<a>").attributes.get("href")?.slice(1);
  const example = elementsBelow(page).find((element) => element.attributes.get("id") === href) as Element;
  assert.match(textOf(only(example, "<h3>")), /^R8 locked: truncate against pin$/);
  const back = all(example, "back-link")[0]?.attributes.get("href")?.slice(1);
  assert.equal(only(found, "result").attributes.get("id"), back);
  assert.match(
    textOf(cellOf(page, "R1", 1)),
    /✓ complete and as expected: none found1,224 schedulescomplete, 2 preemptions/,
  );
  assert.equal(all(cellOf(page, "R1", 1), "<a>").length, 0);
  assert.match(textOf(cellOf(page, "R9", 3)), /✓ .*1 found, as expectedlocked, 360 schedules/);
  assert.match(textOf(cellOf(page, "R21", 3)), /✗ not as expected: none found, some expected/);
  assert.match(textOf(cellOf(page, "C10", 0)), /^not run$/);
  assert.equal(all(cellOf(page, "C10", 3), "result").length, 2);
  assert.match(textOf(cellOf(page, "C10", 3)), /counted without R23.*locked without R22/);
});

test("what a deep check did past its bound stands in the cell, after what is complete", () => {
  const beyond = { bound: 3, schedules: 1_234, walks: 5_000, priorities: 678 };
  const page = pageOf(reportOf([resultOf({ beyond })], { seed: 77 }));
  assert.match(
    textOf(cellOf(page, "R1", 1)),
    /complete, 2 preemptionsthen 1,234 schedules with up to 3 preemptions, cut short, and 5,678 random schedules$/,
  );
  assert.match(textOf(page), /Random, or cut short6,912/);
});

test("a search that was cut short is never shown as passed, even where it found what was expected", () => {
  const page = pageOf(badReport());
  for (const [race, column] of [
    ["R14", 2],
    ["R26", 0],
  ] as const) {
    const cell = cellOf(page, race, column);
    assert.ok(classesOf(only(cell, "result")).includes("incomplete"));
    assert.match(textOf(cell), /^\? cut short, so it says nothing: .*cut short, 2 preemptions$/);
    assert.doesNotMatch(textOf(cell), /✓|complete and/);
  }
  const cut = pageOf(reportOf([resultOf({ complete: false })], { ok: true }));
  assert.match(textOf(only(cut, "verdict")), /^Not ok: 1 incomplete$/);
});

test("the top says what was run, how much, and whether it is ok, with a link to what is not", () => {
  const header = only(pageOf(badReport()), "<header>");
  const text = textOf(header);
  assert.equal(textOf(only(header, "verdict")), "Not ok: 3 not as expected, 2 incomplete");
  const wrong = all(only(header, "wrong"), "<a>").map(textOf);
  assert.deepEqual(wrong, ["R8 locked", "R14 counted", "R21 locked without R21", "R26 reference", "C2 counted"]);
  const schedules = badReport().results.reduce((sum, result) => sum + result.schedules, 0);
  for (const fact of [options.command, "pinfold 0.1.0", schedules.toLocaleString("en-US"), "4072", "107 of 112"])
    assert.ok(text.includes(fact), fact);
  const good = only(pageOf(goodReport()), "<header>");
  assert.match(textOf(only(good, "verdict")), /^Ok: /);
  assert.equal(all(good, "wrong").length, 0);
});

test("a race that cannot be checked is listed with the reason, and has no mark", () => {
  const page = pageOf(goodReport());
  const cell = cellOf(page, "R16", 0);
  assert.equal(cell.attributes.get("colspan"), "4");
  assert.equal(textOf(cell), "Not applicable, not counted as passed: snapshots of a file do not exist yet");
  const both = pageOf(reportOf([resultOf({ race: "R16" })], { notApplicable: [{ race: "R16", why: "half of it" }] }));
  assert.match(textOf(all(both, "<tr>")[1] as Element), /not counted as passed: half of it/);
});

test("all violations of a result stand at the end of its schedule, or alone where there is none", () => {
  const report = badReport();
  const exampleOf = examplesOf(pageOf(report));
  for (const result of report.results.filter(({ violations }) => violations.length > 0)) {
    const example = exampleOf(result);
    const sentences = all(only(example, "end"), "<p>").map(textOf);
    assert.deepEqual(
      sentences,
      result.violations.map((sentence) => `Violation: ${visible(sentence)}`),
    );
    assert.equal(textOf(all(only(example, "turns"), "<code>")[1] as Element), result.turns);
  }
  const bare = pageOf(reportOf([resultOf({ violations: ["leak: 1 frame"], expected: "some" })]));
  const example = only(bare, "example");
  assert.match(textOf(example), /No schedule was recorded\.\s+Violation: leak: 1 frame/);
  assert.equal(all(example, "<figure>").length, 0);
});

test("the table has scopes and a caption, figures have captions, and what only draws is hidden from screen readers", () => {
  const page = pageOf(goodReport());
  const table = only(page, "<table>");
  only(table, "<caption>");
  for (const th of all(table, "<th>")) assert.match(th.attributes.get("scope") ?? "", /^(col|row)$/);
  assert.equal(all(table, "<tr>").length, 29);
  for (const figure of all(page, "<figure>")) {
    only(figure, "<figcaption>");
    assert.equal(all(figure, "<ol>").length, 1);
    for (const name of ["turn", "lifelines", "node", "lanes", "word"])
      for (const drawn of all(figure, name)) assert.equal(drawn.attributes.get("aria-hidden"), "true", name);
  }
  const headings = elementsBelow(page).filter(({ tag }) => /^h\d$/.test(tag));
  assert.deepEqual([...new Set(headings.map(({ tag }) => tag))], ["h1", "h2", "h3"]);
});

function luminance(color: string): number {
  const channels = [1, 3, 5].map((at) => Number.parseInt(color.slice(at, at + 2), 16) / 255);
  const [red = 0, green = 0, blue = 0] = channels.map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

test("colors have the contrast that WCAG AA asks for, light and dark", () => {
  const texts: [string, string[]][] = [
    ["ink", ["paper", "panel", "bad-wash", "warn-wash"]],
    ["quiet", ["paper", "panel", "bad-wash", "warn-wash"]],
    ["link", ["paper", "bad-wash", "warn-wash"]],
    ["good", ["paper"]],
    ["bad", ["paper", "bad-wash"]],
    ["warn", ["paper", "warn-wash"]],
    ["fill-ink", ["fill"]],
    ["mark-ink", ["mark"]],
    ["a", ["panel"]],
    ["b", ["panel"]],
    ["c", ["panel"]],
    ["device", ["panel"]],
  ];
  const lines: [string, string[]][] = ["line", "mark-line", "a", "b", "c", "device", "fill", "bad", "warn"].map(
    (name) => [name, ["paper"]],
  );
  const contrast = (palette: Palette, one: string, other: string): number => {
    const [high = 0, low = 0] = [one, other].map((name) => luminance(palette[name] ?? "")).toSorted((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
  };
  for (const palette of [lightPalette, darkPalette]) {
    assert.deepEqual(Object.keys(palette), Object.keys(lightPalette));
    for (const [pairs, contrastMin] of [
      [texts, 4.5],
      [lines, 3],
    ] as const) {
      for (const [name, grounds] of pairs)
        for (const ground of grounds) {
          const ratio = contrast(palette, name, ground);
          assert.ok(ratio >= contrastMin, `${name} on ${ground}: ${ratio.toFixed(2)}`);
        }
    }
  }
});
