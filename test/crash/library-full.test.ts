/**
 * Another program takes the space while the library writes into holes: a lack of space comes at writes and pins where the store
 * reserves, and heals everywhere once there is space (F10, F11).
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { soakFactor, Undo } from "../real/server-process.js";
import { fullRounds } from "./full-rounds.js";
import { smallSystems } from "./small-systems.js";

const rounds = Math.max(2, Math.round(2 * soakFactor));

for (const system of smallSystems) {
  const where = system.reserves === "data" ? "only writes and pins fail" : "a sync may fail, and gets better";
  test(`${system.name} runs full under others' files: ${where}, nothing synced is lost: ${rounds} rounds`, async (t) => {
    const missing = system.missing();
    if (missing !== null) return t.skip(missing);
    const undo = new Undo(t);
    const disk = system.open();
    undo.add(() => disk.close());
    const seed = Number(process.env["PINFOLD_SEED"] ?? process.pid * 7919);
    t.diagnostic(`PINFOLD_SEED=${seed}`);
    const { ledger } = await fullRounds({ ...system, disk, rounds, seed, note: (line) => t.diagnostic(line) });
    assert.ok(ledger.syncs > 0);
    if (system.reserves === "data") assert.ok(ledger.withoutSpace > 0, "the disk was full");
  });
}
