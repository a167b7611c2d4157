/**
 * Where a server listens: HOST:PORT or a unix socket, as text and as URI.
 *
 * Invariant: pure; what parseNbdAddress returns can be passed to listen, and nbdUri's text to any NBD client.
 *
 * See also: listening.ts, cli (serve), which warns about addresses that others than this machine can reach.
 */
import { PinfoldError } from "../base/errors.js";

export type NbdAddress = { readonly host: string; readonly port: number } | { readonly path: string };

/** The longest path that a unix socket's address takes on every system we run on. */
export const socketPathBytesMax = 103;

/** "HOST:PORT" (IPv6 in brackets, port 0 for a free one) or "unix:PATH". @throws PinfoldError EINVAL */
export function parseNbdAddress(text: string): NbdAddress {
  if (text.startsWith("unix:")) {
    const path = text.slice("unix:".length);
    checkSocketPath(path);
    return { path };
  }
  const match = /^(?:\[([0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|([\w.-]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > 65535) {
    throw new PinfoldError("EINVAL", `"${text}" is not an address: HOST:PORT, [IPV6]:PORT or unix:PATH`, {
      operation: "listen",
    });
  }
  return { host, port };
}

export function checkSocketPath(path: string): void {
  if (path === "" || path.includes("\0"))
    throw new PinfoldError("EINVAL", "a unix socket needs a path", { operation: "listen" });
  if (Buffer.byteLength(path) > socketPathBytesMax) {
    throw new PinfoldError("EINVAL", `the socket's path has more than ${socketPathBytesMax} bytes: ${path}`, {
      operation: "listen",
    });
  }
}

/** True if only this machine can connect. Names other than localhost count as reachable. */
export function isLoopbackAddress(address: NbdAddress): boolean {
  if ("path" in address) return true;
  const host = address.host.toLowerCase().replace(/^::ffff:/, "");
  return host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}

/** The URI of an export; wildcard addresses become this machine's own. `secure`: over TLS. */
export function nbdUri(address: NbdAddress, exportName: string, secure = false): string {
  const scheme = secure ? "nbds" : "nbd";
  const name = encodeURIComponent(exportName);
  if ("path" in address)
    return `${scheme}+unix:///${name}?socket=${encodeURIComponent(address.path).replaceAll("%2F", "/")}`;
  const wildcard = address.host === "0.0.0.0" ? "127.0.0.1" : address.host === "::" ? "::1" : address.host;
  const host = wildcard.includes(":") ? `[${wildcard}]` : wildcard;
  return `${scheme}://${host}:${address.port}${name === "" ? "" : `/${name}`}`;
}
