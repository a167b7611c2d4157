/**
 * One client: its socket, the handshake, then transmission, then the end.
 *
 *   handshake -> transmission -> leaving -> gone
 *    |     ^ \____________\______________/
 *   securing
 *
 * *securing*: STARTTLS was acknowledged, and TLS has the socket. Nothing that came in plain text before is used after: a client that does not
 * wait for our answer is ended, or its bytes meet TLS, which does not understand them.
 * *leaving*: nothing more is taken; requests in flight end, replies go out, then we hang up and wait (nbdLingerMs) for
 * the peer to do so. *gone*: the socket is closed; writes in flight still end, then everything held is given back and
 * `onGone` is called.
 *
 * Invariants: the socket is read only while its bytes can be used: with a request that may not be taken yet it is
 * paused, and at most one chunk waits (and one more in the socket's own buffer). An error of this connection never
 * reaches another. Replies of one turn leave in one write.
 *
 * See also: options.ts, transmission.ts, reply-writer.ts, server.ts.
 */
import { setMaxListeners } from "node:events";
import type { Socket } from "node:net";
import { assert } from "../base/assert.js";
import type { Timer } from "../base/clock.js";
import { type ErrorCode, PinfoldError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { BufferPool } from "./buffer-pool.js";
import type { ByteAccount, ByteBudget } from "./byte-budget.js";
import { ChunkReader } from "./chunk-reader.js";
import type { NbdClock } from "./clock.js";
import { OptionParser } from "./option-parser.js";
import { greeting, Handshake, type NbdExports } from "./options.js";
import { PeerWatch } from "./peer-watch.js";
import { ReplyWriter } from "./reply-writer.js";
import type { Counters } from "./statistics.js";
import type { TlsGate, TlsOutcome } from "./tls-gate.js";
import { quoted } from "./tls-options.js";
import { Transmission } from "./transmission.js";

/** What all connections of a server share. */
export interface ConnectionHost {
  readonly exports: NbdExports;
  readonly counters: Counters;
  readonly pool: BufferPool;
  readonly receives: ByteBudget;
  readonly replies: ByteBudget;
  readonly clock: NbdClock;
  /** Without it there is no TLS; with it nothing goes without. */
  readonly tls: TlsGate | undefined;
  readonly idleMs: number | undefined;
  readonly writeSignal: AbortSignal;
  readonly onError: (error: PinfoldError, peer: string) => void;
  readonly onGone: (connection: Connection) => void;
}

export class Connection {
  /** Where the client is, and, once TLS has said so, who. */
  peer: string;
  #socket: Socket;
  readonly #host: ConnectionHost;
  readonly #reader = new ChunkReader();
  readonly #options = new OptionParser(this.#reader);
  readonly #handshake: Handshake;
  readonly #writer: ReplyWriter;
  readonly #receives: ByteAccount;
  readonly #replies: ByteAccount;
  readonly #ended = new AbortController();
  #transmission: Transmission | undefined;
  #phase: "handshake" | "securing" | "transmission" | "leaving" | "gone" = "handshake";
  #closing = false;
  #scheduled = false;
  /** The socket is paused, because no further request may be taken now. */
  #stopped = false;
  #hungUp = false;
  #settled = false;
  #tlsBegun = false;
  #optionsSeen = 0;
  #timer: Timer | undefined;
  readonly #watch: PeerWatch;
  #lingerMark = 0;
  /** Bytes moved when #endIfStalled... asked last, if something was to be moved then. */
  #receiveMark: number | undefined;
  #replyMark: number | undefined;

  constructor(socket: Socket, host: ConnectionHost) {
    this.#socket = socket;
    this.#host = host;
    // Each request that waits listens; their number is bounded (limits.nbdRequestsPerConnectionMax).
    setMaxListeners(0, this.#ended.signal);
    this.peer =
      socket.remoteAddress === undefined ? "unix socket" : `${socket.remoteAddress}:${socket.remotePort ?? 0}`;
    this.#receives = host.receives.open(() => this.#endIfStalledReceiving());
    this.#replies = host.replies.open(() => this.#endIfStalledReplying());
    this.#writer = new ReplyWriter(socket, host.pool, (charge) => {
      this.#replies.give(charge);
      // With nothing to send and all requests taken, there is nothing to go on with.
      if (this.#stopped || this.#closing || this.#phase !== "transmission" || !this.#writer.idle) this.#schedule();
    });
    this.#watch = new PeerWatch(host.idleMs);
    this.#handshake = new Handshake(host.exports, host.tls === undefined ? "unavailable" : "required", (bytes) =>
      this.#writer.raw(bytes),
    );
    this.#timer = host.clock.after(limits.nbdHandshakeMs, () => this.#stuck("the handshake"));
    socket.setNoDelay(true);
    socket.setKeepAlive(true, limits.nbdKeepAliveMs);
    this.#listen(socket);
    this.#writer.raw(greeting());
    this.#writer.flush();
  }

  #listen(socket: Socket): void {
    socket.on("data", (chunk: Buffer) => this.#received(chunk));
    socket.on("end", () => this.#peerEnded());
    socket.on("error", (error: NodeJS.ErrnoException) => this.#socketFailed(error));
    // The plain socket closes before the encrypted one above it.
    socket.on("close", () => {
      if (this.#socket === socket) this.#gone();
    });
  }

  /** Finishes what is in flight, answers further requests with ESHUTDOWN meanwhile, then hangs up. */
  close(): void {
    this.#closing = true;
    if (this.#phase === "securing") this.destroy();
    else if (this.#transmission === undefined) this.#leave();
    else this.#transmission.closing = true;
    this.#schedule();
  }

  /** Ends at once. */
  destroy(): void {
    if (this.#phase === "gone") return;
    this.#phase = "leaving";
    this.#hungUp = true;
    this.#writer.end();
    this.#socket.destroy();
  }

  /** Ends the connection if the peer has not gone on for too long. Called every now and then. */
  watch(nowMs: number): void {
    const transmission = this.#transmission;
    if (this.#phase !== "transmission" || transmission === undefined) return;
    const halfRequest = this.#stopped ? undefined : transmission.halfRequest;
    const quiet = halfRequest === undefined && transmission.inFlight === 0 && this.#writer.idle;
    const unreadReply = this.#writer.writing ? this.#writer.flushedBytes : undefined;
    const idle = quiet ? transmission.taken : undefined;
    const complaint = this.#watch.check({ halfRequest, unreadReply, idle }, nowMs);
    if (complaint === undefined) return;
    if (complaint !== "idle") return this.#stuck(complaint);
    this.#host.counters.timedOut++;
    this.#host.onError(
      new PinfoldError("ERR_PINFOLD_PEER_STUCK", "idle for too long", { operation: "nbd" }),
      this.peer,
    );
    this.#leave();
  }

  #stuck(what: string): void {
    this.#host.counters.timedOut++;
    this.#fail(`${what} took too long`, "ERR_PINFOLD_PEER_STUCK");
  }

  #received(chunk: Buffer): void {
    if (this.#phase === "leaving" || this.#phase === "gone") return;
    this.#reader.push(chunk);
    this.#pump();
  }

  /** Calls #pump once, after the present callbacks: what ends in one turn leaves in one write. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    process.nextTick(() => {
      this.#scheduled = false;
      this.#pump();
    });
  }

  #pump(): void {
    if (this.#phase === "handshake") this.#pumpOptions();
    if (this.#phase === "transmission") this.#pumpRequests();
    this.#writer.flush();
    if (this.#phase === "securing" && this.#writer.idle) this.#beginTls();
    if (this.#phase === "gone") this.#settleIfIdle();
    else this.#hangUpIfDone();
  }

  #pumpOptions(): void {
    while (this.#phase === "handshake") {
      if (this.#writer.queuedBytes >= limits.nbdReplyBytesPerConnectionMax) {
        this.#socket.pause();
        return;
      }
      const step = this.#options.next();
      if (step === "needMore") break;
      if (step === "broken") return this.#fail("not an NBD option");
      if (step === "flags") {
        if (!this.#handshake.acceptFlags(this.#options.clientFlags)) return this.#fail("unknown handshake flags");
        continue;
      }
      this.#optionsSeen++;
      if (this.#optionsSeen > limits.nbdOptionsMax) return this.#fail("too many options");
      const { type, data } = this.#options;
      const outcome = step === "tooBig" ? this.#handshake.answerTooBig(type) : this.#handshake.answer(type, data);
      if (outcome === "end") this.#leave();
      if (outcome === "secure") return this.#secure();
      if (outcome === "transmission") this.#beginTransmission();
    }
    this.#socket.resume();
  }

  /** Our acknowledgement goes out in plain text; then TLS gets the socket. Until then nothing is read. */
  #secure(): void {
    if (this.#reader.remaining > 0) return this.#fail("bytes in plain text after STARTTLS");
    this.#phase = "securing";
    this.#socket.pause();
    this.#socket.removeAllListeners("data");
  }

  #beginTls(): void {
    const { tls } = this.#host;
    if (tls === undefined || this.#tlsBegun) return;
    this.#tlsBegun = true;
    const plain = this.#socket;
    plain.removeAllListeners("end");
    tls.begin(plain, (outcome) => this.#tlsSettled(outcome));
  }

  #tlsSettled(outcome: TlsOutcome): void {
    if (this.#phase !== "securing") {
      if (!(outcome instanceof PinfoldError)) outcome.socket.destroy();
      return;
    }
    if (outcome instanceof PinfoldError) {
      this.#host.counters.refused++;
      this.#host.onError(outcome, this.peer);
      this.destroy();
      return;
    }
    const { socket, name } = outcome;
    if (name !== undefined) this.peer = `${this.peer} (${quoted(name)})`;
    this.#socket = socket;
    this.#handshake.tls = "established";
    this.#writer.moveTo(socket);
    this.#phase = "handshake";
    this.#listen(socket);
  }

  #beginTransmission(): void {
    const host = this.#host;
    const { device, structured } = this.#handshake;
    assert(device !== undefined, "an export was chosen");
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#writer.structured = structured;
    this.#phase = "transmission";
    this.#transmission = new Transmission({
      device,
      pool: host.pool,
      clock: host.clock,
      counters: host.counters,
      writeSignal: host.writeSignal,
      reader: this.#reader,
      writer: this.#writer,
      receives: this.#receives,
      replies: this.#replies,
      readSignal: this.#ended.signal,
      onProgress: () => this.#schedule(),
      onFailure: (error) => host.onError(error, this.peer),
    });
  }

  #pumpRequests(): void {
    const transmission = this.#transmission as Transmission;
    switch (transmission.pump()) {
      case "needMore":
        if (this.#stopped) this.#socket.resume();
        this.#stopped = false;
        return;
      case "blocked":
        if (!this.#stopped) this.#socket.pause();
        this.#stopped = true;
        return;
      case "disconnect":
        this.#leave();
        return;
      case "broken":
        this.#fail("not an NBD request");
    }
  }

  /** Without a goodbye before it, this is how a client that died looks: nobody waits for replies. */
  #peerEnded(): void {
    if (this.#phase !== "leaving") this.destroy();
  }

  /** Takes nothing more, but finishes. */
  #leave(): void {
    if (this.#phase === "leaving" || this.#phase === "gone") return;
    this.#phase = "leaving";
    this.#reader.clear();
    this.#transmission?.stopReceiving();
    this.#socket.resume();
    this.#linger();
    this.#schedule();
  }

  /** After the last reply. */
  #hangUpIfDone(): void {
    if (this.#hungUp || (this.#phase !== "leaving" && !this.#closing)) return;
    if ((this.#transmission?.inFlight ?? 0) > 0 || !this.#writer.idle) return;
    this.#leave();
    this.#hungUp = true;
    this.#socket.end();
  }

  /** While we leave: a peer that neither reads nor hangs up is cut off. */
  #linger(): void {
    this.#timer?.cancel();
    this.#lingerMark = this.#writer.flushedBytes;
    this.#timer = this.#host.clock.after(limits.nbdLingerMs, () => {
      const moved = this.#writer.flushedBytes > this.#lingerMark || (this.#transmission?.inFlight ?? 0) > 0;
      if (moved) this.#linger();
      else this.#socket.destroy();
    });
  }

  #fail(message: string, code: ErrorCode = "ERR_PINFOLD_PROTOCOL"): void {
    if (this.#phase === "gone") return;
    this.#host.counters.broken++;
    this.#host.onError(new PinfoldError(code, message, { operation: "nbd" }), this.peer);
    this.destroy();
  }

  #socketFailed(error: NodeJS.ErrnoException): void {
    // A peer that just goes away is everyday life; its connection ends, which is all there is to do.
    if (error.code === "ECONNRESET" || error.code === "EPIPE") return;
    this.#host.onError(
      new PinfoldError("EIO", `socket: ${error.message}`, { cause: error, operation: "nbd" }),
      this.peer,
    );
  }

  #gone(): void {
    this.#phase = "gone";
    this.#timer?.cancel();
    this.#writer.end();
    this.#reader.clear();
    this.#ended.abort(new PinfoldError("EBADF", "the connection ended"));
    this.#transmission?.abandon();
    this.#settleIfIdle();
  }

  /** Gives everything back once the last task is over (each one's end schedules #pump). */
  #settleIfIdle(): void {
    if (this.#settled || (this.#transmission?.inFlight ?? 0) > 0) return;
    this.#settled = true;
    for (const account of [this.#receives, this.#replies]) {
      account.give(account.held);
      account.close();
    }
    this.#host.onGone(this);
  }

  /** Others wait for receive buffers: a payload that hardly moved since the last time ends its connection. */
  #endIfStalledReceiving(): void {
    const last = this.#receiveMark;
    const moved = this.#transmission?.receivedBytes;
    this.#receiveMark = moved;
    if (moved === undefined || last === undefined || this.#receives.held <= limits.nbdReserveBytes) return;
    if (moved - last < limits.nbdStallBytesMin) this.#fail("a write's payload stalled while others waited for buffers");
  }

  /** The same for replies that the peer does not read. */
  #endIfStalledReplying(): void {
    const last = this.#replyMark;
    const moved = this.#writer.writing ? this.#writer.flushedBytes : undefined;
    this.#replyMark = moved;
    if (moved === undefined || last === undefined || this.#replies.held <= limits.nbdReserveBytes) return;
    if (moved === last) this.#fail("replies were not read while others waited for buffers");
  }
}
