/**
 * The part of each command that may wait: a request that the device could not serve at once, or that is long.
 *
 * Invariants: reads and writes go to the device in pieces of at most limits.nbdPieceBytes, cut at its multiples, and
 * between two pieces other connections have a turn. A read's bytes lie in a buffer of ours before a reply begins, so an
 * error never comes in the middle of a reply. Buffers and budget taken here are given back on every path; those of a
 * reply by the writer, when the socket is done.
 *
 * See also: transmission.ts (the caller, and the fast path), device.ts, byte-budget.ts.
 */
import { PinfoldError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { BufferPool } from "./buffer-pool.js";
import type { ByteAccount } from "./byte-budget.js";
import type { NbdClock } from "./clock.js";
import type { NbdDevice } from "./device.js";
import { command, commandFlag } from "./protocol.js";
import type { ReplyWriter } from "./reply-writer.js";

/** A request that outlives its turn of the parser. */
export interface Task {
  readonly type: number;
  readonly flags: number;
  readonly cookieHigh: number;
  readonly cookieLow: number;
  readonly position: number;
  readonly length: number;
  /** A write's bytes, received in full; undefined where they are with the device already and only FUA is left. */
  readonly payload?: Uint8Array | undefined;
}

export interface TaskContext {
  readonly device: NbdDevice;
  readonly writer: ReplyWriter;
  readonly pool: BufferPool;
  readonly replies: ByteAccount;
  readonly clock: NbdClock;
  /** Aborted when the connection ends: nobody wants the answer. */
  readonly readSignal: AbortSignal;
  /** Aborted when the server gives up: writes that were received are completed until then. */
  readonly writeSignal: AbortSignal;
  /** A reply, or a piece of one, is with the writer; or a task ended. */
  readonly onProgress: () => void;
}

/** Carries the command out. Resolves to true if the reply is with the writer already (reads), false if success is still to be told. */
export async function execute(context: TaskContext, task: Task): Promise<boolean> {
  const { device, readSignal, writeSignal } = context;
  const { position, length } = task;
  const fua = (task.flags & commandFlag.fua) !== 0;
  switch (task.type) {
    case command.read:
      await read(context, task);
      return true;
    case command.write:
      if (task.payload !== undefined) await write(context, task.payload, position);
      if (fua) await device.flushRange(position, length);
      return false;
    case command.flush:
      await device.flush();
      return false;
    case command.trim:
      if (length === 0) return false;
      await device.trim(position, length, writeSignal);
      if (fua) await device.flushRange(position, length);
      return false;
    case command.writeZeroes:
      if (length === 0) return false;
      await writeZeroes(context, task);
      if (fua) await device.flushRange(position, length);
      return false;
    case command.cache:
      if (length > 0) await device.cache(position, length, readSignal);
      return false;
    default:
      throw new PinfoldError("EINVAL", `command ${task.type} is not one that waits`);
  }
}

/** End of the piece that begins at `position`, not past `end`. */
function pieceEnd(position: number, end: number): number {
  const piece = limits.nbdPieceBytes;
  return Math.min(end, (Math.floor(position / piece) + 1) * piece);
}

async function read(context: TaskContext, task: Task): Promise<void> {
  const end = task.position + task.length;
  const whole = !context.writer.structured || (task.flags & commandFlag.df) !== 0;
  for (let position = task.position; position < end; ) {
    const next = whole ? end : pieceEnd(position, end);
    if (position > task.position) await otherConnections(context.clock);
    await readToReply(context, task, position, next - position, next === end);
    position = next;
  }
}

/** One chunk of the reply: takes budget and a buffer, fills it, and hands both to the writer. */
async function readToReply(
  context: TaskContext,
  task: Task,
  position: number,
  length: number,
  last: boolean,
): Promise<void> {
  const { replies, pool, readSignal } = context;
  // Once the connection has ended its bytes are given back after its last task only: a wait for them would be for ever.
  readSignal.throwIfAborted();
  if (!replies.tryTake(length)) await waitForBytes(replies, length);
  let buffer: Buffer | undefined;
  try {
    readSignal.throwIfAborted();
    buffer = pool.take(length);
    await readPieces(context, buffer.subarray(0, length), position);
    readSignal.throwIfAborted();
  } catch (error) {
    if (buffer !== undefined) pool.give(buffer);
    replies.give(length);
    throw error;
  }
  context.writer.readBuffer(task, position, buffer, length, last);
  context.onProgress();
}

async function readPieces(context: TaskContext, target: Uint8Array, position: number): Promise<void> {
  const { device, readSignal, clock } = context;
  const end = position + target.length;
  for (let at = position; at < end; ) {
    const next = pieceEnd(at, end);
    if (at > position) await otherConnections(clock);
    const part = target.subarray(at - position, next - position);
    if (!device.tryRead(part, at)) await device.read(part, at, readSignal);
    at = next;
  }
}

async function write(context: TaskContext, payload: Uint8Array, position: number): Promise<void> {
  const { device, writeSignal, clock } = context;
  const end = position + payload.length;
  for (let at = position; at < end; ) {
    const next = pieceEnd(at, end);
    if (at > position) await otherConnections(clock);
    const part = payload.subarray(at - position, next - position);
    if (!device.tryWrite(part, at)) await device.write(part, at, writeSignal);
    at = next;
  }
}

async function writeZeroes(context: TaskContext, task: Task): Promise<void> {
  const { device, writeSignal, clock } = context;
  const mayPunch = (task.flags & commandFlag.noHole) === 0;
  const options = { mayPunch, fast: (task.flags & commandFlag.fastZero) !== 0 };
  const end = task.position + task.length;
  for (let at = task.position; at < end; ) {
    const next = mayPunch ? end : pieceEnd(at, end);
    if (at > task.position) await otherConnections(clock);
    await device.writeZeroes(at, next - at, options, writeSignal);
    at = next;
  }
}

function waitForBytes(account: ByteAccount, bytes: number): Promise<void> {
  return new Promise((resolve, reject) => {
    account.wait(bytes, (held) => {
      if (held) resolve();
      else reject(new PinfoldError("EBADF", "the connection ended while a request waited for buffers"));
    });
  });
}

function otherConnections(clock: NbdClock): Promise<void> {
  return new Promise((resolve) => clock.nextTurn(resolve));
}
