/**
 * What a load through a view costs depends on what V8 inlines: the slow way must stay too long for that, and the fast way short
 * enough (mapping/view-tlb.ts). Seen where it was not: twice the time, in most runs and not in all.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";

/** V8's --max-inlined-bytecode-size and --max-inlined-bytecode-size-cumulative. */
const inlinedMax = 460;
const inlinedTogetherMax = 920;

const script = `
  const { MemoryStore, PageCache } = await import(${JSON.stringify(new URL("../../src/index.js", import.meta.url))});
  const cache = await PageCache.open({ memory: "1MiB" });
  const file = await cache.open(new MemoryStore({ sizeBytes: 65536 }));
  const view = file.map();
  view.setFloat64(8, view.getFloat64(0));
  await file.close();
  await cache.close();
`;

/** Bytes of the bytecode of functions with this name. */
function lengthsOf(name: string): number[] {
  const flags = ["--print-bytecode", `--print-bytecode-filter=${name}`];
  const { stdout, status } = spawnSync(process.execPath, [...flags, "--input-type=module", "-e", script], {
    encoding: "utf8",
    maxBuffer: 2 ** 28,
  });
  assert.equal(status, 0);
  return [...stdout.matchAll(/Bytecode length: (\d+)/g)].map(([, length]) => Number(length));
}

test("the slow way of a view's access is too long to be inlined, the fast way is not", () => {
  const [slow, ...others] = lengthsOf("#slowly");
  assert.deepEqual(others, [], "there is one");
  assert.ok((slow as number) > inlinedMax, `${slow} bytes`);
  const fast = ["getFloat64", "#at", "find", "holds"].flatMap(lengthsOf);
  assert.ok(fast.length >= 5, "each was compiled");
  const all = fast.reduce((sum, length) => sum + length, 0);
  assert.ok(all < inlinedTogetherMax, `${fast.join(" + ")} bytes`);
});
