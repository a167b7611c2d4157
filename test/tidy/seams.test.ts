/** Clocks, timers, random numbers and Atomics stay behind their seams; see seams.ts. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { checkSeams, exceptions } from "./seams.js";
import { list, sample, tree } from "./tree.js";

describe("seams", () => {
  test("only src/base and src/sync name clocks, timers, random numbers and Atomics", () => {
    const complaints = checkSeams(tree);
    assert.equal(complaints.length, 0, list(complaints));
  });

  test("each exception says why", () => {
    for (const { folder, reason } of exceptions) assert.ok(reason.length > 20, folder);
  });

  const wrong = [
    "Atomics.load(words, 0);",
    "const { wait } = Atomics;",
    "const now = Date.now;",
    "new Date();",
    "performance.now();",
    "process.hrtime.bigint();",
    "setTimeout(f, 1);",
    "let timer: ReturnType<typeof setTimeout>;",
    "globalThis.setInterval(f, 1);",
    "globalThis.performance.now();",
    "setImmediate(f);",
    "Math.random();",
    "crypto.randomUUID();",
    "crypto.getRandomValues(bytes);",
    'import { randomBytes } from "node:crypto";',
    'import { setTimeout as sleep } from "node:timers/promises";',
    'import { performance as clock } from "node:perf_hooks";',
  ];
  for (const text of wrong) {
    test(`complains about ${text}`, () => {
      const complaints = checkSeams([sample("src/cache/a.ts", text)]);
      assert.ok(complaints.length > 0);
      assert.match(complaints[0] ?? "", /^src\/cache\/a\.ts:1: names /);
      assert.deepEqual(checkSeams([sample("src/base/clock.ts", text), sample("src/sync/wait.ts", text)]), []);
    });
  }

  test("does not complain about comments, strings, fields and the seams' own users", () => {
    const text = [
      "// Atomics and Date.now",
      'const text = "setTimeout";',
      "clock.setTimeout(f, 1);",
      "const hooks = { setTimeout: f };",
      "new Date(time);",
      'import { createHash } from "node:crypto";',
    ].join("\n");
    assert.deepEqual(checkSeams([sample("src/cache/a.ts", text)]), []);
  });

  test("a program may use timers, but not Atomics", () => {
    assert.deepEqual(checkSeams([sample("src/cli/a.ts", "setTimeout(f, 1);")]), []);
    assert.equal(checkSeams([sample("src/cli/a.ts", "Atomics.wait(w, 0, 0);")]).length, 1);
  });
});
