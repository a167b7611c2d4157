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
import { planted } from "../simulation/defects.js";
import { interleave } from "./emit.js";
import { type Mutant, filesBelow, packageRoot } from "./program.js";

/** What scenarios share, and who works in a simulation; the others are scenarios. */
const shared = [
  "explore/races/stage.ts",
  "explore/races/scenario.ts",
  "explore/reference-protocol.ts",
  "explore/simulation/hand.ts",
];

/** Where the result is. */
export const interleavedPath = join(packageRoot(), "build/explore/interleaved.json");

export function scenarioFiles(): string[] {
  return filesBelow("explore/races").filter((file) => /\/[rc]\d\d-[^/]*\.ts$/.test(file));
}

async function scenarioOf(file: string): Promise<Scenario> {
  const url = new URL(`../races/${file.slice("explore/races/".length).replace(/\.ts$/, ".js")}`, import.meta.url);
  return ((await import(url.href)) as { scenario: Scenario }).scenario;
}

/** The guards that are taken out, each by the name of its race. @throws Error where two races have the same */
async function mutantsOf(files: readonly string[]): Promise<Mutant[]> {
  const scenarios = await Promise.all(files.map((file) => scenarioOf(file)));
  const names = scenarios.map(({ race }) => race);
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice !== undefined) throw new Error(`two scenarios are called ${twice}`);
  const guards = scenarios
    .filter(({ without }) => without.length > 0)
    .map(({ race, without }) => ({ name: race, replacements: without }));
  return [...guards, ...planted];
}

async function main(): Promise<void> {
  const files = scenarioFiles();
  const mutants = await mutantsOf(files);
  writeFileSync(interleavedPath, JSON.stringify({ ...interleave([...shared, ...files], mutants), scenarios: files }));
}

if (process.argv[1] === import.meta.filename) await main();
