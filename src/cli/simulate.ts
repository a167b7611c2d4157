/**
 * `pinfold simulate`: the code that ships on a simulated storage, clock and threads, with faults, kills and power cuts, from a seed.
 *
 * The explorer, which it runs on, stands beside src/, and is loaded here alone, when it is asked for.
 *
 * See also: explore/simulation/README.md, explore/simulation/command.ts.
 */
import { existsSync } from "node:fs";
import { Command } from "commander";
import { PinfoldError } from "../base/errors.js";
import { type Parser, durationMs, wholeNumber } from "./words.js";

interface SimulateFlags {
  readonly time?: number;
  readonly voyages?: number;
  readonly seed?: number;
  readonly jobs?: number;
  readonly without?: string;
  readonly json?: boolean;
  readonly replay?: string;
  readonly save?: string;
}

interface Simulation {
  runSimulation(command: object): Promise<boolean>;
}

const simulation = new URL("../../explore/simulation/command.js", import.meta.url);

const jobsMost = 64;
const seedMost = 2 ** 31 - 1;
const voyagesMost = 1e9;

export function simulateCommand(parser: Parser): Command {
  const number = (name: string, most: number) => parser((text) => wholeNumber(text, name, 1, most));
  return new Command("simulate")
    .description(
      "Run the cache's code on a simulated storage, clock and threads, with faults, kills and power cuts, and look for lost writes.",
    )
    .option(
      "--time <time>",
      "for so long: 2h, 30m, 90s; a number alone is hours; default: 30s",
      parser((text) => durationMs(text, "--time")),
    )
    .option("--voyages <number>", "so many files' lives, whatever the time", number("--voyages", voyagesMost))
    .option("--seed <number>", "of the first voyage: the same again", number("--seed", seedMost))
    .option("--jobs <number>", "threads; default: as many as processors", number("--jobs", jobsMost))
    .option("--without <name>", "with a defect planted, which is to be found")
    .option("--save <file>", "write the shortened voyage that goes wrong, for --replay")
    .option("--json", "print the report as JSON")
    .option("--replay <file>", "make the voyage of --save or --json again, exactly, and tell it")
    .addHelpText("after", "\nExit status: 0 where nothing has gone wrong, else 1.")
    .action(async ({ time, ...flags }: SimulateFlags) => {
      if (!existsSync(simulation))
        throw new PinfoldError("ENOTSUP", "this installation has no explorer: simulate runs in the source tree");
      if (
        flags.replay !== undefined &&
        Object.keys({ ...flags, ...(time !== undefined && { time }) }).some(
          (name) => name !== "replay" && name !== "without",
        )
      )
        throw new PinfoldError("EINVAL", "--replay goes with --without alone");
      const loaded = (await import(simulation.href)) as Simulation;
      const isWell = await loaded.runSimulation({
        json: false,
        ...flags,
        ...(time !== undefined && { millisecondsMax: time }),
      });
      if (!isWell) process.exitCode = 1;
    });
}
