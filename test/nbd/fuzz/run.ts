/**
 * Feeds streams to the server: into a connection without a kernel (runInMemory), or over a socket to a whole server (runOverSocket),
 * and compares what came of it.
 *
 * Invariant: a failure names the seed of its stream, and has its bytes; makeStream(seed) gives them again.
 *
 * See also: grammar.ts, expectation.ts, answers.ts, memory-socket.ts, main.ts (the command), fuzz.test.ts.
 */
import { connect } from "node:net";
import { limits } from "../../../src/base/limits.js";
import { BufferPool } from "../../../src/nbd/buffer-pool.js";
import { ByteBudget } from "../../../src/nbd/byte-budget.js";
import { systemNbdClock } from "../../../src/nbd/clock.js";
import { Connection, type ConnectionHost } from "../../../src/nbd/connection.js";
import type { NbdServer } from "../../../src/nbd/server.js";
import { Counters } from "../../../src/nbd/statistics.js";
import type { TlsGate } from "../../../src/nbd/tls-gate.js";
import { ArrayDevice } from "../array-device.js";
import { NbdClient } from "../client.js";
import { pattern } from "../fixture.js";
import { Answers, Wrong } from "./answers.js";
import { type Expectation, expect } from "./expectation.js";
import { diskBytes, makeStream, type Stream } from "./grammar.js";
import { MemorySocket } from "./memory-socket.js";

/** What a run met, so that it can be seen that it met everything. */
export interface Tally {
  streams: number;
  bytes: number;
  requests: number;
  refused: number;
  transmissions: number;
  ends: Record<Expectation["end"], number>;
  mostHeldBytes: number;
}

export function newTally(): Tally {
  const ends = { open: 0, left: 0, broken: 0, secured: 0 };
  return { streams: 0, bytes: 0, requests: 0, refused: 0, transmissions: 0, ends, mostHeldBytes: 0 };
}

export class FuzzFailure extends Error {
  override readonly name = "FuzzFailure";

  constructor(stream: Stream, reason: unknown) {
    const hex = stream.bytes.subarray(0, 4096).toString("hex");
    const more = stream.bytes.length > 4096 ? `... (${stream.bytes.length} bytes)` : "";
    super(`stream ${stream.seed}: ${reason instanceof Error ? reason.message : String(reason)}\n  ${hex}${more}`, {
      cause: reason,
    });
  }
}

function count(tally: Tally, stream: Stream, expected: Expectation): void {
  tally.streams++;
  tally.bytes += stream.bytes.length;
  tally.requests += expected.requests.length;
  tally.refused += expected.requests.filter(({ error }) => error !== 0).length;
  if (expected.requests.length > 0) tally.transmissions++;
  tally.ends[expected.end]++;
}

function pieces(stream: Stream): Buffer[] {
  const ends = [...stream.cuts, stream.bytes.length];
  return ends.map((end, at) => stream.bytes.subarray(at === 0 ? 0 : ends[at - 1], end));
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A disk for each stream under way, and what all connections share. */
class Lane {
  readonly disk = new ArrayDevice(diskBytes);
  readonly fixed = new ArrayDevice(diskBytes, { readOnly: true });

  clean(expected: Expectation): void {
    for (const { type, position, length } of expected.requests) {
      if (type === 1) this.disk.bytes.fill(0, position, Math.min(diskBytes, position + length));
    }
  }
}

export interface MemoryRun {
  readonly firstSeed: number;
  readonly streams: number;
  readonly tally: Tally;
  /** Changes what was answered: to see that it is noticed. */
  readonly forge?: (answers: Buffer) => Buffer;
}

const lanesMost = 32;

/** @throws FuzzFailure */
export async function runInMemory({ firstSeed, streams, tally, forge = (bytes) => bytes }: MemoryRun): Promise<void> {
  const shared = { reserveBytes: limits.nbdReserveBytes, stallMs: limits.nbdStallMs, clock: systemNbdClock };
  const budget = {
    ...shared,
    sharedBytes: limits.nbdReceiveBytesMax,
    accountBytesMax: limits.nbdReceiveBytesPerConnectionMax,
  };
  const receives = new ByteBudget(budget);
  const replies = new ByteBudget({
    ...shared,
    sharedBytes: limits.nbdReplyBytesMax,
    accountBytesMax: limits.nbdReplyBytesPerConnectionMax,
  });
  const pool = new BufferPool(limits.nbdPooledBytesMax);
  const lanes = Array.from({ length: Math.min(lanesMost, streams) }, () => new Lane());
  let next = firstSeed;
  const work = async (lane: Lane): Promise<void> => {
    while (next < firstSeed + streams) {
      const stream = makeStream(next++);
      const expected = expect(stream);
      count(tally, stream, expected);
      try {
        await oneInMemory(stream, expected, lane, { receives, replies, pool }, forge);
      } catch (error) {
        throw new FuzzFailure(stream, error);
      }
      tally.mostHeldBytes = Math.max(tally.mostHeldBytes, receives.heldBytes + replies.heldBytes);
      lane.clean(expected);
    }
  };
  await Promise.all(lanes.map(work));
  receives.verify();
  replies.verify();
  if (receives.heldBytes + replies.heldBytes > 0) throw new Error("bytes that nobody gave back");
}

async function oneInMemory(
  stream: Stream,
  expected: Expectation,
  lane: Lane,
  shared: Pick<ConnectionHost, "receives" | "replies" | "pool">,
  forge: (answers: Buffer) => Buffer,
): Promise<void> {
  const counters = new Counters();
  const memory = new MemorySocket();
  memory.reading = stream.manner !== "neverReads";
  lane.disk.immediate = !stream.waits;
  const state = { gone: false };
  let securing = false;
  const tls = { begin: () => void (securing = true) } as unknown as TlsGate;
  const writes = new AbortController();
  const connection = new Connection(memory.socket, {
    ...shared,
    exports: new Map([
      ["disk", lane.disk],
      ["fixed", lane.fixed],
    ]),
    counters,
    clock: { nowMs: () => 0, after: () => ({ cancel() {} }), nextTurn: (run) => void setImmediate(run) },
    tls: stream.tls ? tls : undefined,
    idleMs: undefined,
    writeSignal: writes.signal,
    onError: () => {},
    onGone: () => void (state.gone = true),
  });
  for (const piece of pieces(stream)) {
    memory.deliver(piece);
    if (piece.length % 3 === 0) await turn();
  }
  if (stream.manner !== "hangsUp") await quiet(memory, counters, lane.disk);
  const whole = stream.manner === "answers";
  if (whole) checkEnd(memory, expected, securing);
  memory.leave(stream.seed % 2 === 0);
  for (let waited = 0; !state.gone; waited++) {
    if (waited > 10_000) throw new Wrong(`the connection does not end; ${counters.inFlight} in flight`);
    await turn();
  }
  connection.destroy();
  compare(
    expected,
    forge(memory.answers),
    lane.disk.bytes,
    whole && (expected.end === "open" || expected.end === "left"),
  );
}

/** Until nothing moves any more. (Half a payload stays in flight for ever.) */
async function quiet(memory: MemorySocket, counters: Counters, disk: ArrayDevice): Promise<void> {
  let before = "";
  for (let same = 0, rounds = 0; same < 4; rounds++) {
    await turn();
    const calls = Object.values(disk.calls).reduce((sum, times) => sum + times, 0);
    const now = [
      counters.inFlight,
      memory.waitingWrites,
      memory.undelivered,
      memory.answeredBytes,
      memory.over,
      calls,
    ].join();
    same = now === before ? same + 1 : 0;
    before = now;
    if (rounds > 100_000) throw new Wrong(`never quiet: ${now}`);
  }
}

function checkEnd(memory: MemorySocket, { end }: Expectation, securing: boolean): void {
  if (end === "open" && memory.over) throw new Wrong("the connection ended, though nothing was wrong");
  if ((end === "left" || end === "broken") && !memory.over) throw new Wrong("the connection goes on");
  if (end === "secured" && !memory.over && !securing) throw new Wrong("TLS was not begun");
}

function compare(expected: Expectation, answered: Buffer, disk: Uint8Array, whole: boolean): void {
  const answers = new Answers(expected, answered);
  const complete = answers.check();
  if (whole && !complete) throw new Wrong("something was not answered");
  if (whole && answers.restBytes > 0) throw new Wrong(`${answers.restBytes} bytes more than was asked for`);
  answers.checkDisk(disk);
}

/** The same over a socket to `server`, whose exports are `disk` and `fixed`; one stream at a time. @throws FuzzFailure */
export async function runOverSocket(seed: number, server: NbdServer, disk: ArrayDevice, tally: Tally): Promise<void> {
  const made = makeStream(seed);
  // Whether a server has TLS is settled when it starts.
  const stream: Stream = { ...made, tls: false };
  const expected = expect(stream);
  count(tally, stream, expected);
  disk.immediate = !stream.waits;
  try {
    await oneOverSocket(stream, expected, server, disk);
    if (seed % 10 === 0) await wellBehaved(server, disk);
  } catch (error) {
    throw new FuzzFailure(stream, error);
  }
  const { receiveBytes, replyBytes } = server.stats();
  tally.mostHeldBytes = Math.max(tally.mostHeldBytes, receiveBytes + replyBytes);
  disk.bytes.fill(0);
}

const patienceMs = 20_000;

async function oneOverSocket(
  stream: Stream,
  expected: Expectation,
  server: NbdServer,
  disk: ArrayDevice,
): Promise<void> {
  const socket = connect(server.address() as { path: string });
  const received: Buffer[] = [];
  const state = { over: false };
  let arrived = (): void => {};
  socket.on("error", () => {});
  socket.on("close", () => {
    state.over = true;
    arrived();
  });
  if (stream.manner !== "neverReads") {
    socket.on("data", (chunk: Buffer) => {
      received.push(chunk);
      arrived();
    });
  }
  for (const piece of pieces(stream)) {
    if (!state.over) socket.write(piece);
    if (piece.length % 3 === 0) await turn();
  }
  const answers = (): Buffer => Buffer.concat(received);
  const patient = stream.manner === "answers";
  const late = AbortSignal.timeout(patienceMs);
  late.addEventListener("abort", () => arrived());
  while (!state.over && !late.aborted) {
    if (!patient) break;
    if (expected.end === "open" && new Answers(expected, answers()).check()) break;
    await new Promise<void>((resolve) => (arrived = resolve));
  }
  if (late.aborted) throw new Wrong("no answer, and no end");
  if (expected.end === "open" && state.over) throw new Wrong("the connection ended, though nothing was wrong");
  const ended = socket.closed ? Promise.resolve() : new Promise((resolve) => socket.once("close", resolve));
  socket.destroy();
  await ended;
  for (let waited = 0; server.stats().connections > 0; waited++) {
    if (waited > 100_000) throw new Wrong("the server keeps the connection");
    await turn();
  }
  const { inFlight, receiveBytes, replyBytes } = server.stats();
  if (inFlight + receiveBytes + replyBytes > 0) throw new Wrong(`left: ${inFlight}, ${receiveBytes}, ${replyBytes}`);
  compare(expected, answers(), disk.bytes, patient && (expected.end === "open" || expected.end === "left"));
}

async function wellBehaved(server: NbdServer, disk: ArrayDevice): Promise<void> {
  const client = await NbdClient.connect(server.address());
  await client.go("disk", { structured: true });
  await client.write(1000, pattern(5000));
  await client.flush();
  if (!(await client.read(1000, 5000)).equals(pattern(5000))) throw new Wrong("the next client reads something else");
  await client.disconnect();
  disk.bytes.fill(0, 1000, 6000);
}
