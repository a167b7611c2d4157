/** The power goes while a program uses the library: what a sync covered is there, no size shows that was not set (F15 to F17). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { soakFactor, Undo } from "../real/server-process.js";
import { missingForDisks, openSmallDisk } from "../stores/file/loop-device.js";
import { cutRounds } from "./cut-rounds.js";

const rounds = Math.max(2, Math.round(2 * soakFactor));

for (const checksums of [false, true]) {
  const what = checksums ? "all checksums are right, or blocks torn" : "all that was synced is there";
  test(`after a power cut of its XFS, ${what}, and xfs_repair is content: ${rounds} rounds`, async (t) => {
    const missing = missingForDisks("mkfs.xfs", "xfs_io", "xfs_repair");
    if (missing !== null) return t.skip(missing);
    const undo = new Undo(t);
    const disk = openSmallDisk({ mebibytes: 320, mkfs: ["mkfs.xfs", "-q"] });
    undo.add(() => disk.close());
    const seed = Number(process.env["PINFOLD_SEED"] ?? process.pid * 7919);
    t.diagnostic(`PINFOLD_SEED=${seed}`);
    const note = (line: string) => t.diagnostic(line);
    const { ledger } = await cutRounds({ disk, rounds, seed, victim: { checksums }, note });
    assert.ok(ledger.syncs > 0);
  });
}
