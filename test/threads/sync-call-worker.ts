/** A thread that makes blocking calls on the cache of another one: told one at a time, each answered when it has returned. */
import { setTimeout as sleep } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";
import {
  type CacheShare,
  type CachedFile,
  PageCache,
  type PinScope,
  type PinfoldError,
  type UserPages,
} from "../../src/index.js";

/** What a thread can be told. Files, pins and scopes go by names. */
export class Blocker {
  readonly #cache: PageCache;
  readonly #pins = new Map<string, UserPages>();
  readonly #scopes = new Map<string, PinScope>();
  #opened: CachedFile | undefined;

  constructor(share: CacheShare) {
    this.#cache = PageCache.attach(share);
  }

  get #file(): CachedFile {
    if (!this.#opened) throw new Error("no file");
    return this.#opened;
  }

  async open(target: string | { readonly key: string }): Promise<number> {
    this.#opened = await this.#cache.open(target);
    return this.#cache.core.frames.thread;
  }

  read(length: number, position: number): string {
    const bytes = Buffer.alloc(length);
    return bytes.toString("latin1", 0, this.#file.readSync(bytes, 0, length, position));
  }

  write(text: string, position: number): number {
    return this.#file.writeSync(text, position);
  }

  #options(write: boolean, scope: string): { write: boolean; scope?: PinScope } {
    if (scope === "") return { write };
    const known = this.#scopes.get(scope) ?? this.#cache.scope();
    this.#scopes.set(scope, known);
    return { write, scope: known };
  }

  pin(name: string, position: number, length: number, write = true, scope = ""): void {
    this.#pins.set(name, this.#file.getUserPagesSync(position, length, this.#options(write, scope)));
  }

  /** As pin; where it fails, another pin is put next. */
  pinOr(name: string, position: number, other: string): void {
    try {
      this.pin(name, position, 1);
    } catch (error) {
      this.put(other);
      throw error;
    }
  }

  /** As pin, by a task that does not block the thread. */
  async pinWaiting(name: string, position: number, length: number): Promise<void> {
    this.#pins.set(name, await this.#file.getUserPages(position, length, { write: true }));
  }

  put(name: string, text = ""): void {
    const pages = this.#pins.get(name);
    if (text !== "") pages?.copyFrom(Buffer.from(text));
    pages?.put();
  }

  /** For who blocks meanwhile. Answers at once. */
  putLater(name: string, delayMs: number, text = ""): void {
    void sleep(delayMs).then(() => this.put(name, text));
  }

  sync(): void {
    this.#file.syncSync();
  }

  async close(): Promise<void> {
    await this.#cache.close();
  }
}

export type BlockerOp = keyof Blocker;

export interface BlockerMessage {
  readonly id: number;
  readonly op: BlockerOp;
  readonly args: readonly unknown[];
}

export interface BlockerReply {
  readonly id: number;
  readonly result?: unknown;
  readonly code?: string;
  readonly message?: string;
}

const data = workerData as { readonly blocker?: CacheShare } | undefined;
if (data?.blocker) {
  const blocker = new Blocker(data.blocker);
  parentPort?.on("message", ({ id, op, args }: BlockerMessage) => {
    const run = async () => (blocker[op] as (...args: unknown[]) => unknown).apply(blocker, [...args]);
    run().then(
      (result) => parentPort?.postMessage({ id, result } satisfies BlockerReply),
      ({ code, message }: PinfoldError) => parentPort?.postMessage({ id, code, message } satisfies BlockerReply),
    );
  });
}
