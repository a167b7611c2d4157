/**
 * Runs the tests on Node 24: `npm run test:node24 [-- WORD...]`. The binary is a package of its own, installed into
 * build/node24 at the first run; nothing else of this machine changes. The tests are those that `npm test` built.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "./build.mjs";
import { buildDir, run, seconds } from "./shell.mjs";
import { runTests, testFiles } from "./test.mjs";

const prefix = join(buildDir, "node24");
/** The package `node` holds no binary: its install script fetches a platform package. Asked for by name, none is run. */
const platform = { win32: "win" }[process.platform] ?? process.platform;
const name = `node-${platform}-${process.arch}`;
const binary = join(prefix, "node_modules", name, process.platform === "win32" ? "bin/node.exe" : "bin/node");

function install() {
  if (existsSync(binary)) return;
  const startMs = Date.now();
  console.log(`node24: npm install ${name}@24`);
  mkdirSync(prefix, { recursive: true });
  writeFileSync(join(prefix, "package.json"), '{ "private": true }\n');
  const args = ["install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", `${name}@24`];
  const status = run("npm", args, { cwd: prefix, shell: process.platform === "win32" });
  if (status !== 0 || !existsSync(binary)) {
    console.error(`node24: ${name}@24 could not be installed`);
    process.exit(status || 1);
  }
  console.log(`node24: installed in ${seconds(startMs)}`);
}

build();
install();
const version = spawnSync(binary, ["--version"], { encoding: "utf8" }).stdout.trim();
const words = process.argv.slice(2).filter((arg) => !arg.startsWith("--"));
const options = process.argv.slice(2).filter((arg) => arg.startsWith("--"));
const beforeCounts = () => console.log(`test: on Node ${version}`);
process.exitCode = await runTests(testFiles(words), { node: binary, options, beforeCounts });
