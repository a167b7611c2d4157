/**
 * A worker fills a megabyte of a file, in the cache, and hands it to another worker: no byte is copied, and the pages are pinned
 * all the way. Works in a folder that goes away at the end.
 */
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MessageChannel, type MessagePort, Worker, isMainThread, workerData } from "node:worker_threads";
import { type CacheShare, PageCache, type PagesToken, UserPages } from "pinfold";

interface Job {
  role: "producer" | "consumer";
  share: CacheShare;
  path: string;
  port: MessagePort;
}

const bytes = 1 << 20;

async function main(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "pinfold-hand-over-"));
  try {
    await using cache = await PageCache.open({ memory: "16MiB" });
    await using file = await cache.open(join(folder, "data.bin"), { create: true, size: bytes });
    const { port1, port2 } = new MessageChannel();
    const start = (role: Job["role"], port: MessagePort) => {
      const job: Job = { role, share: cache.share(), path: join(folder, "data.bin"), port };
      return new Worker(new URL(import.meta.url), { workerData: job, transferList: [port] });
    };
    const workers = [start("producer", port1), start("consumer", port2)];
    await Promise.all(workers.map(async (worker) => once(worker, "exit")));

    const head = new Uint8Array(4);
    await file.read(head, 0, 4, 0);
    console.log("the file begins with", ...head);
    console.log("pages still pinned:", cache.pins().length);
    await file.sync();
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function produce({ share, path, port }: Job): Promise<void> {
  await using cache = PageCache.attach(share);
  await using file = await cache.open(path);
  const pages = await file.getUserPages(0, bytes, { write: true, longterm: true });
  for (const page of pages) page.bytes.fill(page.index % 251);
  port.postMessage(pages.transfer()); // what was written before this, the adopter sees
  await once(port, "message"); // adopted: from now on these bytes are the consumer's
  port.close();
}

async function consume({ share, port }: Job): Promise<void> {
  await using cache = PageCache.attach(share);
  const [token] = (await once(port, "message")) as [PagesToken];
  {
    using pages = UserPages.adopt(token); // ESTALE if somebody else has, or if the producer is gone
    port.postMessage("adopted");
    let sum = 0;
    for (const page of pages) for (const byte of page.bytes) sum += byte;
    console.log(`the consumer got ${pages.byteLength / cache.pageSize} pages, the sum of their bytes is ${sum}`);
    pages.copyFrom(Uint8Array.of(1, 2, 3, 4)); // it is a write pin still
  }
}

if (isMainThread) await main();
else if ((workerData as Job).role === "producer") await produce(workerData as Job);
else await consume(workerData as Job);
