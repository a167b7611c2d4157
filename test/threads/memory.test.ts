/**
 * What a worker that uses the cache takes beyond one that does the same work on plain files. The bound is generous: V8 takes what it
 * likes, and a machine with other things to do lets garbage lie longer. It finds a worker with a copy of the pages, or of the tables.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { MiB } from "../../src/base/limits.js";

const perWorkerMax = 24 * MiB;

/** The package: the nearest folder above with a package.json. */
function packageRoot(): string {
  let folder = import.meta.dirname;
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  return folder;
}

test("a worker of a shared cache takes little more memory than one without", (t) => {
  const program = join(packageRoot(), "bench", "thread-memory.mjs");
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, "4", "2", "64", "--json"], {
    encoding: "utf8",
  });
  assert.equal(status, 0, stderr);
  const { perWorker, cached } = JSON.parse(stdout) as { perWorker: number; cached: { operations: number } };
  t.diagnostic(`${(perWorker / MiB).toFixed(1)} MiB a worker, ${cached.operations} operations`);
  assert.ok(cached.operations > 100);
  assert.ok(perWorker < perWorkerMax, `${(perWorker / MiB).toFixed(1)} MiB`);
});
