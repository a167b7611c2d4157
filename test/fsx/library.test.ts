/** A short fsx on the library; `npm run fsx` has longer ones. */
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { scratchFolder } from "../nbd/fixture.js";
import { soakFactor } from "../real/server-process.js";
import { runFsx } from "./run-fsx.js";

const operations = Math.max(10_000, Math.round(30_000 * soakFactor));

test(`${operations} random operations by every way into the library are those of an array, and on the disk after each sync`, async (t) => {
  const seed = Number(process.env["PINFOLD_SEED"] ?? process.pid * 7919);
  t.diagnostic(`PINFOLD_SEED=${seed}`);
  const folder = join(scratchFolder(t), "fsx");
  mkdirSync(folder);
  assert.equal(await runFsx({ operations, seed, folder, note: (line) => t.diagnostic(line) }), operations);
});
