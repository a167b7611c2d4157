/**
 * Builds the tree into build/: page words (AssemblyScript -> wasm), everything else (TypeScript -> JavaScript), then the sources as
 * the explorer runs them.
 * Nothing is done where no input changed; `--force` builds all of it again.
 *
 * Outputs whose source is gone are removed, so that a deleted test does not run on.
 */
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setup } from "./setup.mjs";
import { buildDir, filesBelow, hashOf, readIfThere, root, runNode, seconds } from "./shell.mjs";

const words = {
  entry: "src/sync/words/index.ts",
  output: "build/src/sync/words.wasm",
  /** The memory is made by the program, which may take any size up to the maximum (64 KiB pages: 4 GiB). */
  flags: [
    ..."--runtime stub --importMemory --sharedMemory --initialMemory 1 --maximumMemory 65536".split(" "),
    ..."--enable threads -O3 --noAssert".split(" "),
  ],
};
const compiledFolders = ["src", "test", "examples", "explore"];
const outputSuffixes = [".d.ts.map", ".d.ts", ".js.map", ".js"];

/** Runs `make` unless the stamp says that it already succeeded on these inputs. */
function whenChanged(name, hash, outputs, make) {
  const stamp = join(buildDir, `${name}.stamp`);
  if (readIfThere(stamp) === hash && outputs.every((path) => existsSync(join(root, path)))) return;
  const startMs = Date.now();
  rmSync(stamp, { force: true });
  const status = make();
  if (status !== 0) {
    console.error(`build: ${name} failed`);
    process.exit(status);
  }
  writeFileSync(stamp, hash);
  console.log(`build: ${name} in ${seconds(startMs)}`);
}

function buildWords() {
  const sources = filesBelow("src/sync/words").filter((path) => path.endsWith(".ts"));
  const hash = hashOf([...sources, "src/sync/layout.ts", "package-lock.json"], words.flags.join(" "));
  whenChanged("words", hash, [words.output], () => {
    mkdirSync(dirname(join(root, words.output)), { recursive: true });
    return runNode("node_modules/assemblyscript/bin/asc.js", [words.entry, "--outFile", words.output, ...words.flags]);
  });
}

function buildTypeScript() {
  const inputs = compiledFolders
    .flatMap(filesBelow)
    .filter((path) => path.endsWith(".ts") && !path.startsWith("src/sync/words/"));
  const sources = inputs.filter((path) => !path.endsWith(".d.ts"));
  const outputs = sources.map((path) => `build/${path.replace(/\.ts$/, ".js")}`);
  const hash = hashOf([...inputs, "tsconfig.json", "package.json", "package-lock.json"]);
  removeStale(new Set(sources));
  whenChanged("typescript", hash, outputs, () => {
    // Not --incremental: that saves nothing measurable, and misses a new file that declares globals.
    return runNode("node_modules/typescript/bin/tsc", ["-p", "tsconfig.json"]);
  });
}

/** The sources once more, as the explorer runs them (explore/transform/). */
function buildInterleaved() {
  const inputs = ["src", "explore"].flatMap(filesBelow).filter((path) => path.endsWith(".ts"));
  const hash = hashOf([...inputs, "package.json", "package-lock.json"]);
  whenChanged("interleaved", hash, ["build/explore/interleaved.json"], () =>
    runNode("build/explore/transform/build.js", []),
  );
}

function removeStale(sources) {
  for (const folder of compiledFolders) {
    for (const path of filesBelow(`build/${folder}`)) {
      const suffix = outputSuffixes.find((end) => path.endsWith(end));
      if (suffix === undefined) continue;
      const source = `${path.slice("build/".length, -suffix.length)}.ts`;
      if (!sources.has(source)) rmSync(join(root, path));
    }
  }
}

export function build({ force = false } = {}) {
  setup();
  mkdirSync(buildDir, { recursive: true });
  if (force) {
    for (const name of ["words.stamp", "typescript.stamp", "interleaved.stamp"])
      rmSync(join(buildDir, name), { force: true });
  }
  buildWords();
  buildTypeScript();
  buildInterleaved();
}

if (process.argv[1] === import.meta.filename) build({ force: process.argv.includes("--force") });
