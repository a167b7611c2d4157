/**
 * What a server needs for TLS: certificates or pre-shared keys, never both, and who may come in.
 *
 * Invariants: pure; what checkTlsOptions lets through can be used as it is, apart from PEM text, which OpenSSL reads
 * (tls-gate.ts). Messages never hold a key. Names are exact: no patterns, and letter case counts for pre-shared keys and common
 * names (host and mail names are compared as X.509 says).
 *
 * See also: tls-gate.ts (the user), docs/decisions/0012-network-security.md (why not both).
 */
import { PinfoldError } from "../base/errors.js";
import { limits } from "../base/limits.js";

export interface NbdTlsOptions {
  /** PEM: the server's certificate, with those between it and the root, and its private key. */
  readonly certificate?: string | Buffer;
  readonly key?: string | Buffer;
  /** PEM: who has to have signed the clients' certificates. Without it nobody is asked for one. */
  readonly authority?: string | Buffer;
  /** Identity -> key of limits.nbdTlsKeyBytesMin to nbdTlsKeyBytesMax bytes; instead of certificates. */
  readonly pskKeys?: ReadonlyMap<string, Uint8Array>;
  /**
   * Who is let in: identities of pre-shared keys, or a certificate's common name, DNS name or mail address. Without it everybody who
   * has a key of `pskKeys` or a certificate by `authority`.
   */
  readonly allow?: readonly string[];
}

function invalid(message: string): PinfoldError {
  return new PinfoldError("EINVAL", message, { operation: "tls" });
}

/** @throws PinfoldError EINVAL for what does not go together, or would let in whom nobody expects */
export function checkTlsOptions(options: NbdTlsOptions): void {
  const { certificate, key, authority, pskKeys, allow } = options;
  if (pskKeys !== undefined && (certificate !== undefined || key !== undefined || authority !== undefined)) {
    throw invalid("a server has certificates or pre-shared keys, not both");
  }
  if (pskKeys === undefined && (certificate === undefined || key === undefined)) {
    throw invalid("TLS needs a certificate and its key, or pre-shared keys");
  }
  if (pskKeys !== undefined) checkKeys(pskKeys);
  if (allow === undefined) return;
  if (pskKeys === undefined && authority === undefined) {
    throw invalid("names to allow need an authority that vouches for them, or pre-shared keys");
  }
  if (allow.length === 0 || allow.length > limits.nbdTlsNamesMax) {
    throw invalid(`1 to ${limits.nbdTlsNamesMax} names can be allowed, not ${allow.length}`);
  }
  for (const name of allow) {
    checkName(name);
    if (pskKeys !== undefined && !pskKeys.has(name)) throw invalid(`${quoted(name)} is allowed but has no key`);
  }
}

function checkKeys(keys: ReadonlyMap<string, Uint8Array>): void {
  if (keys.size === 0 || keys.size > limits.nbdTlsNamesMax) {
    throw invalid(`1 to ${limits.nbdTlsNamesMax} pre-shared keys, not ${keys.size}`);
  }
  const { nbdTlsKeyBytesMin: least, nbdTlsKeyBytesMax: most } = limits;
  for (const [name, key] of keys) {
    checkName(name);
    if (key.length < least || key.length > most) {
      throw invalid(`the key of ${quoted(name)} has ${key.length} bytes, not ${least} to ${most}`);
    }
  }
}

/** A leading dot would mean a whole domain to OpenSSL. */
function checkName(name: string): void {
  const bytes = Buffer.byteLength(name);
  if (bytes > 0 && bytes <= limits.nbdTlsNameBytesMax && !name.includes("\0") && !name.startsWith(".")) return;
  throw invalid(`${quoted(name)} is not a name: 1 to ${limits.nbdTlsNameBytesMax} bytes, without a dot at the start`);
}

/**
 * The keys of a file with a line `NAME:HEX` for each, as GnuTLS' psktool writes it. Empty lines are left out.
 * @throws PinfoldError EINVAL with the line's number, never with its text
 */
export function parsePskKeys(text: string): Map<string, Buffer> {
  const keys = new Map<string, Buffer>();
  for (const [at, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === "") continue;
    const match = /^([^:]+):((?:[0-9A-Fa-f]{2})+)\s*$/.exec(line);
    const [, name, hex] = match ?? [];
    if (name === undefined || hex === undefined || name.startsWith("#")) {
      throw invalid(`line ${at + 1} of the pre-shared keys is not NAME:HEX`);
    }
    if (keys.has(name)) throw invalid(`line ${at + 1} of the pre-shared keys names ${quoted(name)} again`);
    keys.set(name, Buffer.from(hex, "hex"));
  }
  checkKeys(keys);
  return keys;
}

/** What a peer says, fit for a message: one line of visible ASCII, cut. */
export function quoted(text: string): string {
  return `"${text.slice(0, limits.nbdTlsNameBytesMax).replaceAll(/[^ !#-[\]-~]/g, "?")}"`;
}
