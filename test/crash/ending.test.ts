/** The ends that `pinfold serve` is asked for: signals under load. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { MiB } from "../../src/base/limits.js";
import { pause, scratchFolder, seededRandom, until } from "../nbd/fixture.js";
import { startServing, Undo } from "../real/server-process.js";
import { blockBytes, Ledger } from "./ledger.js";
import { loadUntilEnd } from "./load.js";

const diskBytes = 16 * MiB;

for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
  test(`${signal} in the middle of a load: what was acknowledged is on the disk, exit status 0`, async (t) => {
    const undo = new Undo(t);
    const disk = join(scratchFolder(t), "disk");
    const server = await startServing(t, undo, [disk], { size: "16MiB", memory: "4MiB" });
    const ledger = new Ledger(diskBytes / blockBytes);
    const clients = [await server.client(), await server.client()];
    const load = loadUntilEnd(clients, ledger, seededRandom(7));
    await Promise.race([load, until(() => ledger.flushes > 2, "flushes under load")]);
    await pause(50);
    const startMs = Date.now();
    const ended = await server.end(signal);
    assert.deepEqual(ended, { code: 0, signal: null }, server.stderr);
    assert.ok(Date.now() - startMs < 10_000, "an end takes no longer than its grace");
    await load;
    // Without any further flush: every write that had its reply.
    ledger.durable.set(ledger.acknowledged);
    assert.deepEqual(ledger.check(await readFile(disk)), []);
    assert.match(server.stderr, /pinfold: ending: /);
    assert.match(server.stderr, /pinfold: ended: everything is on the disk/);
    assert.ok(!existsSync(server.socket), "the socket's file is gone");
  });
}

test("a second signal ends the server at once, and what was flushed stays", async (t) => {
  const undo = new Undo(t);
  const disk = join(scratchFolder(t), "disk");
  const server = await startServing(t, undo, [disk], { size: "16MiB" });
  const client = await server.client();
  await client.write(0, Buffer.alloc(8192, 0x33));
  await client.flush();
  // A client that sends half a write and then nothing keeps the first signal's end waiting.
  const half = await server.client();
  half.request(1, MiB, MiB, 0, Buffer.alloc(4096, 1)).catch(() => {});
  const reader = await server.client();
  reader.socket.pause();
  for (let at = 0; at < 60; at++) reader.read(0, MiB).catch(() => {});
  await pause(200);
  server.child.kill("SIGTERM");
  await until(() => server.stderr.includes("ending"), "the first signal's end");
  const startMs = Date.now();
  assert.deepEqual(await server.end("SIGTERM"), { code: null, signal: "SIGTERM" }, server.stderr);
  assert.ok(Date.now() - startMs < 1_000, "at once");
  const bytes = await readFile(disk);
  assert.ok(bytes.subarray(0, 8192).every((byte) => byte === 0x33));
  for (const each of [client, half, reader]) each.destroy();
});

test("clients that never read their replies, or stop in mid-request, do not keep it from ending well", async (t) => {
  const undo = new Undo(t);
  const disk = join(scratchFolder(t), "disk");
  const server = await startServing(t, undo, [disk], { size: "16MiB" });
  const client = await server.client();
  await client.write(4096, Buffer.alloc(4096, 0x44));
  const half = await server.client();
  half.request(1, MiB, MiB, 0, Buffer.alloc(4096, 1)).catch(() => {});
  const reader = await server.client();
  reader.socket.pause();
  for (let at = 0; at < 60; at++) reader.read(0, MiB).catch(() => {});
  await pause(200);
  assert.deepEqual(await server.end(), { code: 0, signal: null }, server.stderr);
  assert.ok((await readFile(disk)).subarray(4096, 8192).every((byte) => byte === 0x44));
  for (const each of [client, half, reader]) each.destroy();
});
