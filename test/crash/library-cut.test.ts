/** The power goes while a program uses the library: what a sync covered is there, no size shows that was not set (F15, F16). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { soakFactor, Undo } from "../real/server-process.js";
import { missingForDisks, openSmallDisk } from "../stores/file/loop-device.js";
import { cutRounds } from "./cut-rounds.js";

const rounds = Math.max(2, Math.round(2 * soakFactor));

test(`after a power cut of its XFS, all that was synced is there and xfs_repair is content: ${rounds} rounds`, async (t) => {
  const missing = missingForDisks("mkfs.xfs", "xfs_io", "xfs_repair");
  if (missing !== null) return t.skip(missing);
  const undo = new Undo(t);
  const disk = openSmallDisk({ mebibytes: 320, mkfs: ["mkfs.xfs", "-q"] });
  undo.add(() => disk.close());
  const seed = Number(process.env["PINFOLD_SEED"] ?? process.pid * 7919);
  t.diagnostic(`PINFOLD_SEED=${seed}`);
  const { ledger } = await cutRounds({ disk, rounds, seed, note: (line) => t.diagnostic(line) });
  assert.ok(ledger.syncs > 0);
});
