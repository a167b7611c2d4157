/**
 * The same program under the three pin protocols: a write pin is taken, the page is written back, its holder writes again and puts.
 * Under `reference` the second write is lost (race R4); under the protocols that ship it is not.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { referenceProtocols } from "../../explore/reference-protocol.js";
import { MemoryStore, PageCache } from "../../src/index.js";

const pageSize = 4096;

/** What the store has after the holder's second write, its put, a sync, and the page's eviction. */
async function secondWrite(protocol: "reference" | "counted" | "locked"): Promise<number> {
  const cache = await PageCache.open({ memory: "256KiB", preTouch: false });
  if (protocol === "reference") cache.core.protocols = referenceProtocols;
  const store = new MemoryStore({ sizeBytes: 16 * pageSize });
  const file = await cache.open(store);
  const pages = await file.getUserPages(0, pageSize, { write: true, longterm: protocol !== "locked" });
  pages.bytes[0] = 1;
  if (protocol === "locked") await pages.flush();
  else await file.sync();
  pages.bytes[0] = 2;
  pages.put();
  await file.sync();
  const [byte] = store.snapshot();
  await file.close({ discard: true });
  await cache.close();
  return byte as number;
}

test("a write through a bare reference is lost once the page was written back", async () => {
  assert.equal(await secondWrite("reference"), 1);
});

for (const protocol of ["locked", "counted"] as const) {
  test(`a write through a ${protocol} pin is kept though the page was written back meanwhile`, async () => {
    assert.equal(await secondWrite(protocol), 2);
  });
}
