/**
 * `pinfold verify`: a file against its checksums, while nobody has it open; or new checksums of what it has.
 *
 * Exit status 0 where everything is as it was written, else 1.
 *
 * See also: ../stores/checksums/verify.ts, progress-bar.ts.
 */
import { existsSync } from "node:fs";
import { Command } from "commander";
import { PinfoldError } from "../base/errors.js";
import { formatBytes } from "../base/sizes.js";
import { rebuildSums } from "../stores/checksums/open.js";
import { runLater } from "../stores/checksums/steps.js";
import { type Finding, type Verification, verifySums } from "../stores/checksums/verify.js";
import { FileStore } from "../stores/file/file-store.js";
import { ProgressBar } from "./progress-bar.js";

interface VerifyFlags {
  readonly sums?: string;
  readonly rebuild?: boolean;
  readonly json?: boolean;
}

const meanings: Readonly<Record<Finding["what"], string>> = {
  changed: "not what was written there",
  lost: "zeros, where something was written",
  torn: "was being written when a process or the power ended, and is neither as before nor as after",
  unread: "cannot be read",
  unknown: "the checksum is damaged",
};

export function verifyCommand(): Command {
  return new Command("verify")
    .description("Compare a file with its checksums, while nobody has it open, and print what is wrong where.")
    .argument("<target>", "a file or block device that has checksums")
    .option("--sums <file>", "where its checksums are; default: the target's name with .sums behind it")
    .option("--rebuild", "make new checksums of what the file has: all of it is right from then on")
    .option("--json", "print the report as JSON")
    .addHelpText("after", "\nExit status: 0 where everything is as it was written, else 1.")
    .action(async (target: string, { sums, ...flags }: VerifyFlags) => {
      const sumsPath = sums ?? `${target}.sums`;
      const isWell = flags.rebuild ? await rebuild(target, sumsPath, flags) : await verify(target, sumsPath, flags);
      if (!isWell) process.exitCode = 1;
    });
}

async function verify(target: string, sumsPath: string, { json }: VerifyFlags): Promise<boolean> {
  return withFile(target, async (data) => {
    if (!existsSync(sumsPath))
      throw new PinfoldError("ERR_PINFOLD_CHECKSUM", `there are no checksums in ${sumsPath}; --rebuild makes some`);
    const sums = await FileStore.open(sumsPath, { readOnly: true });
    const bar = new ProgressBar(process.stderr, "verify", data.sizeBytes);
    try {
      const found = await verifySums(data, sums, { progress: (bytes) => bar.show(bytes) });
      bar.end();
      process.stdout.write(json ? `${JSON.stringify({ target, ...found })}\n` : textOf(target, found));
      return found.wrongBytes === 0;
    } finally {
      bar.end();
      await sums.close();
    }
  });
}

async function rebuild(target: string, sumsPath: string, { json }: VerifyFlags): Promise<boolean> {
  return withFile(target, async (data) => {
    const sums = await FileStore.open(sumsPath, { create: true });
    const bar = new ProgressBar(process.stderr, "rebuild", data.sizeBytes);
    try {
      await runLater(rebuildSums(data, sums, (bytes) => bar.show(bytes)));
    } finally {
      bar.end();
      await sums.close();
    }
    const text = `pinfold: ${target}: ${formatBytes(data.sizeBytes)} have checksums in ${sumsPath} now\n`;
    process.stdout.write(json ? `${JSON.stringify({ target, bytes: data.sizeBytes, sums: sumsPath })}\n` : text);
    return true;
  });
}

/** The lock of a reader: whoever has the file open to write keeps us out, and is kept out. */
async function withFile<T>(target: string, work: (data: FileStore) => Promise<T>): Promise<T> {
  const data = await FileStore.open(target, { readOnly: true });
  try {
    return await work(data);
  } finally {
    await data.close();
  }
}

function textOf(target: string, found: Verification): string {
  const lines = found.findings.map(({ from, to, what, error }) => {
    const why = error === undefined ? meanings[what] : `${meanings[what]}: ${error}`;
    return `${target}: bytes ${from} to ${to - 1} (${formatBytes(to - from)}): ${what}: ${why}`;
  });
  if (!found.isComplete) lines.push(`${target}: and more, which is not listed`);
  if (found.inDoubt > 0)
    lines.push(
      `${target}: ${found.inDoubt} block(s) were being written when a process or the power ended, and are whole`,
    );
  const sum = found.wrongBytes === 0 ? "as written" : `${formatBytes(found.wrongBytes)} wrong`;
  lines.push(`pinfold: ${target}: ${formatBytes(found.bytes)}: ${sum}`);
  return `${lines.join("\n")}\n`;
}
