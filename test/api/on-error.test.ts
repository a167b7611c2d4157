/** file.onError: the news of a failed write of a page, to each opener, beside what sync says. */
import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { MemoryStore, PageCache } from "../../src/index.js";
import { ScriptedStore } from "../../src/testing/index.js";

const pageSize = 4096;

test("each opener's onError hears of a page that could not be written, until it is closed", async (t) => {
  const store = new ScriptedStore(new MemoryStore({ sizeBytes: 16 * pageSize }));
  const cache = await PageCache.open({ memory: 64 * pageSize, writebackIntervalMs: 86_400_000 });
  t.after(() => cache.close({ discard: true }));
  const files = [await cache.open(store), await cache.open(store)];
  const heard: string[] = [];
  files.forEach((file, who) => {
    file.onError = (error, position) => void heard.push(`${who} ${error.code} ${position}`);
  });
  const [first, second] = files;
  await first?.write(new Uint8Array(pageSize).fill(1), 0, pageSize, 3 * pageSize);
  store.fail("writePages", "EIO", { times: 1 });
  strictEqual(await first?.sync().catch((error: { code: string }) => error.code), "EIO");
  deepStrictEqual(heard.sort(), [`0 EIO ${3 * pageSize}`, `1 EIO ${3 * pageSize}`]);
  await second?.close();
  await first?.write(new Uint8Array(pageSize).fill(2), 0, pageSize, 5 * pageSize);
  store.fail("writePages", "ENOSPC", { times: 1 });
  strictEqual(await first?.sync().catch((error: { code: string }) => error.code), "ENOSPC");
  deepStrictEqual(heard.slice(2), [`0 ENOSPC ${5 * pageSize}`]);
  await first?.sync();
});
