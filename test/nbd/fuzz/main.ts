/**
 * `npm run fuzz -- --streams 1000000 --sockets 10000 --seed 1`: so many streams into connections without a kernel, and so many of their
 * own over sockets. Prints what was met, or the first stream that was handled wrongly, with status 1.
 *
 * Memory: more than memoryBytesMost beside what the process had after the first streams is a failure, too.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { limits, MiB } from "../../../src/base/limits.js";
import { NbdServer } from "../../../src/nbd/server.js";
import { ArrayDevice } from "../array-device.js";
import { diskBytes } from "./grammar.js";
import { newTally, runInMemory, runOverSocket, type Tally } from "./run.js";

const memoryBytesMost = limits.nbdReceiveBytesMax + limits.nbdReplyBytesMax + limits.nbdPooledBytesMax + 128 * MiB;
const batch = 5_000;
const lanes = 4;

/** Streams with seeds from `seed`, over sockets to servers of their own. @throws FuzzFailure */
export async function overSockets(seed: number, streams: number, tally: Tally): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "pinfold-fuzz-"));
  let next = seed;
  const lane = async (number: number): Promise<void> => {
    const disk = new ArrayDevice(diskBytes);
    const exports = new Map([
      ["disk", disk],
      ["fixed", new ArrayDevice(diskBytes, { readOnly: true })],
    ]);
    const server = await NbdServer.listen({ exports, address: { path: join(folder, `${number}.sock`) } });
    try {
      while (next < seed + streams) await runOverSocket(next++, server, disk, tally);
    } finally {
      await server.close();
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(lanes, streams) }, (_, number) => lane(number)));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function wholeNumber(text: string, name: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`--${name} is a whole number, not ${text}`);
  return value;
}

async function main(): Promise<void> {
  const text = { type: "string" } as const;
  const { values } = parseArgs({ options: { streams: text, sockets: text, seed: text } });
  const sockets = wholeNumber(values.sockets ?? "1000", "sockets");
  const streams = wholeNumber(values.streams ?? "100000", "streams");
  const seed = wholeNumber(values.seed ?? String(Date.now() % 2 ** 31), "seed");
  const startMs = Date.now();
  const tally = newTally();
  console.log(`fuzz: --streams ${streams} --sockets ${sockets} --seed ${seed}`);
  let residentBytes = 0;
  let mostBytes = 0;
  for (let done = 0; done < streams; done += batch) {
    await runInMemory({ firstSeed: seed + done, streams: Math.min(batch, streams - done), tally });
    const { rss } = process.memoryUsage();
    if (done === 0) residentBytes = rss;
    mostBytes = Math.max(mostBytes, rss);
    if (done % (20 * batch) === 0) console.log(`fuzz: ${done + batch} streams, ${Math.round(rss / MiB)} MiB`);
  }
  await overSockets(seed + streams, sockets, tally);
  mostBytes = Math.max(mostBytes, process.memoryUsage().rss);
  console.log(JSON.stringify({ ...tally, mostResidentMiB: Math.round(mostBytes / MiB), tookMs: Date.now() - startMs }));
  if (mostBytes > residentBytes + memoryBytesMost) throw new Error(`memory grew from ${residentBytes} to ${mostBytes}`);
}

if (process.argv[1] === import.meta.filename) {
  await main().catch((error: unknown) => {
    console.error(`fuzz: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  });
}
