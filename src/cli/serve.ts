/**
 * `pinfold serve`: files behind one cache, as network disks, until a signal ends it.
 *
 * The end: nobody new is let in, requests in flight are answered, everything is synced, exit status 0. A second signal ends the
 * process at once (what was flushed is safe, the rest is not). If the sync at the end fails, that is said, and the status is 1.
 *
 * See also: main.ts (the command line), status-line.ts, ../nbd/README.md.
 */
import { statSync } from "node:fs";
import { basename } from "node:path";
import { setFlagsFromString } from "node:v8";
import { CachedFile } from "../api/cached-file.js";
import { PinfoldError } from "../base/errors.js";
import { formatBytes } from "../base/sizes.js";
import { PageCache } from "../index.js";
import { FileDevice, NbdServer, type NbdTlsOptions, isLoopbackAddress, parseNbdAddress } from "../nbd/index.js";
import { type NetworkOptions, readTlsFiles } from "./network-options.js";
import { StatusLine } from "./status-line.js";

export interface ServeOptions extends NetworkOptions {
  readonly size?: number;
  readonly memory: number;
  readonly pageSize: number;
  readonly nbd: string;
  readonly readOnly: boolean;
  readonly direct: boolean;
  readonly checksums?: boolean;
}

/** @throws PinfoldError whatever keeps it from starting, or from ending cleanly */
export async function serve(targets: readonly string[], options: ServeOptions): Promise<void> {
  const address = parseNbdAddress(options.nbd);
  const names = exportNames(targets);
  if (options.readOnly && options.size !== undefined)
    throw new PinfoldError("EINVAL", "--read-only and --size exclude each other");
  const tls = readTlsFiles(options);
  keepHeapSmall();
  const cache = await PageCache.open({ memory: options.memory, pageSize: options.pageSize });
  const stop = onSignals();
  const status = new StatusLine(process.stderr);
  let server: NbdServer | undefined;
  try {
    const files = await openAll(cache, targets, options);
    const exports = new Map(files.map((file, at) => [names[at] as string, new FileDevice(file)]));
    server = await NbdServer.listen({
      exports,
      address,
      ...(tls === undefined ? {} : { tls }),
      ...(options.idleTimeout === undefined ? {} : { idleMs: options.idleTimeout }),
      ...(options.maxClients === undefined ? {} : { connectionsMax: options.maxClients }),
      insecure: options.insecure ?? false,
      onError: (error, peer) => status.message(`${peer}: ${error.message}`),
    });
    const open = tls === undefined || (tls.pskKeys === undefined && tls.authority === undefined);
    if (open && !isLoopbackAddress(address)) {
      status.message(
        `warning: whoever reaches ${options.nbd} can read and write these disks: there is no authentication`,
      );
    }
    announce(cache, server, files, names, tls);
    status.start(cache, server);
    await stop.requested;
    status.end();
    process.stderr.write("pinfold: ending: finishing requests, syncing (again to end at once)\n");
  } catch (error) {
    await end(cache, server).catch(() => {});
    throw error;
  }
  await end(cache, server);
  stop.forget();
  process.stderr.write("pinfold: ended: everything is on the disk\n");
}

/**
 * The memory that counts here is the pages'. Left to itself, V8 lets short-lived garbage grow the heap by 50 MiB and more before
 * it collects any; its collections are cheap here, since little of it lives. (Flags that still work while a program runs.)
 */
function keepHeapSmall(): void {
  for (const flag of ["--semi-space-growth-factor=1", "--heap-growing-percent=30"]) setFlagsFromString(flag);
}

/** What clients still want comes first; whatever comes of that, everything is synced. */
async function end(cache: PageCache, server: NbdServer | undefined): Promise<void> {
  try {
    await server?.close();
  } finally {
    await cache.close();
  }
}

/** Each export has the name of its file. @throws PinfoldError EINVAL where two have the same */
function exportNames(targets: readonly string[]): string[] {
  const names = targets.map((target) => basename(target));
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice !== undefined)
    throw new PinfoldError("EINVAL", `two targets are called ${twice}: an export is named after its file`);
  return names;
}

async function openAll(cache: PageCache, targets: readonly string[], options: ServeOptions): Promise<CachedFile[]> {
  const files: CachedFile[] = [];
  for (const target of targets) {
    const { readOnly, direct, size, checksums } = options;
    checkSize(target, options);
    const given = { ...(size === undefined ? {} : { create: true, size }), ...(checksums && { checksums }) };
    const file = await cache.open(target, { readOnly, direct, ...given });
    if (file.size === 0) {
      throw new PinfoldError("EINVAL", `${target} is empty${readOnly ? "" : ": pass --size to give it a size"}`);
    }
    files.push(file);
  }
  return files;
}

/** What the command line can say better than the store: a file that is not there, or that has another size. */
function checkSize(target: string, { size, readOnly }: ServeOptions): void {
  if (target === "") throw new PinfoldError("EINVAL", "a target needs a name");
  const found = statSync(target, { throwIfNoEntry: false });
  if (size === undefined && found === undefined) {
    throw new PinfoldError("ENOENT", `${target} does not exist${readOnly ? "" : ": pass --size to make it"}`);
  }
  if (size !== undefined && found?.isFile() && found.size > 0 && found.size !== size) {
    throw new PinfoldError(
      "EINVAL",
      `${target} has ${found.size} bytes, not ${size}: leave --size out to serve it as it is`,
    );
  }
}

function announce(
  cache: PageCache,
  server: NbdServer,
  files: readonly CachedFile[],
  names: readonly string[],
  tls: NbdTlsOptions | undefined,
): void {
  const { frames, pageSize } = cache.stats();
  process.stdout.write(
    `pinfold: ${formatBytes(frames * pageSize)} of page memory: ${frames} pages of ${formatBytes(pageSize)}\n`,
  );
  files.forEach((file, at) => {
    const flags = `${file.readOnly ? ", read-only" : ""}${file.capabilities.checksums ? ", checksums" : ""}`;
    process.stdout.write(
      `pinfold: ${file.name} (${formatBytes(file.size)}${flags}): ${server.uri(at === 0 ? "" : names[at])}\n`,
    );
    const { reserves, reservesNote, readOnly } = file.capabilities;
    if (reserves === "none" && !readOnly)
      process.stdout.write(`pinfold: ${file.name}: no space is reserved, so that a flush may fail: ${reservesNote}\n`);
  });
  const hint = tls === undefined ? `; try: nbdinfo '${server.uri("")}'` : ", over TLS only";
  process.stdout.write(`pinfold: ready${hint} (Ctrl-C ends it)\n`);
}

const endSignals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** The first signal asks for the end; the second one is the end. */
function onSignals(): { readonly requested: Promise<void>; forget(): void } {
  let ask = () => {};
  let asked = false;
  const requested = new Promise<void>((resolve) => {
    ask = resolve;
  });
  const onSignal = (signal: NodeJS.Signals) => {
    if (asked) {
      // Without a handler the signal does what it does to everybody: no exit handlers, no flush.
      process.removeAllListeners(signal);
      process.kill(process.pid, signal);
    }
    asked = true;
    ask();
  };
  for (const signal of endSignals) process.on(signal, onSignal);
  return {
    requested,
    forget() {
      for (const signal of endSignals) process.off(signal, onSignal);
    },
  };
}
