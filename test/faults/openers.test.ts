/** F6 and F8 across threads: whoever has the file open, in whichever thread, hears which bytes are not durable, until they are. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryStore } from "../../src/index.js";
import { ScriptedStore } from "../../src/testing/index.js";
import { failsWith, openCache, pageSize } from "../api/fixture.js";
import { startThreads } from "../threads/sharing-threads.js";

test("openers in other threads than the store's hear the ranges that are not durable, each time, also those that came later", async (t) => {
  const store = new ScriptedStore(new MemoryStore({ sizeBytes: 16 * pageSize }));
  const cache = await openCache(t);
  const file = await cache.open(store);
  const threads = await startThreads(t, cache, 2);
  const [one, other] = threads;
  assert.ok(one && other);
  await one.tell("open", "a", { key: store.key });
  await one.tell("write", "a", "not durable", 3 * pageSize);
  await one.tell("write", "a", "not durable", 7 * pageSize);
  const stop = [
    store.fail("writePages", "ENOSPC", { times: Infinity }),
    store.fail("writePagesSync", "ENOSPC", { times: Infinity }),
  ];
  const expected = /not durable: \[12288, 16384\), \[28672, 32768\): ENOSPC: /;
  for (let time = 0; time < 2; time++) {
    assert.match((await failsWith("ENOSPC", () => one.tell("sync", "a"))).message, expected);
    assert.match((await failsWith("ENOSPC", () => one.tell("syncSync", "a"))).message, expected);
    assert.match((await failsWith("ENOSPC", () => file.sync())).message, expected);
  }
  await other.tell("open", "a", { key: store.key });
  assert.match((await failsWith("ENOSPC", () => other.tell("sync", "a"))).message, expected);
  for (const heal of stop) heal();
  store.fail("sync", "EIO");
  assert.match((await failsWith("EIO", () => other.tell("sync", "a"))).message, /not durable: \[12288, 16384\)/);
  await one.tell("sync", "a");
  await file.sync();
  assert.equal(cache.stats().dirtyPages, 0);
  cache.verify({ quiesce: true });
});
