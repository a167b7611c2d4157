/**
 * Opens the listening socket, and takes over the socket file of a server that died.
 *
 * Invariants: a file that is not a socket, or a socket that somebody answers on, is never removed (EBUSY). Between the
 * question and the removal another server may start; both callers then believe they have the path, and the later one has
 * it. Who starts servers on one path at the same moment has to see to that.
 *
 * See also: address.ts, server.ts (the caller).
 */
import { lstat, unlink } from "node:fs/promises";
import { connect, type Server } from "node:net";
import { dirname } from "node:path";
import { type ErrorCode, PinfoldError, toPinfoldError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import { checkSocketPath, type NbdAddress } from "./address.js";

/** What Node's codes mean for who wants to listen; others keep theirs. */
const codes: Readonly<Record<string, ErrorCode>> = {
  EADDRINUSE: "EBUSY",
  EADDRNOTAVAIL: "EINVAL",
  ENOTFOUND: "EINVAL",
  EAI_AGAIN: "EINVAL",
  ENOTDIR: "ENOENT",
  EPERM: "EACCES",
};

/** Listens, or throws EBUSY (taken), EACCES, ENOENT (no such folder), EINVAL (no such address). */
export async function startListening(server: Server, address: NbdAddress): Promise<NbdAddress> {
  if ("path" in address) {
    checkSocketPath(address.path);
    await removeStaleSocket(address.path);
  }
  await new Promise<void>((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException): void => {
      const code = codes[error.code ?? ""];
      const text = `listen: ${error.message}`;
      reject(
        code === undefined
          ? toPinfoldError(error, "listen")
          : new PinfoldError(code, text, { cause: error, operation: "listen" }),
      );
    };
    server.once("error", failed);
    server.listen({ ...address, backlog: limits.nbdBacklog }, () => {
      server.off("error", failed);
      resolve();
    });
  });
  const bound = server.address();
  return bound === null || typeof bound === "string" ? address : { host: bound.address, port: bound.port };
}

async function removeStaleSocket(path: string): Promise<void> {
  const found = await lstat(path).catch((error: unknown) => {
    const failure = toPinfoldError(error, "listen");
    if (failure.code === "ENOENT") return undefined;
    throw failure;
  });
  if (found === undefined) return requireFolder(path);
  if (!found.isSocket()) throw new PinfoldError("EBUSY", `${path} exists and is not a socket`, { operation: "listen" });
  if (await answers(path)) throw new PinfoldError("EBUSY", `a server listens on ${path}`, { operation: "listen" });
  await unlink(path).catch((error: unknown) => {
    const failure = toPinfoldError(error, "listen");
    if (failure.code !== "ENOENT") throw failure;
  });
}

/** Node calls a missing folder EACCES. */
async function requireFolder(path: string): Promise<void> {
  await lstat(dirname(path)).catch((error: unknown) => {
    throw toPinfoldError(error, "listen");
  });
}

/** Only a refused connection proves that nobody is there. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", (error: NodeJS.ErrnoException) => {
      socket.destroy();
      resolve(error.code !== "ECONNREFUSED" && error.code !== "ENOENT");
    });
  });
}
