/** The progress of a check. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Progress } from "../../explore/report/progress.js";
import { resultOf } from "./report-fixtures.js";

/** A terminal (or not) that keeps what was written, and a clock that stands. */
function stage(options: { isTTY: boolean; columns?: number; total?: number; color?: boolean }) {
  const written: string[] = [];
  const clock = { now: 1_000, nowMs: () => clock.now };
  const out = { ...options, write: (text: string | Uint8Array) => written.push(String(text)) > 0 };
  const { total = 112, color = false } = options;
  return { written, clock, progress: new Progress(out, { total, color, clock }) };
}

/** What a terminal shows of it, line by line. */
function screenOf(written: readonly string[]): string[] {
  const lines = [""];
  let column = 0;
  const text = written.join("");
  for (let at = 0; at < text.length; at++) {
    const line = lines.at(-1) ?? "";
    if (text.startsWith("\u001b[K", at)) {
      lines[lines.length - 1] = line.slice(0, column);
      at += 2;
    } else if (text[at] === "\r") column = 0;
    else if (text[at] === "\n") {
      lines.push("");
      column = 0;
    } else {
      lines[lines.length - 1] = line.slice(0, column) + text[at] + line.slice(column + 1);
      column += 1;
    }
  }
  return lines;
}

const r7 = { race: "R7", protocol: "locked", without: null, bound: 2 } as const;
const r9 = { race: "R9", protocol: "counted", without: "R9", bound: null } as const;

test("on a terminal one line shows results done, race, protocol, bound, schedules and their rate", () => {
  const { written, clock, progress } = stage({ isTTY: true, columns: 100 });
  progress.update({ ...r7, schedules: 0 });
  clock.now += 500;
  progress.update({ ...r7, schedules: 12_500 });
  assert.deepEqual(screenOf(written), ["0/112 | R7 locked, bound 2: 12,500 schedules, 25.0k/s"]);
  progress.finished(resultOf({ ...r7 }));
  clock.now += 500;
  progress.update({ ...r9, schedules: 3 });
  assert.deepEqual(screenOf(written), ["1/112 | R9 counted without R9, all: 3 schedules"]);
});

test("searches that run side by side are shown side by side, as far as whole ones fit", () => {
  const { written, clock, progress } = stage({ isTTY: true, columns: 100 });
  progress.update({ ...r7, schedules: 1 });
  clock.now += 1_000;
  progress.update({ ...r9, schedules: 2 });
  assert.deepEqual(screenOf(written), [
    "0/112 | R7 locked, bound 2: 1 schedule, 0/s | R9 counted without R9, all: 2 schedules",
  ]);
  const narrow = stage({ isTTY: true, columns: 40 });
  narrow.progress.update({ ...r9, schedules: 123_456_789 });
  assert.deepEqual(screenOf(narrow.written), ["0/112 | R9 counted without R9, all: 12…"]);
  const fitsOne = stage({ isTTY: true, columns: 60 });
  const wide = stage({ isTTY: true, columns: 10_000 });
  for (let at = 0; at < 100; at++) {
    for (const { clock: time, progress: shown } of [narrow, fitsOne, wide]) {
      time.now += 1_000;
      shown.update({ ...r7, race: `R${at}`, schedules: 7 });
    }
  }
  assert.ok(screenOf(narrow.written).every((line) => line.length < 40));
  assert.deepEqual(screenOf(fitsOne.written), ["0/112 | R0 locked, bound 2: 7 schedules, 0/s"]);
  assert.equal(screenOf(wide.written)[0]?.split(" | ").length, 1 + 16);
});

test("the line is drawn at most ten times a second, in one piece, erased behind and not before, and only if it changed", () => {
  const { written, clock, progress } = stage({ isTTY: true, columns: 100 });
  for (let at = 0; at < 1_000; at++) {
    clock.now += 1;
    progress.update({ ...r7, schedules: at * 10 });
  }
  assert.ok(written.length >= 9 && written.length <= 10, `${written.length} times in a second`);
  for (const piece of written) {
    assert.ok(piece.startsWith("\r0/112") && piece.endsWith("\u001b[K"), JSON.stringify(piece));
    assert.equal(piece.indexOf("\u001b"), piece.length - 3);
  }
  const still = stage({ isTTY: true });
  for (let at = 0; at < 5; at++) {
    still.clock.now += 200;
    still.progress.update({ ...r7, schedules: 0 });
  }
  assert.ok(still.written.length <= 2, "the same line is not drawn again");
});

test("the rate is that of the last seconds, and a search that begins again is counted anew", () => {
  const { written, clock, progress } = stage({ isTTY: true, columns: 100 });
  let schedules = 0;
  for (let second = 0; second < 20; second++) {
    clock.now += 1_000;
    schedules += second < 10 ? 1_000 : 50_000;
    progress.update({ ...r7, schedules });
  }
  assert.match(screenOf(written)[0] ?? "", /510,000 schedules, 50\.0k\/s$/);
  clock.now += 1_000;
  progress.update({ ...r7, schedules: 10 });
  assert.match(screenOf(written)[0] ?? "", /: 10 schedules$/);
  clock.now += 1_000;
  progress.update({ ...r7, schedules: 110 });
  assert.match(screenOf(written)[0] ?? "", /: 110 schedules, 100\/s$/);
});

test("at the end nothing of the line is left, and it may be ended twice", () => {
  const { written, progress } = stage({ isTTY: true, columns: 100 });
  progress.update({ ...r7, schedules: 5 });
  progress.end();
  assert.deepEqual(screenOf(written), [""]);
  const count = written.length;
  progress.end();
  assert.equal(written.length, count);
  const unused = stage({ isTTY: true });
  unused.progress.end();
  assert.deepEqual(unused.written, []);
});

test("on a terminal only results that are not as expected get a line, above the live one", () => {
  const { written, clock, progress } = stage({ isTTY: true, columns: 100, color: true });
  progress.update({ ...r7, schedules: 5 });
  progress.finished(resultOf({ ...r7 }));
  progress.finished(resultOf({ ...r7, violations: ["check: wrong"], schedules: 77 }));
  clock.now += 500;
  progress.update({ ...r9, schedules: 1 });
  assert.deepEqual(screenOf(written), [
    "\u001b[31m✗\u001b[0m R7 locked: 1 found, none expected; 77 schedules, up to 2 preemptions, complete, 0.42 s",
    "2/112 | R9 counted without R9, all: 1 schedule",
  ]);
});

test("random schedules are shown as such, and said apart from what was searched", () => {
  const { written, progress } = stage({ isTTY: true, columns: 100 });
  progress.update({ ...r7, schedules: 3, isRandom: true });
  assert.deepEqual(screenOf(written), ["0/112 | R7 locked, random: 3 schedules"]);
  const file = stage({ isTTY: false });
  file.progress.finished(resultOf({ ...r7, beyond: { bound: null, schedules: 0, walks: 4, priorities: 1 } }));
  assert.deepEqual(file.written, [
    "✓ R7 locked: none found; 12,345 schedules, up to 2 preemptions, complete, then 5 random schedules, 0.42 s\n",
  ]);
});

test("without a terminal each result has one line, nothing else is written, and no control character", () => {
  const { written, clock, progress } = stage({ isTTY: false, color: true });
  for (let at = 0; at < 50; at++) {
    clock.now += 1_000;
    progress.update({ ...r7, schedules: at });
  }
  assert.deepEqual(written, []);
  progress.finished(resultOf({ ...r7 }));
  progress.finished(resultOf({ ...r9, complete: false, schedules: 1, expected: "some" }));
  progress.end();
  assert.deepEqual(written, [
    "✓ R7 locked: none found; 12,345 schedules, up to 2 preemptions, complete, 0.42 s\n",
    "? R9 counted without R9: none found so far, some expected; 1 schedule, every interleaving, CUT SHORT, 0.42 s\n",
  ]);
});
