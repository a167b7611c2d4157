/** Imports go down the floors of the house; see floors.ts. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { checkFloors } from "./floors.js";
import { list, sample, tree } from "./tree.js";

/** Enough files on the ground floor that only the sample is complained about. */
const crowd = Array.from({ length: 20 }, (_, index) => sample(`src/base/part-${index}.ts`, "export {};"));

function complaintsAbout(path: string, text: string): string[] {
  return checkFloors([...crowd, sample(path, text)]);
}

describe("floors", () => {
  test("every import of src/ goes to a lower floor or stays in its folder", () => {
    const complaints = checkFloors(tree);
    assert.equal(complaints.length, 0, list(complaints));
  });

  test("a tree in which nothing was found is a complaint", () => {
    assert.match(list(checkFloors([])), /saw only 0 files/);
  });

  test("going down, staying in the folder, modules of Node and packages are fine", () => {
    const text = [
      'import { a } from "../cache/a.js";',
      'import { b } from "./deep/b.js";',
      'import "node:fs";',
      'import koffi from "koffi";',
    ].join("\n");
    assert.deepEqual(complaintsAbout("src/mapping/fault.ts", text), []);
    assert.deepEqual(complaintsAbout("src/sync/lock.ts", 'import { assert } from "../base/assert.js";'), []);
  });

  const wrong: [string, string, string][] = [
    ["going up", "src/cache/a.ts", 'import { b } from "../api/b.js";'],
    ["a sibling on the same floor", "src/cache/a.ts", 'import { b } from "../io/b.js";'],
    ["base importing sync", "src/base/a.ts", 'import { b } from "../sync/b.js";'],
    ["a type going up", "src/cache/a.ts", 'import type { B } from "../api/b.js";'],
    ["an import type going up", "src/cache/a.ts", 'export type B = import("../api/b.js").B;'],
    ["a re-export going up", "src/cache/a.ts", 'export * from "../api/b.js";'],
    ["a dynamic import going up", "src/cache/a.ts", 'await import("../api/b.js");'],
    ["a worker going up", "src/cache/a.ts", 'new Worker(new URL("../api/b.js", import.meta.url));'],
    ["a store that sees frames", "src/stores/file/a.ts", 'import { b } from "../../frames/b.js";'],
    ["a store that sees another", "src/stores/file/a.ts", 'import { b } from "../memory/b.js";'],
    ["testing that sees the cache", "src/testing/a.ts", 'import { b } from "../cache/b.js";'],
    ["the explorer in production", "src/cli/a.ts", 'import { b } from "../../explore/b.js";'],
    ["the package by its own name", "src/cli/a.ts", 'import { PageCache } from "pinfold";'],
    ["an unknown folder", "src/attic/a.ts", "export {};"],
  ];
  for (const [name, path, text] of wrong) {
    test(`complains about ${name}`, () => {
      const complaints = complaintsAbout(path, text);
      assert.equal(complaints.length, 1, list(complaints));
      assert.match(complaints[0] ?? "", new RegExp(`^${path}:1: `));
    });
  }
});
