/** Searches in threads: the same results whatever their number, and no result is ever missing without an error. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { pathToFileURL } from "node:url";
import { check } from "../../explore/check.js";
import { newStop } from "../../explore/check/crew.js";
import { readInterleaved, tasksOf } from "../../explore/check/tasks.js";
import type { CheckReport, CheckResult } from "../../explore/report/result.js";
import { nameOf } from "../../explore/report/verdict.js";
import type { Interleaved } from "../../explore/transform/emit.js";

const source = readInterleaved();
const nowMs = () => performance.now();
const folder = mkdtempSync(join(tmpdir(), "pinfold-crew-"));
after(() => rmSync(folder, { recursive: true }));

/** What the build has made, with a line in front of the scenario R9. */
function spoilt(line: string): URL {
  const path = source.scenarios?.find((file) => file.includes("/r09-"))?.replace(/\.ts$/, ".js") ?? "";
  const text = source.modules[path];
  assert.ok(text !== undefined);
  const changed: Interleaved = { ...source, modules: { ...source.modules, [path]: `${line}\n${text}` } };
  const file = join(folder, "interleaved.json");
  writeFileSync(file, JSON.stringify(changed));
  return pathToFileURL(file);
}

/** All but the times. */
function timeless({ results }: CheckReport): CheckResult[] {
  return results.map((result) => ({ ...result, seconds: 0 }));
}

test("one thread and three find the same, in the order of the tasks", async () => {
  const tasks = tasksOf(source, { races: ["R4", "R9"], quick: true });
  const ended: string[] = [];
  const one = await check(tasks, { nowMs, jobs: 1 });
  const three = await check(tasks, { nowMs, jobs: 3, onResult: (result) => ended.push(nameOf(result)) });
  assert.deepEqual(timeless(three), timeless(one));
  assert.deepEqual(three.results.map(nameOf), tasks.map(nameOf));
  assert.deepEqual(ended.toSorted(), tasks.map(nameOf).toSorted(), "each is told when it is done");
});

test("searches with a higher bound begin first", async () => {
  const [small, large] = tasksOf(source, { races: ["R4"], guardedOnly: true });
  assert.ok(small && large);
  const begun: string[] = [];
  const tasks = [
    { ...small, bound: 0 },
    { ...large, bound: 1 },
  ];
  await check(tasks, { nowMs, jobs: 1, onResult: (result) => begun.push(nameOf(result)) });
  assert.deepEqual(begun, [nameOf(large), nameOf(small)]);
});

test("how far a search is comes from its thread", async () => {
  const seen = new Set<string>();
  await check(tasksOf(source, { races: ["R9"], protocol: "locked", guardedOnly: true, bound: 3 }), {
    nowMs,
    onProgress: (task, progress) => seen.add(`${nameOf(task)} ${progress.bound} ${progress.schedules}`),
  });
  assert.deepEqual([...seen].slice(0, 2), ["R9 locked 3 0", "R9 locked 3 1024"]);
});

test("searches that are stopped, or not even begun, are incomplete", async () => {
  const stop = newStop();
  const tasks = tasksOf(source, { races: ["R9"], protocol: "locked", bound: 9 });
  const stopped = await check(tasks, {
    nowMs,
    jobs: 1,
    stop,
    steps: "no",
    onProgress: (task, { schedules }) => {
      if (task.without === null && schedules > 0) Atomics.store(stop, 0, 1);
    },
  });
  assert.ok(!stopped.ok);
  const incomplete = stopped.results.filter(({ complete }) => !complete);
  assert.deepEqual(
    incomplete.map((result) => `${nameOf(result)} ${result.schedules > 0}`),
    ["R9 locked true", "R9 locked without R9 false"],
  );

  const inside = await check([], { nowMs, stop, steps: "all" });
  assert.ok(!inside.ok && inside.steps?.complete === false);
});

test("a search that throws fails the whole check, by its name", async () => {
  const url = spoilt('if (!require("node:worker_threads").isMainThread) throw new Error("the scenario is broken");');
  await assert.rejects(
    check(tasksOf(source, { races: ["R4", "R9"], bound: 0 }), { nowMs, url }),
    /^Error: R9 [a-z]+( without R9)? could not be searched: the scenario is broken$/,
  );
});

test("a thread that ends without an answer fails the whole check, by the search's name", async () => {
  const url = spoilt('if (!require("node:worker_threads").isMainThread) require("node:process").exit(0);');
  await assert.rejects(
    check(tasksOf(source, { races: ["R9"], protocol: "counted" }), { nowMs, url }),
    /^Error: R9 counted could not be searched: its thread ended with status 0$/,
  );
});

test("a thread that cannot begin fails the check", async () => {
  const url = pathToFileURL(join(folder, "absent.json"));
  await assert.rejects(check(tasksOf(source, { races: ["R9"] }), { nowMs, url }), /could not be searched: ENOENT/);
});
