/** Fault F35: random streams from a grammar, valid and broken. PINFOLD_SEED repeats a run; `npm run fuzz` does more of them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { overSockets } from "./main.js";
import { FuzzFailure, newTally, runInMemory } from "./run.js";

const firstSeed = Number(process.env["PINFOLD_SEED"] ?? Math.floor(Math.random() * 2 ** 30));
const inMemory = 20_000;
const bySocket = 200;

test(`${inMemory} streams into a connection: each is answered as the protocol says, and changes what it may`, async (t) => {
  t.diagnostic(`PINFOLD_SEED=${firstSeed}`);
  const tally = newTally();
  await runInMemory({ firstSeed, streams: inMemory, tally });
  t.diagnostic(JSON.stringify(tally));
  assert.equal(tally.streams, inMemory);
  // It would be easy to write a grammar that never gets past the handshake.
  assert.ok(tally.transmissions > inMemory / 4 && tally.refused > inMemory / 4 && tally.requests > 2 * tally.refused);
  for (const [end, times] of Object.entries(tally.ends)) assert.ok(times > inMemory / 500, `${end}: ${times}`);
});

test(`${bySocket} streams over sockets, and a well-behaved client after every tenth`, async (t) => {
  t.diagnostic(`PINFOLD_SEED=${firstSeed}`);
  const tally = newTally();
  await overSockets(firstSeed, bySocket, tally);
  assert.equal(tally.streams, bySocket);
});

test("what a wrong server would answer is noticed", async () => {
  const forgeries: [string, (bytes: Buffer) => Buffer][] = [
    ["nothing at the end", (bytes) => bytes.subarray(0, bytes.length - 1)],
    ["a byte too many", (bytes) => Buffer.concat([bytes, Buffer.from([0])])],
    ["another byte", (bytes) => forgeAt(bytes, bytes.length - 1)],
    ["another byte in the middle", (bytes) => forgeAt(bytes, bytes.length >> 1)],
  ];
  for (const [what, forge] of forgeries) {
    const run = runInMemory({ firstSeed, streams: 200, tally: newTally(), forge });
    await assert.rejects(
      run,
      (error) => error instanceof FuzzFailure && /^stream \d+: .*\n {2}[0-9a-f]+/.test(error.message),
      what,
    );
  }
});

function forgeAt(bytes: Buffer, at: number): Buffer {
  const forged = Buffer.from(bytes);
  forged[at] = (forged[at] ?? 0) ^ 0x55;
  return forged;
}
