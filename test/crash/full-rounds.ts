/**
 * Full disks: another program takes and gives back the space of a small file system while a victim works on a file of holes there.
 * Then all space is given back, and the victim has to end well: everything durable, nothing that was acknowledged lost.
 *
 * Where the store says that it reserves, a lack of space may only come at writes and pins, never at a sync. In a third of
 * the rounds the victim is killed while the disk is full, in place of its good end.
 *
 * See also: kill-rounds.ts, victim.ts.
 */
import { join } from "node:path";
import { SeededRandom } from "../../src/testing/index.js";
import { pause } from "../nbd/fixture.js";
import { newLedger, type RoundsOptions, victimOptions } from "./kill-rounds.js";
import type { SectorLedger } from "./sector-ledger.js";
import { Ballast } from "./ballast.js";
import { bytesOf, VictimProcess } from "./victim-process.js";

export interface FullDisk {
  readonly directory: string;
  readonly freeBytes: () => number;
  /** Looks at the file system when nothing is open there. Throws what is wrong with it. */
  readonly examine: () => void;
}

export interface FullOptions extends Omit<RoundsOptions, "folder"> {
  readonly disk: FullDisk;
  /** What the store's capabilities say of this file system. */
  readonly reserves: "data" | "none";
  /** O_DIRECT can be asked for. */
  readonly direct: boolean;
}

export interface FullResult {
  readonly ledger: SectorLedger;
  /** Syncs that failed for lack of space. */
  readonly late: number;
}

/** @throws Error that says what is wrong, the round and the seed */
export async function fullRounds(options: FullOptions): Promise<FullResult> {
  const { disk, rounds, seed, reserves, note } = options;
  const random = new SeededRandom(seed);
  const path = join(disk.directory, "victim");
  const ledger = newLedger();
  let late = 0;
  for (let round = 0; round < rounds; round++) {
    const given = { mayLackSpace: true, ...(options.direct ? {} : { direct: false }), ...options.victim };
    const victim = new VictimProcess(victimOptions(random, path, ledger, given), ledger);
    const ballast = new Ballast(disk.directory, disk.freeBytes, random);
    try {
      const withoutSpace = ledger.withoutSpace;
      await victim.waitForSyncs(ledger.syncs + random.below(3));
      for (let turns = 2 + random.below(4); turns > 0; turns--) {
        await ballast.fill();
        // Holes get few while the file fills up: then there is nothing to wait for.
        if (reserves === "data") await victim.waitAtMost(2000, () => ledger.withoutSpace > withoutSpace);
        await pause(40 + random.below(120));
        if (turns > 1 || random.below(2) === 0) await ballast.giveSomeBack();
        victim.checkAlive();
      }
      const kill = random.below(3) === 0;
      if (kill) await victim.kill();
      await ballast.giveBack();
      if (!kill) await victim.finish();
      late += ledger.syncsWithoutSpace;
      if (reserves === "data" && ledger.syncsWithoutSpace > 0)
        throw new Error(`${ledger.syncsWithoutSpace} syncs had no space, though space is reserved`);
      const refusals = ledger.withoutSpace - withoutSpace;
      const durable = ledger.durableSectors;
      const wrong = ledger.check(bytesOf(path));
      if (wrong.length > 0) throw new Error(wrong.slice(0, 8).join("; "));
      disk.examine();
      const end = kill ? "killed" : "a good end";
      note?.(
        `round ${round}: ${refusals} writes and pins without space, ${durable} sectors held to what was synced, ${end}`,
      );
    } catch (error) {
      victim.child.kill("SIGKILL");
      await victim.ended.catch(() => {});
      await ballast.giveBack();
      throw new Error(`round ${round} of seed ${seed}: ${(error as Error).message}`, { cause: error });
    }
  }
  return { ledger, late };
}
