/**
 * F26: calls of a store that end twice, or once more when nobody waits for them any more. Only the first end counts: for stores that
 * answer with promises of their own making, too, which need not keep to it.
 */
import { deepStrictEqual, rejects, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { type CachedFile, MemoryStore, PinfoldError } from "../../src/index.js";
import { type FaultedCall, FaultyStore, ScriptedStore } from "../../src/testing/index.js";
import { byteAt, filled, open, page, storedAt, turns, writeAt } from "../mapping/fixture.js";

const calls: readonly [FaultedCall, (file: CachedFile) => Promise<unknown>][] = [
  ["readPages", (file) => file.read(new Uint8Array(page), 0, page, 3 * page)],
  ["pageMkwrite", async (file) => (await file.getUserPages(3 * page, page, { write: true })).put()],
  ["writePages", (file) => file.sync()],
  ["sync", (file) => file.sync()],
  ["truncate", (file) => file.truncate(7 * page)],
  ["punch", (file) => file.punchHole(3 * page, page)],
  ["setSize", (file) => file.truncate(9 * page)],
];

for (const [name, call] of calls) {
  test(`a ${name} that ends well and then with an error has ended well, once`, async (t) => {
    const { cache } = await open(t);
    const memory = new MemoryStore({ sizeBytes: 8 * page });
    const counted = new ScriptedStore(memory);
    const store = new FaultyStore(counted, { syncCalls: false });
    const file = await cache.open(store);
    await writeAt(file, 0, 5);
    store.add({ fault: { kind: "twice" }, calls: [name] });
    const before = counted.count(name);
    await call(file);
    await turns();
    deepStrictEqual(
      store.struck.map(({ kind }) => kind),
      ["twice"],
    );
    strictEqual(counted.count(name), before + 1, "it is not done again");
    const { writeErrors, syncErrors, healedErrors } = cache.stats().files[1] ?? {};
    deepStrictEqual([writeErrors, syncErrors, healedErrors], [0, 0, 0]);
    await file.sync();
    strictEqual(storedAt(memory, 0), 5);
    cache.verify({ quiesce: true });
  });
}

test("a read that ends badly and then well has ended badly, and what comes late is no page's", async (t) => {
  const { cache } = await open(t);
  const memory = new MemoryStore({ contents: filled(4, 8 * page) });
  const store = new ScriptedStore(memory, { syncCalls: false });
  let endAgain = () => {};
  let isFirst = true;
  const readPages = store.readPages.bind(store);
  store.readPages = (position, buffers) => {
    if (!isFirst) return readPages(position, buffers);
    isFirst = false;
    const listen = (resolve: () => void, reject: (error: unknown) => void) => {
      endAgain = resolve;
      reject(new PinfoldError("EIO", "bad sector"));
    };
    // oxlint-disable-next-line unicorn/no-thenable -- that is what it is for
    return { then: listen } as unknown as Promise<void>;
  };
  const file = await cache.open(store);
  await rejects(file.getUserPages(0, 1), { code: "EIO" });
  strictEqual(await byteAt(file, 2 * page), 4);
  endAgain();
  await turns();
  strictEqual(cache.core.table.find(1, 0), -1, "no page comes of it");
  strictEqual(await byteAt(file, 0), 4);
  cache.verify({ quiesce: true });
});
