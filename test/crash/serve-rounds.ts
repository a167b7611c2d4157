/**
 * Rounds in which `pinfold serve` is killed under fio and clients of our own, all of whose blocks tell where they come from.
 *
 * The disk has three parts. The first is our own clients', written down in a ledger: FLUSH and FUA. The second is written by fio
 * before each kill, up to fio's own flush at its end, and verified by fio after it: every block has to have that round's checksum
 * and number. The third is under fio's verify while the kill comes.
 *
 * See also: kill.test.ts (without fio, other page sizes), kill-rounds.ts (the library).
 */
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { MiB } from "../../src/base/limits.js";
import { pause, seededRandom, until } from "../nbd/fixture.js";
import { pathOf, Program, run, ServerProcess, serveArguments, Undo } from "../real/server-process.js";
import type { RoundsOptions } from "./kill-rounds.js";
import { blockBytes, Ledger } from "./ledger.js";
import { loadUntilEnd } from "./load.js";

const part = 16;

/** Why fio cannot be used here, or null. */
export async function missingForFio(): Promise<string | null> {
  if (pathOf("fio") === undefined) return "not installed: fio";
  const output = await run("fio", ["--enghelp"]).catch(() => "");
  return /\bnbd\b/.test(output) ? null : "fio here has no nbd engine";
}

/** Arguments of a fio that writes (or verifies) all of the second part in random order, numbered by `seed`. */
function settledJob(uri: string, seed: number, verifyOnly: boolean): string[] {
  return [
    ...["--name=settled", "--ioengine=nbd", `--uri=${uri}`, "--rw=randwrite", "--bs=4k", "--iodepth=16"],
    ...[`--offset=${part}m`, "--size=4m", "--verify=crc32c", "--verify_fatal=1", `--randseed=${seed}`],
    ...(verifyOnly ? ["--verify_only=1"] : ["--do_verify=0", "--end_fsync=1"]),
  ];
}

/** Arguments of a fio that writes and verifies in the third part until it is torn away. */
function endlessJob(uri: string, seed: number): string[] {
  return [
    ...["--name=endless", "--ioengine=nbd", `--uri=${uri}`, "--rw=randrw", "--bs=4k", "--iodepth=32"],
    ...[`--offset=${2 * part}m`, "--size=16m", "--verify=crc32c", "--verify_backlog=256", "--verify_fatal=1"],
    ...["--thread=1", "--time_based=1", "--runtime=60", `--randseed=${seed}`],
  ];
}

/** @throws Error that says what is wrong, the round and the seed */
export async function serveRounds({ folder, rounds, seed, note }: RoundsOptions): Promise<Ledger> {
  const ends: (() => Promise<void> | void)[] = [];
  const undo = new Undo({ after: (step) => void ends.push(step as () => Promise<void>) });
  const random = seededRandom(seed);
  const disk = join(folder, "disk");
  const ledger = new Ledger((part * MiB) / blockBytes);
  const jobs = join(folder, "jobs");
  mkdirSync(jobs);
  const start = async (round: number, options: Parameters<typeof serveArguments>[2]): Promise<ServerProcess> => {
    const socket = join(folder, `nbd-${round}.sock`);
    const server = new ServerProcess(undo, socket, serveArguments(socket, [disk], options));
    await server.says("pinfold: ready");
    return server;
  };
  try {
    for (let round = 0; round < rounds; round++) {
      const number = seed + round;
      const pageSize = [4096, 16_384, 65_536][random(3)] as number;
      const shape = { size: `${3 * part}MiB`, memory: "6MiB", pageSize, flags: random(3) === 0 ? ["--direct"] : [] };
      const server = await start(round, shape);
      try {
        await run("fio", settledJob(server.uri(), number, false), { cwd: jobs });
        const flushesBefore = ledger.flushes;
        const endless = new Program(undo, pathOf("fio") as string, endlessJob(server.uri(), number), { cwd: jobs });
        const load = loadUntilEnd([await server.client(), await server.client()], ledger, random);
        await Promise.race([load, until(() => ledger.flushes > flushesBefore + random(4), "flushes under load")]);
        await pause(random(150));
        if (!server.running || !endless.running) throw new Error(`ended before: ${server.stderr} ${endless.stdout}`);
        await server.end("SIGKILL");
        await load;
        await endless.end("SIGKILL");
        if (/verify|bad magic|crc/i.test(endless.stderr)) throw new Error(`fio: ${endless.stderr}`);
        const wrong = ledger.check(readFileSync(disk).subarray(0, part * MiB));
        if (wrong.length > 0) throw new Error(wrong.slice(0, 8).join("; "));
        const again = await start(round, { memory: "4MiB" });
        await run("fio", settledJob(again.uri(), number, true), { cwd: jobs });
        const { code } = await again.end();
        if (code !== 0) throw new Error(`the next server ended with status ${code}: ${again.stderr}`);
        note?.(`round ${round}: pages of ${pageSize}${shape.flags.join("")}, ${ledger.flushes} flushes so far`);
      } catch (error) {
        const { stderr } = error as { stderr?: string };
        throw new Error(`round ${round} of seed ${seed}: ${(error as Error).message} ${stderr ?? ""}`, {
          cause: error,
        });
      }
    }
    return ledger;
  } finally {
    for (const step of ends) await step();
  }
}
