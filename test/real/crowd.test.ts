/** Clients that get in each other's way: stalled ones, and more requests than the cache has pages or places for waiters. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { KiB, limits, MiB } from "../../src/base/limits.js";
import type { NbdClient } from "../nbd/client.js";
import { pattern, pause, scratchFolder } from "../nbd/fixture.js";
import { startServing, Undo } from "./server-process.js";

const stallMs = 10_000;

/** Resolves to how long `work` took. */
async function tookMs(work: Promise<unknown>): Promise<number> {
  const startMs = Date.now();
  await work;
  return Date.now() - startMs;
}

test("a client that sends half a WRITE and stalls for 10 s delays nobody's READ, WRITE or FLUSH of that page", async (t) => {
  const undo = new Undo(t);
  const server = await startServing(t, undo, [join(scratchFolder(t), "disk")], { size: "16MiB", memory: "1MiB" });
  const other = await server.client();
  const stalled: NbdClient[] = [];
  undo.add(() => [other, ...stalled].forEach((client) => client.destroy()));
  await other.write(0, pattern(64 * KiB, 1));
  const pending: Promise<Buffer>[] = [];
  for (const [at, length] of [4 * KiB, 64 * KiB, MiB, 8 * MiB].entries()) {
    const client = await server.client();
    stalled.push(client);
    pending.push(client.request(1, 0, length, 0, pattern(Math.floor(length / 2), 90 + at)));
  }
  const startMs = Date.now();
  let longestMs = 0;
  for (let round = 0; Date.now() - startMs < stallMs; round++) {
    const read = await tookMs(
      other.read(0, 64 * KiB).then((bytes) => assert.ok(pattern(64 * KiB, round + 1).equals(bytes))),
    );
    const write = await tookMs(other.write(0, pattern(64 * KiB, round + 2)));
    const flush = await tookMs(other.flush());
    longestMs = Math.max(longestMs, read, write, flush);
    await pause(100);
  }
  t.diagnostic(`the longest took ${longestMs} ms`);
  assert.ok(longestMs < 1_000, `${longestMs} ms`);
  // The stalled ones are still served when they go on.
  const [client] = stalled;
  client?.raw(pattern(2 * KiB, 95));
  await pending[0];
  const start = await other.read(0, 4 * KiB);
  assert.ok(start.subarray(2 * KiB).equals(pattern(2 * KiB, 95)), "the half that came late");
  for (const promise of pending) promise.catch(() => {});
  assert.ok(server.running, server.stderr);
});

for (const { pageSize, memory } of [
  { pageSize: 4096, memory: "256KiB" },
  { pageSize: 65_536, memory: "4MiB" },
]) {
  test(`72 clients with 64 requests each are all served by a cache of 64 pages of ${pageSize} bytes`, async (t) => {
    const undo = new Undo(t);
    const server = await startServing(t, undo, [join(scratchFolder(t), "disk")], { size: "72MiB", memory, pageSize });
    const clients = await Promise.all(Array.from({ length: 72 }, () => server.client()));
    undo.add(() => clients.forEach((client) => client.destroy()));
    const requests = 64;
    assert.ok(clients.length * requests > limits.waitersMax, "more than there are places for waiters");
    const lengthOf = (at: number): number => (at % 16 === 0 ? 12 * KiB : 4 * KiB) + (at % 3) * 100;
    const base = (client: number, at: number): number => client * MiB + at * 16 * KiB + (at % 5) * 300;
    const startMs = Date.now();
    await Promise.all(
      clients.map(async (client, number) => {
        const each = Array.from({ length: requests }, (_, at) => at);
        await Promise.all(each.map((at) => client.write(base(number, at), pattern(lengthOf(at), number + at))));
        await Promise.all(
          each.map(async (at) => {
            const bytes = await client.read(base(number, at), lengthOf(at));
            assert.ok(pattern(lengthOf(at), number + at).equals(bytes), `client ${number}, request ${at}`);
          }),
        );
        await client.flush();
      }),
    );
    t.diagnostic(`${2 * clients.length * requests} requests in ${Date.now() - startMs} ms`);
    assert.deepEqual(await server.end(), { code: 0, signal: null }, server.stderr);
    assert.doesNotMatch(server.stderr, /warning|ERR_PINFOLD|ENOMEM/i);
  });
}

test("72 clients with 64 requests each for one page are all served, while it is written back again and again", async (t) => {
  const undo = new Undo(t);
  const server = await startServing(t, undo, [join(scratchFolder(t), "disk")], { size: "1MiB", memory: "256KiB" });
  const clients = await Promise.all(Array.from({ length: 72 }, () => server.client()));
  const flusher = await server.client();
  undo.add(() => [...clients, flusher].forEach((client) => client.destroy()));
  const done = new AbortController();
  const flushes = (async () => {
    while (!done.signal.aborted) await flusher.flush();
  })();
  await flusher.write(0, pattern(4096));
  // Each client has its own bytes of the page.
  await Promise.all(
    clients.map(async (client, number) => {
      const bytes = Buffer.alloc(50, number + 1);
      await Promise.all(Array.from({ length: 64 }, (_, at) => client.write(number * 50, bytes, { fua: at % 64 < 63 })));
    }),
  );
  done.abort();
  await flushes;
  const page = await flusher.read(0, 4096);
  clients.forEach((_, number) => {
    assert.ok(page.subarray(number * 50, number * 50 + 50).equals(Buffer.alloc(50, number + 1)), `client ${number}`);
  });
  assert.deepEqual(await server.end(), { code: 0, signal: null }, server.stderr);
  assert.doesNotMatch(server.stderr, /warning|ERR_PINFOLD|ENOMEM/i);
});
