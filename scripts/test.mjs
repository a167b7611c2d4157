/**
 * The whole check: build, tools of other projects, lint and format, then every test of build/test.
 *
 *   npm test                      all
 *   npm test -- nbd store         test files whose path contains one of the words; without lint and tools
 *   npm test -- --test-only ...   what starts with `--` goes to `node --test`
 *   PINFOLD_SOAK_S=120 npm test   how long the soak tests run (default 30)
 *
 * The last lines are node:test's own counts. The exit status is 0 only when everything passed.
 */
import { spawn } from "node:child_process";
import { availableParallelism } from "node:os";
import { createInterface } from "node:readline";
import { stripVTControlCharacters } from "node:util";
import { build } from "./build.mjs";
import { debianTools } from "./debian-tools.mjs";
import { lint } from "./lint.mjs";
import { filesBelow, root, seconds } from "./shell.mjs";

const soakS = Number(process.env.PINFOLD_SOAK_S ?? 30);
/** A test file that takes longer hangs. */
const fileTimeoutMs = (120 + soakS) * 1000;
/** Most files wait for disks and timers now and then, and many start threads of their own. */
const concurrency = Math.max(2, Math.min(4, availableParallelism()));

/** Runs node:test on the files, its counts held back to the end. Resolves to the exit status. */
export function runTests(files, { node = process.execPath, options = [], beforeCounts = () => {} } = {}) {
  const args = [
    "--test",
    "--test-reporter=spec",
    `--test-concurrency=${concurrency}`,
    `--test-timeout=${fileTimeoutMs}`,
  ];
  const env = { ...process.env, PINFOLD_SOAK_S: String(soakS) };
  if (process.stdout.isTTY && env.NO_COLOR === undefined) env.FORCE_COLOR ??= "1";
  // Set where a test runs this script: node:test would take the new run for a part of the old one.
  delete env.NODE_TEST_CONTEXT;
  const child = spawn(node, [...args, ...options, ...files], { cwd: root, env, stdio: ["inherit", "pipe", "inherit"] });
  const counts = [];
  createInterface({ input: child.stdout }).on("line", (line) => {
    if (isCount(line)) counts.push(line);
    else console.log(line);
  });
  return new Promise((resolve) => {
    child.on("close", (code) => {
      beforeCounts();
      for (const line of counts) console.log(line);
      resolve(code ?? 1);
    });
  });
}

function isCount(line) {
  const plain = stripVTControlCharacters(line);
  return /^ℹ (tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) [\d.]+$/.test(plain);
}

/** The built test files whose path contains one of the words; all of them without words. */
export function testFiles(words) {
  const files = filesBelow("build/test").filter((path) => path.endsWith(".test.js"));
  return words.length === 0 ? files : files.filter((path) => words.some((word) => path.includes(word)));
}

async function main() {
  const startMs = Date.now();
  const words = process.argv.slice(2).filter((arg) => !arg.startsWith("--"));
  const options = process.argv.slice(2).filter((arg) => arg.startsWith("--"));
  build();
  const whole = words.length === 0;
  if (whole) debianTools();
  const lintStatus = whole ? lint() : 0;
  const files = testFiles(words);
  if (files.length === 0) {
    console.error(`test: no test file matches ${words.join(" ") || "build/test/**/*.test.js"}`);
    process.exitCode = 1;
    return;
  }
  const beforeCounts = () => {
    if (lintStatus !== 0) console.log("test: lint or format failed, see above");
    console.log(`test: ${files.length} files, total ${seconds(startMs)}`);
  };
  const status = await runTests(files, { options, beforeCounts });
  process.exitCode = status === 0 ? lintStatus : status;
}

if (process.argv[1] === import.meta.filename) await main();
