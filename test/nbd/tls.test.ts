/** TLS: nothing before it, nobody without proof, nothing carried from plain text into it. */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { test, type TestContext } from "node:test";
import { limits, MiB } from "../../src/base/limits.js";
import type { PinfoldError } from "../../src/base/errors.js";
import { option, optionReply } from "../../src/nbd/protocol.js";
import type { NbdServer } from "../../src/nbd/server.js";
import { checkTlsOptions, type NbdTlsOptions, parsePskKeys } from "../../src/nbd/tls-options.js";
import { ArrayDevice } from "./array-device.js";
import { Certificates, type Client, hasOpenSsl } from "./certificates.js";
import { goData, NbdClient, optionHeader } from "./client.js";
import { ManualClock, pattern, pause, startRawClient, startServer, until } from "./fixture.js";

interface Served {
  readonly server: NbdServer;
  readonly device: ArrayDevice;
  readonly errors: PinfoldError[];
  readonly peers: string[];
}

async function serve(t: TestContext, tls: NbdTlsOptions, clock?: ManualClock): Promise<Served> {
  const device = new ArrayDevice(4 * MiB);
  const errors: PinfoldError[] = [];
  const peers: string[] = [];
  const onError = (error: PinfoldError, peer: string): void => {
    errors.push(error);
    peers.push(peer);
  };
  const server = await startServer(t, device, { tls, onError, ...(clock === undefined ? {} : { clock }) });
  return { server, device, errors, peers };
}

/** Through the handshake and once there and back; rejects for who is not let in. */
async function comesIn(
  t: TestContext,
  { server }: Served,
  tls: Parameters<NbdClient["secure"]>[0],
): Promise<NbdClient> {
  const plain = await startRawClient(t, server);
  const client = await plain.secure(tls);
  t.after(() => client.destroy());
  await client.go("", { structured: true });
  await client.write(0, pattern(70_000));
  assert.ok((await client.read(0, 70_000)).equals(pattern(70_000)));
  return client;
}

const keys = new Map([
  ["alice", Buffer.alloc(32, 1)],
  ["bob", Buffer.alloc(32, 2)],
]);

function psk(
  identity: string,
  key: Buffer,
  version: "TLSv1.2" | "TLSv1.3",
  ciphers = "PSK",
): Parameters<NbdClient["secure"]>[0] {
  const checkServerIdentity = (): undefined => undefined;
  const pskCallback = (): { psk: Buffer; identity: string } => ({ psk: key, identity });
  return { ciphers, pskCallback, checkServerIdentity, minVersion: version, maxVersion: version };
}

function by(certificates: Certificates, client?: Client): Parameters<NbdClient["secure"]>[0] {
  const identity = client === undefined ? {} : { cert: client.cert, key: client.key };
  return { ca: certificates.text("ca-cert.pem"), host: "localhost", ...identity };
}

test("before TLS nothing is answered but ABORT and STARTTLS", async (t) => {
  const { server, device } = await serve(t, { pskKeys: keys });
  const client = await startRawClient(t, server);
  await client.greet();
  const others = [option.list, option.info, option.go, option.structuredReply, option.setMetaContext, 4711];
  for (const type of others) {
    for (const data of [Buffer.alloc(0), goData("", []), Buffer.alloc(limits.nbdOptionBytesMax + 1)]) {
      assert.equal((await client.option(type, data))[0]?.code, optionReply.tlsRequired, `option ${type}`);
    }
  }
  for (const data of [Buffer.alloc(1), Buffer.alloc(limits.nbdOptionBytesMax + 1)]) {
    assert.equal((await client.option(option.startTls, data))[0]?.code, optionReply.invalid);
  }
  assert.equal((await client.option(option.abort))[0]?.code, optionReply.ack);
  const old = await startRawClient(t, server);
  await assert.rejects(old.exportName(""), /ended/);
  assert.deepEqual(device.calls, {});
});

test("a client by the authority reads and writes, over TLS 1.2 and 1.3; a second STARTTLS is invalid", async (t) => {
  if (!hasOpenSsl(t)) return;
  const certificates = new Certificates(t);
  const served = await serve(t, certificates.server);
  const alice = certificates.client({ name: "alice" });
  for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
    const tls = { ...by(certificates, alice), minVersion: version, maxVersion: version };
    const client = await comesIn(t, served, tls);
    await client.disconnect();
    const again = await (await startRawClient(t, served.server)).secure(tls);
    assert.equal((await again.option(option.startTls))[0]?.code, optionReply.invalid);
    assert.equal((await again.option(option.list)).at(-1)?.code, optionReply.ack);
    again.destroy();
  }
  assert.equal(served.server.uri().slice(0, 5), "nbds+");
  const old = {
    ...by(certificates, alice),
    minVersion: "TLSv1.1",
    maxVersion: "TLSv1.1",
    ciphers: "ALL@SECLEVEL=0",
  } as const;
  await assert.rejects(comesIn(t, served, old));
});

test("without a certificate, with another authority's, with an expired one: refused, and the log says why", async (t) => {
  if (!hasOpenSsl(t)) return;
  const certificates = new Certificates(t);
  const served = await serve(t, certificates.server);
  const mallory = certificates.client({ name: "alice", by: "other" });
  const late = certificates.client({ name: "late", expired: true });
  for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
    for (const client of [undefined, mallory, late]) {
      await assert.rejects(
        comesIn(t, served, { ...by(certificates, client), maxVersion: version }),
        /ended|alert|ECONNRESET|disconnected/,
      );
    }
  }
  await until(() => served.server.stats().connections === 0, "the ends");
  assert.ok(served.errors.every(({ code }) => code === "ERR_PINFOLD_PEER_REFUSED"));
  const messages = served.errors.map(({ message }) => message).join("\n");
  assert.match(messages, /the client has no certificate/);
  assert.match(messages, /certificate of "alice": (UNABLE_TO|SELF_SIGNED)/);
  assert.match(messages, /certificate of "late": CERT_HAS_EXPIRED/);
  assert.equal(served.server.stats().refused, 6);
  assert.deepEqual(served.device.calls, {});
});

test("only allowed names come in: common name, DNS name or mail address, exactly", async (t) => {
  if (!hasOpenSsl(t)) return;
  const certificates = new Certificates(t);
  const allow = ["alice", "backup.example.org", "carol@example.org"];
  const served = await serve(t, { ...certificates.server, allow });
  const names = "DNS:host.example.org,DNS:backup.example.org";
  const good = [
    certificates.client({ name: "alice" }),
    certificates.client({ name: "machine", names }),
    certificates.client({ name: "carol", names: "email:carol@example.org" }),
  ];
  for (const client of good) await comesIn(t, served, by(certificates, client));
  const bad = [
    certificates.client({ name: "bob" }),
    certificates.client({ name: "Alice" }),
    certificates.client({ name: "wild", names: "DNS:*.example.org" }),
    certificates.client({ name: "below", names: "DNS:sub.backup.example.org" }),
  ];
  for (const client of bad) await assert.rejects(comesIn(t, served, by(certificates, client)));
  await until(() => served.errors.length === bad.length, "the log");
  assert.match(served.errors[0]?.message ?? "", /"bob" is not among those allowed/);
});

test("without an authority nobody is asked for a certificate", async (t) => {
  if (!hasOpenSsl(t)) return;
  const certificates = new Certificates(t);
  const { certificate, key } = certificates.server;
  await comesIn(t, await serve(t, { certificate, key }), by(certificates));
});

test("who has its pre-shared key comes in, over TLS 1.2 and 1.3; the errors of its connection name it", async (t) => {
  const served = await serve(t, { pskKeys: keys });
  for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
    const ciphers = version === "TLSv1.2" ? "PSK" : "TLS_AES_128_GCM_SHA256";
    const client = await comesIn(t, served, psk("alice", Buffer.alloc(32, 1), version, ciphers));
    client.raw(Buffer.alloc(28));
    await client.ended;
  }
  assert.match(served.peers.join(), /\("alice"\)/);
  for (const cipher of ["ECDHE-PSK-CHACHA20-POLY1305", "DHE-PSK-AES256-GCM-SHA384", "PSK-AES128-GCM-SHA256"]) {
    await comesIn(t, served, psk("bob", Buffer.alloc(32, 2), "TLSv1.2", cipher));
  }
});

test("a wrong key, an unknown identity, one not allowed, no key at all: refused, and the log says who", async (t) => {
  const served = await serve(t, { pskKeys: keys, allow: ["alice"] });
  await comesIn(t, served, psk("alice", Buffer.alloc(32, 1), "TLSv1.2"));
  const tries = [
    psk("alice", Buffer.alloc(32, 9), "TLSv1.2"),
    psk("alice", Buffer.alloc(32, 9), "TLSv1.3", "TLS_AES_128_GCM_SHA256"),
    // Known by name, but the key cannot be tried: it belongs to SHA-256.
    psk("alice", Buffer.alloc(32, 9), "TLSv1.3", "TLS_AES_256_GCM_SHA384"),
    psk("bob", Buffer.alloc(32, 2), "TLSv1.2"),
    psk("bob", Buffer.alloc(32, 2), "TLSv1.3", "TLS_AES_128_GCM_SHA256"),
    psk("eve\n\u202eforged line", Buffer.alloc(32, 2), "TLSv1.2"),
    { rejectUnauthorized: false },
    { rejectUnauthorized: false, maxVersion: "TLSv1.2", ciphers: "ALL:aNULL:@SECLEVEL=0" } as const,
  ];
  const { calls } = served.device;
  const before = JSON.stringify(calls);
  for (const tls of tries) await assert.rejects(comesIn(t, served, tls));
  await until(() => served.errors.length === tries.length, "the log");
  const messages = served.errors.map(({ message }) => message);
  assert.match(messages[0] ?? "", /"alice" did not show that it has its key/);
  assert.match(messages[3] ?? "", /"bob" is not among those allowed/);
  assert.match(messages[5] ?? "", /nobody is called "eve\?+forged line"$/);
  assert.ok(served.errors.every(({ code }) => code === "ERR_PINFOLD_PEER_REFUSED"));
  assert.equal(JSON.stringify(calls), before);
  await comesIn(t, served, psk("alice", Buffer.alloc(32, 1), "TLSv1.2"));
});

for (const way of ["in the same packet", "in the next one", "after our answer"] as const) {
  test(`options in plain text, ${way} as STARTTLS, are never options inside TLS`, async (t) => {
    const served = await serve(t, { pskKeys: keys });
    const client = await startRawClient(t, served.server);
    await client.greet();
    const injected = Buffer.concat([optionHeader(option.structuredReply, 0), optionHeader(option.list, 0)]);
    const answers: Buffer[] = [];
    client.socket.removeAllListeners("data");
    client.socket.on("data", (chunk: Buffer) => answers.push(chunk));
    const startTls = optionHeader(option.startTls, 0);
    if (way === "in the same packet") client.raw(Buffer.concat([startTls, injected]));
    else {
      client.raw(startTls);
      if (way === "after our answer") await until(() => answers.length > 0, "the acknowledgement");
      client.raw(injected);
    }
    await client.ended;
    // Of NBD the acknowledgement at most, whatever TLS says then.
    const magic = Buffer.from("0003e889045565a9", "hex");
    const plain = Buffer.concat(answers);
    assert.ok(plain.lastIndexOf(magic) <= 0, plain.toString("hex"));
    assert.equal(served.errors.length, 1);
    const expected = way === "in the same packet" ? "ERR_PINFOLD_PROTOCOL" : "ERR_PINFOLD_PEER_REFUSED";
    if (way !== "in the next one") assert.equal(served.errors[0]?.code, expected);
  });
}

test("a first byte of TLS that came with STARTTLS ends the connection, though TLS could go on from it", async (t) => {
  const served = await serve(t, { pskKeys: keys });
  const client = await startRawClient(t, served.server);
  await client.greet();
  client.raw(Buffer.concat([optionHeader(option.startTls, 0), Buffer.from([0x16])]));
  await client.ended;
  assert.match(served.errors[0]?.message ?? "", /in plain text after STARTTLS/);
});

test("a TLS handshake that does not end is ended, and garbage in it as well", async (t) => {
  const clock = new ManualClock();
  const served = await serve(t, { pskKeys: keys }, clock);
  const silent = await startRawClient(t, served.server);
  await silent.greet();
  await silent.option(option.startTls);
  await pause(20);
  clock.advance(limits.nbdHandshakeMs);
  await silent.ended;
  assert.equal(served.errors[0]?.code, "ERR_PINFOLD_PEER_STUCK");
  for (const bytes of [pattern(5000), Buffer.from("160301ffff01", "hex"), Buffer.from("GET / HTTP/1.1\r\n\r\n")]) {
    const client = await startRawClient(t, served.server);
    await client.greet();
    await client.option(option.startTls);
    client.raw(bytes);
    client.socket.end();
    await client.ended;
  }
  await until(() => served.server.stats().connections === 0, "the ends");
  await comesIn(t, served, psk("alice", Buffer.alloc(32, 1), "TLSv1.2"));
});

test("many handshakes at the same time, some of them broken, each with its own outcome", async (t) => {
  const served = await serve(t, { pskKeys: keys });
  const each = Array.from({ length: 3 * limits.nbdTlsLanesKept }, (_, at) => at);
  await Promise.all(
    each.map(async (at) => {
      const [name, byte] = at % 2 === 0 ? (["alice", 1] as const) : (["bob", 2] as const);
      const wrong = at % 3 === 0;
      const tls = psk(name, Buffer.alloc(32, wrong ? 9 : byte), "TLSv1.2");
      const entering = startRawClient(t, served.server).then((client) => client.secure(tls));
      if (wrong) return assert.rejects(entering);
      const client = await entering;
      await client.go();
      client.raw(Buffer.alloc(28));
      return client.ended;
    }),
  );
  await until(() => served.server.stats().connections === 0, "the ends");
  const ended = served.peers.filter((_, at) => served.errors[at]?.code === "ERR_PINFOLD_PROTOCOL");
  assert.equal(ended.filter((peer) => peer.includes("alice")).length, each.length / 3);
  assert.equal(ended.filter((peer) => peer.includes("bob")).length, each.length / 3);
  assert.equal(served.server.stats().refused, each.length / 3);
});

test("close() while a handshake is under way ends it at once, whether the client hangs up or not", async (t) => {
  const { server } = await serve(t, { pskKeys: keys }, new ManualClock());
  const client = new NbdClient(connect({ ...(server.address() as { path: string }), allowHalfOpen: true }));
  t.after(() => client.destroy());
  await client.greet();
  await client.option(option.startTls);
  await pause(10);
  // No time-out fires on this clock.
  void server.close();
  await until(() => server.stats().connections === 0, "the end");
});

test("options that do not go together, keys too short, files that are no PEM: EINVAL at listen", async (t) => {
  const key = Buffer.alloc(32);
  const wrong: NbdTlsOptions[] = [
    {},
    { certificate: "x" },
    { certificate: "x", key: "y", pskKeys: keys },
    { authority: "x", pskKeys: keys },
    { pskKeys: new Map() },
    { pskKeys: new Map([["a", Buffer.alloc(15)]]) },
    { pskKeys: new Map([["", key]]) },
    { pskKeys: new Map([["x".repeat(129), key]]) },
    { pskKeys: keys, allow: [] },
    { pskKeys: keys, allow: ["carol"] },
    { certificate: "x", key: "y", allow: ["alice"] },
    { certificate: "x", key: "y", authority: "z", allow: [".example.org"] },
  ];
  // Not because of the PEM, which is none.
  for (const tls of wrong) assert.throws(() => checkTlsOptions(tls), { code: "EINVAL" }, JSON.stringify(tls));
  for (const tls of [...wrong, { certificate: "x", key: "y" }]) await assert.rejects(serve(t, tls), { code: "EINVAL" });
});

test("a file of pre-shared keys is read as psktool writes it; messages name the line, not the key", () => {
  const secret = "00112233445566778899aabbccddeeff";
  const read = parsePskKeys(`alice:${secret}\r\n\nbob b:${secret.toUpperCase()}\n`);
  assert.deepEqual([...read.keys()], ["alice", "bob b"]);
  assert.equal(read.get("bob b")?.toString("hex"), secret);
  const wrong = [
    "",
    "alice",
    `alice:${secret}0`,
    `:${secret}`,
    `#00:${secret}`,
    `a:${secret}\na:${secret}`,
    "a:0011",
    `a:${secret}zz`,
  ];
  for (const text of wrong) {
    assert.throws(
      () => parsePskKeys(text),
      (error: PinfoldError) => error.code === "EINVAL" && !error.message.includes("0011"),
      text,
    );
  }
});
