/** A program that uses the library dies of SIGKILL in the middle of everything. What a sync covered is there (F16, F33). */
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { scratchFolder } from "../nbd/fixture.js";
import { soakFactor } from "../real/server-process.js";
import { killRounds } from "./kill-rounds.js";

const rounds = Math.max(5, Math.round(5 * soakFactor));

test("after SIGKILL of a program whose file has checksums, all of them are right: 3 rounds", async (t) => {
  const seed = Number(process.env["PINFOLD_SEED"] ?? process.pid * 7919);
  const folder = join(scratchFolder(t), "rounds");
  mkdirSync(folder);
  t.diagnostic(`PINFOLD_SEED=${seed}`);
  const ledger = await killRounds({ folder, rounds: 3, seed, victim: { checksums: true } });
  assert.ok(ledger.operations > 30, "something was done");
});

test(`after SIGKILL of threads in the middle of pins, stores, cuts and syncs, all that was synced is there: ${rounds} rounds`, async (t) => {
  const seed = Number(process.env["PINFOLD_SEED"] ?? process.pid * 7919);
  const folder = join(scratchFolder(t), "rounds");
  mkdirSync(folder);
  t.diagnostic(`PINFOLD_SEED=${seed}`);
  const ledger = await killRounds({ folder, rounds, seed, note: (line) => t.diagnostic(line) });
  assert.ok(ledger.syncs > 0 && ledger.operations > 100, "something was done");
  t.diagnostic(`${ledger.operations} operations, ${ledger.syncs} syncs`);
});
