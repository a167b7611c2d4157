/** Power cuts of data and checksums at once, from seeds (F15 to F17, F32). */
import { ok } from "node:assert/strict";
import { test } from "node:test";
import { sailChecksums } from "./voyage.js";

const seeds = 40;
const lives = 8;

test("after a power cut each block is one of those it may be, or an error; nothing else is either", async (t) => {
  const sum = { torn: 0, cuts: 0, failures: 0, reads: 0 };
  const first = Number(process.env["PINFOLD_SEED"] ?? 1);
  for (let seed = first; seed < first + seeds; seed++) {
    const result = await sailChecksums(seed, lives).catch((error: unknown) => {
      throw new Error(`seed ${seed}`, { cause: error });
    });
    for (const key of Object.keys(sum) as (keyof typeof sum)[]) sum[key] += result[key];
  }
  t.diagnostic(JSON.stringify(sum));
  ok(sum.cuts === seeds * lives && sum.torn > 20 && sum.failures > 20 && sum.reads > 200, JSON.stringify(sum));
});
