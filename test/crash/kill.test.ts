/** The server dies in the middle of a load. What a FLUSH or a FUA write was acknowledged for is there (F16, F33). */
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { MiB } from "../../src/base/limits.js";
import { pause, scratchFolder, seededRandom, until } from "../nbd/fixture.js";
import { soakFactor, startServing, Undo } from "../real/server-process.js";
import { missingForDisks, openSmallDisk, run } from "../stores/file/loop-device.js";
import { blockBytes, Ledger } from "./ledger.js";
import { loadUntilEnd } from "./load.js";

const diskBytes = 16 * MiB;
const rounds = Math.max(3, Math.round(5 * soakFactor));

/** The same with PINFOLD_SEED. */
function seed(): number {
  return Number(process.env["PINFOLD_SEED"] ?? process.pid * 7919);
}

for (const { pageSize, flags } of [
  { pageSize: 4096, flags: [] },
  { pageSize: 16_384, flags: ["--direct"] },
]) {
  const how = flags.length > 0 ? ", O_DIRECT" : "";
  test(`after SIGKILL under load, all that was flushed is there: pages of ${pageSize} bytes${how}`, async (t) => {
    const undo = new Undo(t);
    const disk = join(scratchFolder(t), "disk");
    const ledger = new Ledger(diskBytes / blockBytes);
    const start = seed();
    const random = seededRandom(start);
    t.diagnostic(`PINFOLD_SEED=${start}`);
    for (let round = 0; round < rounds; round++) {
      const server = await startServing(t, undo, [disk], { size: "16MiB", memory: "8MiB", pageSize, flags }).catch(
        (error: Error) => error,
      );
      if (server instanceof Error) {
        if (/refuses direct access/.test(server.message)) return t.skip("no O_DIRECT on this file system");
        throw server;
      }
      const clients = [await server.client(), await server.client()];
      const flushesBefore = ledger.flushes;
      const load = loadUntilEnd(clients, ledger, random);
      await Promise.race([load, until(() => ledger.flushes > flushesBefore + random(6), "flushes under load")]);
      await pause(random(120));
      assert.ok(server.running, server.stderr);
      assert.equal((await server.end("SIGKILL")).signal, "SIGKILL");
      await load;
      const wrong = ledger.check(await readFile(disk));
      assert.deepEqual(wrong, [], `round ${round}: PINFOLD_SEED=${start}`);
    }
    assert.ok(ledger.durable.some((version) => version > 0));
  });
}

function numberOf(error: { number?: number }): number | undefined {
  return error.number;
}

test("after a power cut of its XFS under load, all that was flushed is there", async (t) => {
  const missing = missingForDisks("mkfs.xfs", "xfs_io");
  if (missing !== null) return t.skip(missing);
  const undo = new Undo(t);
  const xfs = openSmallDisk({ mebibytes: 320, mkfs: ["mkfs.xfs", "-q"] });
  undo.add(() => xfs.close());
  const disk = join(xfs.directory, "disk");
  const ledger = new Ledger(diskBytes / blockBytes);
  const start = seed();
  const random = seededRandom(start);
  t.diagnostic(`PINFOLD_SEED=${start}`);
  for (let round = 0; round < rounds; round++) {
    const server = await startServing(t, undo, [disk], { size: "16MiB", memory: "2MiB" });
    const clients = [await server.client(), await server.client()];
    const flushesBefore = ledger.flushes;
    let cut = false;
    // After the cut every flush has to fail, and what follows proves nothing.
    const load = loadUntilEnd(clients, ledger, random, () => cut).catch((error: unknown) => {
      if (!cut) throw error;
    });
    await Promise.race([load, until(() => ledger.flushes > flushesBefore + 1 + random(4), "flushes under load")]);
    await pause(random(60));
    cut = true;
    ledger.isCut = true;
    run("xfs_io", "-x", "-c", "shutdown", xfs.directory);
    const late = await server.client();
    // Where all was durable before the cut, a flush may still say so.
    await ledger.flush(late).catch(() => {});
    await load;
    const block = ledger.acknowledged.findIndex((_, at) => ledger.isFree(at, 1));
    const after = await ledger
      .write(late, block, 1, "data")
      .then(() => late.flush().then(() => "fine", numberOf), numberOf);
    assert.notEqual(after, "fine", "a flush of what was written after the cut does not say that all is well");
    await server.end("SIGKILL");
    xfs.remount();
    const wrong = ledger.check(await readFile(disk));
    assert.deepEqual(wrong, [], `round ${round}: PINFOLD_SEED=${start}`);
  }
  rmSync(disk);
});
