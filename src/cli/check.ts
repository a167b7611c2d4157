/**
 * `pinfold check`: every interleaving of the code that ships, for each race of docs/races.md.
 *
 * The explorer stands beside src/, and is loaded here alone, when it is asked for: nothing else knows of it.
 *
 * See also: explore/README.md, explore/command.ts.
 */
import { existsSync } from "node:fs";
import { PinfoldError } from "../base/errors.js";

export interface CheckFlags {
  readonly quick?: boolean;
  readonly json?: boolean;
  readonly html?: string;
  readonly replay?: string;
}

interface Explorer {
  runCheck(command: CheckFlags & { races: readonly string[]; typed: string; version: string }): boolean;
}

const explorer = new URL("../../explore/command.js", import.meta.url);

/** True where all is as expected. @throws PinfoldError EINVAL; ENOTSUP where this installation has no explorer */
export async function check(races: readonly string[], flags: CheckFlags, version: string): Promise<boolean> {
  if (flags.replay !== undefined && (flags.quick || flags.json || flags.html !== undefined))
    throw new PinfoldError("EINVAL", "--replay goes with none of --quick, --json and --html");
  if (!existsSync(explorer))
    throw new PinfoldError("ENOTSUP", "this installation has no explorer: check runs in the source tree");
  const loaded = (await import(explorer.href)) as Explorer;
  const typed = ["pinfold", ...process.argv.slice(2)].join(" ");
  return loaded.runCheck({
    quick: false,
    json: false,
    ...flags,
    races: races.map((race) => race.toUpperCase()),
    typed,
    version,
  });
}
