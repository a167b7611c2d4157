/**
 * Whoever cleans up after a dead thread may die at it: the next one goes on from there. The second thread is stopped before every
 * change that it makes to shared memory: at a sample of them here, at all with PINFOLD_KILL_POINTS=all.
 */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { Worker } from "node:worker_threads";
import type { HeirData, HeirSays } from "./heir-worker.js";
import type { ActName } from "./mortal-worker.js";
import { type Scene, byteAt, open, page, start, until, verifyQuiet } from "./mortals.js";

const perAct = process.env["PINFOLD_KILL_POINTS"] === "all" ? Number.POSITIVE_INFINITY : 4;

/** Lets a thread die in an act, and another one before its nth change as it cleans up. How many changes it made. */
async function dieTwice(t: TestContext, act: ActName, stopBefore: number): Promise<number> {
  const scene = await open(t);
  const { cache } = scene;
  // First the heir: an act may keep others from opening files.
  const data: HeirData = { share: cache.share(), path: scene.path, stopBefore };
  const heir = new Worker(new URL("./heir-worker.js", import.meta.url), { workerData: data });
  const { slot } = await said(heir);
  const mortal = await start(scene, act);
  cache.core.recovery.look = () => {};
  // Nobody's write may come between a punch and its repetition.
  const writes = act.startsWith("punch")
    ? [2, 8].map((at) => scene.file.write(new Uint8Array(10).fill(99), 0, 10, at * page))
    : [];
  await mortal.worker.terminate();
  heir.postMessage(mortal.slot);
  const { changes = 0 } = await said(heir);
  await heir.terminate();
  Reflect.deleteProperty(cache.core.recovery, "look");
  const { threads } = cache.core.frames;
  await until(() => !threads.isClaimed(mortal.slot) && !threads.isClaimed(slot as number), "both slots are given back");
  await Promise.all(writes);
  if (writes.length > 0)
    assert.deepEqual([await byteAt(scene.file, 2 * page), await byteAt(scene.file, 8 * page)], [99, 99]);
  await checkAfter(scene, act);
  return changes;
}

function said(heir: Worker): Promise<HeirSays> {
  return new Promise((resolve, reject) => {
    heir.once("message", resolve);
    heir.once("error", reject);
  });
}

async function checkAfter(scene: Scene, act: ActName): Promise<void> {
  const { file } = scene;
  await verifyQuiet(scene);
  if (act.startsWith("cut")) assert.equal(file.size, page + 100);
  else assert.ok([4, 7].includes(await byteAt(file, 4 * page)) || act.startsWith("punch"));
  if (act.startsWith("punch")) for (let at = 1; at < 9; at++) assert.equal(await byteAt(file, at * page + 50), 0);
  await file.write(new Uint8Array(1).fill(1), 0, 1, 0);
  await file.sync();
  await verifyQuiet(scene);
}

const acts: readonly ActName[] = [
  ...([
    "manyLocks",
    "countedWrite",
    "transit",
    "load",
    "overwriteGranted",
    "writeback",
    "snapshot",
    "storeSyncDone",
  ] as const),
  ...(["cutRemoving", "punchRemoving", "open", "soleOpener", "closeClosed", "ownStore"] as const),
];

for (const act of acts) {
  test(`two threads die one after the other, the second as it cleans up after: ${act}`, async (t) => {
    const all = await dieTwice(t, act, 0);
    assert.ok(all > 10);
    const step = Math.max(1, all / perAct);
    let tried = 0;
    for (let at = 1 + Math.random() * step; at <= all; at += step) {
      await dieTwice(t, act, Math.floor(at));
      tried += 1;
    }
    t.diagnostic(`${act}: ${tried} of ${all} points`);
  });
}
