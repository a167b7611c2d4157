/** The package as it is published: what is in it loads, and checks itself. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { packageRoot } from "../../explore/words/builds.js";

const root = packageRoot();
const folder = mkdtempSync(join(tmpdir(), "pinfold-package-"));
after(() => rmSync(folder, { recursive: true }));
let files: readonly string[] = [];

/** Runs Node with the package in place of the tree, and without what only its developers have. */
function node(...line: string[]): string {
  return execFileSync(process.execPath, line, { cwd: folder, encoding: "utf8", stdio: "pipe" });
}

before(() => {
  const list = execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], {
    cwd: root,
    encoding: "utf8",
  });
  const [pack] = JSON.parse(list) as [{ files: { path: string }[] }];
  files = pack.files.map(({ path }) => path);
  for (const file of files) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    cpSync(join(root, file), join(folder, file));
  }
  mkdirSync(join(folder, "node_modules"));
  for (const name of ["commander", "koffi", "@koromix"])
    symlinkSync(join(root, "node_modules", name), join(folder, "node_modules", name));
});

test("it has what is run, and neither tests nor the build's own tools", () => {
  for (const file of ["README.md", "build/src/index.js", "build/src/sync/words.wasm", "build/explore/interleaved.json"])
    assert.ok(files.includes(file), file);
  const strange = files.filter((file) => !/^(build\/(src|explore)\/|README\.md$|LICENSE$|package\.json$)/.test(file));
  assert.deepEqual(strange, []);
  assert.deepEqual(
    files.filter((file) => /^build\/explore\/(races|transform\/(?!short-tables))/.test(file)),
    [],
  );
});

test("every file of the explorer loads", () => {
  const loaded = files.filter((file) => /^build\/explore\/.*\.js$/.test(file));
  assert.ok(loaded.length > 50);
  const imports = loaded.map((file) => `await import(${JSON.stringify(pathToFileURL(join(folder, file)).href)});`);
  node("--input-type=module", "--eval", imports.join("\n"));
});

test("it checks itself", () => {
  const line = ["build/src/cli/main.js", "check", "--scenario", "R6", "--quick", "--json"];
  const report = JSON.parse(node(...line)) as { ok: boolean; results: { race: string }[] };
  assert.ok(report.ok);
  assert.deepEqual([...new Set(report.results.map(({ race }) => race))], ["R6"]);
});
