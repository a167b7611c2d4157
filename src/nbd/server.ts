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
import { isLoopbackAddress, type NbdAddress, nbdUri } from "./address.js";
import { BufferPool } from "./buffer-pool.js";
import { ByteBudget } from "./byte-budget.js";
import { type NbdClock, systemNbdClock } from "./clock.js";
import { Connection } from "./connection.js";
import type { NbdDevice } from "./device.js";
import { startListening } from "./listening.js";
import type { NbdExports } from "./options.js";
import { watchPeriodMs } from "./peer-watch.js";
import { Counters, type NbdStats } from "./statistics.js";
import { TlsGate } from "./tls-gate.js";
import type { NbdTlsOptions } from "./tls-options.js";

export interface NbdServerOptions {
  /** Name -> device. "" asks for the export of that name, else for the first. One device may have several names. */
  readonly exports: NbdExports;
  readonly address: NbdAddress;
  /** Nobody gets in without TLS then. */
  readonly tls?: NbdTlsOptions;
  /** Without TLS an address that other machines can reach is refused, unless this says that it is meant. */
  readonly insecure?: boolean;
  /** A client that asks for nothing for this long loses its connection; limits.nbdIdleMsMin at least. Without it, never. */
  readonly idleMs?: number;
  /** Connections at a time, at most limits.nbdConnectionsMax, which is the default. */
  readonly connectionsMax?: number;
  /** Failures of devices, of sockets, clients that were not let in, did not go on, and peers that broke the protocol. A peer causes these: keep it cheap. */
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
  readonly #tls: TlsGate | undefined;
  readonly #connectionsMax: number;
  #watchTimer: Timer | undefined;
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
    this.#tls = options.tls === undefined ? undefined : new TlsGate(options.tls);
    this.#connectionsMax = options.connectionsMax ?? limits.nbdConnectionsMax;
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

  /**
   * Resolves when clients can connect.
   * @throws PinfoldError EINVAL, EBUSY (address taken), EACCES, ENOENT, ERR_PINFOLD_INSECURE
   */
  static async listen(options: NbdServerOptions): Promise<NbdServer> {
    checkExports(options.exports);
    checkNumbers(options);
    checkReach(options, options.address);
    const server = new NbdServer(options);
    server.#address = await startListening(server.#listener, options.address);
    // A name like localhost is what the system says it is.
    try {
      checkReach(options, server.#address);
    } catch (error) {
      await server.close();
      throw error;
    }
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
    return nbdUri(this.#address, name ?? first, this.#tls !== undefined);
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
    if (this.#closed !== undefined || this.#connections.size >= this.#connectionsMax) {
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
      tls: this.#tls,
      idleMs: this.#options.idleMs,
      writeSignal: this.#writes.signal,
      onError: (error, peer) => this.#report(error, peer),
      onGone: (gone) => this.#forget(gone),
    });
    this.#connections.add(connection);
    this.#tell(connection, true);
    if (this.#watchTimer === undefined) this.#watch();
  }

  /** Looks at all connections every now and then, as long as there are any. */
  #watch(): void {
    this.#watchTimer = this.#clock.after(watchPeriodMs(this.#options.idleMs), () => {
      const nowMs = this.#clock.nowMs();
      for (const connection of [...this.#connections]) connection.watch(nowMs);
      this.#watchTimer = undefined;
      if (this.#connections.size > 0) this.#watch();
    });
  }

  #forget(connection: Connection): void {
    this.#connections.delete(connection);
    this.#tell(connection, false);
    if (this.#connections.size > 0) return;
    this.#watchTimer?.cancel();
    this.#watchTimer = undefined;
    this.#whenEmpty?.();
  }

  #tell(connection: Connection, open: boolean): void {
    this.#counters.connections = this.#connections.size;
    this.#options.onConnection?.({ peer: connection.peer, open, connections: this.#connections.size });
  }

  #report(error: PinfoldError, peer: string): void {
    this.#options.onError?.(error, peer);
  }
}

/** @throws PinfoldError ERR_PINFOLD_INSECURE */
function checkReach({ tls, insecure }: NbdServerOptions, address: NbdAddress): void {
  if (tls !== undefined || insecure === true || isLoopbackAddress(address)) return;
  const place = "host" in address ? address.host : address.path;
  throw new PinfoldError("ERR_PINFOLD_INSECURE", `other machines can reach ${place}, and there is no TLS`, {
    operation: "listen",
  });
}

function checkNumbers({ idleMs, connectionsMax }: NbdServerOptions): void {
  const { nbdIdleMsMin: least, nbdConnectionsMax: most } = limits;
  if (idleMs !== undefined && !(idleMs >= least && idleMs <= 2 ** 31)) {
    throw new PinfoldError("EINVAL", `an idle time-out has ${least} ms to 24 days, not ${idleMs}`, {
      operation: "listen",
    });
  }
  if (connectionsMax === undefined) return;
  if (!Number.isInteger(connectionsMax) || connectionsMax < 1 || connectionsMax > most) {
    throw new PinfoldError("EINVAL", `1 to ${most} connections, not ${connectionsMax}`, { operation: "listen" });
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
