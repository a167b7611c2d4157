/**
 * The command line's words about the network, and the files they name: certificates, keys, who is let in.
 *
 * Invariants: a file with a secret that everybody on this machine may read or write is refused, so that a wrong mode is noticed before
 * it matters; messages name files, never what is in them.
 *
 * See also: serve.ts, ../nbd/tls-options.ts, docs/network.md.
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { type Command, Option } from "commander";
import { PinfoldError, toPinfoldError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import { type NbdTlsOptions, parsePskKeys } from "../nbd/index.js";
import { durationMs, type Parser, wholeNumber } from "./words.js";

export interface NetworkOptions {
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsCa?: string;
  readonly tlsPsk?: string;
  readonly tlsAllow?: readonly string[];
  readonly insecure?: boolean;
  readonly idleTimeout?: number;
  readonly maxClients?: number;
}

export function addNetworkOptions(command: Command, parser: Parser): Command {
  return command
    .option("--tls-cert <file>", "TLS with this certificate (PEM); clients without TLS are refused")
    .option("--tls-key <file>", "its private key (PEM)")
    .option("--tls-ca <file>", "let in only clients with a certificate by this authority (PEM)")
    .option("--tls-psk <file>", "TLS with pre-shared keys instead: lines NAME:HEX, as psktool makes them")
    .addOption(
      new Option("--tls-allow <name>", "let in only clients of this name; may be repeated").argParser(
        (name: string, before: string[] | undefined) => [...(before ?? []), name],
      ),
    )
    .option("--insecure", "listen without TLS where other machines can reach it")
    .addOption(
      new Option("--idle-timeout <time>", "end clients that ask for nothing for so long, such as 10m").argParser(
        parser((text) => durationMs(text, "--idle-timeout")),
      ),
    )
    .addOption(
      new Option("--max-clients <number>", `connections at a time (${limits.nbdConnectionsMax} at most)`).argParser(
        parser((text) => wholeNumber(text, "--max-clients", 1, limits.nbdConnectionsMax)),
      ),
    );
}

/** undefined: without TLS. @throws PinfoldError EINVAL, EACCES (everybody may read a secret), or why a file cannot be read */
export function readTlsFiles(options: NetworkOptions): NbdTlsOptions | undefined {
  const { tlsCert, tlsKey, tlsCa, tlsPsk, tlsAllow } = options;
  if ((tlsCert ?? tlsKey ?? tlsCa ?? tlsPsk) === undefined) {
    if (tlsAllow !== undefined) throw new PinfoldError("EINVAL", "--tls-allow needs --tls-ca or --tls-psk");
    return undefined;
  }
  const allow = tlsAllow === undefined ? {} : { allow: tlsAllow };
  if (tlsPsk !== undefined) {
    if ((tlsCert ?? tlsKey ?? tlsCa) !== undefined)
      throw new PinfoldError("EINVAL", "--tls-psk and certificates exclude each other");
    return { ...allow, pskKeys: parsePskKeys(readPart(tlsPsk, true).toString("utf8")) };
  }
  if (tlsCert === undefined || tlsKey === undefined)
    throw new PinfoldError("EINVAL", "--tls-cert and --tls-key belong together");
  return {
    ...allow,
    certificate: readPart(tlsCert, false),
    key: readPart(tlsKey, true),
    ...(tlsCa === undefined ? {} : { authority: readPart(tlsCa, false) }),
  };
}

/** A whole file, looked at and read through one descriptor. */
function readPart(path: string, secret: boolean): Buffer {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(path, "r");
    const { mode } = fstatSync(descriptor);
    if (secret && process.platform !== "win32" && (mode & 0o007) !== 0) {
      throw new PinfoldError("EACCES", `everybody may use ${path}, which holds a secret: chmod o= ${path}`);
    }
    const bytes = Buffer.alloc(limits.nbdTlsFileBytesMax + 1);
    let length = 0;
    for (let got = -1; got !== 0 && length < bytes.length; length += got) {
      got = readSync(descriptor, bytes, length, bytes.length - length, null);
    }
    if (length === bytes.length) {
      throw new PinfoldError("EINVAL", `${path} has more than ${limits.nbdTlsFileBytesMax} bytes`);
    }
    return bytes.subarray(0, length);
  } catch (error) {
    const failure = toPinfoldError(error, "read");
    if (failure === error) throw error;
    throw new PinfoldError(failure.code, `${path} cannot be read`, { cause: error, operation: "read" });
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}
