/**
 * Reads without a lock rest on what V8 and the processor do with plain loads (src/sync/optimistic-words.ts), which nobody
 * promises. So it is tried here on the Node that runs, with V8's best compiler and with the one below it.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import type { LitmusResult } from "./optimistic-litmus-run.js";

const program = fileURLToPath(new URL("./optimistic-litmus-run.js", import.meta.url));

for (const [compiler, options] of [
  ["V8's compilers as they come", []],
  ["the quick compiler alone", ["--maglev", "--no-turbofan"]],
] as const) {
  test(`${compiler}: what is accepted was there at one moment, whenever the compiler loads it`, (t) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [...options, program], {
      encoding: "utf8",
      timeout: 60_000,
    });
    assert.equal(status, 0, stderr);
    const results = JSON.parse(stdout) as LitmusResult[];
    assert.ok(results.length >= 6);
    for (const { shape, accepted, rejected, wrong } of results) {
      t.diagnostic(`${shape}: ${accepted} accepted, ${rejected} thrown away, ${wrong} wrong`);
      if (shape.endsWith("bare")) continue;
      assert.equal(wrong, 0, shape);
      assert.ok(accepted > 0 && rejected > 0, `${shape}: the two threads met, ${accepted} and ${rejected} times`);
    }
  });
}
