/**
 * Rounds of faults for as long as asked: `npm run crash -- [kill|serve|cut|full] [--rounds N] [--seed N] [--on ext4|xfs|btrfs|tmpfs]
 * [--folder DIR] [--victim JSON]`. `--victim` takes the place of what the seed would choose ({"direct":true,"pageSize":4096}).
 * `kill` ends a program that uses the library, `serve` the server under fio. Prints a line a round; exit status 0 only where all
 * were well. `cut` and `full` need root and a loop device.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { missingForDisks, openSmallDisk } from "../stores/file/loop-device.js";
import { cutRounds } from "./cut-rounds.js";
import { fullRounds } from "./full-rounds.js";
import { killRounds } from "./kill-rounds.js";
import { missingForFio, serveRounds } from "./serve-rounds.js";
import { smallSystems } from "./small-systems.js";
import type { VictimOptions } from "./victim.js";

interface Asked {
  readonly rounds: number;
  readonly seed: number;
  readonly victim: Partial<VictimOptions>;
  /** Where `kill` has its file. */
  readonly folder: string;
  readonly note: (line: string) => void;
}

function parse(): Asked & { kind: string; on: string | undefined } {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rounds: { type: "string" },
      seed: { type: "string" },
      on: { type: "string" },
      victim: { type: "string" },
      folder: { type: "string" },
    },
  });
  const numberOf = (text: string | undefined, otherwise: number, name: string): number => {
    const value = text === undefined ? otherwise : Number(text);
    if (!Number.isSafeInteger(value) || value < 0) throw new Error(`--${name} ${text} is no number`);
    return value;
  };
  const note = (line: string): void => console.log(line);
  return {
    kind: positionals[0] ?? "kill",
    on: values.on,
    victim: JSON.parse(values.victim ?? "{}") as Partial<VictimOptions>,
    folder: values.folder ?? tmpdir(),
    rounds: numberOf(values.rounds, 10, "rounds"),
    seed: numberOf(values.seed, process.pid, "seed"),
    note,
  };
}

async function kill(asked: Asked): Promise<string> {
  const folder = mkdtempSync(join(asked.folder, "pinfold-kill-"));
  try {
    const { operations, syncs } = await killRounds({ ...asked, folder });
    return `${operations} operations, ${syncs} syncs`;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function serve(asked: Asked): Promise<string> {
  const missing = await missingForFio();
  if (missing !== null) throw new Error(missing);
  const folder = mkdtempSync(join(tmpdir(), "pinfold-serve-"));
  try {
    const { flushes } = await serveRounds({ ...asked, folder });
    return `${flushes} flushes of our own, ${asked.rounds} parts verified by fio`;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function cut(asked: Asked): Promise<string> {
  const missing = missingForDisks("mkfs.xfs", "xfs_io", "xfs_repair");
  if (missing !== null) throw new Error(missing);
  const disk = openSmallDisk({ mebibytes: 320, mkfs: ["mkfs.xfs", "-q"] });
  try {
    const { ledger, late, tornBytes } = await cutRounds({ ...asked, disk });
    const torn = tornBytes > 0 ? `, ${tornBytes} bytes torn by their checksums` : "";
    return `${ledger.operations} operations, ${ledger.syncs} syncs, ${late} rounds in which a sync under way at the cut was told well and was not${torn}`;
  } finally {
    disk.close();
  }
}

async function full(asked: Asked, on: string | undefined): Promise<string> {
  const systems = smallSystems.filter(({ name }) => on === undefined || name === on);
  if (systems.length === 0) throw new Error(`--on ${on}: one of ${smallSystems.map(({ name }) => name).join(", ")}`);
  const said: string[] = [];
  for (const [at, system] of systems.entries()) {
    const missing = system.missing();
    if (missing !== null) throw new Error(`${system.name}: ${missing}`);
    // Shared out between them.
    const rounds = Math.floor((asked.rounds + at) / systems.length);
    const disk = system.open();
    try {
      const note = (line: string): void => asked.note(`${system.name}: ${line}`);
      const { ledger, late } = await fullRounds({ ...asked, ...system, rounds, disk, note });
      const { operations, withoutSpace, syncs } = ledger;
      said.push(
        `${system.name}: ${rounds} rounds, ${operations} operations, ${withoutSpace} writes and pins without space, ${syncs} syncs, ${late} syncs without space`,
      );
    } finally {
      disk.close();
    }
  }
  return said.join("\n");
}

const { kind, on, ...asked } = parse();
// What was mounted is taken down when the process exits; a signal would end it without that.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(1));
const startMs = Date.now();
console.log(`${kind}: ${asked.rounds} rounds, seed ${asked.seed}`);
try {
  const run = { kill, serve, cut, full: (all: Asked) => full(all, on) }[kind];
  if (run === undefined) throw new Error("one of kill, serve, cut, full");
  console.log(await run(asked));
  console.log(`${kind}: ${asked.rounds} rounds well in ${Math.round((Date.now() - startMs) / 1000)} s`);
} catch (error) {
  console.error(`${kind}: ${(error as Error).message}`);
  process.exitCode = 1;
}
