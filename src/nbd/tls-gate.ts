/**
 * The TLS handshake of one connection: takes its plain socket, and gives back the encrypted one with the client's name, or says
 * why not. OpenSSL does the work, through node:tls.
 *
 * Invariants: `settled` is called once for each connection, whatever the peer does. Nobody is let in without proof where proof was asked for:
 * a certificate that OpenSSL verified against the authority, or the pre-shared key of an identity (there is no other way in then:
 * such a server has no certificate and offers no other cipher of TLS 1.2). Sessions are not resumed, so each connection proves itself.
 *
 * node:tls does not say which plain socket a finished handshake belongs to. So each of its servers (a *lane*) runs one handshake at a
 * time, and is used again after.
 *
 * See also: tls-options.ts, connection.ts (the caller, and the time-out).
 */
import type { Socket } from "node:net";
import { createServer, type Server, type TLSSocket, type TlsOptions } from "node:tls";
import { assert } from "../base/assert.js";
import { PinfoldError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import { checkTlsOptions, type NbdTlsOptions, quoted } from "./tls-options.js";

/** `name`: the certificate's or key's; undefined where nobody was asked. */
export type TlsOutcome = { readonly socket: TLSSocket; readonly name: string | undefined } | PinfoldError;
export type TlsSettled = (outcome: TlsOutcome) => void;

/** Those with forward secrecy first. TLS 1.3 has ciphers of its own. */
const pskCiphers = [
  "ECDHE-PSK-CHACHA20-POLY1305",
  "DHE-PSK-AES256-GCM-SHA384",
  "DHE-PSK-AES128-GCM-SHA256",
  "ECDHE-PSK-AES256-CBC-SHA384",
  "ECDHE-PSK-AES128-CBC-SHA256",
  "PSK-AES256-GCM-SHA384",
  "PSK-AES128-GCM-SHA256",
].join(":");

/** With keys bound to SHA-256, as all that come without another hash are. */
const pskCiphers13 = "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256";

interface Lane {
  readonly server: Server;
  settled: TlsSettled | undefined;
  /** The identity that a key was given for. */
  identity: string | undefined;
  refusal: string | undefined;
}

function refused(reason: string): PinfoldError {
  return new PinfoldError("ERR_PINFOLD_PEER_REFUSED", reason, { operation: "tls" });
}

export class TlsGate {
  readonly #options: NbdTlsOptions;
  readonly #free: Lane[] = [];

  /** @throws PinfoldError EINVAL for options that do not go together, and for PEM that OpenSSL does not take */
  constructor(options: NbdTlsOptions) {
    checkTlsOptions(options);
    this.#options = options;
    try {
      this.#free.push(this.#newLane());
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      throw new PinfoldError("EINVAL", `the certificate, key or authority cannot be used: ${code ?? message}`, {
        operation: "tls",
      });
    }
  }

  /** Begins the handshake on a socket that nobody reads from any more. Destroy the socket to give up. */
  begin(socket: Socket, settled: TlsSettled): void {
    const lane = this.#free.pop() ?? this.#newLane();
    assert(lane.settled === undefined, "a lane runs one handshake");
    lane.settled = settled;
    lane.identity = undefined;
    lane.refusal = undefined;
    lane.server.emit("connection", socket);
  }

  #newLane(): Lane {
    const { certificate, key, authority, pskKeys } = this.#options;
    const common: TlsOptions = {
      minVersion: "TLSv1.2",
      rejectUnauthorized: false,
      requestCert: authority !== undefined,
    };
    const server = createServer(
      pskKeys === undefined
        ? // Without authorities of its own OpenSSL would load those of the system, for nothing.
          { ...common, cert: certificate, key, ca: authority ?? [] }
        : {
            ...common,
            ca: [],
            ciphers: `${pskCiphers13}:${pskCiphers}`,
            dhparam: "auto",
            pskCallback: (_socket, identity) => this.#keyOf(lane, identity),
          },
    );
    const lane: Lane = { server, settled: undefined, identity: undefined, refusal: undefined };
    server.on("secureConnection", (socket) => this.#finish(lane, this.#judge(lane, socket), socket));
    server.on("tlsClientError", (error, socket) => {
      this.#finish(lane, refused(lane.refusal ?? `the TLS handshake failed: ${reasonOf(error)}`), socket);
    });
    return lane;
  }

  #finish(lane: Lane, outcome: TlsOutcome, socket: TLSSocket): void {
    const { settled } = lane;
    // An error after the handshake is the connection's, which listens itself then.
    if (settled === undefined) return;
    lane.settled = undefined;
    if (this.#free.length < limits.nbdTlsLanesKept) this.#free.push(lane);
    if (outcome instanceof PinfoldError) {
      socket.on("error", () => {});
      socket.destroy();
    }
    settled(outcome);
  }

  /** Null: no such identity. Called before the client has shown that it has the key. */
  #keyOf(lane: Lane, identity: string): Uint8Array | null {
    const key = this.#options.pskKeys?.get(identity);
    if (key === undefined) {
      lane.refusal = `nobody is called ${quoted(identity)}`;
      return null;
    }
    if (!this.#allows(identity)) {
      lane.refusal = `${quoted(identity)} is not among those allowed`;
      return null;
    }
    lane.refusal = `${quoted(identity)} did not show that it has its key`;
    lane.identity = identity;
    return key;
  }

  #allows(name: string): boolean {
    return this.#options.allow?.includes(name) ?? true;
  }

  /** The handshake is complete: is it somebody who may come in? */
  #judge(lane: Lane, socket: TLSSocket): TlsOutcome {
    const { pskKeys, authority, allow } = this.#options;
    if (pskKeys !== undefined) {
      if (lane.identity === undefined) return refused("a handshake without a pre-shared key");
      return { socket, name: lane.identity };
    }
    if (authority === undefined) return { socket, name: undefined };
    const certificate = socket.getPeerX509Certificate();
    if (certificate === undefined) return refused("the client has no certificate");
    const names = [socket.getPeerCertificate().subject?.CN ?? []].flat();
    const title = quoted(names[0] ?? certificate.serialNumber);
    if (!socket.authorized) return refused(`the certificate of ${title}: ${String(socket.authorizationError)}`);
    if (allow === undefined) return { socket, name: names[0] ?? certificate.serialNumber };
    const exact = { subject: "never", wildcards: false } as const;
    const name = allow.find(
      (wanted) =>
        names.includes(wanted) ||
        certificate.checkHost(wanted, exact) !== undefined ||
        certificate.checkEmail(wanted, { subject: "never" }) !== undefined,
    );
    return name === undefined ? refused(`${title} is not among those allowed`) : { socket, name };
  }
}

/** OpenSSL's own text has its source lines in it. */
function reasonOf(error: NodeJS.ErrnoException): string {
  return quoted((error as { reason?: string }).reason ?? error.code ?? error.message);
}
