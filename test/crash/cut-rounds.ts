/**
 * Power cuts: an XFS on a loop device of its own is shut down in the middle of a victim's work, which loses all that the kernel had not
 * made durable. After a mount the file is compared with the ledger, and `xfs_repair -n` has to find nothing.
 *
 * In half of the rounds the file system's log is written first (`shutdown -f`): then sizes and allocations are newer than data.
 *
 * See also: kill-rounds.ts, victim.ts.
 */
import { join } from "node:path";
import { SeededRandom } from "../../src/testing/index.js";
import { pause } from "../nbd/fixture.js";
import { run, type SmallDisk } from "../stores/file/loop-device.js";
import { newLedger, type RoundsOptions, victimOptions } from "./kill-rounds.js";
import type { SectorLedger } from "./sector-ledger.js";
import { checkSums } from "./sums.js";
import { bytesOf, VictimProcess } from "./victim-process.js";

export interface CutOptions extends Omit<RoundsOptions, "folder"> {
  readonly disk: SmallDisk;
}

export interface CutResult {
  readonly ledger: SectorLedger;
  /** Rounds in which a sync that was under way when the power went ended well and was not durable: docs/testing.md. */
  readonly late: number;
  /** Bytes of blocks that were neither as before nor as after, by their checksums. */
  readonly tornBytes: number;
}

/** @throws Error that says what is wrong, the round and the seed */
export async function cutRounds({ disk, rounds, seed, victim: given, note }: CutOptions): Promise<CutResult> {
  const random = new SeededRandom(seed);
  const path = join(disk.directory, "victim");
  const ledger = newLedger();
  let late = 0;
  let tornBytes = 0;
  for (let round = 0; round < rounds; round++) {
    const options = victimOptions(random, path, ledger, { mayBreak: true, ...given });
    const victim = new VictimProcess(options, ledger);
    const how = random.below(2) === 0 ? [] : ["-f"];
    try {
      await victim.waitForSyncs(ledger.syncs + 1 + random.below(8));
      await pause(random.below(60));
      victim.checkAlive();
      ledger.noteCut();
      run("xfs_io", "-x", "-c", ["shutdown", ...how].join(" "), disk.directory);
      // It is told, and goes on failing: no sync may end well any more, but for those that were under way.
      const before = ledger.syncsFailed;
      await victim.waitAtMost(2000, () => ledger.syncsFailed > before + 2);
      await victim.kill();
      const durable = ledger.durableSectors;
      disk.remount();
      const wrong = ledger.check(bytesOf(path));
      if (wrong.length > 0)
        throw new Error(`${JSON.stringify(options)}, ${how.join("")}: ${wrong.slice(0, 8).join("; ")}`);
      late += ledger.late.length > 0 ? 1 : 0;
      if (ledger.late.length > 0) note?.(`round ${round}: told late, and not there: ${ledger.late.join("; ")}`);
      const torn = await checkSums(path);
      tornBytes += torn;
      disk.examine("xfs_repair", "-n");
      const alsoTorn = torn > 0 ? `, ${torn} bytes torn` : "";
      note?.(`round ${round}: shutdown ${how.join("")}, ${durable} sectors held to what was synced${alsoTorn}`);
    } catch (error) {
      victim.child.kill("SIGKILL");
      await victim.ended.catch(() => {});
      throw new Error(`round ${round} of seed ${seed}: ${(error as Error).message}`, { cause: error });
    }
  }
  return { ledger, late, tornBytes };
}
