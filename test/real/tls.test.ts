/** QEMU's and libnbd's own clients against `pinfold serve` over TLS, with certificates and pre-shared keys; who is not to come in does not. */
import assert from "node:assert/strict";
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { MiB } from "../../src/base/limits.js";
import { Certificates, hasOpenSsl } from "../nbd/certificates.js";
import { pattern, scratchFolder } from "../nbd/fixture.js";
import { has, run, ServerProcess, Undo } from "./server-process.js";

/** Serves 16 MiB on a free port of this machine. Returns the port, too. */
async function serveOverTls(t: TestContext, flags: readonly string[]) {
  const undo = new Undo(t);
  const disk = join(scratchFolder(t), "disk");
  const server = new ServerProcess(undo, "", [
    disk,
    "--size",
    "16MiB",
    "--memory",
    "8MiB",
    "--nbd",
    "127.0.0.1:0",
    ...flags,
  ]);
  await server.says("over TLS only");
  const port = Number(/nbds:\/\/127\.0\.0\.1:(\d+)/.exec(server.stdout)?.[1]);
  assert.ok(port > 0, server.stdout);
  return { server, port };
}

function certificateFlags(certificates: Certificates): string[] {
  const part = (flag: string, file: string): string[] => [flag, certificates.path(file)];
  return [
    ...part("--tls-cert", "server-cert.pem"),
    ...part("--tls-key", "server-key.pem"),
    ...part("--tls-ca", "ca-cert.pem"),
  ];
}

/** Credentials of QEMU, as an object, and the disk over them. */
async function qemuIo(port: number, credentials: string, ...commands: string[]): Promise<string> {
  const image = `driver=nbd,server.type=inet,server.host=localhost,server.port=${port},tls-creds=tls0`;
  const words = ["--object", `${credentials},id=tls0,endpoint=client`, "--image-opts", image];
  return run("qemu-io", [...words, ...commands.flatMap((command) => ["-c", command])]);
}

test("qemu-io with certificates: an allowed one writes and reads, others do not come in", async (t) => {
  if (!hasOpenSsl(t) || !has(t, "qemu-io", "qemu-img")) return;
  const certificates = new Certificates(t);
  for (const name of ["alice", "bob"]) certificates.client({ name });
  certificates.client({ name: "mallory", by: "other" });
  const { server, port } = await serveOverTls(t, [...certificateFlags(certificates), "--tls-allow", "alice"]);
  const as = (name: string): string => `tls-creds-x509,dir=${certificates.path(name)}`;
  const output = await qemuIo(port, as("alice"), "write -P 0x5a 12345 3000000", "flush", "read -P 0x5a 12345 3000000");
  assert.doesNotMatch(output, /fail|error/i);
  // QEMU itself looks whether its certificate is by the authority, and does not send mallory's.
  for (const name of ["bob", "mallory"]) await assert.rejects(qemuIo(port, as(name), "read 0 512"), name);
  await assert.rejects(run("qemu-img", ["info", `nbd://localhost:${port}`]), /TLS/i, "without TLS");
  assert.match(server.stderr, /ERR_PINFOLD_PEER_REFUSED: "bob" is not among those allowed/);
  assert.deepEqual(await server.end(), { code: 0, signal: null }, server.stderr);
});

test("nbdinfo and nbdcopy with certificates", async (t) => {
  if (!hasOpenSsl(t) || !has(t, "nbdinfo", "nbdcopy")) return;
  const certificates = new Certificates(t);
  certificates.client({ name: "alice" });
  const { server, port } = await serveOverTls(t, certificateFlags(certificates));
  const uri = `nbds://localhost:${port}/disk?tls-certificates=${certificates.path("alice")}`;
  const [disk] = (JSON.parse(await run("nbdinfo", ["--json", uri])) as { exports: Record<string, unknown>[] }).exports;
  assert.equal(disk?.["export-size"], 16 * MiB);
  await copyBothWays(t, uri);
  assert.deepEqual(await server.end(), { code: 0, signal: null }, server.stderr);
});

async function copyBothWays(t: TestContext, uri: string): Promise<void> {
  const folder = scratchFolder(t);
  writeFileSync(join(folder, "in"), pattern(16 * MiB, 7));
  await run("nbdcopy", ["--flush", join(folder, "in"), uri]);
  await run("nbdcopy", [uri, join(folder, "out")]);
  assert.ok(pattern(16 * MiB, 7).equals(readFileSync(join(folder, "out"))), "what came back");
}

test("a key by psktool: nbdinfo, nbdcopy and qemu-io come in with it, and not with another", async (t) => {
  if (!has(t, "psktool", "nbdinfo", "nbdcopy", "qemu-io")) return;
  const folder = scratchFolder(t);
  const keys = join(folder, "keys.psk");
  for (const name of ["alice", "bob", "carol"]) await run("psktool", ["-u", name, "-p", keys]);
  chmodSync(keys, 0o600);
  const { server, port } = await serveOverTls(t, ["--tls-psk", keys, "--tls-allow", "alice", "--tls-allow", "carol"]);
  const uri = (name: string, file: string): string => `nbds://${name}@localhost:${port}/disk?tls-psk-file=${file}`;
  assert.match(await run("nbdinfo", [uri("alice", keys)]), /with TLS/);
  assert.match(await run("nbdinfo", [uri("carol", keys)]), /with TLS/);
  await copyBothWays(t, uri("alice", keys));
  // QEMU wants the file to be called keys.psk, in a folder that it is told.
  const as = (name: string): string => `tls-creds-psk,dir=${folder},username=${name}`;
  const output = await qemuIo(port, as("alice"), "write -P 0x77 4097 70001", "read -P 0x77 4097 70001");
  assert.doesNotMatch(output, /fail|error/i);
  await assert.rejects(qemuIo(port, as("bob"), "read 0 512"), "not allowed");
  const others = join(folder, "others.psk");
  for (const name of ["alice", "eve"]) await run("psktool", ["-u", name, "-p", others]);
  await assert.rejects(run("nbdinfo", [uri("alice", others)]), "another key");
  await assert.rejects(run("nbdinfo", [uri("eve", others)]), "unknown");
  assert.match(server.stderr, /"bob" is not among those allowed/);
  assert.match(server.stderr, /nobody is called "eve"/);
  assert.deepEqual(await server.end(), { code: 0, signal: null }, server.stderr);
});
