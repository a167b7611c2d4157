/** Fault F35: broken and hostile peers. Seeded; PINFOLD_SEED repeats a run. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { limits, MiB } from "../../src/base/limits.js";
import type { NbdServer } from "../../src/nbd/server.js";
import { ArrayDevice } from "./array-device.js";
import { goData, NbdClient, optionHeader, requestHeader } from "./client.js";
import { pattern, pause, seededRandom, startClient, startServer, until } from "./fixture.js";

const streams = 1000;

type Random = (below: number) => number;

/** A number that a careless server would stumble on. */
function nastyNumber(random: Random): number {
  const numbers = [0, 1, 27, 28, 4096, 65_535, 65_536, MiB, limits.nbdRequestBytesMax + 1, 0x7fffffff, 0xffffffff];
  return numbers[random(numbers.length)] ?? 0;
}

function garbage(random: Random, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => random(256)));
}

/** Handshake and requests, some of them wrong somewhere. */
function stream(random: Random): Buffer {
  const parts: Buffer[] = [];
  parts.push(Buffer.from([0, 0, 0, random(10) === 0 ? random(256) : 3]));
  for (let i = random(3); i > 0; i--) {
    const length = random(4) === 0 ? nastyNumber(random) : random(200);
    parts.push(optionHeader(random(16), length), garbage(random, Math.min(length, random(300))));
  }
  if (random(8) > 0) {
    const data = goData(random(5) === 0 ? "nobody" : "", [3]);
    parts.push(optionHeader(random(2) === 0 ? 7 : 1, random(2) === 0 ? data.length : 0), data);
  }
  for (let i = random(30); i > 0; i--) {
    const nasty = random(4) === 0;
    const length = nasty ? nastyNumber(random) : random(8192);
    const position = nasty ? nastyNumber(random) * nastyNumber(random) : random(MiB);
    const flags = random(6) === 0 ? random(65_536) : 0;
    parts.push(requestHeader({ type: random(9), flags, cookie: i, position, length }));
    if (random(3) > 0) parts.push(Buffer.alloc(Math.min(length, 10_000), i));
  }
  if (random(4) === 0) parts.push(garbage(random, random(100)));
  const whole = Buffer.concat(parts);
  for (let i = random(3); i > 0; i--) whole[random(whole.length)] = random(256);
  return random(2) === 0 ? whole.subarray(0, random(whole.length)) : whole;
}

/** Sends one stream in random pieces, and leaves in one of three ways. */
async function misbehave(server: NbdServer, random: Random): Promise<void> {
  const client = await NbdClient.connect(server.address());
  client.socket.removeAllListeners("data");
  if (random(2) === 0) client.socket.resume();
  const bytes = stream(random);
  for (let at = 0; at < bytes.length; ) {
    const end = Math.min(bytes.length, at + 1 + random(4000));
    client.raw(bytes.subarray(at, end));
    at = end;
    if (random(4) === 0) await pause(0);
  }
  if (random(3) === 0) client.socket.end();
  await pause(random(3));
  client.destroy();
  await client.ended;
}

test(`${streams} random and truncated streams: bounded memory, another client is undisturbed`, async (t) => {
  const seed = Number(process.env["PINFOLD_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
  t.diagnostic(`PINFOLD_SEED=${seed}`);
  const random = seededRandom(seed);
  const device = new ArrayDevice(4 * MiB);
  const server = await startServer(t, device);
  const good = await startClient(t, server, { structured: true });

  const during = new AbortController();
  let rounds = 0;
  const undisturbed = (async () => {
    while (!during.signal.aborted) {
      const bytes = pattern(5000, rounds++);
      await good.write(3 * MiB, bytes);
      assert.ok((await good.read(3 * MiB, 5000)).equals(bytes));
      await pause(1);
    }
  })();

  let most = 0;
  const before = process.memoryUsage();
  const worker = async (): Promise<void> => {
    for (let i = 0; i < streams / 10; i++) {
      await misbehave(server, random);
      const { receiveBytes, replyBytes } = server.stats();
      most = Math.max(most, receiveBytes + replyBytes);
    }
  };
  // The good client has bytes of its own above 3 MiB; hostile ones may write below 2 MiB only.
  const guarded = device.tryWrite.bind(device);
  device.tryWrite = (source, position) =>
    position + source.length > 2 * MiB && position < 3 * MiB ? true : guarded(source, position);
  await Promise.all(Array.from({ length: 10 }, worker));
  during.abort();
  await undisturbed;
  assert.ok(rounds > 10, `the good client went on (${rounds} rounds)`);
  await until(() => server.stats().connections === 1, "the others to be gone");
  const { receiveBytes, replyBytes, inFlight, accepted } = server.stats();
  assert.deepEqual([receiveBytes, replyBytes, inFlight, accepted], [0, 0, 0, streams + 1]);
  server.verify();
  const grown = process.memoryUsage().arrayBuffers - before.arrayBuffers;
  const bound = limits.nbdReceiveBytesMax + limits.nbdReplyBytesMax + limits.nbdPooledBytesMax + 64 * MiB;
  assert.ok(most <= bound && grown <= bound, `held ${most}, grown ${grown}`);
});
