/** F34, F35: more clients than the server's process has descriptors for. Those that came in go on, and there is room again later. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { NbdClient } from "../nbd/client.js";
import { pattern, scratchFolder, until } from "../nbd/fixture.js";
import { Program, Undo, mainPath, serveArguments } from "./server-process.js";

/** Node loads many modules at once; the limit has to leave room for that. */
const descriptors = 256;

test("more clients than there are descriptors for are turned away; the others go on, and later ones come in", async (t) => {
  const undo = new Undo(t);
  const folder = scratchFolder(t);
  const [disk, path] = [join(folder, "disk"), join(folder, "nbd.sock")];
  const serve = [mainPath, "serve", ...serveArguments(path, [disk], { size: "16MiB" })];
  const limited = ["-c", `ulimit -n ${descriptors} && exec "$0" "$@"`, process.execPath, ...serve];
  const server = new Program(undo, "sh", limited);
  await server.says("pinfold: ready");
  const good = await NbdClient.connect({ path });
  await good.go("");
  const clients: NbdClient[] = [good];
  undo.add(() => clients.forEach((client) => client.destroy()));
  for (let round = 0; round < 3; round++) {
    const crowd: NbdClient[] = [];
    for (let at = 0; at < 1.5 * descriptors; at++) {
      const client = await NbdClient.connect({ path }).catch(() => undefined);
      if (client) crowd.push(client);
    }
    clients.push(...crowd);
    // Some hear it as they connect, others at once after that.
    await until(() => crowd.filter(({ over }) => !over).length < descriptors, "the others to be turned away");
    assert.ok(server.running, server.stderr);
    const at = round * 8192;
    await good.write(at, pattern(8192, round));
    await good.flush();
    assert.ok((await good.read(at, 8192)).equals(pattern(8192, round)));
    assert.ok(
      (await readFile(disk)).subarray(at, at + 8192).equals(pattern(8192, round)),
      "what was flushed is on the disk",
    );
    for (const client of crowd) client.destroy();
    await Promise.all(crowd.map(({ ended }) => ended));
  }
  let late: NbdClient | undefined;
  for (let tries = 0; late === undefined && tries < 200; tries++) {
    const client = await NbdClient.connect({ path });
    clients.push(client);
    late = await client.go("").then(
      () => client,
      () => undefined,
    );
  }
  assert.ok(late, "somebody comes in again");
  assert.ok((await late.read(0, 8192)).equals(pattern(8192, 0)));
  for (const client of clients) client.destroy();
  assert.deepEqual(await server.end(), { code: 0, signal: null }, server.stderr);
});
