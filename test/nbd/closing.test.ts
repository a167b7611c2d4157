/** Begin and end of a server: addresses, socket files, and a close that loses no reply. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { PinfoldError } from "../../src/base/errors.js";
import { MiB } from "../../src/base/limits.js";
import { isLoopbackAddress, nbdUri, parseNbdAddress } from "../../src/nbd/address.js";
import { NbdServer } from "../../src/nbd/server.js";
import { replyError } from "../../src/nbd/protocol.js";
import { ArrayDevice } from "./array-device.js";
import { NbdClient, NbdReplyError } from "./client.js";
import {
  ManualClock,
  pattern,
  pause,
  scratchFolder,
  startClient,
  startRawClient,
  startServer,
  until,
} from "./fixture.js";

const coded = (code: string) => (error: unknown) => error instanceof PinfoldError && error.code === code;
const oneExport = () => new Map([["disk", new ArrayDevice(MiB)]]);

test("addresses are parsed, nonsense is EINVAL", () => {
  assert.deepEqual(parseNbdAddress("127.0.0.1:10809"), { host: "127.0.0.1", port: 10809 });
  assert.deepEqual(parseNbdAddress("[::1]:0"), { host: "::1", port: 0 });
  assert.deepEqual(parseNbdAddress("disk-1.example.org:1"), { host: "disk-1.example.org", port: 1 });
  assert.deepEqual(parseNbdAddress("unix:a b/nbd.sock"), { path: "a b/nbd.sock" });
  const nonsense = [
    "",
    ":",
    ":10809",
    "host",
    "host:",
    "host:x",
    "host:65536",
    "::1:80",
    "[::1]",
    "a b:1",
    "unix:",
    "unix:\0",
  ];
  for (const text of [...nonsense, `unix:${"x".repeat(200)}`, "http://host:1"]) {
    assert.throws(() => parseNbdAddress(text), coded("EINVAL"), text);
  }
});

test("only addresses of this machine count as loopback", () => {
  for (const text of ["127.0.0.1:1", "127.8.9.10:1", "localhost:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "unix:x"]) {
    assert.ok(isLoopbackAddress(parseNbdAddress(text)), text);
  }
  for (const text of [
    "0.0.0.0:1",
    "[::]:1",
    "10.0.0.1:1",
    "example.org:1",
    "127.0.0.1.example.org:1",
    "localhost.x:1",
  ]) {
    assert.ok(!isLoopbackAddress(parseNbdAddress(text)), text);
  }
});

test("URIs are what clients take", () => {
  assert.equal(nbdUri({ host: "127.0.0.1", port: 10809 }, "a/b c"), "nbd://127.0.0.1:10809/a%2Fb%20c");
  assert.equal(nbdUri({ host: "::", port: 1 }, ""), "nbd://[::1]:1");
  assert.equal(nbdUri({ host: "0.0.0.0", port: 1 }, "x"), "nbd://127.0.0.1:1/x");
  assert.equal(nbdUri({ path: "/run/a&b.sock" }, "x"), "nbd+unix:///x?socket=/run/a%26b.sock");
});

test("a port of 0 becomes a real one, over which the server is reached", async (t) => {
  const server = await startServer(t, oneExport(), { address: { host: "127.0.0.1", port: 0 } });
  const address = server.address();
  assert.ok("port" in address && address.port > 0);
  assert.equal(server.uri(), `nbd://127.0.0.1:${address.port}/disk`);
  assert.equal((await (await startClient(t, server)).read(0, 512)).length, 512);
  await assert.rejects(NbdServer.listen({ exports: oneExport(), address }), coded("EBUSY"));
});

test("a socket file of a dead server is replaced, that of a live one is EBUSY, other files are left alone", async (t) => {
  const path = join(scratchFolder(t), "nbd.sock");
  const script = `require("node:net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`;
  spawnSync(process.execPath, ["-e", script]);
  assert.ok(existsSync(path), "the dead server left its file");
  const server = await startServer(t, oneExport(), { address: { path } });
  assert.equal((await (await startClient(t, server)).read(0, 512)).length, 512);
  await assert.rejects(NbdServer.listen({ exports: oneExport(), address: { path } }), coded("EBUSY"));
  await server.close();
  assert.ok(!existsSync(path), "a closed server leaves no file");
  writeFileSync(path, "precious");
  await assert.rejects(NbdServer.listen({ exports: oneExport(), address: { path } }), coded("EBUSY"));
  assert.ok(existsSync(path));
});

test("wrong exports and addresses are named at listen", async (t) => {
  const folder = scratchFolder(t);
  const address = { path: join(folder, "a.sock") };
  await assert.rejects(NbdServer.listen({ exports: new Map(), address }), coded("EINVAL"));
  const long = new Map([["x".repeat(5000), new ArrayDevice(512)]]);
  await assert.rejects(NbdServer.listen({ exports: long, address }), coded("EINVAL"));
  const nowhere = { path: join(folder, "no", "such", "folder.sock") };
  await assert.rejects(NbdServer.listen({ exports: oneExport(), address: nowhere }), coded("ENOENT"));
  const foreign = { host: "192.0.2.1", port: 0 };
  await assert.rejects(NbdServer.listen({ exports: oneExport(), address: foreign, insecure: true }), coded("EINVAL"));
});

test("without TLS only this machine is served, unless that is meant", async (t) => {
  for (const host of ["0.0.0.0", "::", "192.0.2.1", "disk.example.org"]) {
    const address = { host, port: 0 };
    await assert.rejects(NbdServer.listen({ exports: oneExport(), address }), coded("ERR_PINFOLD_INSECURE"), host);
    const insecure = false;
    await assert.rejects(NbdServer.listen({ exports: oneExport(), address, insecure }), coded("ERR_PINFOLD_INSECURE"));
  }
  const address = { host: "0.0.0.0", port: 0 };
  const forced = await startServer(t, oneExport(), { address, insecure: true });
  assert.ok("port" in forced.address());
  const pskKeys = new Map([["alice", Buffer.alloc(32, 1)]]);
  await startServer(t, oneExport(), { address, tls: { pskKeys } });
});

test("close lets requests in flight finish, answers new ones with ESHUTDOWN, and then hangs up", async (t) => {
  const device = new ArrayDevice(MiB);
  let release = (): void => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  device.immediate = false;
  device.before = () => held;
  const server = await startServer(t, device);
  const client = await startClient(t, server);
  const waiting = await startRawClient(t, server);
  const idle = await startClient(t, server);
  const read = client.read(0, 4096);
  const write = client.write(8192, pattern(4096));
  await until(() => server.stats().inFlight === 2, "both in flight");
  const closed = server.close({ graceMs: 5000 });
  await Promise.all([idle.ended, waiting.ended]);
  const shutdown = (error: unknown) => error instanceof NbdReplyError && error.number === replyError.ESHUTDOWN;
  await assert.rejects(client.read(0, 512), shutdown);
  await assert.rejects(client.write(0, pattern(512)), shutdown);
  await assert.rejects(NbdClient.connect(server.address()));
  release();
  assert.equal((await read).length, 4096);
  await write;
  await closed;
  await client.ended;
  assert.equal(server.stats().connections, 0);
  await server.close();
});

test("close cuts off what is not done within the grace", async (t) => {
  const device = new ArrayDevice(MiB);
  device.immediate = false;
  device.before = (_call, _position, _length, signal) =>
    new Promise((_, reject) => {
      signal?.addEventListener("abort", () => reject(signal.reason as Error));
    });
  const server = await startServer(t, device);
  const client = await startClient(t, server);
  const read = client.read(0, 512);
  const write = client.write(0, pattern(512));
  await until(() => server.stats().inFlight === 2, "both in flight");
  const closed = server.close({ graceMs: 30 });
  await assert.rejects(read, /ended/);
  await assert.rejects(write, /ended/);
  await closed;
});

test("close says so when a device holds on to a request", async (t) => {
  const device = new ArrayDevice(MiB);
  device.immediate = false;
  let release = (): void => {};
  device.before = () =>
    new Promise<void>((resolve) => {
      release = resolve;
    });
  const server = await NbdServer.listen({
    exports: new Map([["", device]]),
    address: { path: join(scratchFolder(t), "s") },
  });
  const client = await NbdClient.connect(server.address());
  await client.go();
  client.write(0, pattern(10)).catch(() => {});
  await until(() => server.stats().inFlight === 1, "the write");
  await assert.rejects(server.close({ graceMs: 20 }), coded("EBUSY"));
  release();
  await until(() => server.stats().connections === 0, "the end");
});

test("DISC is followed by all replies and then the end", async (t) => {
  const device = new ArrayDevice(MiB);
  device.immediate = false;
  device.before = () => pause(10);
  const server = await startServer(t, device);
  const client = await startClient(t, server);
  const reads = Promise.all(Array.from({ length: 20 }, (_, i) => client.read(i * 4096, 4096)));
  await client.disconnect();
  assert.equal((await reads).length, 20);
  await until(() => server.stats().connections === 0, "the end");
});

test("a peer that neither reads nor hangs up after DISC is cut off", async (t) => {
  const clock = new ManualClock();
  const server = await startServer(t, new ArrayDevice(64 * MiB), { clock });
  const client = await startClient(t, server);
  client.socket.pause();
  client.request(0, 0, 2 * MiB).catch(() => {});
  client.request(2, 0, 0).catch(() => {});
  await until(() => server.stats().requests.disconnect === 1, "the goodbye");
  for (let i = 0; i < 10 && server.stats().connections > 0; i++) {
    clock.advance(60_000);
    await pause(20);
  }
  assert.equal(server.stats().connections, 0);
});
