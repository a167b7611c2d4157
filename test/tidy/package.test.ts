/** package.json keeps its promises; see package.ts. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { describe, test } from "node:test";
import {
  checkDependencies,
  checkLockfile,
  checkPackageImports,
  checkTargets,
  type Lockfile,
  type Manifest,
} from "./package.js";
import { list, root, sample, tree } from "./tree.js";

const readManifest = (): Manifest => JSON.parse(readFileSync(`${root}package.json`, "utf8")) as Manifest;
const readLockfile = (): Lockfile => JSON.parse(readFileSync(`${root}package-lock.json`, "utf8")) as Lockfile;

const made: Manifest = {
  files: ["build/src"],
  bin: { a: "build/src/cli.js" },
  exports: {
    ".": { types: "./build/src/index.d.ts", default: "./build/src/index.js" },
    "./package.json": "./package.json",
  },
  dependencies: { koffi: "^3.0.0" },
  devDependencies: { oxlint: "^1.0.0" },
};

describe("package", () => {
  const checks: [string, () => string[]][] = [
    [
      "what package.json names exists after the build",
      () => checkTargets(readManifest(), (path) => existsSync(root + path)),
    ],
    ["every dependency was decided on", () => checkDependencies(readManifest(), tree)],
    ["src/ imports modules of Node and runtime dependencies", () => checkPackageImports(readManifest(), tree)],
    ["the lockfile is complete and names no host", () => checkLockfile(readLockfile())],
  ];
  for (const [name, check] of checks) {
    test(name, () => {
      const complaints = check();
      assert.equal(complaints.length, 0, list(complaints));
    });
  }

  test("complains about targets that are missing or not published", () => {
    assert.deepEqual(
      checkTargets(made, () => true),
      [],
    );
    assert.equal(checkTargets(made, (path) => !path.endsWith(".d.ts")).length, 1);
    assert.equal(checkTargets({ ...made, files: [] }, () => true).length, 3);
  });

  test("complains about dependencies that are unknown or undecided", () => {
    const decision = sample("docs/decisions/0001-a.md", "`koffi` and `oxlint`");
    assert.deepEqual(checkDependencies(made, [decision]), []);
    assert.equal(checkDependencies(made, []).length, 2);
    assert.equal(checkDependencies({ ...made, dependencies: { "left-pad": "1" } }, [decision]).length, 2);
  });

  test("complains about an import that users would not have", () => {
    const files = [sample("src/a.ts", 'import "fast-check";\nimport "node:fs";\nimport "koffi";\nimport "fs";')];
    assert.deepEqual(checkPackageImports(made, files), [
      'src/a.ts:1: imports "fast-check", which is no runtime dependency',
      'src/a.ts:4: imports "fs", which is no runtime dependency',
    ]);
  });

  test("complains about a lockfile with hosts or gaps", () => {
    const gap = { packages: { "node_modules/a": { optionalDependencies: { "a-linux": "1" } } } };
    assert.equal(checkLockfile(gap).length, 1);
    assert.deepEqual(checkLockfile({ packages: { ...gap.packages, "node_modules/a-linux": {} } }), []);
    assert.equal(checkLockfile({ packages: { "node_modules/a": { resolved: "https://host/a.tgz" } } }).length, 1);
  });
});
