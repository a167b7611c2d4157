/**
 * Makes what the explorer runs: called by the build, after everything else was compiled.
 *
 *   node build/explore/transform/build.js
 *
 * See also: emit.ts, scripts/build.mjs.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Scenario } from "../races/scenario.js";
import { interleave } from "./emit.js";
import { type Mutant, filesBelow, packageRoot } from "./program.js";

/** What scenarios share; the others are scenarios. */
const shared = ["explore/races/stage.ts", "explore/races/scenario.ts", "explore/reference-protocol.ts"];

/** Where the result is. */
export const interleavedPath = join(packageRoot(), "build/explore/interleaved.json");

export function scenarioFiles(): string[] {
  return filesBelow("explore/races").filter((file) => /\/[rc]\d\d-[^/]*\.ts$/.test(file));
}

async function mutantOf(file: string): Promise<Mutant | undefined> {
  const url = new URL(`../races/${file.slice("explore/races/".length).replace(/\.ts$/, ".js")}`, import.meta.url);
  const { scenario } = (await import(url.href)) as { scenario: Scenario };
  return scenario.without.length === 0 ? undefined : { name: scenario.race, replacements: scenario.without };
}

async function main(): Promise<void> {
  const files = scenarioFiles();
  const mutants = (await Promise.all(files.map((file) => mutantOf(file)))).filter((mutant) => mutant !== undefined);
  writeFileSync(interleavedPath, JSON.stringify({ ...interleave([...shared, ...files], mutants), scenarios: files }));
}

if (process.argv[1] === import.meta.filename) await main();
