/** What a user of `pinfold` meets: exit statuses, one-line errors with their codes, help. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { MiB } from "../../src/base/limits.js";
import { replyError } from "../../src/nbd/protocol.js";
import { scratchFolder } from "../nbd/fixture.js";
import { mainPath, Program, startServing, Undo } from "../real/server-process.js";

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function pinfold(undo: Undo, cwd: string, ...args: string[]): Promise<Outcome> {
  const program = new Program(undo, process.execPath, [mainPath, ...args], { cwd });
  const { code } = await program.ended;
  return { code, stdout: program.stdout, stderr: program.stderr };
}

function assertOneLine({ stderr }: Outcome, code: string): void {
  assert.match(stderr, new RegExp(`^pinfold: ${code}: [^\\n]+\\n$`), stderr);
  assert.doesNotMatch(stderr, new RegExp(`${code}.*${code}`), "the code once");
}

test("--help and --version answer on standard output with status 0", async (t) => {
  const undo = new Undo(t);
  const folder = scratchFolder(t);
  const [version, help, serveHelp, nothing] = await Promise.all([
    pinfold(undo, folder, "--version"),
    pinfold(undo, folder, "--help"),
    pinfold(undo, folder, "serve", "--help"),
    pinfold(undo, folder),
  ]);
  assert.equal(version.code, 0);
  assert.match(version.stdout, /^\d+\.\d+\.\d+\n$/);
  assert.equal(help.code, 0);
  assert.match(help.stdout, /serve/);
  assert.equal(serveHelp.code, 0);
  for (const option of [
    "--size",
    "--memory",
    "--page-size",
    "--nbd",
    "--read-only",
    "--direct",
    "--tls-psk",
    "--insecure",
  ]) {
    assert.ok(serveHelp.stdout.includes(option), option);
  }
  assert.match(serveHelp.stdout, /default: 256MiB/, "defaults as one writes them");
  assert.equal(nothing.code, 2, "without a command the help comes as an error");
  assert.match(nothing.stderr, /Usage: pinfold/);
});

test("a command line that makes no sense: status 2, one line with EINVAL", async (t) => {
  const undo = new Undo(t);
  const folder = scratchFolder(t);
  const lines = [
    ["frobnicate"],
    ["serve", "--frobnicate"],
    ["serve", "--sise", "1GiB"],
    ["serve", "disk", "--size"],
    ["serve", "disk", "--size", "12q"],
    ["serve", "disk", "--size", "-1"],
    ["serve", "disk", "--size", "1.0001KiB"],
    ["serve", "disk", "--memory", "lots"],
    ["serve", "disk", "--page-size", "x"],
    ["serve", "disk", "--idle-timeout", "soon"],
    ["serve", "disk", "--max-clients", "257"],
  ];
  const outcomes = await Promise.all(lines.map((line) => pinfold(undo, folder, ...line)));
  outcomes.forEach((outcome, at) => {
    assert.equal(outcome.code, 2, `${lines[at]?.join(" ")}: ${outcome.stderr}`);
    assertOneLine(outcome, "EINVAL");
    assert.equal(outcome.stdout, "");
  });
  assert.ok(!existsSync(join(folder, "disk")), "nothing was made");
});

test("what cannot be served: status 1, one line with the code", async (t) => {
  const undo = new Undo(t);
  const folder = scratchFolder(t);
  mkdirSync(join(folder, "a"));
  writeFileSync(join(folder, "empty"), "");
  writeFileSync(join(folder, "small"), Buffer.alloc(5000));
  const lines: [string, ...string[]][] = [
    ["ENOENT", "missing"],
    ["ENOENT", "missing", "--read-only"],
    ["ENOENT", "nowhere/disk", "--size", "1MiB"],
    ["EISDIR", "a", "--size", "1MiB"],
    ["EISDIR", "a"],
    ["EINVAL", "empty"],
    ["EINVAL", "small", "--size", "1MiB"],
    ["EINVAL", "small", "a/small"],
    ["EINVAL", "small", "--read-only", "--size", "5000"],
    ["EINVAL", "new", "--size", "0"],
    ["EINVAL", "new", "--size", "1MiB", "--memory", "4KiB"],
    ["EINVAL", "new", "--size", "1MiB", "--page-size", "5000"],
    ["EINVAL", "new", "--size", "1MiB", "--page-size", "128KiB"],
    ["EINVAL", "new", "--size", "1MiB", "--nbd", "nonsense"],
    ["EINVAL", "small", "--nbd", "127.0.0.1:99999"],
    ["EINVAL", "small", "--nbd", "unix:"],
    ["EINVAL", "small", "--nbd", "203.0.113.1:0", "--insecure"],
    ["ERR_PINFOLD_INSECURE", "small", "--nbd", "0.0.0.0:0"],
    ["EINVAL", "small", "--tls-allow", "alice"],
    ["EINVAL", "small", "--tls-cert", "small"],
    ["EINVAL", "small", "--tls-cert", "small", "--tls-psk", "small"],
    ["EACCES", "small", "--tls-psk", "small"],
    ["ENOENT", "small", "--tls-psk", "missing"],
    ["ENOENT", "small", "--nbd", "unix:nowhere/socket"],
    ["EBUSY", "small", "--nbd", "unix:empty"],
    ["EINVAL", "/dev/null"],
    ["EINVAL", ""],
  ];
  const outcomes: Outcome[] = [];
  // One after the other: they would lock each other out of their files.
  for (const [, ...args] of lines) outcomes.push(await pinfold(undo, folder, "serve", "--nbd", "127.0.0.1:0", ...args));
  outcomes.forEach((outcome, at) => {
    const [code, ...args] = lines[at] as [string, ...string[]];
    assert.equal(outcome.code, 1, `${args.join(" ")}: ${outcome.stderr}`);
    assertOneLine(outcome, code);
  });
  assert.match(outcomes[0]?.stderr ?? "", /pass --size/);
  assert.doesNotMatch(outcomes[1]?.stderr ?? "", /pass --size/);
});

test("a folder that may not be written: EACCES", async (t) => {
  const undo = new Undo(t);
  const folder = scratchFolder(t);
  const locked = join(folder, "locked");
  mkdirSync(locked, { mode: 0o500 });
  // Root may write anywhere but in the kernel's own folders.
  const target = process.getuid?.() === 0 ? "/proc/self/disk" : join(locked, "disk");
  const outcome = await pinfold(undo, folder, "serve", target, "--size", "1MiB", "--nbd", "127.0.0.1:0");
  assert.equal(outcome.code, 1);
  assert.match(outcome.stderr, /^pinfold: (EACCES|ENOENT|EROFS): [^\n]+\n$/);
});

test("a file, a socket or a port that another server has: EBUSY, and the other goes on", async (t) => {
  const undo = new Undo(t);
  const folder = scratchFolder(t);
  const disk = join(folder, "disk");
  const server = await startServing(t, undo, [disk], { size: "1MiB" });
  writeFileSync(join(folder, "second"), Buffer.alloc(4096));
  const taken = createServer().listen(0, "127.0.0.1");
  undo.add(() => void taken.close());
  await new Promise((resolve) => taken.once("listening", resolve));
  const { port } = taken.address() as { port: number };
  for (const args of [
    ["disk", "--nbd", "127.0.0.1:0"],
    ["second", "--nbd", `unix:${server.socket}`],
    ["second", "--nbd", `127.0.0.1:${port}`],
  ]) {
    const outcome = await pinfold(undo, folder, "serve", ...args);
    assert.equal(outcome.code, 1, outcome.stderr);
    assertOneLine(outcome, "EBUSY");
  }
  const client = await server.client();
  await client.write(0, Buffer.alloc(4096, 1));
  await client.flush();
  client.destroy();
  assert.equal((await server.end()).code, 0);
});

test("the socket of a server that was killed is taken over, and one's own is removed at the end", async (t) => {
  const undo = new Undo(t);
  const folder = scratchFolder(t);
  const socket = join(folder, "nbd.sock");
  const killed = await startServing(t, undo, [join(folder, "disk")], { size: "1MiB", socket });
  await killed.end("SIGKILL");
  assert.ok(existsSync(socket), "left behind");
  const next = await startServing(t, undo, [join(folder, "disk")], { socket });
  (await next.client()).destroy();
  assert.equal((await next.end()).code, 0, next.stderr);
  assert.ok(!existsSync(socket));
});

test("several targets are several exports; the first is the default; --read-only refuses writes", async (t) => {
  const undo = new Undo(t);
  const folder = scratchFolder(t);
  const [one, two] = [join(folder, "one"), join(folder, "two")];
  const server = await startServing(t, undo, [one, two], { size: "1MiB" });
  assert.match(server.stdout, /one \(1\.00 MiB\): nbd\+unix:/);
  assert.match(server.stdout, /two \(1\.00 MiB\): nbd\+unix:\/\/\/two\?/);
  const [first, second] = [await server.client(), await server.client("two")];
  await first.write(0, Buffer.alloc(4096, 1));
  await second.write(0, Buffer.alloc(4096, 2));
  assert.deepEqual(await (await server.client("one")).read(0, 4096), Buffer.alloc(4096, 1));
  await assert.rejects(server.client("three"), "an export that is not there");
  assert.deepEqual(await server.end(), { code: 0, signal: null });

  const readOnly = await startServing(t, undo, [one, two], { flags: ["--read-only"] });
  const reader = await readOnly.client("two");
  assert.match(readOnly.stdout, /two \(1\.00 MiB, read-only\)/);
  assert.deepEqual(await reader.read(0, 4096), Buffer.alloc(4096, 2));
  for (const attempt of [
    () => reader.write(0, Buffer.alloc(4096)),
    () => reader.trim(0, 4096),
    () => reader.writeZeroes(0, 4096),
  ]) {
    await assert.rejects(attempt, { number: replyError.EPERM });
  }
  await reader.flush();
  // Two readers may share a file; a writer may not join them.
  const beside = await startServing(t, undo, [one], { flags: ["--read-only"] });
  const writer = await pinfold(undo, folder, "serve", one, "--nbd", "127.0.0.1:0");
  assert.equal(writer.code, 1);
  assertOneLine(writer, "EBUSY");
  for (const each of [readOnly, beside]) assert.deepEqual(await each.end(), { code: 0, signal: null }, each.stderr);
});

test("a reader of its output that goes away does not end the server", async (t) => {
  const undo = new Undo(t);
  const folder = scratchFolder(t);
  const server = await startServing(t, undo, [join(folder, "disk")], { size: "1MiB" });
  server.child.stdout?.destroy();
  server.child.stderr?.destroy();
  const client = await server.client();
  await client.write(0, Buffer.alloc(MiB, 7));
  // A message on standard error, to a pipe that nobody reads.
  const broken = await server.client();
  broken.raw(Buffer.alloc(64, 0xff));
  await broken.ended;
  await client.flush();
  client.destroy();
  assert.deepEqual(await server.end(), { code: 0, signal: null });
});
