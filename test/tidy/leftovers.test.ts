/** Nothing of one machine, nothing unfinished, no test switched off in silence; see leftovers.ts. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { checkLeftovers, checkSwitchedOff } from "./leftovers.js";
import { list, sample, tree } from "./tree.js";

describe("leftovers", () => {
  test("the tree names no registry host, no path of one machine, and nothing unfinished", () => {
    const complaints = checkLeftovers(tree);
    assert.equal(complaints.length, 0, list(complaints));
  });

  test("no test is switched off without a reason", () => {
    const complaints = checkSwitchedOff(tree);
    assert.equal(complaints.length, 0, list(complaints));
  });

  test("complains about hosts, paths and marks, with the line", () => {
    // The tilde keeps this file from complaining about itself.
    const lines = [
      "https://registry.np~mjs.org/a",
      "see /wo~rk/main",
      'cd "/ho~me/me/a"',
      "// TO~DO later",
      "// FIX~ME: now",
      "// XX~X",
    ];
    const complaints = checkLeftovers([sample("docs/a.md", lines.join("\n").replaceAll("~", ""))]);
    assert.deepEqual(
      complaints.map((complaint) => complaint.split(":")[1]),
      ["1", "2", "3", "4", "5", "6"],
    );
  });

  test("does not complain about words and relative paths that look alike", () => {
    const text = "at work/home, ./work/a, node_modules/root/b, mastodon, exxxtra";
    assert.deepEqual(checkLeftovers([sample("docs/a.md", text)]), []);
  });

  test("complains about tests that are switched off", () => {
    const wrong = [
      'test.only("a", f);',
      'describe.todo("a");',
      'it.skip("a", f);',
      "t.skip();",
      'test("a", { skip: true }, f);',
      'describe("a", { only: true }, f);',
    ];
    for (const text of wrong) assert.equal(checkSwitchedOff([sample("test/a.test.ts", text)]).length, 1, text);
  });

  test("does not complain about a skip with its reason", () => {
    const fine = [
      't.skip("no fio here");',
      'test("a", { skip: missing && "no fio here" }, f);',
      "reader.skip(4);",
      "reader.skip();",
    ];
    for (const text of fine) assert.deepEqual(checkSwitchedOff([sample("test/a.test.ts", text)]), [], text);
  });
});
