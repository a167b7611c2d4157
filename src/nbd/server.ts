/**
 * The NBD server: listens, keeps the connections and what they share, and closes in order.
 *
 * Invariants: at most limits.nbdConnectionsMax connections, those included whose tasks still run after their socket is
 * gone; further ones are closed at accept. Buffers of all connections together are bounded by the two budgets plus a
 * reserve and two socket chunks for each connection. close() ends: with everything answered if the device is done within
 * the grace, by force otherwise.
 *
 * See also: connection.ts, byte-budget.ts, listening.ts, README.md.
 */
import { setMaxListeners } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import type { Timer } from "../base/clock.js";
import { PinfoldError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import { type NbdAddress, nbdUri } from "./address.js";
import { BufferPool } from "./buffer-pool.js";
import { ByteBudget } from "./byte-budget.js";
import { type NbdClock, systemNbdClock } from "./clock.js";
import { Connection } from "./connection.js";
import type { NbdDevice } from "./device.js";
import { startListening } from "./listening.js";
import type { NbdExports } from "./options.js";
import { Counters, type NbdStats } from "./statistics.js";

export interface NbdServerOptions {
  /** Name -> device. "" asks for the export of that name, else for the first. One device may have several names. */
  readonly exports: NbdExports;
  readonly address: NbdAddress;
  /** Failures of devices, of sockets, and peers that broke the protocol. A peer causes these: keep it cheap. */
  readonly onError?: (error: PinfoldError, peer: string) => void;
  /** A client came or went; `connections` are open now. */
  readonly onConnection?: (event: {
    readonly peer: string;
    readonly open: boolean;
    readonly connections: number;
  }) => void;
  readonly clock?: NbdClock;
}

export interface NbdCloseOptions {
  /** How long requests in flight may take and replies may wait to be read; limits.nbdCloseGraceMs by default. */
  readonly graceMs?: number;
}

export class NbdServer {
  readonly #exports: NbdExports;
  readonly #options: NbdServerOptions;
  readonly #clock: NbdClock;
  readonly #listener: Server;
  readonly #connections = new Set<Connection>();
  readonly #counters = new Counters();
  readonly #pool = new BufferPool(limits.nbdPooledBytesMax);
  readonly #receives: ByteBudget;
  readonly #replies: ByteBudget;
  readonly #writes = new AbortController();
  #address: NbdAddress;
  #closed: Promise<void> | undefined;
  #whenEmpty: (() => void) | undefined;

  /** Use listen(). */
  private constructor(options: NbdServerOptions) {
    this.#options = options;
    this.#exports = options.exports;
    this.#address = options.address;
    // Each write that waits listens; their number is bounded (limits.nbdRequestsPerConnectionMax).
    setMaxListeners(0, this.#writes.signal);
    this.#clock = options.clock ?? systemNbdClock;
    const shared = { reserveBytes: limits.nbdReserveBytes, stallMs: limits.nbdStallMs, clock: this.#clock };
    this.#receives = new ByteBudget({
      ...shared,
      sharedBytes: limits.nbdReceiveBytesMax,
      accountBytesMax: limits.nbdReceiveBytesPerConnectionMax,
    });
    this.#replies = new ByteBudget({
      ...shared,
      sharedBytes: limits.nbdReplyBytesMax,
      accountBytesMax: limits.nbdReplyBytesPerConnectionMax,
    });
    this.#listener = createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket));
  }

  /** Resolves when clients can connect. @throws PinfoldError EINVAL, EBUSY (address taken), EACCES, ENOENT */
  static async listen(options: NbdServerOptions): Promise<NbdServer> {
    checkExports(options.exports);
    const server = new NbdServer(options);
    server.#address = await startListening(server.#listener, options.address);
    server.#listener.on("error", (error) => {
      server.#report(
        new PinfoldError("EMFILE", `accept: ${error.message}`, { cause: error, operation: "accept" }),
        "listener",
      );
    });
    return server;
  }

  /** What to connect to: the port is the real one where 0 was asked for. */
  address(): NbdAddress {
    return this.#address;
  }

  /** For clients' command lines: of the export `name`, by default the first. */
  uri(name?: string): string {
    const [first = ""] = this.#exports.keys();
    return nbdUri(this.#address, name ?? first);
  }

  stats(): NbdStats {
    return this.#counters.snapshot(this.#receives.heldBytes, this.#replies.heldBytes);
  }

  /** Accounts of buffers equal a recount. @throws AssertionError */
  verify(): void {
    this.#receives.verify();
    this.#replies.verify();
  }

  /**
   * Accepts nobody, answers new requests with ESHUTDOWN, lets those in flight finish and their replies go out, hangs up.
   * What is left after `graceMs` is cut off and device writes get their signal aborted. Resolves when no connection is
   * left; does not flush the devices. Calling it again waits for the same.
   * @throws PinfoldError EBUSY if a device holds on to a request for `graceMs` after its signal was aborted
   */
  close(options: NbdCloseOptions = {}): Promise<void> {
    this.#closed ??= this.#close(options.graceMs ?? limits.nbdCloseGraceMs);
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(graceMs: number): Promise<void> {
    const listenerClosed = new Promise<void>((resolve) => {
      this.#listener.close(() => resolve());
    });
    const empty = new Promise<void>((resolve) => {
      this.#whenEmpty = resolve;
      if (this.#connections.size === 0) resolve();
    });
    for (const connection of [...this.#connections]) connection.close();
    let timer: Timer | undefined;
    const stuck = new Promise<never>((_, reject) => {
      const giveUp = (): void => {
        const message = `${this.#counters.inFlight} requests are still with their device`;
        reject(new PinfoldError("EBUSY", message, { operation: "close" }));
      };
      const cutOff = (): void => {
        this.#cutOff();
        timer = this.#clock.after(graceMs, giveUp, true);
      };
      timer = this.#clock.after(graceMs, cutOff, true);
    });
    try {
      await Promise.race([Promise.all([empty, listenerClosed]), stuck]);
    } finally {
      timer?.cancel();
    }
  }

  #cutOff(): void {
    for (const connection of [...this.#connections]) connection.destroy();
    this.#writes.abort(new PinfoldError("EBADF", "the server was closed"));
  }

  #accept(socket: Socket): void {
    if (this.#closed !== undefined || this.#connections.size >= limits.nbdConnectionsMax) {
      this.#counters.turnedAway++;
      socket.on("error", () => {});
      socket.destroy();
      return;
    }
    this.#counters.accepted++;
    const connection = new Connection(socket, {
      exports: this.#exports,
      counters: this.#counters,
      pool: this.#pool,
      receives: this.#receives,
      replies: this.#replies,
      clock: this.#clock,
      writeSignal: this.#writes.signal,
      onError: (error, peer) => this.#report(error, peer),
      onGone: (gone) => this.#forget(gone),
    });
    this.#connections.add(connection);
    this.#tell(connection, true);
  }

  #forget(connection: Connection): void {
    this.#connections.delete(connection);
    this.#tell(connection, false);
    if (this.#connections.size === 0) this.#whenEmpty?.();
  }

  #tell(connection: Connection, open: boolean): void {
    this.#counters.connections = this.#connections.size;
    this.#options.onConnection?.({ peer: connection.peer, open, connections: this.#connections.size });
  }

  #report(error: PinfoldError, peer: string): void {
    this.#options.onError?.(error, peer);
  }
}

function checkExports(exports: ReadonlyMap<string, NbdDevice>): void {
  if (exports.size === 0 || exports.size > limits.nbdExportsMax) {
    throw new PinfoldError("EINVAL", `a server has 1 to ${limits.nbdExportsMax} exports, not ${exports.size}`, {
      operation: "listen",
    });
  }
  for (const [name, device] of exports) {
    if (Buffer.byteLength(name) > limits.nbdExportNameBytesMax || name.includes("\0")) {
      throw new PinfoldError(
        "EINVAL",
        `an export's name has at most ${limits.nbdExportNameBytesMax} bytes, none of them 0`,
      );
    }
    if (!Number.isSafeInteger(device.sizeBytes) || device.sizeBytes < 0) {
      throw new PinfoldError("EINVAL", `export "${name}": ${device.sizeBytes} is not a size`);
    }
  }
}
