/** Peers that do not go on: half a request, replies that nobody reads, silence. On a clock of the test. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import type { PinfoldError } from "../../src/base/errors.js";
import { limits, MiB } from "../../src/base/limits.js";
import { MemoryStore, PageCache } from "../../src/index.js";
import { FileDevice } from "../../src/nbd/file-device.js";
import { command } from "../../src/nbd/protocol.js";
import { NbdServer, type NbdServerOptions } from "../../src/nbd/server.js";
import { ArrayDevice } from "./array-device.js";
import { type NbdClient, requestHeader } from "./client.js";
import { ManualClock, pattern, pause, scratchFolder, startClient, startServer, until } from "./fixture.js";

async function serve(t: TestContext, options: Partial<NbdServerOptions> = {}) {
  const clock = new ManualClock();
  const errors: PinfoldError[] = [];
  const device = new ArrayDevice(64 * MiB);
  const server = await startServer(t, device, { clock, onError: (error) => errors.push(error), ...options });
  return { clock, errors, device, server };
}

/** Time goes on, with room for what happens meanwhile. */
async function pass(clock: ManualClock, ms: number, during: () => void = () => {}): Promise<void> {
  for (let left = ms; left > 0; left -= limits.nbdWatchMs) {
    clock.advance(Math.min(left, limits.nbdWatchMs));
    during();
    await pause(2);
  }
}

const read = (cookie: number): Buffer =>
  requestHeader({ type: command.read, flags: 0, cookie, position: 0, length: 512 });

test("half a header, half a payload, half a refused payload: ended after a while, however the bytes trickle", async (t) => {
  const { clock, errors, server } = await serve(t);
  const clients = await Promise.all(Array.from({ length: 4 }, () => startClient(t, server)));
  const [header, payload, refused, well] = clients as [NbdClient, NbdClient, NbdClient, NbdClient];
  header.raw(read(0).subarray(0, 3));
  payload.request(command.write, 0, MiB, 0, pattern(100)).catch(() => {});
  refused.request(command.write, 65 * MiB, MiB, 0, pattern(100)).catch(() => {});
  await pause(20);
  let at = 3;
  await pass(clock, limits.nbdHalfRequestMs + 3 * limits.nbdWatchMs, () => {
    if (!header.over && at < 20) header.raw(read(0).subarray(at, ++at));
    if (!payload.over) payload.raw(Buffer.alloc(10));
  });
  await Promise.all([header.ended, payload.ended, refused.ended]);
  assert.deepEqual(
    errors.map(({ message }) => message),
    Array<string>(3).fill("ERR_PINFOLD_PEER_STUCK: the rest of a request took too long"),
  );
  assert.equal((await well.read(0, 512)).length, 512);
  assert.equal(server.stats().timedOut, 3);
});

test("a payload that comes slowly but steadily is received", async (t) => {
  const { clock, device, server } = await serve(t);
  const client = await startClient(t, server);
  const bytes = pattern(8 * limits.nbdStallBytesMin);
  const write = client.request(command.write, 0, bytes.length, 0, bytes.subarray(0, 1));
  for (let at = 1; at < bytes.length; ) {
    const end = Math.min(bytes.length, at + limits.nbdStallBytesMin);
    await new Promise((resolve) => client.socket.write(bytes.subarray(at, end), resolve));
    await pause(5);
    at = end;
    if (at < bytes.length) await pass(clock, limits.nbdHalfRequestMs - limits.nbdWatchMs);
  }
  await write;
  assert.ok(bytes.equals(device.bytes.subarray(0, bytes.length)));
});

test("a client that never reads is ended after a while; one that waits for a slow device is not", async (t) => {
  const { clock, errors, device, server } = await serve(t);
  const slow = await startClient(t, server);
  const waiting = await startClient(t, server);
  slow.socket.pause();
  for (let i = 0; i < 100; i++) slow.request(command.read, 0, MiB).catch(() => {});
  await until(() => server.stats().replyBytes > 0, "replies to pile up");
  device.immediate = false;
  let release = (): void => {};
  device.before = (_call, _position, length) =>
    length === 512 ? new Promise<void>((resolve) => (release = resolve)) : undefined;
  const answer = waiting.read(0, 512);
  await pause(20);
  await pass(clock, limits.nbdUnreadReplyMs + 2 * limits.nbdWatchMs);
  await until(() => server.stats().connections === 1, "the end of who does not read");
  assert.match(errors[0]?.message ?? "", /the reading of replies took too long/);
  assert.equal(server.stats().timedOut, 1);
  await until(
    () => server.stats().replyBytes === 512,
    "the buffers to be given back, but for those of the one that waits",
  );
  release();
  assert.equal((await answer).length, 512);
});

test("silence is ended only where that was asked for, and not while a request is in flight", async (t) => {
  const patient = await serve(t);
  const silent = await startClient(t, patient.server);
  await pass(patient.clock, 40 * limits.nbdWatchMs);
  patient.clock.advance(1e9);
  await pause(10);
  assert.equal((await silent.read(0, 512)).length, 512);

  const idleMs = 60_000;
  const { clock, errors, device, server } = await serve(t, { idleMs });
  const [idle, busy, held] = (await Promise.all([1, 2, 3].map(() => startClient(t, server)))) as [
    NbdClient,
    NbdClient,
    NbdClient,
  ];
  let release = (): void => {};
  device.before = () => new Promise<void>((resolve) => (release = resolve));
  const flush = held.flush();
  await until(() => server.stats().inFlight === 1, "the flush");
  await pass(clock, idleMs + 2 * limits.nbdWatchMs, () => void busy.read(0, 512));
  await idle.ended;
  assert.ok(!busy.over && !held.over);
  release();
  await flush;
  assert.equal(errors.length, 1);
  assert.equal(errors[0]?.code, "ERR_PINFOLD_PEER_STUCK");
  assert.equal(server.stats().broken, 0, "an idle client has done no wrong");
});

test("a client that never reads holds no pin and no lock: others write and sync the same pages", async (t) => {
  const cache = await PageCache.open({ memory: "1MiB" });
  const file = await cache.open(new MemoryStore({ sizeBytes: 4 * MiB }));
  const server = await NbdServer.listen({
    exports: new Map([["disk", new FileDevice(file)]]),
    address: { path: join(scratchFolder(t), "s") },
  });
  t.after(async () => {
    await server.close({ graceMs: 100 });
    await cache.close();
  });
  const slow = await startClient(t, server);
  slow.socket.pause();
  for (let i = 0; i < 64; i++) slow.request(command.read, 0, 512 * 1024).catch(() => {});
  await until(() => server.stats().replyBytes >= 2 * MiB, "replies to pile up");
  await until(() => cache.stats().pinnedPages === 0, "no pins");
  const other = await startClient(t, server);
  await other.write(0, pattern(512 * 1024));
  await other.flush();
  assert.ok((await other.read(0, 512 * 1024)).equals(pattern(512 * 1024)));
  assert.deepEqual(cache.pins(), []);
  slow.destroy();
  other.destroy();
});

test("connectionsMax is a limit of its own; wrong numbers are EINVAL", async (t) => {
  const { server } = await serve(t, { connectionsMax: 2 });
  const first = await startClient(t, server);
  await startClient(t, server);
  await assert.rejects(startClient(t, server));
  assert.equal(server.stats().turnedAway, 1);
  first.destroy();
  await until(() => server.stats().connections === 1, "a place");
  await startClient(t, server);
  for (const options of [
    { connectionsMax: 0 },
    { connectionsMax: 1.5 },
    { connectionsMax: limits.nbdConnectionsMax + 1 },
  ]) {
    await assert.rejects(serve(t, options), { code: "EINVAL" });
  }
  for (const idleMs of [0, 999, Number.NaN, Infinity]) await assert.rejects(serve(t, { idleMs }), { code: "EINVAL" });
});
