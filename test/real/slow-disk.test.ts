/** A cache behind a disk that does not answer for a while: requests wait, however many there are, and none fails. */
import assert from "node:assert/strict";
import { setMaxListeners } from "node:events";
import { test } from "node:test";
import { limits, MiB } from "../../src/base/limits.js";
import { PageCache } from "../../src/index.js";
import { FileDevice } from "../../src/nbd/file-device.js";
import { pause } from "../nbd/fixture.js";
import { MemoryStore } from "../../src/stores/memory/memory-store.js";
import { ScriptedStore } from "../../src/testing/scripted-store.js";

const requests = limits.waitersMax + 500;

test("more reads and writes of one page than there are places for waiters all wait for a slow disk, and none fails", async () => {
  const cache = await PageCache.open({ memory: MiB });
  const store = new ScriptedStore(new MemoryStore({ contents: new Uint8Array(MiB).fill(7) }));
  const device = new FileDevice(await cache.open(store));
  const { signal } = new AbortController();
  setMaxListeners(0, signal);
  const hold = store.hold("readPages");
  const reads = Array.from({ length: requests }, async () => {
    const target = new Uint8Array(100);
    await device.read(target, 4096, signal);
    return target[99] === 7;
  });
  const writes = Array.from({ length: requests }, (_, at) =>
    device.write(new Uint8Array([at & 0xff]), 4096 + (at % 50), signal),
  );
  await hold.entered;
  hold.release();
  assert.ok((await Promise.all(reads)).every(Boolean));
  await Promise.all(writes);
  await device.flush();
  cache.verify({ quiesce: true });
  await cache.close();
});

test("requests in line end with their own signal once the disk answers, and the others go on", async () => {
  const cache = await PageCache.open({ memory: MiB });
  const store = new ScriptedStore(new MemoryStore({ contents: new Uint8Array(MiB).fill(7) }));
  const device = new FileDevice(await cache.open(store));
  const gone = new AbortController();
  const stays = new AbortController();
  for (const { signal } of [gone, stays]) setMaxListeners(0, signal);
  const hold = store.hold("readPages");
  const outcomes = Array.from({ length: limits.nbdWaitsMax * 3 }, (_, at) => {
    const { signal } = at % 2 === 0 ? gone : stays;
    return device.read(new Uint8Array(10), 0, signal).then(
      () => "read",
      () => "gone",
    );
  });
  await hold.entered;
  gone.abort(new Error("the client left"));
  await pause(50);
  hold.release();
  const found = await Promise.all(outcomes);
  assert.ok(found.every((outcome, at) => outcome === "read" || at % 2 === 0));
  assert.ok(found.filter((outcome) => outcome === "gone").length > limits.nbdWaitsMax / 2);
  cache.verify({ quiesce: true });
  await cache.close();
});
