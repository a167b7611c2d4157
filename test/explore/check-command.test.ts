/** `pinfold check` as it is typed: exit statuses, reports, replays, and errors of one line. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { CheckReport } from "../../explore/report/result.js";
import { scratchFolder } from "../nbd/fixture.js";
import { mainPath, Program, Undo } from "../real/server-process.js";

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function runCheck(t: TestContext, cwd: string, line: string): Promise<Outcome> {
  const program = new Program(new Undo(t), process.execPath, [mainPath, "check", ...line.split(" ")], { cwd });
  const { code } = await program.ended;
  return { code, stdout: program.stdout, stderr: program.stderr };
}

test("the report as JSON and as a page; each schedule of it is replayed, and races choose among them", async (t) => {
  const folder = scratchFolder(t);
  const made = await runCheck(t, folder, "r4 R9 --bound 1 --json --html page.html");
  assert.equal(made.code, 0, made.stderr);
  assert.equal(made.stderr.match(/^✓ /gm)?.length, 8, "a line for each result where there is no terminal");
  const report = JSON.parse(made.stdout) as CheckReport;
  assert.ok(report.ok);
  const named = report.results.map(({ race, protocol, without }) => `${race} ${protocol} ${without}`);
  assert.deepEqual(named.slice(4), ["R9 reference null", "R9 locked null", "R9 counted null", "R9 locked R9"]);
  assert.match(readFileSync(join(folder, "page.html"), "utf8"), /R9 locked without R9/);

  writeFileSync(join(folder, "report.json"), made.stdout);
  const all = await runCheck(t, folder, "--replay report.json");
  assert.equal(all.code, 0, all.stderr);
  assert.deepEqual(all.stdout.match(/^R\d+ .*(?=:.*; \d+ steps)/gm), [
    "R4 reference",
    "R4 counted without R4",
    "R9 locked without R9",
  ]);
  assert.equal(all.stdout.match(/VIOLATION/g)?.length, 3);
  const one = await runCheck(t, folder, "--replay report.json R9 --protocol locked");
  assert.deepEqual(one.stdout.match(/^R\d+ .*(?=:.*; \d+ steps)/gm), ["R9 locked without R9"]);

  const other = { ...report.results[0], violations: ["check: something else"] };
  writeFileSync(join(folder, "other.json"), JSON.stringify(other));
  const changed = await runCheck(t, folder, "--replay other.json");
  assert.equal(changed.code, 1, "it is not the same");
  assert.match(changed.stdout, /R4 reference: it was another one: check: something else\n$/);
});

test("a schedule in which nothing goes wrong, or that does not fit, is no replay", async (t) => {
  const folder = scratchFolder(t);
  const made = await runCheck(t, folder, "--without R9 --json");
  const [found] = (JSON.parse(made.stdout) as CheckReport).results;
  assert.ok(found);
  const replayOf = async (over: object): Promise<Outcome> => {
    writeFileSync(join(folder, "one.json"), JSON.stringify({ ...found, ...over }));
    return runCheck(t, folder, "--replay one.json");
  };
  const guarded = await replayOf({ without: null });
  assert.equal(guarded.code, 1);
  assert.match(guarded.stdout + guarded.stderr, /nothing went wrong|does not fit/);
  const unfit = await replayOf({ turns: "A1" });
  assert.equal(unfit.code, 1);
  assert.match(unfit.stderr, /^pinfold: EINVAL: replay: R9 locked without R9: the schedule does not fit[^\n]+\n$/);
  assert.match((await replayOf({ turns: "Z9" })).stderr, /^pinfold: EINVAL: replay: .*there is no such actor here\n$/);
  assert.match((await replayOf({ race: "R99" })).stderr, /^pinfold: EINVAL: replay: there is no scenario R99\n$/);
  assert.match((await replayOf({ without: "R99" })).stderr, /^pinfold: EINVAL: replay: there is no guard .* R99\n$/);
});

test("a deep check prints its seed, and takes it", async (t) => {
  const folder = scratchFolder(t);
  const line = "R4 --protocol locked --deep 2s";
  const [own, given] = await Promise.all([runCheck(t, folder, line), runCheck(t, folder, `${line} --seed 77 --json`)]);
  assert.equal(own.code, 0, own.stderr);
  assert.match(own.stderr, /^seed \d+: the same again with --seed \d+\n/);
  assert.match(own.stdout, /seed \d+, ok/);
  assert.match(given.stderr, /^seed 77: /);
  assert.equal((JSON.parse(given.stdout) as CheckReport).seed, 77);
});

test("what is incomplete is not ok, and says so by its status", async (t) => {
  const { code, stdout } = await runCheck(t, scratchFolder(t), "R9 --protocol locked --bound 9 --deep 1s");
  assert.equal(code, 1);
  assert.match(stdout, /R9 locked: up to 9 preemptions cut short, then [\d,]+ random schedules\n/);
  assert.match(stdout, /NOT OK:\s1 incomplete\n$/);
});

test("a first signal ends the searches, and what was found by then is reported", async (t) => {
  const line = ["check", "R4", "R9", "--protocol", "locked", "--bound", "8", "--deep", "1h", "--jobs", "1", "--json"];
  const program = new Program(new Undo(t), process.execPath, [mainPath, ...line], { cwd: scratchFolder(t) });
  for (let waitedMs = 0; !/✓ R4/.test(program.stderr) && waitedMs < 60_000; waitedMs += 20) await sleep(20);
  const { code } = await program.end("SIGINT");
  assert.match(program.stderr, /\nstopping: what was not searched is reported as incomplete/);
  const { results } = JSON.parse(program.stdout) as CheckReport;
  assert.deepEqual(
    results.map(({ race }) => race),
    ["R4", "R9"],
  );
  assert.ok(results[0]?.complete && results[0].bound === null);
  assert.equal(code, results[1]?.complete ? 0 : 1);
});

test("what makes no sense is one line with EINVAL, before anything is searched", async (t) => {
  const folder = scratchFolder(t);
  const lines: [number, string, RegExp][] = [
    [1, "R99", /there is no scenario R99; there are C1, /],
    [1, "--without R9,R99", /there is no guard to be taken out for R99; there are /],
    [1, "--seed 3", /--seed is for --deep/],
    [1, "--quick --bound 2", /--quick goes with neither --bound nor --deep/],
    [1, "--deep 1h --without R9", /does not go with --without/],
    [1, "--replay x.json --json", /--replay goes with /],
    [2, "--bound 1.5", /--bound is a whole number from 0 to 250, not "1\.5"/],
    [2, "--jobs 0", /--jobs is a whole number from 1 to 64, not "0"/],
    [2, "--seed 0", /--seed is a whole number/],
    [2, "--deep 3d", /--deep is a time such as 2h, 30m or 90s, at most a week, not "3d"/],
    [2, "--deep 169", /--deep is a time /],
    [2, "--protocol all", /Allowed choices are reference, locked, counted/],
  ];
  const outcomes = await Promise.all(lines.map(([, line]) => runCheck(t, folder, line)));
  outcomes.forEach(({ code, stderr, stdout }, at) => {
    const [status, line, message] = lines[at] as (typeof lines)[number];
    assert.equal(code, status, `${line}: ${stderr}`);
    assert.match(stderr, /^pinfold: EINVAL: [^\n]+\n$/, line);
    assert.match(stderr, message);
    assert.equal(stdout, "", line);
  });
  const absent = await runCheck(t, folder, "--replay absent.json");
  assert.match(absent.stderr, /^pinfold: ENOENT: no such file[^\n]*\n$/);
  const closed = await runCheck(t, folder, "R9 --html absent/page.html");
  assert.match(closed.stderr, /^pinfold: ENOENT: no such file[^\n]*\n$/, "before the search");
  assert.ok(!existsSync(join(folder, "page.html")));
});
