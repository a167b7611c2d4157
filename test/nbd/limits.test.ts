/** Back-pressure and bounds: what one client does, or does not do, stays with it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { KiB, limits, MiB } from "../../src/base/limits.js";
import { command } from "../../src/nbd/protocol.js";
import { ArrayDevice } from "./array-device.js";
import type { NbdClient } from "./client.js";
import { ManualClock, pattern, pause, startClient, startRawClient, startServer, until } from "./fixture.js";

/** The first bytes of a write of which the rest never comes. */
function halfWrite(client: NbdClient, length: number, sent: number): void {
  client.request(command.write, 0, length, 0, Buffer.alloc(sent)).catch(() => {});
}

/** Asks for much and reads nothing. */
function askAndNeverRead(client: NbdClient, requests: number, length: number): void {
  client.socket.pause();
  for (let i = 0; i < requests; i++) client.request(command.read, 0, length).catch(() => {});
}

/** Reads and writes of another client work, in step and in bulk. */
async function worksFor(client: NbdClient, rounds = 50, length = 4096): Promise<void> {
  for (let i = 0; i < rounds; i++) {
    await client.write(MiB, pattern(length, i));
    assert.ok((await client.read(MiB, length)).equals(pattern(length, i)));
  }
  await Promise.all(Array.from({ length: 200 }, (_, i) => client.write(MiB + i * 4096, pattern(4096, i))));
  await Promise.all(Array.from({ length: 200 }, (_, i) => client.read(MiB + i * 4096, 4096)));
}

test("half a write and then silence holds its buffer only; others go on", async (t) => {
  const device = new ArrayDevice(64 * MiB);
  const server = await startServer(t, device);
  const stalled = await startClient(t, server);
  halfWrite(stalled, limits.nbdRequestBytesMax, 16 * MiB);
  await until(() => server.stats().receiveBytes === limits.nbdRequestBytesMax, "the payload's buffer");
  const other = await startClient(t, server);
  await worksFor(other);
  device.immediate = false;
  await worksFor(other);
  await worksFor(other, 5, limits.nbdReserveBytes);
  assert.ok(
    device.bytes.subarray(0, MiB).every((byte) => byte === 0),
    "nothing of the half write reached the device",
  );
  stalled.destroy();
  await until(() => server.stats().receiveBytes === 0, "the buffer to be given back");
  server.verify();
});

test("a stalled payload ends its connection once others wait for its buffer", async (t) => {
  const clock = new ManualClock();
  const errors: string[] = [];
  const server = await startServer(t, new ArrayDevice(64 * MiB), {
    clock,
    onError: (error) => errors.push(error.message),
  });
  const stalled = await startClient(t, server);
  halfWrite(stalled, limits.nbdRequestBytesMax, MiB);
  await until(() => server.stats().receiveBytes > 0, "the payload's buffer");
  clock.advance(3 * limits.nbdStallMs);
  await pause(20);
  assert.ok(!stalled.over, "nobody waits for it");
  const other = await startClient(t, server);
  const write = other.write(0, pattern(MiB));
  for (let i = 0; i < 3; i++) {
    await pause(20);
    clock.advance(limits.nbdStallMs);
  }
  await stalled.ended;
  await write;
  assert.ok(!other.over);
  assert.match(errors.join(), /stalled/);
  server.verify();
});

test("a slow payload that moves is left alone", async (t) => {
  const clock = new ManualClock();
  const server = await startServer(t, new ArrayDevice(64 * MiB), { clock });
  const slow = await startClient(t, server);
  halfWrite(slow, limits.nbdRequestBytesMax, MiB);
  await until(() => server.stats().receiveBytes > 0, "the payload's buffer");
  const other = await startClient(t, server);
  const write = other.write(0, pattern(MiB));
  for (let i = 1; i < 32; i++) {
    // When the write calls back, the server has read all but what the socket holds.
    await new Promise((resolve) => slow.socket.write(Buffer.alloc(MiB), resolve));
    clock.advance(limits.nbdStallMs);
  }
  await write;
  assert.ok(!slow.over);
});

test("a client that does not read its replies is no longer read from; others go on", async (t) => {
  const server = await startServer(t, new ArrayDevice(64 * MiB));
  const slow = await startClient(t, server);
  askAndNeverRead(slow, 20_000, 4096);
  // Headers count, too.
  const full = limits.nbdReplyBytesPerConnectionMax - limits.nbdPieceBytes;
  await until(() => server.stats().replyBytes >= full, "the replies to pile up");
  const taken = server.stats().requests.read;
  await pause(50);
  assert.equal(server.stats().requests.read, taken, "no further request is taken");
  const most = limits.nbdReplyBytesPerConnectionMax + limits.nbdPieceBytes;
  assert.ok(server.stats().replyBytes <= most);
  await worksFor(await startClient(t, server));
  slow.socket.resume();
  await until(() => slow.inFlight === 0, "all replies once it reads again");
  await until(() => server.stats().replyBytes === 0, "the budget to be given back");
  server.verify();
});

test("many clients that do not read: bounded bytes, others go on, stalled ones are ended when others wait", async (t) => {
  const clock = new ManualClock();
  const device = new ArrayDevice(64 * MiB);
  const server = await startServer(t, device, { clock });
  const slow = await Promise.all(Array.from({ length: 4 }, () => startClient(t, server)));
  for (const client of slow) askAndNeverRead(client, 2, limits.nbdRequestBytesMax);
  await until(() => server.stats().replyBytes >= 2 * limits.nbdRequestBytesMax, "two large replies");
  assert.ok(server.stats().replyBytes <= limits.nbdReplyBytesMax + 4 * limits.nbdReserveBytes);
  const other = await startClient(t, server);
  await worksFor(other);
  const done = new AbortController();
  const large = other.read(0, MiB).finally(() => done.abort());
  for (let i = 0; i < 100 && !done.signal.aborted; i++) {
    await pause(20);
    clock.advance(limits.nbdStallMs);
  }
  assert.equal((await large).length, MiB);
  assert.ok(server.stats().broken >= 2, "who did not read was ended");
  server.verify();
});

test("a client that never reads and then goes leaves nothing behind, also in the middle of reads of many pieces", async (t) => {
  const turns: (() => void)[] = [];
  const clock = new ManualClock();
  clock.nextTurn = (run) => void turns.push(run);
  const server = await startServer(t, new ArrayDevice(4 * MiB), { clock });
  const slow = await startClient(t, server, { structured: true });
  const each = 2 * limits.nbdPieceBytes;
  const full = limits.nbdReplyBytesPerConnectionMax;
  askAndNeverRead(slow, 100, each);
  // Each has its first piece, the share is used up, and the turns in which they would ask for more have not come.
  await until(() => server.stats().replyBytes === full, "the share to be used up");
  await pause(50);
  slow.destroy();
  await pause(20);
  for (const run of turns.splice(0)) run();
  await until(() => server.stats().connections === 0, "the end");
  const { inFlight, replyBytes } = server.stats();
  assert.deepEqual([inFlight, replyBytes], [0, 0]);
  server.verify();
});

test("at most so many requests of a connection are in flight", async (t) => {
  const device = new ArrayDevice(MiB);
  let release = (): void => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  device.immediate = false;
  device.before = () => held;
  const server = await startServer(t, device);
  const client = await startClient(t, server);
  const most = limits.nbdRequestsPerConnectionMax;
  const all = Promise.all(
    Array.from({ length: 3 * most }, (_, i) =>
      i % 2 === 0 ? client.read(i * 512, 512) : client.write(i * 512, pattern(512)),
    ),
  );
  await until(() => server.stats().inFlight === most, "requests to pile up");
  await pause(30);
  assert.equal(server.stats().inFlight, most);
  const other = await startClient(t, server);
  device.before = () => {};
  assert.equal((await other.read(0, 512)).length, 512);
  release();
  await all;
  assert.equal(server.stats().inFlight, 0);
});

test("payloads of all connections together stay within their budget", async (t) => {
  const device = new ArrayDevice(64 * MiB);
  let release = (): void => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  device.immediate = false;
  device.before = () => held;
  const server = await startServer(t, device);
  const enough = limits.nbdReceiveBytesMax / limits.nbdReceiveBytesPerConnectionMax + 2;
  const clients = await Promise.all(Array.from({ length: enough }, () => startClient(t, server)));
  const writes = clients.flatMap((client) =>
    Array.from({ length: 4 }, (_, i) => client.write(i * MiB, Buffer.alloc(MiB))),
  );
  await pause(150);
  const { receiveBytes } = server.stats();
  assert.ok(receiveBytes <= limits.nbdReceiveBytesMax + clients.length * limits.nbdReserveBytes, `${receiveBytes}`);
  assert.ok(receiveBytes > limits.nbdReceiveBytesMax / 2, "and use it");
  server.verify();
  release();
  await Promise.all(writes);
  assert.equal(server.stats().receiveBytes, 0);
});

test("connections past the limit are closed at accept, and a place that is left is taken", async (t) => {
  const server = await startServer(t, new ArrayDevice(4 * MiB));
  const clients: NbdClient[] = [];
  t.after(() => clients.forEach((client) => client.destroy()));
  for (let i = 0; i < limits.nbdConnectionsMax; i++) clients.push(await startRawClient(t, server));
  await until(() => server.stats().connections === limits.nbdConnectionsMax, "all places to be taken");
  const extra = await startRawClient(t, server);
  await extra.ended;
  assert.equal(server.stats().turnedAway, 1);
  await clients[0]?.go();
  assert.equal((await clients[0]?.read(0, 512))?.length, 512);
  clients[1]?.destroy();
  await until(() => server.stats().connections < limits.nbdConnectionsMax, "a place");
  await worksFor(await startClient(t, server), 1, KiB);
});

test("reads of a connection that ended are aborted, received writes are completed", async (t) => {
  const device = new ArrayDevice(MiB);
  const aborted: string[] = [];
  let release = (): void => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  device.immediate = false;
  device.before = (call, _position, _length, signal) =>
    new Promise<void>((resolve, reject) => {
      signal?.addEventListener("abort", () => {
        aborted.push(call);
        reject(signal.reason as Error);
      });
      void held.then(resolve);
    });
  const server = await startServer(t, device);
  const client = await startClient(t, server);
  client.read(0, 512).catch(() => {});
  client.write(0, pattern(512)).catch(() => {});
  await until(() => server.stats().inFlight === 2, "both to begin");
  client.destroy();
  await until(() => aborted.length > 0, "the abort");
  assert.deepEqual(aborted, ["read"]);
  assert.equal(server.stats().connections, 1, "its place is taken while its write runs");
  release();
  await until(() => server.stats().connections === 0, "the end");
  assert.ok(pattern(512).equals(device.bytes.subarray(0, 512)));
  server.verify();
});
