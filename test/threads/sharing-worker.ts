/**
 * A thread that uses the cache of another one: does what it is told, one message at a time where it waits for nothing, and answers
 * with the result or with an error's code.
 */
import { parentPort, workerData } from "node:worker_threads";
import { memory, offset, rawFile, tryPin, unpin } from "../../src/api/raw.js";
import {
  type CacheShare,
  type CachedFile,
  MemoryStore,
  type OpenOptions,
  PageCache,
  type PinfoldError,
  type UserPages,
} from "../../src/index.js";

export interface SharingWorkerData {
  readonly share: CacheShare;
  /** Set to 1 by the thread when it has done what `tell` asked for, for who blocks. */
  readonly signal: SharedArrayBuffer;
}

type Target = string | { readonly key: string };

/** What a thread can be told. Files and pins go by names. */
export class Peer {
  readonly #share: CacheShare;
  readonly #files = new Map<string, CachedFile>();
  readonly #pins = new Map<string, UserPages>();
  #cache: PageCache;
  #steps = 0;

  constructor(share: CacheShare) {
    this.#share = share;
    this.#cache = PageCache.attach(share);
    const { flusher } = this.#cache.core;
    const step = flusher.step.bind(flusher);
    flusher.step = (urgent, most) => {
      this.#steps += 1;
      return step(urgent, most);
    };
  }

  #file(name: string): CachedFile {
    const file = this.#files.get(name);
    if (!file) throw new Error(`no file ${name}`);
    return file;
  }

  async open(name: string, target: Target, options?: OpenOptions): Promise<number> {
    this.#files.set(name, await this.#cache.open(target, options));
    return this.#file(name).size;
  }

  /** A store of this thread's own memory. */
  async openMemory(name: string, key: string, sizeBytes: number): Promise<number> {
    this.#files.set(name, await this.#cache.open(new MemoryStore({ key, sizeBytes })));
    return this.#file(name).size;
  }

  /** The same path in a cache of its own. */
  async openElsewhere(target: string, options?: OpenOptions): Promise<void> {
    await using cache = await PageCache.open({ memory: "1MiB", preTouch: false });
    await cache.open(target, options);
  }

  async write(name: string, text: string, position: number): Promise<number> {
    return (await this.#file(name).write(text, position)).bytesWritten;
  }

  async read(name: string, length: number, position: number): Promise<string> {
    const { buffer, bytesRead } = await this.#file(name).read(Buffer.alloc(length), 0, length, position);
    return buffer.toString("latin1", 0, bytesRead);
  }

  /** Reads the same place again and again. */
  async readOften(name: string, length: number, position: number, times: number): Promise<string> {
    let text = "";
    for (let i = 0; i < times; i++) text = await this.read(name, length, position);
    return text;
  }

  /** Gives a pin up that is not there in time. What it ended with. */
  async readFor(name: string, position: number, forMs: number): Promise<string> {
    const waited = this.#file(name).getUserPages(position, 1, { signal: AbortSignal.timeout(forMs) });
    return waited.then(
      (pages) => (pages.put(), "read"),
      (error: Error) => error.name,
    );
  }

  async pin(name: string, position: number, length: number, options?: { write?: boolean }): Promise<void> {
    this.#pins.set(name, await this.#file(name).getUserPages(position, length, options));
  }

  async fill(name: string, position: number, length: number, byte: number): Promise<void> {
    using pages = await this.#file(name).getUserPages(position, length, { write: true });
    for (const page of pages) page.bytes.fill(byte);
  }

  async fillRaw(name: string, index: number, byte: number): Promise<void> {
    const raw = rawFile(this.#file(name));
    // The leave to write that fill gets lasts until its page has been written: once it was, tryPin would have to ask the store's thread.
    let frame = -1;
    for (let tries = 0; frame < 0 && tries < 1_000; tries++) {
      await this.fill(name, index * this.#file(name).pageSize, 1, 0);
      frame = tryPin(raw, index, true);
    }
    const from = offset(raw, frame);
    memory(raw, frame).fill(byte, from, from + this.#file(name).pageSize);
    unpin(raw, frame);
  }

  /** Changes the bytes of a pin, and writes them out while it goes on. */
  async flush(name: string, byte: number): Promise<void> {
    const pages = this.#pins.get(name) as UserPages;
    for (const page of pages) page.bytes.fill(byte);
    await pages.flush();
  }

  put(name: string): void {
    this.#pins.get(name)?.put();
  }

  async truncate(name: string, length: number): Promise<void> {
    await this.#file(name).truncate(length);
  }

  async syncSync(name: string): Promise<void> {
    this.#file(name).syncSync();
  }

  async sync(name: string): Promise<void> {
    await this.#file(name).sync();
  }

  size(name: string): number {
    return this.#file(name).size;
  }

  async closeFile(name: string): Promise<void> {
    await this.#file(name).close();
  }

  async closeCache(): Promise<void> {
    await this.#cache.close();
  }

  attach(): void {
    this.#cache = PageCache.attach(this.#share);
  }

  /** Rounds of background write-back that this thread's timer has begun. */
  rounds(): number {
    return this.#steps;
  }

  holdsFlusher(): boolean {
    return this.#cache.core.holdsFlusher();
  }

  stats(): { misses: number; hits: number; files: number } {
    const { misses, hits, files } = this.#cache.stats();
    return { misses, hits, files: files.length };
  }

  verify(): void {
    this.#cache.verify();
  }
}

export type PeerOp = keyof Peer;

export interface PeerMessage {
  readonly id: number;
  readonly op: PeerOp;
  readonly args: readonly unknown[];
}

export interface PeerReply {
  readonly id: number;
  readonly result?: unknown;
  readonly code?: string;
  readonly message?: string;
}

function serve({ share, signal }: SharingWorkerData): void {
  const peer = new Peer(share);
  const done = new Int32Array(signal);
  parentPort?.on("message", ({ id, op, args }: PeerMessage) => {
    const reply = (answer: PeerReply) => {
      parentPort?.postMessage(answer);
      Atomics.store(done, 0, 1);
      Atomics.notify(done, 0);
    };
    const run = async () => (peer[op] as (...args: unknown[]) => unknown).apply(peer, [...args]);
    run().then(
      (result) => reply({ id, result }),
      (error: PinfoldError) => reply({ id, code: error.code ?? "none", message: String(error.stack) }),
    );
  });
}

if (parentPort && (workerData as Partial<SharingWorkerData> | undefined)?.signal)
  serve(workerData as SharingWorkerData);
