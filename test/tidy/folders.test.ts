/** Folders of src/ explain themselves; see folders.ts. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { checkFolderPages } from "./folders.js";
import { list, sample, tree } from "./tree.js";

describe("folders", () => {
  test("every folder of src/ has a README.md of one page", () => {
    const complaints = checkFolderPages(tree);
    assert.equal(complaints.length, 0, list(complaints));
  });

  test("complains about missing and long pages, also of inner folders", () => {
    const files = [
      sample("src/index.ts", ""),
      sample("src/stores/README.md", "# Stores\n"),
      sample("src/stores/file/a.ts", ""),
      sample("src/api/README.md", "line\n".repeat(121)),
    ];
    assert.deepEqual(checkFolderPages(files), [
      "src/api/README.md:121: 121 lines, at most 120",
      "src/stores/file/README.md: is missing",
    ]);
  });
});
