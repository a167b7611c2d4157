/**
 * A thread that uses a cache on behalf of a test: it attaches the share in its workerData, and does what it is told, one call at a
 * time, answering each. Pins stay here under numbers of their own.
 *
 * See also: pins-worker-fixture.ts, the other side.
 */
import { parentPort, workerData } from "node:worker_threads";
import {
  type CachedFile,
  type CacheShare,
  type GetOptions,
  PageCache,
  type PagesToken,
  UserPages,
} from "../../src/index.js";
import type { Reply, Request } from "./pins-worker-fixture.js";

const { share, path } = workerData as { share: CacheShare; path: string | undefined };
const cache = PageCache.attach(share);
let file: CachedFile | undefined;
const pins: UserPages[] = [];

async function theFile(): Promise<CachedFile> {
  file ??= await cache.open(path as string);
  return file;
}

function keep(pages: UserPages): number {
  return pins.push(pages) - 1;
}

const pinOf = (number: unknown) => pins[number as number] as UserPages;

const operations: Readonly<Record<string, (...taken: never[]) => unknown>> = {
  slot: () => cache.core.frames.thread,
  open: async () => void (await theFile()),
  pin: async (position: number, length: number, options: GetOptions) =>
    keep(await (await theFile()).getUserPages(position, length, options)),
  fill: (pin: number, value: number) => {
    for (const page of pinOf(pin)) page.bytes.fill(value);
  },
  bytes: (pin: number) => [...pinOf(pin)].map((page) => page.bytes[0]),
  facts: (pin: number) => {
    const { position, byteLength, writable, isPinned, length } = pinOf(pin);
    return { position, byteLength, writable, isPinned, length };
  },
  put: (pin: number) => pinOf(pin).put(),
  transfer: (pin: number) => pinOf(pin).transfer(),
  adopt: (token: PagesToken) => keep(UserPages.adopt(token)),
  truncate: async (length: number, options: object) => (await theFile()).truncate(length, options),
  read: async (position: number, length: number) => {
    const { bytesRead } = await (await theFile()).read(new Uint8Array(length), 0, length, position);
    return bytesRead;
  },
  write: async (position: number, length: number, value: number) => {
    await (await theFile()).write(new Uint8Array(length).fill(value), 0, length, position);
  },
  sync: async (options: object) => (await theFile()).sync(options),
  /** Turns bits of a shared word over, for a while. */
  disturb: (address: number, bits: number, forMs: number) => {
    const { shared } = cache.core.frames;
    const before = shared.load(address);
    shared.store(address, before ^ bits);
    setTimeout(() => shared.store(address, before), forMs);
  },
  pins: () => cache.pins(),
  stats: () => cache.stats(),
  closeFile: async () => {
    await file?.close();
    file = undefined;
  },
  close: async () => {
    await cache.close();
  },
};

async function answer({ id, operation, taken }: Request): Promise<Reply> {
  try {
    const call = operations[operation] as (...taken: unknown[]) => unknown;
    return { id, result: await call(...taken) };
  } catch (error) {
    const { code, message } = error as Error & { code?: string };
    return { id, error: { code: code ?? "none", message } };
  }
}

parentPort?.on("message", (request: Request) => {
  void answer(request).then((reply) => {
    parentPort?.postMessage(reply);
    if (request.operation === "close" && !reply.error) parentPort?.close();
  });
});
