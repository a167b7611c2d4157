/** Lint (oxlint, with types) and format check (Biome). `npm run format` writes the format. */
import { runNode, seconds } from "./shell.mjs";
import { setup } from "./setup.mjs";

/** Runs both. Returns 0 when neither found anything. */
export function lint() {
  setup();
  const startMs = Date.now();
  const oxlint = runNode("node_modules/oxlint/bin/oxlint", ["--type-aware", "--deny-warnings"]);
  const biome = runNode("node_modules/@biomejs/biome/bin/biome", ["format", "--colors=off", "--reporter=summary", "."]);
  console.log(`lint: ${oxlint === 0 && biome === 0 ? "clean" : "FAILED"} in ${seconds(startMs)}`);
  return oxlint || biome;
}

if (process.argv[1] === import.meta.filename) process.exitCode = lint();
