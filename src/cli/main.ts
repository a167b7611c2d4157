#!/usr/bin/env node
/**
 * The `pinfold` command. Exit status 0 only when all is well; 1 for an error; 2 for a command line that makes no sense. Errors
 * are one line on standard error, with their code.
 */
import { readFileSync } from "node:fs";
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { PinfoldError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import { parseBytes } from "../base/sizes.js";
import { checkCommand } from "./check.js";
import { addNetworkOptions } from "./network-options.js";
import { type ServeOptions, serve } from "./serve.js";
import { simulateCommand } from "./simulate.js";
import { verifyCommand } from "./verify.js";

const usageStatus = 2;

function packageVersion(): string {
  const text = readFileSync(new URL("../../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}

/** As commander wants it: what `parse` says is wrong, as an error of the command line. */
function parser<Value>(parse: (text: string) => Value): (text: string) => Value {
  return (text) => {
    try {
      return parse(text);
    } catch (error) {
      throw new InvalidArgumentError((error as Error).message);
    }
  };
}

/** An option that takes bytes; `fallback` is shown as it is written here. */
function sizeOption(name: string, description: string, fallback?: string): Option {
  const option = new Option(`${name} <size>`, description).argParser(parser((text) => parseBytes(text, name)));
  return fallback === undefined ? option : option.default(parseBytes(fallback, name), fallback);
}

function build(): Command {
  const program = new Command("pinfold")
    .description("A page cache that loses no write: files behind it as network disks.")
    .version(packageVersion())
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(`pinfold: ${usageError(text)}\n`) });
  const serving = program
    .command("serve")
    .description("Serve files as network disks (NBD) behind one cache, until Ctrl-C or SIGTERM ends it.")
    .argument("[target...]", "files or block devices; each is an export named after it, the first is the default", [
      "pinfold.img",
    ])
    .addOption(sizeOption("--size", "make files that do not exist, with this size, such as 1GiB (sparse)"))
    .addOption(sizeOption("--memory", "page memory, taken at the start", "256MiB"))
    .addOption(
      sizeOption("--page-size", `a power of two, ${limits.pageSizeMin} to ${limits.pageSizeMax} bytes`, "4KiB"),
    )
    .option("--nbd <address>", "HOST:PORT or unix:PATH to listen on", "127.0.0.1:10809")
    .option("--read-only", "refuse writes")
    .option("--direct", "bypass the kernel's page cache (O_DIRECT)")
    .option("--checksums", "a checksum of each block, in TARGET.sums; used without asking where that file is there")
    .action((targets: string[], options: Omit<ServeOptions, "readOnly" | "direct">) =>
      serve(targets, { readOnly: false, direct: false, ...options }),
    );
  addNetworkOptions(serving, parser);
  program.addCommand(verifyCommand().copyInheritedSettings(program));
  program.addCommand(checkCommand(parser, packageVersion()).copyInheritedSettings(program));
  program.addCommand(simulateCommand(parser).copyInheritedSettings(program));
  return program;
}

/** One line from what commander says, with a code. */
function usageError(text: string): string {
  const line = text
    .replace(/^error: /, "")
    .replaceAll(/\s*\n\s*/g, " ")
    .trim();
  const ours = /EINVAL: .*$/.exec(line);
  return ours ? ours[0] : `EINVAL: ${line}; see pinfold --help`;
}

/** One line, with its code. */
function describe(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  const code = (error as { code?: unknown } | null)?.code ?? "ERR_PINFOLD_VERIFY";
  const named = error instanceof PinfoldError ? text : `${typeof code === "string" ? code : "EIO"}: ${text}`;
  // Node's own message begins with the code once more.
  return named.replaceAll(/\s*\n\s*/g, " ").replace(/^(E[A-Z]+): (?:\w+: )?\1: /, "$1: ");
}

async function main(): Promise<void> {
  // A terminal or a reader that went away must not end a server: what is dirty would be lost with it.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
  try {
    await build().parseAsync();
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? 0 : usageStatus;
      return;
    }
    process.stderr.write(`pinfold: ${describe(error)}\n`);
    // Whatever could not be ended (a device that does not answer) must not keep the process.
    process.exit(1);
  }
}

await main();
