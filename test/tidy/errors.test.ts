/** Error codes: one table, its uses, its page; see errors.ts. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { errorAdvice } from "../../src/base/errors.js";
import { checkErrorCodes, checkErrorPage } from "./errors.js";
import { list, sample, tree } from "./tree.js";

const table = { EIO: "Look at the cause.", EBUSY: "Wait." };

describe("errors", () => {
  test("every code that src/ throws stands in the table", () => {
    const complaints = checkErrorCodes(tree, errorAdvice);
    assert.equal(complaints.length, 0, list(complaints));
  });

  test("docs/errors.md lists exactly the table", () => {
    const page = tree.find((file) => file.path === "docs/errors.md");
    const complaints = checkErrorPage(page, errorAdvice);
    assert.equal(complaints.length, 0, list(complaints));
  });

  test("complains about a code of its own, also in an arm of a condition", () => {
    const text = 'throw new PinfoldError("EOOPS", "no");\nthrow new PinfoldError(a === "x" ? "EIO" : "ENO", "no");';
    const complaints = checkErrorCodes([sample("src/api/a.ts", text)], table);
    assert.deepEqual(complaints, [
      "src/api/a.ts:1: EOOPS is not in the table of src/base/errors.ts",
      "src/api/a.ts:2: ENO is not in the table of src/base/errors.ts",
    ]);
  });

  test("complains about a page with a missing, a foreign or a misplaced row", () => {
    const rows = ["| `EIO` | Look at the cause. |", "| `EBUSY` | Wait. |"];
    const pageOf = (...lines: string[]): ReturnType<typeof sample> => sample("docs/errors.md", lines.join("\n"));
    assert.deepEqual(checkErrorPage(pageOf(...rows), table), []);
    assert.equal(checkErrorPage(pageOf(...rows.slice(1)), table).length, 1);
    assert.equal(checkErrorPage(pageOf(...rows, "| `EODD` | Odd. |"), table).length, 1);
    assert.equal(checkErrorPage(pageOf(...rows.toReversed()), table).length, 1);
    assert.equal(checkErrorPage(undefined, table).length, 1);
  });
});
