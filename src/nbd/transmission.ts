/**
 * The transmission phase of one connection: takes requests from the parser, serves at once what the device can serve at
 * once, starts a task for the rest, and says when it wants no more bytes.
 *
 * Invariants: at most limits.nbdRequestsPerConnectionMax requests in flight (a write in receipt is one of them); no
 * request is taken while the connection's replies are at their limit; a write's payload is received in full, into a
 * buffer of ours, before the device sees it, or lies whole in a received chunk; every request that was taken is answered
 * once, unless the connection ended. A FLUSH is handed to the device when it is met, so after every write whose reply
 * went out before: the device's calls are then completed.
 *
 * See also: request-parser.ts, request-check.ts, commands.ts (tasks), connection.ts (the caller of pump).
 */
import { assert } from "../base/assert.js";
import type { PinfoldError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { ByteAccount } from "./byte-budget.js";
import type { ChunkReader } from "./chunk-reader.js";
import { execute, type Task, type TaskContext } from "./commands.js";
import { command, commandFlag, commandNames } from "./protocol.js";
import { deviceFailure } from "./reply-code.js";
import { checkRequest, type Refusal } from "./request-check.js";
import { RequestParser } from "./request-parser.js";
import type { Counters } from "./statistics.js";

export interface TransmissionContext extends TaskContext {
  readonly reader: ChunkReader;
  readonly receives: ByteAccount;
  readonly counters: Counters;
  /** The device failed (what the client is told, is told here). */
  readonly onFailure: (error: PinfoldError) => void;
}

/** More than a payload has steps, so that no two requests share a number of halfRequest. */
const halfRequestSteps = 2 ** 17;
assert(0xffffffff / limits.nbdStallBytesMin < halfRequestSteps - 1, "the longest payload's steps");

/** needMore: feed it. blocked: call again after onProgress. disconnect: the client said goodbye. broken: it does not speak NBD. */
export type PumpResult = "needMore" | "blocked" | "disconnect" | "broken";

export class Transmission {
  inFlight = 0;
  closing = false;
  /** Requests whose header was received. */
  taken = 0;
  readonly #context: TransmissionContext;
  readonly #parser: RequestParser;
  /** The buffer of the payload in receipt, from the pool. */
  #payload: Buffer | undefined;
  #receivedBefore = 0;
  #waitsForBuffer = false;
  #refusal: Refusal | undefined;
  #result: PumpResult = "needMore";

  constructor(context: TransmissionContext) {
    this.#context = context;
    this.#parser = new RequestParser(context.reader);
  }

  get structured(): boolean {
    return this.#context.writer.structured;
  }

  get device(): TransmissionContext["device"] {
    return this.#context.device;
  }

  /** Bytes of payloads received into buffers, ever; undefined while none is being received. */
  get receivedBytes(): number | undefined {
    return this.#payload === undefined ? undefined : this.#receivedBefore + this.#parser.filled;
  }

  /** While a request is only half here: a number that changes as it comes in, each nbdStallBytesMin of its payload. */
  get halfRequest(): number | undefined {
    if (this.#waitsForBuffer) return undefined;
    if (this.#parser.receiving) {
      const steps = Math.floor(this.#parser.receivedBytes / limits.nbdStallBytesMin);
      return this.taken * halfRequestSteps + 1 + steps;
    }
    return this.#context.reader.carried > 0 ? this.taken * halfRequestSteps : undefined;
  }

  /** Goes on until it lacks bytes or may not take more. */
  pump(): PumpResult {
    this.#result = "needMore";
    for (;;) {
      if (this.#blocked()) return "blocked";
      switch (this.#parser.next()) {
        case "needMore":
          return "needMore";
        case "broken":
          return "broken";
        case "request":
          this.#request();
          break;
        case "payload":
          this.#received();
          break;
        case "skipped":
          this.#refuse(this.#parser, this.#refusal as Refusal);
          break;
      }
      if (this.#result !== "needMore") return this.#result;
    }
  }

  /** No more bytes come: a payload in receipt is dropped. */
  stopReceiving(): void {
    this.#context.receives.cancelWaits();
    if (this.#payload === undefined) return;
    this.#payload = undefined;
    this.#finish(this.#parser.length);
  }

  /** The connection ended: what only it wanted is given up. */
  abandon(): void {
    this.stopReceiving();
    this.#context.replies.cancelWaits();
  }

  #blocked(): boolean {
    if (this.#waitsForBuffer) return true;
    if (this.#parser.receiving) return false;
    const { replies, writer } = this.#context;
    const most = limits.nbdReplyBytesPerConnectionMax;
    return (
      this.inFlight >= limits.nbdRequestsPerConnectionMax ||
      replies.waits > 0 ||
      replies.held >= most ||
      writer.queuedBytes >= most
    );
  }

  #request(): void {
    const parser = this.#parser;
    const { counters, writer } = this.#context;
    this.taken++;
    counters.countRequest(parser.type);
    const refusal = checkRequest(parser, this);
    if (parser.type === command.write && parser.length > 0) {
      this.#write(refusal);
      return;
    }
    if (refusal !== undefined) {
      this.#refuse(parser, refusal);
      return;
    }
    switch (parser.type) {
      case command.disconnect:
        this.#result = "disconnect";
        return;
      case command.read:
        if (parser.length === 0) writer.acknowledge(parser, true);
        else if (!this.#readNow()) this.#start(parser, undefined);
        return;
      case command.write:
        writer.acknowledge(parser, false);
        return;
      default:
        this.#start(parser, undefined);
    }
  }

  /** A short read that hits: straight into the reply. */
  #readNow(): boolean {
    const { device, writer, replies, counters } = this.#context;
    const { length, position } = this.#parser;
    if (length > limits.nbdInlineReadBytesMax || !replies.tryTake(length)) return false;
    try {
      if (device.tryRead(writer.readTarget(length), position)) {
        writer.commitRead(this.#parser, position, length);
        counters.bytesRead += length;
        return true;
      }
    } catch (thrown) {
      replies.give(length);
      this.#fail(this.#parser, thrown);
      return true;
    }
    replies.give(length);
    return false;
  }

  #write(refusal: Refusal | undefined): void {
    const parser = this.#parser;
    const { length } = parser;
    if (refusal !== undefined) {
      if (length > limits.nbdSkipBytesMax) this.#result = "broken";
      this.#refusal = refusal;
      parser.skipPayload();
      return;
    }
    if (length <= limits.nbdPieceBytes && this.#writeNow()) return;
    const { receives, onProgress } = this.#context;
    if (receives.tryTake(length)) {
      this.#receive();
      return;
    }
    this.#waitsForBuffer = true;
    receives.wait(length, (held) => {
      this.#waitsForBuffer = false;
      if (!held) return;
      this.#receive();
      onProgress();
    });
  }

  /** A write that lies whole in the chunk, and that the device can take now. */
  #writeNow(): boolean {
    const parser = this.#parser;
    const { device, writer, counters } = this.#context;
    const payload = parser.peekPayload();
    if (payload === undefined) return false;
    try {
      if (!device.tryWrite(payload, parser.position)) return false;
      parser.acceptPayload();
      if ((parser.flags & commandFlag.fua) !== 0) {
        this.#start(parser, undefined);
        return true;
      }
      counters.bytesWritten += payload.length;
      writer.acknowledge(parser, false);
    } catch (thrown) {
      parser.acceptPayload();
      this.#fail(parser, thrown);
    }
    return true;
  }

  #receive(): void {
    const { length } = this.#parser;
    this.#payload = this.#context.pool.take(length);
    this.#parser.fillPayload(this.#payload.subarray(0, length));
    this.inFlight++;
    this.#context.counters.inFlight++;
  }

  #received(): void {
    const payload = this.#payload;
    assert(payload !== undefined, "a payload was in receipt");
    this.#payload = undefined;
    this.#receivedBefore += payload.length;
    this.inFlight--;
    this.#context.counters.inFlight--;
    this.#start(this.#parser, payload);
  }

  /** Begins a task. `buffer`: a write's payload, a buffer of the pool. */
  #start(request: Omit<Task, "payload">, buffer: Buffer | undefined): void {
    const { type, flags, cookieHigh, cookieLow, position, length } = request;
    const payload = buffer?.subarray(0, length);
    this.inFlight++;
    this.#context.counters.inFlight++;
    void this.#run({ type, flags, cookieHigh, cookieLow, position, length, payload }, buffer);
  }

  /** Never rejects. */
  async #run(task: Task, buffer: Buffer | undefined): Promise<void> {
    const { writer, counters, pool } = this.#context;
    try {
      const answered = await execute(this.#context, task);
      if (task.type === command.read) counters.bytesRead += task.length;
      if (task.type === command.write) counters.bytesWritten += task.length;
      if (!answered) writer.acknowledge(task, false);
    } catch (thrown) {
      this.#fail(task, thrown);
    }
    if (buffer !== undefined) pool.give(buffer);
    this.#finish(buffer === undefined ? 0 : task.length);
  }

  #finish(receivedBytes: number): void {
    const { counters, receives, onProgress } = this.#context;
    this.inFlight--;
    counters.inFlight--;
    receives.give(receivedBytes);
    onProgress();
  }

  #refuse(request: Omit<Task, "payload">, refusal: Refusal): void {
    this.#context.counters.errors++;
    this.#context.writer.fail(request, refusal.number, refusal.message);
  }

  /** Tells the client the number and the place, not the text: that may name things of this machine. */
  #fail(request: Omit<Task, "payload">, thrown: unknown): void {
    const { readSignal, writer, counters, onFailure } = this.#context;
    const writes = request.type === command.write || request.type === command.writeZeroes;
    const name = commandNames[request.type] ?? "request";
    if (readSignal.aborted && !writes) return;
    const { error, number } = deviceFailure(thrown, name, writes);
    counters.errors++;
    writer.fail(request, number, `${name} of ${request.length} bytes at ${request.position}: ${error.code}`);
    onFailure(error);
  }
}
