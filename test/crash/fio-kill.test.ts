/** SIGKILL of the server while fio writes and verifies: what fio had flushed before is there, every block of it (F33). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { scratchFolder } from "../nbd/fixture.js";
import { soakFactor } from "../real/server-process.js";
import { missingForFio, serveRounds } from "./serve-rounds.js";

const rounds = Math.max(5, Math.round(5 * soakFactor));

test(`after SIGKILL of a server under fio, fio finds all that it had flushed, and so do clients of our own: ${rounds} rounds`, async (t) => {
  const missing = await missingForFio();
  if (missing !== null) return t.skip(missing);
  const seed = Number(process.env["PINFOLD_SEED"] ?? process.pid * 7919);
  t.diagnostic(`PINFOLD_SEED=${seed}`);
  const note = (line: string): void => t.diagnostic(line);
  const ledger = await serveRounds({ folder: scratchFolder(t), rounds, seed, note });
  assert.ok(ledger.flushes > 0);
});
