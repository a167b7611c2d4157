/** File names, file and function lengths, opening comments; see names.ts. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { checkFileLengths, checkFunctionLengths, checkNames, checkOpeningComments } from "./names.js";
import { type Check, list, sample, tree } from "./tree.js";

const lines = (count: number): string => "// line\n".repeat(count);

describe("names and sizes", () => {
  const checks: [string, Check][] = [
    ["file names are kebab-case nouns", checkNames],
    ["files are short", checkFileLengths],
    ["functions are short", checkFunctionLengths],
    ["source files open with a block comment", checkOpeningComments],
  ];
  for (const [name, check] of checks) {
    test(name, () => {
      const complaints = check(tree);
      assert.equal(complaints.length, 0, list(complaints));
    });
  }

  test("complains about names", () => {
    for (const path of [
      "src/api/pageCache.ts",
      "src/Api/a.ts",
      "test/a_b.test.ts",
      "src/io/io-utils.ts",
      "src/common/a.ts",
    ]) {
      assert.equal(checkNames([sample(path, "")]).length, 1, path);
    }
    assert.deepEqual(checkNames([sample("src/api/README.md", ""), sample("test/io/run-of-pages.test.ts", "")]), []);
  });

  test("complains about long files, tests later than sources", () => {
    assert.deepEqual(checkFileLengths([sample("src/a.ts", lines(400)), sample("test/a.test.ts", lines(800))]), []);
    assert.equal(checkFileLengths([sample("src/a.ts", lines(401)), sample("test/a.test.ts", lines(801))]).length, 2);
  });

  test("complains about long functions of every form", () => {
    const body = `{\n${lines(68)}}`;
    const forms = [
      `function a() ${body}`,
      `const a = () => ${body};`,
      `class A {\nm() ${body}\n}`,
      `({ get a() ${body} });`,
    ];
    for (const form of forms)
      assert.equal(checkFunctionLengths([sample("src/a.ts", form)]).length, 1, form.slice(0, 20));
    assert.deepEqual(checkFunctionLengths([sample("src/a.ts", `function a() {\n${lines(67)}}`)]), []);
  });

  test("complains about a file without an opening comment", () => {
    assert.equal(checkOpeningComments([sample("src/a.ts", "// line\n/** late */")]).length, 1);
    assert.deepEqual(
      checkOpeningComments([
        sample("src/a.ts", "/** What it is. */"),
        sample("src/cli/b.ts", "#!/usr/bin/env node\n/** B. */"),
      ]),
      [],
    );
  });
});
