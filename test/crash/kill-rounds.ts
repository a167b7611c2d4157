/**
 * Rounds in which a victim of random shape (page size, memory, threads, O_DIRECT or not) is killed at a random moment, and the file
 * compared with the ledger. One file goes through all the rounds, so that each begins with what the last one left.
 *
 * See also: victim.ts; cut-rounds.ts and full-rounds.ts, which do more to the storage.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { SeededRandom } from "../../src/testing/index.js";
import { pause } from "../nbd/fixture.js";
import { SectorLedger } from "./sector-ledger.js";
import { checkSums } from "./sums.js";
import { bytesOf, reportFd, VictimProcess } from "./victim-process.js";
import type { VictimOptions } from "./victim.js";

const sectorsOfMiB = 2048;

export interface RoundsOptions {
  readonly folder: string;
  readonly rounds: number;
  readonly seed: number;
  /** Takes the place of what the seed would choose for victims. */
  readonly victim?: Partial<VictimOptions>;
  /** Called after each round, with what there is to say. */
  readonly note?: (line: string) => void;
}

/** The shape of a round's victim. */
export function victimOptions(
  random: SeededRandom,
  path: string,
  ledger: SectorLedger,
  given: Partial<VictimOptions> = {},
): VictimOptions {
  const pageSize = [4096, 4096, 16_384, 65_536][random.below(4)] as number;
  const tasksPerThread = 1 + random.below(4);
  return {
    path,
    pageSize,
    memoryBytes: pageSize * (64 + random.below(200)),
    direct: random.below(4) === 0,
    checksums: false,
    seed: random.below(2 ** 31),
    tasksPerThread,
    threads: tasksPerThread * (1 + random.below(3)),
    bodySectors: 4 * sectorsOfMiB,
    totalSectors: 5 * sectorsOfMiB,
    lastNumber: ledger.lastNumber,
    mayLackSpace: false,
    mayBreak: false,
    fd: reportFd,
    ...given,
  };
}

export function newLedger(): SectorLedger {
  return new SectorLedger(5 * sectorsOfMiB, Buffer.alloc(0));
}

/** @throws Error that says what is wrong, the round and the seed */
export async function killRounds({ folder, rounds, seed, victim: given, note }: RoundsOptions): Promise<SectorLedger> {
  const random = new SeededRandom(seed);
  const path = join(folder, "victim");
  if (existsSync(path)) throw new Error(`${path} is there already`);
  const ledger = newLedger();
  for (let round = 0; round < rounds; round++) {
    const options = victimOptions(random, path, ledger, given);
    const victim = new VictimProcess(options, ledger);
    try {
      // Some die while they are starting.
      if (random.below(12) === 0) await pause(random.below(250));
      else {
        await victim.waitForSyncs(ledger.syncs + random.below(8));
        await pause(random.below(80));
      }
      victim.checkAlive();
      await victim.kill();
      const durable = ledger.durableSectors;
      const wrong = ledger.check(bytesOf(path));
      if (wrong.length > 0) throw new Error(`${JSON.stringify(options)}: ${wrong.slice(0, 8).join("; ")}`);
      const torn = await checkSums(path);
      if (torn > 0) throw new Error(`${torn} bytes are torn, though only a process was killed`);
      note?.(
        `round ${round}: ${options.threads} tasks, pages of ${options.pageSize}, ${durable} sectors held to what was synced`,
      );
    } catch (error) {
      victim.child.kill("SIGKILL");
      throw new Error(`round ${round} of seed ${seed}: ${(error as Error).message}`, { cause: error });
    }
  }
  return ledger;
}
