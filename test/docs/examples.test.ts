/**
 * Every example runs: the blocks of README.md that are marked `ts` and begin with an import from "pinfold", and the files of
 * examples/. Blocks are written below build/, where the package's own name resolves, checked with the compiler and run.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import ts from "typescript-api";

/** The package: the nearest folder above with a package.json. */
function packageRoot(): string {
  let folder = import.meta.dirname;
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  return folder;
}

const root = packageRoot();

/** The blocks to run, with the line on which each begins. */
export function blocksOf(markdown: string): { line: number; source: string }[] {
  const blocks: { line: number; source: string }[] = [];
  for (const match of markdown.matchAll(/^```ts\n([\s\S]*?)^```/gm)) {
    const source = match[1] as string;
    const line = markdown.slice(0, match.index).split("\n").length + 1;
    if (/^import [^;]* from "pinfold(\/[a-z]+)?";/.test(source)) blocks.push({ line, source });
  }
  return blocks;
}

/** Compiles and runs a program as a module of this package, in an empty folder. What it wrote to standard output. */
function run(name: string, source: string): string {
  const folder = join(root, "build", "docs-examples");
  mkdirSync(folder, { recursive: true });
  const options: ts.CompilerOptions = {
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.ESNext,
    lib: ["lib.esnext.d.ts"],
  };
  const { outputText, diagnostics } = ts.transpileModule(source, { compilerOptions: options, reportDiagnostics: true });
  assert.deepEqual(
    diagnostics?.map(({ messageText }) => messageText),
    [],
    name,
  );
  const program = join(folder, `${name}.mjs`);
  writeFileSync(program, outputText);
  const place = mkdtempSync(join(tmpdir(), "pinfold-example-"));
  try {
    const { status, stdout, stderr } = spawnSync(process.execPath, [program], {
      cwd: place,
      encoding: "utf8",
      timeout: 60_000,
    });
    assert.equal(status, 0, `${name}: ${stderr}`);
    return stdout;
  } finally {
    rmSync(place, { recursive: true, force: true });
    rmSync(program, { force: true });
  }
}

const blocks = blocksOf(readFileSync(join(root, "README.md"), "utf8"));

test("README.md has an example to run", () => {
  assert.ok(blocks.length > 0, "no block of README.md begins with an import from pinfold");
});

for (const { line, source } of blocks) {
  test(`the example of README.md, line ${line}, runs`, () => {
    run(`readme-${line}`, source);
  });
}

for (const file of readdirSync(join(root, "examples")).filter((name) => name.endsWith(".ts"))) {
  test(`examples/${file} runs`, () => {
    const output = run(file.replace(/\.ts$/, ""), readFileSync(join(root, "examples", file), "utf8"));
    assert.notEqual(output, "");
  });
}

test("blocks are found by their mark and their import", () => {
  const markdown =
    '# a\n```ts\nimport { a } from "pinfold";\na();\n```\n```ts\nconst b = 1;\n```\n```js\nimport { c } from "pinfold";\n```\n';
  assert.deepEqual(blocksOf(markdown), [{ line: 3, source: 'import { a } from "pinfold";\na();\n' }]);
  assert.throws(() => run("broken", "throw new Error('broken');"), /broken/);
  assert.throws(() => run("wrong", "const = 5;"), /wrong/);
});
