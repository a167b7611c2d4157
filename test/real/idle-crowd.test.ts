/**
 * Fault F35: a thousand connections that do nothing, and a client that never reads, beside one that works. Memory is bounded, and the one
 * that works is served; how fast, in the same run with and without the crowd, is told and not judged.
 */
import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { KiB, limits, MiB } from "../../src/base/limits.js";
import { NbdClient } from "../nbd/client.js";
import { pattern, pause, scratchFolder, seededRandom } from "../nbd/fixture.js";
import { overheadBytes, type ServerProcess, startServing, Undo } from "./server-process.js";

const idle = 1_000;
const rounds = Number(process.env["PINFOLD_ROUNDS"] ?? 2);
const requests = 20_000;
const depth = 16;

/** Requests a second of reads and writes of 4 KiB, some of them in flight at a time. */
async function speed(client: NbdClient, random: (below: number) => number): Promise<number> {
  const startMs = performance.now();
  let left = requests;
  const bytes = pattern(4 * KiB);
  const lane = async (): Promise<void> => {
    while (left-- > 0) {
      const position = random(8 * MiB);
      if (random(3) === 0) await client.write(position, bytes);
      else assert.equal((await client.read(position, 4 * KiB)).length, 4 * KiB);
    }
  };
  await Promise.all(Array.from({ length: depth }, lane));
  return (requests * 1000) / (performance.now() - startMs);
}

/** Connections that say nothing, some of them after half a handshake, and one in transmission that asks for much and reads nothing. */
async function gather(server: ServerProcess): Promise<{ sockets: Socket[]; open: () => number; greedy: NbdClient }> {
  const greedy = await server.client();
  greedy.socket.pause();
  for (let i = 0; i < 200; i++) greedy.request(0, 0, MiB).catch(() => {});
  const sockets: Socket[] = [];
  for (let i = 0; i < idle; i++) {
    const socket = connect({ path: server.socket });
    socket.on("error", () => {});
    socket.resume();
    if (i % 3 === 0) socket.write(Buffer.from([0, 0, 0, 3]));
    sockets.push(socket);
    if (i % 50 === 49) await pause(5);
  }
  await pause(300);
  return { sockets, greedy, open: () => sockets.filter(({ closed }) => !closed).length };
}

test(`${idle} idle connections and a client that never reads: bounded memory, and who works is served`, async (t) => {
  const undo = new Undo(t);
  const server = await startServing(t, undo, [join(scratchFolder(t), "disk")], { size: "16MiB", memory: "16MiB" });
  const worker = await server.client();
  undo.add(() => worker.destroy());
  const random = seededRandom(11);
  await speed(worker, random);
  const ratios: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const before = await speed(worker, random);
    const { sockets, greedy, open } = await gather(server);
    undo.add(() => [...sockets, greedy.socket].forEach((socket) => socket.destroy()));
    const besides = open();
    assert.ok(
      besides <= limits.nbdConnectionsMax - 2 && besides > limits.nbdConnectionsMax / 2,
      `${besides} idle ones are open`,
    );
    const beside = await speed(worker, random);
    for (const socket of [...sockets, greedy.socket]) socket.destroy();
    await pause(300);
    // The machine's own ups and downs fall on both sides.
    const after = await speed(worker, random);
    ratios.push((2 * beside) / (before + after));
    const [first, second, third] = [before, beside, after].map((rate) => `${Math.round(rate)}/s`);
    t.diagnostic(`alone ${first}, beside ${besides} idle ones and one that never reads ${second}, alone ${third}`);
  }
  const middle = ratios.toSorted((a, b) => a - b)[ratios.length >> 1] ?? 0;
  t.diagnostic(`ratios ${ratios.map((ratio) => ratio.toFixed(2)).join(" ")}, the middle one ${middle.toFixed(2)}`);
  t.diagnostic(`peak memory ${(server.peakBytes / MiB).toFixed(0)} MiB, of which 16 MiB of pages`);
  assert.ok(server.peakBytes <= 16 * MiB + overheadBytes, `${server.peakBytes} bytes`);
  worker.destroy();
  assert.deepEqual(await server.end(), { code: 0, signal: null }, server.stderr);
});
