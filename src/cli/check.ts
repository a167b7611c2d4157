/**
 * `pinfold check`: every interleaving of the code that ships, for each race of docs/races.md.
 *
 * The explorer stands beside src/, and is loaded here alone, when it is asked for: nothing else knows of it.
 *
 * See also: explore/README.md, explore/command.ts.
 */
import { existsSync } from "node:fs";
import { Command, Option } from "commander";
import { PinfoldError } from "../base/errors.js";
import { type Parser, durationMs, wholeNumber } from "./words.js";

interface CheckFlags {
  readonly scenario?: readonly string[];
  readonly without?: readonly string[];
  readonly protocol?: string;
  readonly quick?: boolean;
  readonly bound?: number;
  readonly deep?: number;
  readonly seed?: number;
  readonly jobs?: number;
  readonly json?: boolean;
  readonly html?: string;
  readonly replay?: string;
}

interface Explorer {
  runCheck(command: object): Promise<boolean>;
}

const explorer = new URL("../../explore/command.js", import.meta.url);

const boundMost = 250;
const jobsMost = 64;
const seedMost = 2 ** 31 - 1;

/** The command; `version` is for the page that it can write. */
export function checkCommand(parser: Parser, version: string): Command {
  const number = (name: string, least: number, most: number) => parser((text) => wholeNumber(text, name, least, most));
  const names = (text: string, before: readonly string[] = []) => [...before, ...text.split(",").map(raceName)];
  return new Command("check")
    .description(
      "Run every interleaving of the cache's code, for each race of docs/races.md, with and without its guard.",
    )
    .argument("[race...]", "races such as R6, or steps: what is inside of the page words' steps; default: all")
    .addOption(new Option("--scenario <race>", "the same as an argument; several: R4,R6").argParser(names))
    .addOption(new Option("--without <race>", "only without the guard of this race; several: R7,R9").argParser(names))
    .addOption(new Option("--protocol <name>", "only this pin protocol").choices(["reference", "locked", "counted"]))
    .option("--quick", "at most one preemption: under half a minute")
    .option("--bound <number>", "preemptions, in place of each scenario's own", number("--bound", 0, boundMost))
    .option(
      "--deep <time>",
      "where nothing is to be found: more and more preemptions, then random schedules, for so long in all: 2h, 30m, 90s; a number alone is hours",
      parser((text) => durationMs(text, "--deep")),
    )
    .option("--seed <number>", "of --deep's random schedules: the same again", number("--seed", 1, seedMost))
    .option("--jobs <number>", "searches side by side; default: as many as processors", number("--jobs", 1, jobsMost))
    .option("--json", "print the report as JSON")
    .option("--html <file>", "write the report as a page, with each schedule drawn")
    .option(
      "--replay <file>",
      "run the schedules of a JSON report, or of one result of it, again, exactly, and print them",
    )
    .addHelpText(
      "after",
      "\nExit status: 0 where every result is as expected and complete (--replay: where the same went wrong again), else 1.",
    )
    .action(async (races: string[], flags: CheckFlags) => {
      const { scenario = [], ...others } = flags;
      const wanted = [...races.map(raceName), ...scenario];
      if (!(await check([...new Set(wanted)], others, version))) process.exitCode = 1;
    });
}

function raceName(text: string): string {
  return text.trim().toUpperCase();
}

/** True where all is as expected. @throws PinfoldError EINVAL; ENOTSUP where this installation has no explorer */
async function check(races: readonly string[], flags: CheckFlags, version: string): Promise<boolean> {
  if (!existsSync(explorer))
    throw new PinfoldError("ENOTSUP", "this installation has no explorer: check runs in the source tree");
  const loaded = (await import(explorer.href)) as Explorer;
  const { deep, ...others } = flags;
  const typed = ["pinfold", ...process.argv.slice(2)].join(" ");
  return loaded.runCheck({
    without: [],
    quick: false,
    json: false,
    ...others,
    ...(deep !== undefined && { deepMs: deep }),
    races,
    typed,
    version,
  });
}
