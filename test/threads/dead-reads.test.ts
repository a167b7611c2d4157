/**
 * What recovery builds on: a thread is gone from procfs only after its requests to fs and the asynchronous calls of its addons have
 * ended. Else a dead thread's read could still land in a frame that is another page's by then. It is Node's behaviour, and so it is
 * tried on the Node that runs.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as after } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { type ThreadIdentity, isThreadAlive } from "../../src/base/thread-identity.js";

const reader = `
  const { read, readlinkSync } = require("node:fs");
  const { parentPort, workerData } = require("node:worker_threads");
  read(workerData.fd, new Uint8Array(workerData.memory), 0, 8, null, () => {});
  parentPort.postMessage(Number(readlinkSync("/proc/thread-self").split("/").at(-1)));
`;

const caller = `
  const { readlinkSync } = require("node:fs");
  const { parentPort, workerData } = require("node:worker_threads");
  const koffi = require(workerData.koffi);
  const usleep = koffi.load("libc.so.6").func("int usleep(uint32_t microseconds)");
  usleep.async(600_000, () => {});
  parentPort.postMessage(Number(readlinkSync("/proc/thread-self").split("/").at(-1)));
`;

async function start(code: string, workerData: object): Promise<{ worker: Worker; identity: ThreadIdentity }> {
  const worker = new Worker(code, { eval: true, workerData });
  const id = await new Promise<number>((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
  await after(50);
  return { worker, identity: { id, start: 0 } };
}

test("a thread that is terminated during a read is gone only when the read has ended", async () => {
  const folder = mkdtempSync(join(tmpdir(), "pinfold-reads-"));
  const path = join(folder, "pipe");
  execFileSync("mkfifo", [path]);
  const fd = openSync(path, "r+");
  const memory = new SharedArrayBuffer(8);
  const { worker, identity } = await start(reader, { fd, memory });
  const gone = worker.terminate();
  await after(300);
  assert.ok(isThreadAlive(identity), "the read is on its way, and its thread is there");
  assert.equal(new Uint8Array(memory)[0], 0);
  writeSync(fd, "12345678");
  await gone;
  for (let left = 1000; left > 0 && isThreadAlive(identity); left--) await after(1);
  assert.equal(isThreadAlive(identity), false);
  assert.equal(new Uint8Array(memory)[0], "1".charCodeAt(0));
  closeSync(fd);
  rmSync(folder, { recursive: true });
});

test("a thread that is terminated during an asynchronous call of the C library is gone only when that has ended", async (t) => {
  let koffi: string;
  try {
    koffi = import.meta.resolve("koffi").replace("file://", "");
  } catch {
    t.skip("koffi is not installed");
    return;
  }
  const { worker, identity } = await start(caller, { koffi });
  const startedMs = performance.now();
  const gone = worker.terminate();
  while (isThreadAlive(identity)) await after(2);
  assert.ok(performance.now() - startedMs > 300, "its call took longer than its end");
  await gone;
});
