#!/usr/bin/env node
/**
 * The `pinfold` command. Exit status 0 only when all is well; 1 for an error, told in one line on standard error with its code;
 * 2 for a command line that makes no sense.
 */
import { readFileSync } from "node:fs";
import { Command, CommanderError, InvalidArgumentError } from "commander";
import { parseBytes } from "../base/sizes.js";
import { PinfoldError } from "../base/errors.js";
import { type ServeOptions, serve } from "./serve.js";

const usageStatus = 2;

function packageVersion(): string {
  const text = readFileSync(new URL("../../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}

function sizeArgument(name: string): (text: string) => number {
  return (text) => {
    try {
      return parseBytes(text, name);
    } catch (error) {
      throw new InvalidArgumentError((error as Error).message);
    }
  };
}

function pageSizeArgument(text: string): number {
  return sizeArgument("--page-size")(text);
}

function build(): Command {
  const program = new Command("pinfold")
    .description("A page cache that loses no write: files behind it as network disks.")
    .version(packageVersion())
    .exitOverride();
  program
    .command("serve")
    .description("serve files as network disks (NBD) behind one cache")
    .argument("[target...]", "files or block devices; each is an export named after it, the first is the default", ["pinfold.img"])
    .option("--size <bytes>", "create missing files with this size, such as 1GiB (sparse)", sizeArgument("--size"))
    .option("--memory <bytes>", "page memory, taken at the start", sizeArgument("--memory"), parseBytes("256MiB", "--memory"))
    .option("--page-size <bytes>", "4096 to 65536, a power of two", pageSizeArgument, parseBytes("4KiB", "--page-size"))
    .option("--nbd <address>", "HOST:PORT or unix:PATH to listen on", "127.0.0.1:10809")
    .option("--read-only", "refuse writes", false)
    .option("--direct", "bypass the kernel's page cache (O_DIRECT)", false)
    .action((targets: string[], options: ServeOptions) => serve(targets, options));
  return program;
}

async function main(): Promise<void> {
  try {
    await build().parseAsync();
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? 0 : usageStatus;
      return;
    }
    const code = error instanceof PinfoldError ? "" : `${(error as NodeJS.ErrnoException).code ?? "ERR_PINFOLD_ASSERTION"}: `;
    process.stderr.write(`pinfold: ${code}${(error as Error).message}\n`);
    process.exitCode = 1;
  }
}

await main();
