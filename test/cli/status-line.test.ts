/** The status line of `serve` on a terminal, as `script` of util-linux makes one. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { NbdClient } from "../nbd/client.js";
import { pause, scratchFolder, seededRandom, until } from "../nbd/fixture.js";
import { has, mainPath, Program, serveArguments, startServing, Undo } from "../real/server-process.js";

const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

test("on a terminal a line shows requests/s, hits, dirty, pinned and errors, fits it, and goes away at the end", async (t) => {
  if (!has(t, "script", "stty")) return;
  const undo = new Undo(t);
  const folder = scratchFolder(t);
  const socket = join(folder, "nbd.sock");
  const typescript = join(folder, "typescript");
  const args = serveArguments(socket, [join(folder, "disk")], { size: "16MiB", memory: "8MiB" });
  const command = ["exec", process.execPath, mainPath, "serve", ...args].map(quote).join(" ").replace("'exec'", "exec");
  const terminal = new Program(undo, "script", ["-qfec", `stty columns 80; ${command}`, typescript]);
  const screen = (): string => readFileSync(typescript, "utf8");
  await terminal.says("pinfold: ready");
  const client = await NbdClient.connect({ path: socket });
  await client.go();
  const random = seededRandom(3);
  const startMs = Date.now();
  while (Date.now() - startMs < 2_500) {
    await client.write(random(3000) * 4096, Buffer.alloc(4096, 1));
    await client.read(random(3000) * 4096, 4096);
    await pause(1);
  }
  await client.request(77, 0, 4096).catch(() => {});
  await until(() => /errors 1/.test(screen()), "the error is counted");
  client.destroy();
  const lines = screen()
    .split(/\r|\n/)
    .map((line) => line.replaceAll("\u001b[K", ""))
    .filter((line) => line.includes("requests/s"));
  const busy = lines.filter((line) => !line.startsWith("0 "));
  assert.ok(busy.length >= 2, screen());
  for (const line of busy.slice(0, 2)) {
    assert.match(line, /^\d+ requests\/s \| hits \d+\.\d% \| dirty [\d.]+ (?:[KM]i)?B \| pinned \d+ \| errors \d+/);
    assert.ok(line.length < 80, `${line.length} columns`);
  }
  t.diagnostic(busy.at(-1) ?? "");
  const pid = terminal.child.pid;
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").map(Number);
  assert.equal(children.length, 1);
  process.kill(children[0] as number, "SIGINT");
  assert.deepEqual(await terminal.ended, { code: 0, signal: null }, terminal.stderr);
  const end = screen().slice(screen().indexOf("pinfold: ending") - 4);
  assert.ok(end.startsWith("\r\u001b[Kpinfold: ending"), "the line is taken away first");
  assert.match(end, /pinfold: ended/);
});

test("without a terminal there is no status line, and no control character", async (t) => {
  const undo = new Undo(t);
  const server = await startServing(t, undo, [join(scratchFolder(t), "disk")], { size: "1MiB" });
  await pause(1_200);
  const broken = await server.client();
  broken.raw(Buffer.alloc(64, 0xff));
  await broken.ended;
  assert.equal((await server.end()).code, 0);
  for (const text of ["requests/s", "\r", "\u001b"]) assert.ok(!server.stderr.includes(text), JSON.stringify(text));
  assert.match(server.stderr, /pinfold: unix socket: ERR_PINFOLD_PROTOCOL: /);
});

test("a client that breaks the protocol again and again does not flood the log", async (t) => {
  const undo = new Undo(t);
  const server = await startServing(t, undo, [join(scratchFolder(t), "disk")], { size: "1MiB" });
  for (let at = 0; at < 60; at++) {
    const broken = await server.client();
    broken.raw(Buffer.alloc(64, 0xff));
    await broken.ended;
  }
  await pause(1_100);
  const last = await server.client();
  last.raw(Buffer.alloc(64, 0xff));
  await last.ended;
  assert.equal((await server.end()).code, 0);
  assert.ok(server.stderr.split("\n").length < 30, server.stderr);
  assert.match(server.stderr, /pinfold: \d+ more messages/);
});
