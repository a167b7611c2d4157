/** The handshake: what each option is answered with. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { limits } from "../../src/base/limits.js";
import type { NbdDevice } from "../../src/nbd/device.js";
import { infoType, option, optionReply, transmissionFlag } from "../../src/nbd/protocol.js";
import { ArrayDevice } from "./array-device.js";
import { goData, NbdClient, NbdReplyError, optionHeader } from "./client.js";
import { ManualClock, pause, startClient, startRawClient, startServer, until } from "./fixture.js";

function threeExports(): Map<string, NbdDevice> {
  return new Map([
    ["first", new ArrayDevice(4096)],
    ["second", new ArrayDevice(8192)],
    ["read only", new ArrayDevice(12288, { readOnly: true })],
  ]);
}

test("GO tells size, flags, and the information asked for", async (t) => {
  const server = await startServer(t, threeExports());
  const client = await startRawClient(t, server);
  const wanted = [infoType.name, infoType.description, infoType.blockSize, 77];
  const answers = await client.go("second", { information: wanted, structured: true });
  assert.equal(client.sizeBytes, 8192);
  const information = answers.filter(({ code }) => code === optionReply.info);
  const byKind = new Map(information.map(({ data }) => [data.readUInt16BE(0), data.subarray(2)]));
  assert.equal(byKind.get(infoType.name)?.toString(), "second");
  assert.equal(byKind.get(infoType.description)?.toString(), "bytes in memory");
  const sizes = byKind.get(infoType.blockSize);
  assert.deepEqual(
    [0, 4, 8].map((at) => sizes?.readUInt32BE(at)),
    [1, 4096, limits.nbdRequestBytesMax],
  );
  const f = transmissionFlag;
  const all = f.hasFlags | f.sendFlush | f.sendFua | f.sendTrim | f.sendWriteZeroes | f.sendFastZero | f.sendCache;
  assert.equal(client.flags, all | f.canMultiConn | f.sendDf);
});

test("an empty name means the first export, unless one is called so", async (t) => {
  const server = await startServer(t, threeExports());
  assert.equal((await startClient(t, server)).sizeBytes, 4096);
  const other = await startServer(t, new Map([...threeExports(), ["", new ArrayDevice(512)]]));
  assert.equal((await startClient(t, other)).sizeBytes, 512);
});

test("a read-only export says so and does not offer to write", async (t) => {
  const server = await startServer(t, threeExports());
  const { flags } = await startClient(t, server, { name: "read only" });
  assert.ok((flags & transmissionFlag.readOnly) !== 0);
  assert.equal(flags & (transmissionFlag.sendTrim | transmissionFlag.sendWriteZeroes), 0);
});

test("DF is offered only after structured replies were agreed", async (t) => {
  const server = await startServer(t, threeExports());
  assert.equal((await startClient(t, server)).flags & transmissionFlag.sendDf, 0);
  assert.ok(((await startClient(t, server, { structured: true })).flags & transmissionFlag.sendDf) !== 0);
});

test("an unknown export is refused and the handshake goes on", async (t) => {
  const server = await startServer(t, threeExports());
  const client = await startRawClient(t, server);
  await client.greet();
  for (const type of [option.info, option.go]) {
    const [answer] = await client.option(type, goData("nobody", []));
    assert.equal(answer?.code, optionReply.unknownExport);
  }
  const answers = await client.option(option.info, goData("first", []));
  assert.deepEqual(
    answers.map(({ code }) => code),
    [optionReply.info, optionReply.ack],
  );
});

test("EXPORT_NAME begins transmission, with and without the zeroes", async (t) => {
  const server = await startServer(t, threeExports());
  for (const noZeroes of [true, false]) {
    const client = await startRawClient(t, server);
    await client.exportName("second", { noZeroes });
    assert.equal(client.sizeBytes, 8192);
    assert.equal((await client.read(0, 512)).length, 512);
    await client.disconnect();
  }
});

test("EXPORT_NAME of nobody ends the connection", async (t) => {
  const server = await startServer(t, threeExports());
  const client = await startRawClient(t, server);
  await assert.rejects(client.exportName("nobody"), /ended/);
});

test("LIST names all exports in order", async (t) => {
  const server = await startServer(t, threeExports());
  const client = await startRawClient(t, server);
  await client.greet();
  const answers = await client.option(option.list);
  assert.equal(answers.at(-1)?.code, optionReply.ack);
  const names = answers.slice(0, -1).map(({ data }) => data.toString("utf8", 4, 4 + data.readUInt32BE(0)));
  assert.deepEqual(names, ["first", "second", "read only"]);
  assert.equal((await client.option(option.list, Buffer.alloc(1)))[0]?.code, optionReply.invalid);
});

test("ABORT is acknowledged and ends the connection", async (t) => {
  const server = await startServer(t, threeExports());
  const client = await startRawClient(t, server);
  await client.greet();
  assert.equal((await client.option(option.abort))[0]?.code, optionReply.ack);
  client.socket.end();
  await client.ended;
});

test("what is not supported is answered so, and the handshake goes on", async (t) => {
  const server = await startServer(t, threeExports());
  const client = await startRawClient(t, server);
  await client.greet();
  const unsupported = [option.startTls, option.listMetaContext, option.setMetaContext, option.extendedHeaders, 4, 4711];
  for (const type of unsupported) {
    assert.equal((await client.option(type))[0]?.code, optionReply.unsupported, `option ${type}`);
  }
  const tooMuch = Buffer.alloc(limits.nbdOptionBytesMax + 1);
  assert.equal((await client.option(4711, tooMuch))[0]?.code, optionReply.unsupported);
  assert.equal((await client.option(option.go, tooMuch))[0]?.code, optionReply.tooBig);
  assert.equal((await client.option(option.go, goData("first", []))).at(-1)?.code, optionReply.ack);
});

test("options of a wrong shape are invalid", async (t) => {
  const server = await startServer(t, threeExports());
  const client = await startRawClient(t, server);
  await client.greet();
  const wrong = [Buffer.alloc(0), Buffer.alloc(5), goData("first", [1]).subarray(0, -1), Buffer.alloc(6, 0xff)];
  for (const data of wrong) assert.equal((await client.option(option.go, data))[0]?.code, optionReply.invalid);
  const longName = goData("x".repeat(limits.nbdExportNameBytesMax + 1), []);
  assert.equal((await client.option(option.info, longName))[0]?.code, optionReply.tooBig);
  assert.equal((await client.option(option.structuredReply, Buffer.alloc(1)))[0]?.code, optionReply.invalid);
});

test("too many options, unknown flags, and garbage end the connection", async (t) => {
  const errors: string[] = [];
  const server = await startServer(t, threeExports(), { onError: (error) => errors.push(error.code) });
  const many = await startRawClient(t, server);
  await many.greet();
  for (let i = 0; i <= limits.nbdOptionsMax; i++) many.raw(optionHeader(4711, 0));
  const flags = await startRawClient(t, server);
  await flags.greet(7);
  const garbage = await startRawClient(t, server);
  await garbage.greet();
  garbage.raw(Buffer.alloc(64, 0x55));
  await Promise.all([many.ended, flags.ended, garbage.ended]);
  assert.deepEqual(errors, Array(3).fill("ERR_PINFOLD_PROTOCOL"));
  assert.equal(server.stats().broken, 3);
});

test("a client without fixed newstyle may only name an export", async (t) => {
  const server = await startServer(t, threeExports());
  const client = await startRawClient(t, server);
  await client.greet(0);
  client.raw(optionHeader(option.list, 0));
  await client.ended;
});

test("a handshake that takes too long is ended; transmission may be idle for ever", async (t) => {
  const clock = new ManualClock();
  const server = await startServer(t, new ArrayDevice(4096), { clock });
  const slow = await startRawClient(t, server);
  const done = await startClient(t, server);
  await slow.greet();
  clock.advance(limits.nbdHandshakeMs);
  await slow.ended;
  clock.advance(100 * limits.nbdHandshakeMs);
  await pause(20);
  assert.equal((await done.read(0, 16)).length, 16);
});

test("a refused export says why", async (t) => {
  const server = await startServer(t, threeExports());
  const client = await startRawClient(t, server);
  await assert.rejects(client.go("nobody"), (error: Error) => error instanceof NbdReplyError);
  assert.ok(client instanceof NbdClient);
  client.destroy();
  await until(() => server.stats().connections === 0, "the server to see the end");
});
